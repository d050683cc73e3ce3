"""The words of texts, in lower case, as numbers of 64 bits.

```
text     "2 Don't! 漢字 ÉTÉ x264"
words    don | t | 漢 | 字 | été | x264
```

A word begins with a letter and goes on with letters, marks and digits (Unicode's categories L, M and N); what stands
between is left out, and so are digits before a letter. Chinese characters, kana and other signs that are written
without spaces are words of their own. A word's number is FNV-1a over the code points of its lower case, mixed; two
words of one number are too rare to matter. A letter whose lower case is not one letter stays as it is.

A text counts as far as its first 16 KiB, to the last whole character: what it is about shows by then, and an exchanged
sample of books stays small.

Positions are uint64 in loops, because numba tests a signed index for being negative.
"""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
from numba import njit

from byline.transforms.documents.text_parts import text_buffers, texts_of

# About 2,700 English words.
LONGEST_TEXT = 16 * 1024
# A word of one letter and what parts it from the next take two bytes; a Chinese character takes three.
MOST_WORDS = LONGEST_TEXT // 2 + 1
_OTHER, _LETTER, _FOLLOWING, _ALONE = 0, 1, 2, 3
# Beyond are rare Chinese characters, which are words of their own, and nothing else that is written.
_POINTS = 0x20000
_ALONE_RANGES = ((0x2E80, 0x3000), (0x3005, 0x3008), (0x3040, 0x3100), (0x31F0, 0x3200), (0x3400, 0xA000))
_ALONE_RANGES_BEYOND = ((0xF900, 0xFB00), (0xFF66, 0xFFA0))
_ZERO, _ONE, _SIX = np.uint64(0), np.uint64(1), np.uint64(6)
_FNV_OFFSET, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)
_MIX, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_SEPARATOR, _WIDE, _LAST_DIGIT = 0, 0xFF, ord("9")
# Of each byte: its lower case in a word, 0 if it is in none, `_WIDE` if it begins a wide character.
_LOWER_BYTES = np.full(256, _SEPARATOR, np.uint8)
_LOWER_BYTES[0x80:] = _WIDE
for _letter in b"abcdefghijklmnopqrstuvwxyz0123456789":
    _LOWER_BYTES[_letter] = _letter
    _LOWER_BYTES[ord(chr(_letter).upper())] = _letter


def _kind(point: int) -> int:
    if any(first <= point < end for first, end in (*_ALONE_RANGES, *_ALONE_RANGES_BEYOND)):
        return _ALONE
    category = unicodedata.category(chr(point))[0]
    return _LETTER if category == "L" else _FOLLOWING if category in "MN" else _OTHER


def _lower(point: int) -> int:
    lower = chr(point).lower()
    return ord(lower) if len(lower) == 1 else point


@functools.cache
def character_tables() -> tuple[np.ndarray, np.ndarray]:
    """What each code point is in a word, uint8 [0x20000], and its lower case, int32 [0x20000]."""
    kinds = np.fromiter(map(_kind, range(_POINTS)), np.uint8, _POINTS)
    return kinds, np.fromiter(map(_lower, range(_POINTS)), np.int32, _POINTS)


@njit(nogil=True, cache=True)
def text_end(data: np.ndarray, begin: int, end: int) -> int:
    """How far the text `data[begin:end]` counts."""
    if end - begin <= LONGEST_TEXT:
        return end
    end = begin + LONGEST_TEXT
    while data[end] & 0xC0 == 0x80:
        end -= 1
    return end


@njit(nogil=True, cache=True, forceinline=True)
def _added(value: int, point: int) -> int:
    return (value ^ point) * _FNV_PRIME


@njit(nogil=True, cache=True, forceinline=True)
def _finished(value: int) -> int:
    value = (value ^ (value >> _SHIFT)) * _MIX
    return value ^ (value >> _SHIFT)


@njit(nogil=True, cache=True, forceinline=True)
def _size(byte: int) -> int:
    """Bytes of the wide character that begins with this one, uint64."""
    return np.uint64(2) if byte < 0xE0 else np.uint64(3) if byte < 0xF0 else np.uint64(4)


