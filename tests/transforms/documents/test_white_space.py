"""White space in bytes is what `str` says of the decoded text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.documents.white_space import space_length, strip

SPACES = [chr(point) for point in range(0x110000) if chr(point).isspace()]


def test_every_character() -> None:
    for point in range(0x110000):
        if not 0xD800 <= point < 0xE000:
            character = chr(point).encode()
            expected = len(character) if chr(point).isspace() else 0
            assert space_length(np.frombuffer(character, np.uint8), 0, len(character)) == expected, hex(point)


def test_a_space_cut_short_is_none() -> None:
    data = np.frombuffer("\u2003".encode(), np.uint8)
    assert space_length(data, 0, 2) == 0


@given(st.text(st.sampled_from([*SPACES, "a", "\u0421", "\u3001", "\U0001f600"]), max_size=8))
def test_strip(text: str) -> None:
    encoded = text.encode()
    begin, end = strip(np.frombuffer(encoded, np.uint8), 0, len(encoded))
    assert encoded[begin:end] == text.strip().encode()
