"""Which texts contain one of some characters or strings, against a loop over characters."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.tokens.text_scanner import TextScanner
from tests.support.thorough import examples

CHARACTERS = (0x0, 0x7F, 0x80, 0xE9, 0x7FF, 0x800, 0x20C1, 0xFFFF, 0x10000, 0x323B0, 0x10FFFF)
STRINGS = ("Acme", "<ph>", "  ", "é中", "\0", "<p", "|<endoftext>|", "m")
PIECES = (*map(chr, CHARACTERS), *STRINGS, "Acm", "<|", "a" * 63, "b" * 64, "中" * 30, "\u0801", "\U000323b1")


def contains(text: str, characters: list[int], strings: list[str]) -> bool:
    return any(ord(character) in characters for character in text) or any(string in text for string in strings)


@given(
    st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join), max_size=6),
    st.lists(st.sampled_from(CHARACTERS), max_size=4),
    st.lists(st.sampled_from(STRINGS), max_size=4),
)
@examples(400)
def test_agrees_with_a_loop_over_characters(texts: list[str], characters: list[int], strings: list[str]) -> None:
    array = pa.array(["before", *texts], pa.large_string()).slice(1)
    expected = [contains(text, characters, strings) for text in texts]
    assert TextScanner(characters, strings).contains(array).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 8, 9, 60])
def test_few_and_many_watched_bytes(count: int) -> None:
    """Up to eight are compared at once, of more each byte is looked up."""
    strings = [chr(0x41 + number) * 2 for number in range(count)]
    texts = [f"{'.' * 100}{string}{'.' * 100}" for string in strings] + ["." * 300, "A" + "." * 63 + "A"]
    scanner = TextScanner(strings=strings)
    assert scanner.contains(pa.array(texts, pa.large_string())).tolist() == [*([True] * count), False, False]


def test_a_string_does_not_go_over_the_border_of_a_text() -> None:
    scanner = TextScanner(strings=["<ph>"])
    assert scanner.contains(pa.array(["<p", "h>", "<", "ph>", "<ph>"], pa.large_string())).tolist() == [
        *([False] * 4),
        True,
    ]


def test_nothing_to_look_for_and_nothing_to_look_in() -> None:
    assert TextScanner().contains(pa.array(["a", ""], pa.large_string())).tolist() == [False, False]
    assert TextScanner([0xE9]).contains(pa.array([], pa.large_string())).tolist() == []
    assert TextScanner([0xE9]).contains(pa.array(["", ""], pa.large_string())).tolist() == [False, False]
