"""Letters and marks in words and lines.

```
words   "Yes." he said, 42 times!       alphabetic: Yes he said times       sentence ends: "Yes." times!
lines   - one      - two...     done.   bullets: 2      ellipses: 1         marks at the end: done.
```
"""

import functools
import string
import unicodedata

import numpy as np
from numba import njit

from byline.transforms.filters.splitting import Spans

_CODE_POINTS = 0x110000
_HYPHEN, _HASH, _DOT = (ord(mark) for mark in "-#.")
_IS_ALPHANUMERIC = np.zeros(256, np.bool_)
_IS_ALPHANUMERIC[list((string.ascii_letters + string.digits).encode())] = True
_BULLET, _ELLIPSIS, _DOTS = (np.frombuffer(mark.encode(), np.uint8) for mark in ("•", "…", "..."))
_IS_SYMBOL = np.zeros(256, np.bool_)
_IS_SYMBOL[[_HASH, _DOT, _ELLIPSIS[0]]] = True
# A sentence ends at the end of a word with one of the first, optionally followed by the second; or with the third.
_ENDS = np.array([ord(mark) for mark in ".!?"], np.int64)
_CLOSING = np.array([ord(mark) for mark in "\"'”’)]»"], np.int64)
_WIDE_ENDS = np.array([ord(mark) for mark in "。！？"], np.int64)


def unicode_version() -> str:
    """The Unicode version that defines letters."""
    return unicodedata.unidata_version


@functools.cache
def letters() -> np.ndarray:
    """uint8 [0x110000 / 8]: one bit per code point, set for letters (`str.isalpha`)."""
    flags = np.fromiter((chr(point).isalpha() for point in range(_CODE_POINTS)), bool, _CODE_POINTS)
    return np.packbits(flags, bitorder="little")


@njit(nogil=True, cache=True, forceinline=True)
def _size(byte: int) -> int:
    """Bytes of the character that begins with this one."""
    if byte < 0x80:
        return 1
    return 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


@njit(nogil=True, cache=True)
def _decode(data: np.ndarray, at: int) -> int:
    """The code point that begins at `at`, in valid UTF-8."""
    size = _size(data[at])
    if size == 1:
        return np.int64(data[at])
    point = np.int64(data[at]) & (0x7F >> size)
    for i in range(1, size):
        point = (point << 6) | (np.int64(data[at + i]) & 0x3F)
    return point


@njit(nogil=True, cache=True)
def _last(data: np.ndarray, begin: int, end: int) -> int:
    """Where the last character of `data[begin:end]` begins."""
    at = end - 1
    while at > begin and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


@njit(nogil=True, cache=True, forceinline=True)
def _in(value: int, values: np.ndarray) -> bool:
    for other in values:  # noqa: SIM110 (numba knows no generator for `any`)
        if value == other:
            return True
    return False


@njit(nogil=True, cache=True)
def _begins_with(data: np.ndarray, begin: int, end: int, mark: np.ndarray) -> bool:
    if end - begin < len(mark):
        return False
    for i in range(len(mark)):  # noqa: SIM110
        if data[begin + i] != mark[i]:
            return False
    return True


@njit(nogil=True, cache=True)
def _has_letter(data: np.ndarray, begin: int, end: int, bits: np.ndarray) -> bool:
    at = begin
    while at < end:
        byte = data[at]
        if byte < 0x80:
            if 0x61 <= byte | 0x20 <= 0x7A:
                return True
            at += 1
            continue
        point = _decode(data, at)
        if bits[point >> 3] >> (point & 7) & 1:
            return True
        at += _size(byte)
    return False


@njit(nogil=True, cache=True)
def _alphabetic(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, offsets: np.ndarray, bits: np.ndarray
) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        for word in range(offsets[row], offsets[row + 1]):
            counts[row] += _has_letter(data, begins[word], ends[word], bits)
    return counts


def alphabetic_words(data: np.ndarray, words: Spans) -> np.ndarray:
    """int64 [documents]: words that contain a letter (`str.isalpha`)."""
    return _alphabetic(data, words.begins, words.ends, words.offsets, letters())


