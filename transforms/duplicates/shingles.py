"""Shingles: the n-grams of a text as 64-bit hashes.

```
text        "to be or not to be"
2 words     to be | be or | or not | not to | to be        5 shingles, 4 distinct
4 words     to be or not | be or not to | or not to be
7 words     to be or not to be                             fewer words than that: one shingle of all of them
3 chars     "to " | "o b" | " be" | ...                    characters are code points
""                                                         none
```

A word is what stands between single spaces, as a normal form other than `exact` leaves them
(`byline.transforms.duplicates.normalizing`). datatrove cuts the same text with NLTK, which splits few words further
("cannot" into two): the n-grams differ there, and their number hardly.

The hash of an n-gram, modulo 2^64, with `mixed` the step of SplitMix64 and B = 0x9FB21C651E98DF25:

```
h(word)      = 0, then mixed(h ^ the next eight bytes), little-endian and with zeros behind the last
h(character) = mixed(its code point)
h(n-gram)    = mixed(h(first) * B^(n - 1) + ... + h(last))
```

The sum is kept from one n-gram to the next, so each costs a few multiplications, however long it is.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba import njit

from byline.transforms.duplicates.eight_bytes import EIGHT, ONES, before_first, equal_to, first_bytes, load
from byline.transforms.duplicates.hashing import mixed
from byline.transforms.duplicates.normalizing import Texts

_BASE = np.uint64(0x9FB21C651E98DF25)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_SPACES = np.uint64(ord(" ")) * ONES


@dataclass(frozen=True)
class Shingling:
    """What a shingle is: so many words, or characters."""

    size: int
    unit: Literal["words", "characters"]


class Sets(NamedTuple):
    """The distinct shingles of documents.

    Attributes:
        borders: int64 [n + 1], where each document's begin in `shingles`.
        shingles: uint64, ascending within a document.
    """

    borders: np.ndarray
    shingles: np.ndarray


def shingle_sets(texts: Texts, shingling: Shingling) -> Sets:
    """The distinct shingles of each text."""
    borders, shingles = _fill_sets(*texts, shingling.size, shingling.unit == "words")
    return Sets(borders, shingles)


@njit(nogil=True, cache=True)
def most_shingles(borders: np.ndarray) -> int:
    """As many shingles as any text may have: one for each byte."""
    most = 0
    for row in range(len(borders) - 1):
        most = max(most, borders[row + 1] - borders[row])
    return most


@njit(nogil=True, cache=True)
def _fill_sets(borders: np.ndarray, data: np.ndarray, size: int, is_words: bool) -> tuple[np.ndarray, np.ndarray]:
    most = most_shingles(borders)
    scratch, units = np.empty(most, np.uint64), np.empty(most, np.uint64)
    kept_borders = np.zeros(len(borders), np.int64)
    kept = np.empty(1024, np.uint64)
    used = 0
    for row in range(len(borders) - 1):
        count = fill_shingles(data, borders[row], borders[row + 1], size, is_words, units, scratch)
        ordered = distinct(scratch[:count])
        while used + len(ordered) > len(kept):
            kept = np.concatenate((kept, np.empty(len(kept), np.uint64)))
        kept[used : used + len(ordered)] = ordered
        used += len(ordered)
        kept_borders[row + 1] = used
    return kept_borders, kept[:used].copy()


@njit(nogil=True, cache=True)
def distinct(hashes: np.ndarray) -> np.ndarray:
    """Hashes (uint64 [n]), each once and ascending.

    They are distributed by their upper bits, so few of each bucket are left to be sorted: a fifth of what sorting them
    by comparisons costs.
    """
    bits = 0
    while 1 << bits < len(hashes):
        bits += 1
    shift = np.uint64(64 - bits) if bits else np.uint64(63)
    ends = np.zeros((1 << bits) + 2, np.int64)
    for value in hashes:
        ends[(value >> shift) + np.uint64(1)] += 1
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]
    ordered = np.empty(len(hashes), np.uint64)
    for value in hashes:
        bucket = value >> shift
        ordered[ends[bucket]] = value
        ends[bucket] += 1
    used = 0
    for i in range(len(ordered)):
        value, at = ordered[i], used
        while at > 0 and ordered[at - 1] > value:
            at -= 1
        if at > 0 and ordered[at - 1] == value:
            continue
        for j in range(used, at, -1):
            ordered[j] = ordered[j - 1]
        ordered[at] = value
        used += 1
    return ordered[:used]


@njit(nogil=True, cache=True, forceinline=True)
def fill_shingles(
    data: np.ndarray, begin: int, end: int, size: int, is_words: bool, units: np.ndarray, out: np.ndarray
) -> int:
    """Fills `out` with the shingles of `data[begin:end]`, in their order, repeated ones too.

    Args:
        data: uint8.
        begin, end: the text's bytes.
        size: of a shingle.
        is_words: whether a shingle is of words, not of characters.
        units: uint64, of `most_shingles` at least, for the kernel's use.
        out: uint64, as long.

    Returns:
        How many there are.
    """
    first, stop = np.uint64(begin), np.uint64(end)
    count = np.int64(_fill_words(data, first, stop, units) if is_words else _fill_characters(data, first, stop, units))
    leaving = _ONE  # B^size, by which what leaves the sum has been multiplied
    for _ in range(size):
        leaving *= _BASE
    total = _ZERO
    for i in range(min(size, count)):
        total = total * _BASE + units[i]
    if count:
        out[0] = mixed(total)
    used = max(count - size, 0)
    for i in range(used):
        total = total * _BASE + units[i + size] - units[i] * leaving
        out[i + 1] = mixed(total)
    return used + (count > 0)


@njit(nogil=True, cache=True, forceinline=True)
def _fill_words(data: np.ndarray, at: int, end: int, out: np.ndarray) -> int:
    """Fills `out` with the hashes of words, and gives their number.

    A step takes what of a word is in eight bytes, and writes its hash whether it ends there or not: which it does
    cannot be predicted.
    """
    count, value = _ZERO, _ZERO
    while at < end:
        eight = load(data, at, end)
        length = before_first(equal_to(eight, _SPACES))
        value = mixed(value ^ first_bytes(eight, length)) if length else value
        out[count] = value
        at += length
        ends = np.uint64(length < EIGHT) | np.uint64(at >= end)
        count += ends
        at += ends
        value *= _ONE - ends
    return count


@njit(nogil=True, cache=True, forceinline=True)
def _fill_characters(data: np.ndarray, at: int, end: int, out: np.ndarray) -> int:
    """Fills `out` with the hashes of characters, and gives their number."""
    count = _ZERO
    while at < end:
        byte = np.uint64(data[at])
        if byte < 0x80:
            out[count] = mixed(byte)
            at += _ONE
        else:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            point = byte & np.uint64(0x7F >> length)
            for i in range(1, length):
                point = point << np.uint64(6) | np.uint64(data[at + np.uint64(i)] & 0x3F)
            out[count] = mixed(point)
            at += np.uint64(length)
        count += _ONE
    return count
