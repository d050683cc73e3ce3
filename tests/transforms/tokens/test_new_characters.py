"""Which texts are given to tokenizers for their characters, and that no other character needs it."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.tokens.new_characters import UNICODE_17, has_new_characters
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from tests.support import small

EDGES = sorted({*UNICODE_17.ravel().tolist(), *(UNICODE_17.ravel() - 1).tolist(), *(UNICODE_17.ravel() + 1).tolist()})


def slow(text: str) -> bool:
    return any(low <= ord(character) <= high for character in text for low, high in UNICODE_17)


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from(list(map(chr, EDGES))), max_size=5))
)
def test_agrees_with_a_loop_over_characters(texts: list[str]) -> None:
    array = pa.array(["before", *texts], pa.large_string()).slice(1)
    assert has_new_characters(array).tolist() == list(map(slow, texts))


def test_no_texts_and_empty_texts() -> None:
    assert has_new_characters(pa.array([], pa.large_string())).tolist() == []
    assert has_new_characters(pa.array(["", ""], pa.large_string())).tolist() == [False, False]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(small.tokenizer_file(tmp_path_factory.mktemp("tokenizer")))


def test_the_libraries_agree_on_every_other_character(tokenizer: TextTokenizer) -> None:
    surrogates = range(0xD800, 0xE000)
    new = {code for low, high in UNICODE_17 for code in range(low, high + 1)}
    others = [code for code in range(0x110000) if code not in surrogates and code not in new]
    # Letters and digits are told apart by what may stand with them in one word.
    texts = ["".join(f"{chr(code)}'s 1{chr(code)}" for code in some) for some in np.array_split(others, 500)]
    assert tokenizer.fast is not None
    fast_ids = tokenizer.fast.encode_batch_list(texts, parallel=False)
    expected = [encoding.ids for encoding in tokenizer.reference.encode_batch_fast(texts, add_special_tokens=False)]
    assert fast_ids == expected


def test_texts_with_new_characters_get_the_references_ids(tokenizer: TextTokenizer) -> None:
    texts = ["a", "\U000323b0's", "", "b c", "1\U00010940", "\U00010940's x"]
    values, offsets = tokenizer.encode(pa.array(texts, pa.large_string()))
    expected = [tokenizer.encode_by_reference(text) for text in texts]
    assert [values[a:b].tolist() for a, b in pairwise(offsets)] == expected
    assert tokenizer.fast is not None
    assert tokenizer.fast.encode_batch_list(texts, parallel=False) != expected