@njit(nogil=True, cache=True)
def _sentence_ends_of(data: np.ndarray, begin: int, end: int, length: int) -> int:
    """How many sentences end in a word."""
    last = data[end - 1]
    if _IS_ALPHANUMERIC[last] and length == end - begin:  # no character of the word is wide: most words
        return 0
    count = 0
    for at in range(begin, end - 2 if length < end - begin else begin):
        # U+3002, U+FF01 and U+FF1F begin with one of these.
        if data[at] == 0xE3 or data[at] == 0xEF:
            count += _in(_decode(data, at), _WIDE_ENDS)
    if count:
        return count
    at = end
    while at > begin:
        start = _last(data, begin, at)
        point = _decode(data, start)
        if not _in(point, _CLOSING):
            return 1 if _in(point, _ENDS) else 0
        at = start
    return 0


@njit(nogil=True, cache=True)
def _sentence_ends(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, lengths: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        for word in range(offsets[row], offsets[row + 1]):
            counts[row] += _sentence_ends_of(data, begins[word], ends[word], lengths[word])
    return counts


def sentence_ends(data: np.ndarray, words: Spans) -> np.ndarray:
    """int64 [documents]: ends of sentences.

    A word that ends with `.`, `!` or `?`, optionally followed by quotes and brackets, counts once; in a word with `。`,
    `！` or `？`, each of those counts instead.
    """
    return _sentence_ends(data, *words)


@njit(nogil=True, cache=True)
def _bullets(data: np.ndarray, begins: np.ndarray, ends: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        for line in range(offsets[row], offsets[row + 1]):
            begin, end = begins[line], ends[line]
            counts[row] += data[begin] == _HYPHEN or _begins_with(data, begin, end, _BULLET)
    return counts


def bullet_lines(data: np.ndarray, lines: Spans) -> np.ndarray:
    """int64 [documents]: lines that start with `•` or `-`."""
    return _bullets(data, lines.begins, lines.ends, lines.offsets)


@njit(nogil=True, cache=True)
def _ellipses(data: np.ndarray, begins: np.ndarray, ends: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        for line in range(offsets[row], offsets[row + 1]):
            tail = max(ends[line] - 3, begins[line])  # both marks have three bytes
            counts[row] += _begins_with(data, tail, ends[line], _DOTS) or _begins_with(
                data, tail, ends[line], _ELLIPSIS
            )
    return counts


def ellipsis_lines(data: np.ndarray, lines: Spans) -> np.ndarray:
    """int64 [documents]: lines that end with `...` or `…`."""
    return _ellipses(data, lines.begins, lines.ends, lines.offsets)


@njit(nogil=True, cache=True)
def _ending(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, offsets: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        for line in range(offsets[row], offsets[row + 1]):
            counts[row] += _in(_decode(data, _last(data, begins[line], ends[line])), marks)
    return counts


def lines_ending_with(data: np.ndarray, lines: Spans, marks: str) -> np.ndarray:
    """int64 [documents]: lines whose last character is one of `marks`."""
    points = np.array([ord(mark) for mark in marks], np.int64)
    return _ending(data, lines.begins, lines.ends, lines.offsets, points)


def count_short(lines: Spans, length: int) -> np.ndarray:
    """int64 [documents]: lines of fewer than `length` characters."""
    total = np.concatenate([[0], np.cumsum(lines.lengths < length)])
    return total[lines.offsets[1:]] - total[lines.offsets[:-1]]


@njit(nogil=True, cache=True)
def count_symbols(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [documents] each: `#`, and ellipses: `…` and each three dots that follow one another.

    Args:
        data, offsets: uint8 and int64 [documents + 1], the buffers of an Arrow large_string array.
    """
    hashes, ellipses = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(hashes)):
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while at < end:
            byte = data[at]
            at += np.uint64(1)
            if not _IS_SYMBOL[byte]:
                continue
            if byte == _HASH:
                hashes[row] += 1
            elif byte == _ELLIPSIS[0]:
                ellipses[row] += _begins_with(data, np.int64(at) - 1, offsets[row + 1], _ELLIPSIS)
            else:
                dots = 1
                while at < end and data[at] == _DOT:
                    dots += 1
                    at += np.uint64(1)
                ellipses[row] += dots // 3
    return hashes, ellipses
