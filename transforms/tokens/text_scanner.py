"""Finds the texts that contain certain characters or certain strings, at several gigabytes a second.

```
characters   U+A7CE, U+323B0        strings  "<ph>", "Acme"
text         "abc"   "a U+323B0 b"   "an Acmeist"   "<p>"
contains     False   True            True           False
```

Of each character its first byte is watched for, and of each string the byte that is rarest in ordinary text. Vector
instructions skip every block of 64 bytes without such a byte; in the others each byte is looked up.
"""

from collections.abc import Iterable

import numba
import numpy as np
import pyarrow as pa

from byline.transforms.documents.text_parts import text_buffers

_BLOCK = 64
# So many bytes are compared at once; where more are watched for, each byte of the text is looked up.
_AT_ONCE = 8
# Bytes of web text, the frequent ones first; a byte that is not listed is rarer than all of these.
_FREQUENT = b" etaoinsrhldcumpfgybw.v,kTSAIC0-1M)(BPDE2RHNLFWG/:'OxU9354j8Y76JqVKz\"\n_=;?\t!<>|"
_RARITY = {byte: len(_FREQUENT) - number for number, byte in enumerate(_FREQUENT)}


class TextScanner:
    """Which of many texts contain one of some characters or strings.

    Args:
        characters: code points.
        strings: none of them empty.
    """

    def __init__(self, characters: Iterable[int] = (), strings: Iterable[str] = ()) -> None:
        encoded = sorted((string.encode() for string in {*strings}), key=_watched)
        watched = np.array([_watched(string) for string in encoded], np.int64)
        points = np.unique(np.array([*characters], np.int64))
        self._is_empty = len(points) + len(encoded) == 0
        # One bit a code point.
        self._bits = np.zeros(0x110000 >> 3, np.uint8)
        np.bitwise_or.at(self._bits, points >> 3, (1 << (points & 7)).astype(np.uint8))
        self._is_first = np.zeros(256, np.bool_)
        self._is_first[[chr(point).encode()[0] for point in points]] = True
        self._spelled = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
        self._borders = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
        self._before = np.array([string.index(_watched(string)) for string in encoded], np.int64)
        # The strings whose watched byte is b are those from _range[b] to _range[b + 1].
        self._range = np.searchsorted(watched, np.arange(257)).astype(np.int64)
        all_watched = np.flatnonzero(self._is_first | (np.diff(self._range) > 0)).astype(np.uint8)
        self._at_once = np.resize(all_watched, _AT_ONCE) if 0 < len(all_watched) <= _AT_ONCE else all_watched[:0]

    def contains(self, texts: pa.Array) -> np.ndarray:
        """bool [n]: which texts contain one.

        Args:
            texts: large_string [n] without nulls, in valid UTF-8.
        """
        if len(texts) == 0 or self._is_empty:
            return np.zeros(len(texts), bool)
        borders, data = text_buffers(texts)
        return _scan(
            data, borders, self._at_once, self._is_first, self._bits,
            self._range, self._spelled, self._borders, self._before,
        )  # fmt: skip


def _watched(string: bytes) -> int:
    """The byte of a string that is rarest in ordinary text."""
    return min(string, key=lambda byte: (_RARITY.get(byte, 0), byte))


@numba.njit(cache=True, nogil=True)
def _scan(
    data: np.ndarray,
    borders: np.ndarray,
    at_once: np.ndarray,
    is_first: np.ndarray,
    bits: np.ndarray,
    ranges: np.ndarray,
    spelled: np.ndarray,
    spelled_borders: np.ndarray,
    before: np.ndarray,
) -> np.ndarray:
    contains = np.zeros(len(borders) - 1, np.bool_)
    for text in range(len(contains)):
        begin, end = borders[text], borders[text + 1]
        position = begin
        while position < end and not contains[text]:
            stop = min(position + _BLOCK, end)
            if stop - position == _BLOCK and len(at_once) == _AT_ONCE and not _has_byte(data[position:stop], at_once):
                position = stop
                continue
            for at in range(position, stop):
                byte = data[at]
                if is_first[byte] and _has_bit(data, at, bits):
                    contains[text] = True
                for string in range(ranges[byte], ranges[byte + 1]):
                    low, high = spelled_borders[string], spelled_borders[string + 1]
                    start = at - before[string]
                    if start >= begin and start + high - low <= end and _is_same(data, start, spelled, low, high):
                        contains[text] = True
            position = stop
    return contains


@numba.njit(cache=True, nogil=True)
def _has_byte(block: np.ndarray, watched: np.ndarray) -> bool:
    """Whether a block of 64 bytes has one of eight."""
    a, b, c, d, e, f, g, h = (
        watched[0], watched[1], watched[2], watched[3], watched[4], watched[5], watched[6], watched[7],
    )  # fmt: skip
    has_one = False
    # Booleans only: numba widens smaller integers to 64 bits, of which a vector holds few.
    for number in range(_BLOCK):
        byte = block[number]
        has_one |= (byte == a) | (byte == b) | (byte == c) | (byte == d)
        has_one |= (byte == e) | (byte == f) | (byte == g) | (byte == h)
    return has_one


@numba.njit(cache=True, nogil=True)
def _has_bit(data: np.ndarray, at: int, bits: np.ndarray) -> bool:
    """Whether the character that begins at a byte has its bit."""
    byte = data[at]
    size = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    character = np.int64(byte) if size == 1 else np.int64(byte & (0xFF >> (size + 1)))
    for offset in range(1, size):
        character = character << 6 | np.int64(data[at + offset] & 0x3F)
    return (bits[character >> 3] >> (character & 7)) & 1 != 0


@numba.njit(cache=True, nogil=True)
def _is_same(data: np.ndarray, start: int, spelled: np.ndarray, low: int, high: int) -> bool:
    # Stops at the first byte that differs, where np.array_equal makes an array of all of them.
    number = 0
    while number < high - low and data[start + number] == spelled[low + number]:
        number += 1
    return number == high - low
