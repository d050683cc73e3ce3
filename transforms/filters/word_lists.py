"""How many of the words in a list a document has.

```
list   the be to of        text   "The end of the road," he said.      distinct: 2 (the, of)
```

A word counts without ASCII punctuation at its ends and with ASCII letters in lower case.
"""

import string
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from transforms.filters.splitting import Spans

_START, _PRIME, _ONE = np.uint32(2166136261), np.uint32(16777619), np.uint32(1)
_IS_PUNCTUATION = np.zeros(256, np.bool_)
_IS_PUNCTUATION[list(string.punctuation.encode())] = True
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[list(string.ascii_uppercase.encode())] += 32


class WordList(NamedTuple):
    """Words to look for, a hash table.

    Attributes:
        slots: int64 [a power of two], a word's number, or -1.
        offsets: int64 [words + 1], where each begins in `spelling`.
        spelling: uint8, all of them.
    """

    slots: np.ndarray
    offsets: np.ndarray
    spelling: np.ndarray


def make_word_list(words: Iterable[str]) -> WordList:
    """A list of words as they count (see above); the same one twice is one."""
    plain = {word.strip(string.punctuation).encode().lower() for word in words} - {b""}
    listed = sorted(plain)
    offsets = np.concatenate([[0], np.cumsum([len(word) for word in listed], dtype=np.int64)]).astype(np.int64)
    spelling = np.frombuffer(b"".join(listed) or b"\0", np.uint8)
    slots = np.full(1 << (2 * len(listed) + 1).bit_length(), -1, np.int64)
    _fill(slots, offsets, spelling)
    return WordList(slots, offsets, spelling)


@njit(nogil=True, cache=True)
def _hash(data: np.ndarray, begin: int, end: int) -> int:
    value = _START
    for at in range(begin, end):
        value = np.uint32((value ^ np.uint32(_LOWER[data[at]])) * _PRIME)
    return value


@njit(nogil=True, cache=True)
def _fill(slots: np.ndarray, offsets: np.ndarray, spelling: np.ndarray) -> None:
    mask = np.uint32(len(slots) - 1)
    for word in range(len(offsets) - 1):
        slot = _hash(spelling, offsets[word], offsets[word + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + _ONE) & mask
        slots[slot] = word


@njit(nogil=True, cache=True)
def _find(
    slots: np.ndarray, offsets: np.ndarray, spelling: np.ndarray, data: np.ndarray, begin: int, end: int
) -> int:
    """The number of the word `data[begin:end]` in the list, or -1."""
    mask = np.uint32(len(slots) - 1)
    slot = _hash(data, begin, end) & mask
    while slots[slot] >= 0:
        word = slots[slot]
        start = offsets[word]
        if offsets[word + 1] - start == end - begin:
            same = True
            for i in range(end - begin):
                same = same and _LOWER[data[begin + i]] == spelling[start + i]
            if same:
                return word
        slot = (slot + _ONE) & mask
    return -1


@njit(nogil=True, cache=True)
def _distinct(
    data: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    slots: np.ndarray,
    offsets: np.ndarray,
    spelling: np.ndarray,
) -> np.ndarray:
    counts = np.zeros(len(rows) - 1, np.int64)
    seen = np.full(len(offsets), -1, np.int64)
    longest = 0
    for word in range(len(offsets) - 1):
        longest = max(longest, offsets[word + 1] - offsets[word])
    for row in range(len(counts)):
        for word in range(rows[row], rows[row + 1]):
            begin, end = begins[word], ends[word]
            while begin < end and _IS_PUNCTUATION[data[begin]]:
                begin += 1
            while end > begin and _IS_PUNCTUATION[data[end - 1]]:
                end -= 1
            number = _find(slots, offsets, spelling, data, begin, end) if end - begin <= longest else -1
            if number >= 0 and seen[number] != row:
                seen[number] = row
                counts[row] += 1
    return counts


def distinct_words(data: np.ndarray, words: Spans, listed: WordList) -> np.ndarray:
    """int64 [documents]: how many words of the list each document has, each counted once."""
    return _distinct(data, words.begins, words.ends, words.offsets, *listed)