@njit(nogil=True, cache=True, forceinline=True)
def _decoded(data: np.ndarray, at: int, size: int) -> int:
    """The code point of a wide character of valid UTF-8, uint64."""
    point = np.uint64(data[at]) & (np.uint64(0x7F) >> size)
    for i in range(1, size):
        point = (point << _SIX) | (np.uint64(data[at + np.uint64(i)]) & np.uint64(0x3F))
    return point


@njit(nogil=True, cache=True, forceinline=True)
def _kind_of(point: int, kinds: np.ndarray) -> int:
    return np.uint8(kinds[point]) if point < np.uint64(_POINTS) else np.uint8(_ALONE)


@njit(nogil=True, cache=True)
def _wide(data: np.ndarray, at: int, kinds: np.ndarray, lower: np.ndarray) -> tuple[int, int, int]:
    """The kind of a wide character, its lower case and its bytes."""
    size = _size(data[at])
    point = _decoded(data, at, size)
    kind = _kind_of(point, kinds)
    return kind, np.uint64(lower[point]) if kind == _LETTER else point, size


@njit(nogil=True, cache=True)
def scan_words(
    data: np.ndarray,
    begin: int,
    end: int,
    tables: tuple[np.ndarray, np.ndarray],
    hashes: np.ndarray,
    spans: np.ndarray,
) -> int:
    """Fills `hashes` and `spans` with the words of the text `data[begin:end]` as far as it counts.

    Args:
        data: uint8, valid UTF-8.
        begin, end: of one text.
        tables: of `character_tables`.
        hashes: uint64 [MOST_WORDS], changed.
        spans: int64 [MOST_WORDS, 2], begin and end of each word in `data`, changed.

    Returns:
        How many words there are.
    """
    kinds, lower = tables
    count = 0
    at, stop = np.uint64(begin), np.uint64(text_end(data, begin, end))
    while at < stop:
        byte = _LOWER_BYTES[data[at]]
        if byte <= _LAST_DIGIT:  # and separators
            at += _ONE
            continue
        start = at
        if byte == _WIDE:
            kind, point, size = _wide(data, at, kinds, lower)
            at += size
            if kind in (_OTHER, _FOLLOWING):
                continue
            value = _added(_FNV_OFFSET, point)
        else:
            kind, value = np.uint8(_LETTER), _added(_FNV_OFFSET, np.uint64(byte))
            at += _ONE
        while kind != _ALONE and at < stop:
            byte = _LOWER_BYTES[data[at]]
            if byte == _SEPARATOR:
                break
            if byte != _WIDE:
                value = _added(value, np.uint64(byte))
                at += _ONE
                continue
            following, point, size = _wide(data, at, kinds, lower)
            if following in (_OTHER, _ALONE):
                break
            value = _added(value, point)
            at += size
        hashes[count], spans[count, 0], spans[count, 1] = _finished(value), start, at
        count += 1
    return count


def shortened(texts: pa.Array) -> pa.Array:
    """Texts (large_string [n]) as far as they count."""
    offsets, data = text_buffers(texts)
    ends = _text_ends(data, offsets)
    borders = np.concatenate([[0], np.cumsum(ends - offsets[:-1])])
    copied = np.empty(borders[-1], np.uint8)
    _copy(data, offsets, borders, copied)
    return texts_of(borders, copied)


@njit(nogil=True, cache=True)
def _text_ends(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    ends = np.empty(len(offsets) - 1, np.int64)
    for row in range(len(ends)):
        ends[row] = text_end(data, offsets[row], offsets[row + 1])
    return ends


@njit(nogil=True, cache=True)
def _copy(data: np.ndarray, offsets: np.ndarray, borders: np.ndarray, into: np.ndarray) -> None:
    for row in range(len(borders) - 1):
        size = borders[row + 1] - borders[row]
        into[borders[row] : borders[row + 1]] = data[offsets[row] : offsets[row] + size]
