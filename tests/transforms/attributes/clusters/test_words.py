"""Words: by hand, and against the slow reference."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.attributes.clusters.words import LONGEST_TEXT, MOST_WORDS, character_tables, scan_words
from byline.transforms.documents.text_parts import text_buffers
from tests.reference import clusters as reference
from tests.support.thorough import examples


def scanned(*texts: str) -> list[list[tuple[str, int]]]:
    """The words of each text, with their hashes."""
    offsets, data = text_buffers(pa.array(texts, pa.large_string()))
    hashes, spans = np.zeros(MOST_WORDS, np.uint64), np.zeros((MOST_WORDS, 2), np.int64)
    words = []
    for row in range(len(texts)):
        count = scan_words(data, offsets[row], offsets[row + 1], character_tables(), hashes, spans)
        spelled = [data[begin:end].tobytes().decode() for begin, end in spans[:count]]
        words.append(list(zip(spelled, hashes[:count].tolist(), strict=True)))
    return words


def lowered(text: str) -> str:
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("2 Don't! 漢字 ÉTÉ x264", ["Don", "t", "漢", "字", "ÉTÉ", "x264"]),
        ("3d foo_bar 1st", ["d", "foo", "bar", "st"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("カタa𠀀b", ["カ", "タ", "a", "𠀀", "b"]),
        ("😀 — …", []),
    ],
)
def test_words_by_hand(text, words):
    assert [word for word, _ in scanned(text)[0]] == words


def test_case_makes_no_difference():
    one, other = scanned("Recipe ÉTÉ Ещё ΣΣ", "recipe été ещё σσ")
    assert [hashed for _, hashed in one] == [hashed for _, hashed in other]
    assert len({hashed for _, hashed in one}) == 4


def test_a_text_counts_to_its_last_whole_character():
    (ascii_words,) = scanned("a " * LONGEST_TEXT)
    assert len(ascii_words) == LONGEST_TEXT // 2
    (cut,) = scanned("a" * (LONGEST_TEXT - 1) + "é b")
    assert [word for word, _ in cut] == ["a" * (LONGEST_TEXT - 1)]
    (chinese,) = scanned("漢" * LONGEST_TEXT)
    assert len(chinese) == LONGEST_TEXT // 3


CHARACTERS = st.sampled_from("aZ09 _-'éÉßİ漢ア々ๆ字\u0301ー😀𠀀ﬁ豈") | st.characters(exclude_categories=["Cs"])


@examples(200)
@given(st.lists(st.text(CHARACTERS, max_size=30), max_size=4))
def test_words_are_those_of_the_reference(texts):
    for text, words in zip(texts, scanned(*texts), strict=True):
        assert [lowered(word) for word, _ in words] == reference.words_of(text)
