"""Words as overlaps compare them, as hashes: in lower case, without punctuation, between white space.

```
text      It's 3.50,  "Said" -- HE...          hashes of      its  350  said  he
words     It's  3.50,  "Said"  HE...           begins, ends   bytes of a word with its punctuation
```

This is the normalization of GPT-3's appendix C (2005.14165: lower case, white space, no punctuation) and of
`lm_eval.decontamination.janitor`, which deletes ASCII punctuation also within words; here it is Unicode's, categories P
and S. A word of nothing else is none. Lower case is `str.lower` of each character alone, if that is one character.

Text without white space between words, such as Chinese, has few words, and so few overlaps.
"""

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
from numba import njit

_CODE_POINTS = 0x110000
# Above the first two planes there are no white space, punctuation, symbols or letters with case.
_PLANES = 0x20000
SPACE, DROPPED = -1, -2
_START, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)
_ZERO, _ONE, _WIDE, _SHIFT = np.uint64(0), np.uint64(1), np.uint64(0x80), np.uint64(32)


class Words(NamedTuple):
    """Words of texts.

    Attributes:
        hashes: uint64 [words], of the normalized words; equal words have equal ones, others nearly never.
        begins, ends: int64 [words], bytes of the texts' buffer.
        offsets: int64 [texts + 1], the words of each text.
    """

    hashes: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray


@functools.cache
def normal_codes() -> np.ndarray:
    """int32 [0x110000]: what becomes of each code point: another one, `SPACE`, or `DROPPED`.

    Made once a process, in a twentieth of a second.
    """
    codes = np.arange(_CODE_POINTS, dtype=np.int32)
    codes[:_PLANES] = np.fromiter((_normal_code(chr(point)) for point in range(_PLANES)), np.int32, _PLANES)
    return codes


def _normal_code(character: str) -> int:
    if character.isspace():
        return SPACE
    if unicodedata.category(character)[0] in "PS":
        return DROPPED
    lower = character.lower()
    return ord(lower if len(lower) == 1 else character)


@njit(nogil=True, cache=True, forceinline=True)
def _size(byte: int) -> int:
    """Bytes of the character that begins with this one."""
    if byte < 0x80:
        return 1
    return 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


@njit(nogil=True, cache=True, forceinline=True)
def _point(data: np.ndarray, at: int, size: int) -> int:
    """The code point that begins at `at`, in valid UTF-8."""
    if size == 1:
        return np.int64(data[at])
    point = np.int64(data[at]) & (0x7F >> size)
    for i in range(1, size):
        point = (point << 6) | (np.int64(data[at + np.uint64(i)]) & 0x3F)
    return point


@njit(nogil=True, cache=True)
def _hash_words(
    data: np.ndarray,
    borders: np.ndarray,
    codes: np.ndarray,
    hashes: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    offsets: np.ndarray,
) -> int:
    used = _ZERO
    for row in range(len(borders) - 1):
        offsets[row] = used
        # All uint64: numba tests a signed index for being negative.
        at, end = np.uint64(borders[row]), np.uint64(borders[row + 1])
        while at < end:
            begin, value, is_kept = at, _START, False
            while at < end:
                byte = np.uint64(data[at])
                size, point = _ONE, byte
                if byte >= _WIDE:
                    size = np.uint64(_size(data[at]))
                    point = np.uint64(_point(data, at, size))
                code = codes[point]
                if code == SPACE:
                    break
                at += size
                if code != DROPPED:
                    value = (value ^ np.uint64(code)) * _PRIME
                    is_kept = True
            if is_kept:
                hashes[used], begins[used], ends[used] = value ^ (value >> _SHIFT), begin, at
                used += _ONE
            # More white space follows as words of nothing.
            if at < end:
                at += np.uint64(_size(data[at]))
    offsets[-1] = used
    return used


def hash_words(data: np.ndarray, borders: np.ndarray) -> Words:
    """The words of texts.

    Args:
        data, borders: uint8, and int64 [texts + 1], the buffers of an Arrow large_string array
            (`byline.transforms.documents.text_parts.text_buffers`).
    """
    # A word is followed by at least a byte of white space. Pages that are not filled are not touched and cost nothing.
    most = int(borders[-1] - borders[0]) // 2 + len(borders)
    hashes, begins, ends = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    offsets = np.empty(len(borders), np.int64)
    used = _hash_words(data, borders, normal_codes(), hashes, begins, ends, offsets)
    return Words(hashes[:used], begins[:used], ends[:used], offsets)


@njit(nogil=True, cache=True)
def _normalize(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, codes: np.ndarray, points: np.ndarray, starts: np.ndarray
) -> int:
    used = 0
    for word in range(len(begins)):
        starts[word] = used
        at = begins[word]
        while at < ends[word]:
            size = _size(data[at])
            code = codes[_point(data, at, size)]
            at += size
            if code >= 0:
                points[used] = code
                used += 1
    starts[-1] = used
    return used


def normalize_words(data: np.ndarray, words: Words) -> tuple[np.ndarray, np.ndarray]:
    """What words are compared by.

    Args:
        data: as `hash_words` takes it.
        words: of these bytes.

    Returns:
        Code points of the normalized words one behind the other, int32; where each word begins, int64 [words + 1].
    """
    points = np.empty(int((words.ends - words.begins).sum()), np.int32)
    starts = np.empty(len(words.begins) + 1, np.int64)
    used = _normalize(data, words.begins, words.ends, normal_codes(), points, starts)
    return points[:used].copy(), starts


@njit(nogil=True, cache=True)
def is_word(
    data: np.ndarray, begin: int, end: int, codes: np.ndarray, points: np.ndarray, start: int, stop: int
) -> bool:
    """Whether `data[begin:end]`, normalized, is `points[start:stop]`."""
    at = begin
    while at < end:
        size = _size(data[at])
        code = codes[_point(data, at, size)]
        at += size
        if code >= 0:
            if start == stop or points[start] != code:
                return False
            start += 1
    return start == stop
