"""N-grams as hashes: by hand, and against the slow reference."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.duplicates.normalizing import normalized
from byline.transforms.duplicates.shingles import Shingling, distinct, shingle_sets
from tests.reference.duplicates import ngrams, normal_form, shingle_hash
from tests.support.thorough import examples


def sets_of(texts: list[str], size: int, unit: str) -> list[list[int]]:
    array = pa.array(texts, pa.large_string())
    form = "text" if unit == "words" else "exact"
    borders, shingles = shingle_sets(normalized(array, form), Shingling(size, unit))
    return [shingles[begin:end].tolist() for begin, end in pairwise(borders)]


def expected(text: str, size: int, unit: str) -> list[int]:
    normal = normal_form(text, "text" if unit == "words" else "exact")
    return sorted({shingle_hash(ngram, unit) for ngram in ngrams(normal, size, unit)})


def test_words_and_characters() -> None:
    assert ngrams("to be or not to be", 4, "words") == [
        ("to", "be", "or", "not"),
        ("be", "or", "not", "to"),
        ("or", "not", "to", "be"),
    ]
    assert ngrams("ab", 3, "characters") == [("a", "b")]
    assert list(map(len, sets_of(["to be or not to be", "", "one", "- ..."], 2, "words"))) == [4, 0, 1, 0]
    assert list(map(len, sets_of(["to be or not to be", "", "é漢", "aaaa"], 2, "characters"))) == [13, 0, 1, 1]


def test_hashes_are_written_down() -> None:
    assert sets_of(["knead international"], 5, "words") == [[0x638ED093FD1C41D7]]
    assert sets_of(["a"], 24, "characters") == [[0xDB87C9C9A517A502]]


@examples(300)
@given(
    st.lists(st.text(st.sampled_from("ab é漢😀\n."), max_size=40)),
    st.integers(1, 6),
    st.sampled_from(["words", "characters"]),
)
def test_sets_are_those_of_the_reference(texts: list[str], size: int, unit: str) -> None:
    assert sets_of(texts, size, unit) == [expected(text, size, unit) for text in texts]


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9) | st.integers(2**63 - 2, 2**63 + 2)))
def test_distinct_hashes(hashes: list[int]) -> None:
    assert distinct(np.array(hashes, np.uint64)).tolist() == sorted(set(hashes))


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_long_text_of_two_words(unit: str) -> None:
    text = "ab cd " * 50_000
    assert sets_of([text], 5, unit) == [expected(text[:60], 5, unit)]
