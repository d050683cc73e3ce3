"""Looking up values, or the words of a document, in a list that may have millions of entries.

```
list   the be to of     text    "The end of the road," he said.     distinct words: 2 (the, of)
                        values  OF  road  null                      listed: True False False
```

The case of ASCII letters is ignored, and so is ASCII punctuation around the words of a document.
"""

import string
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from byline.transforms.documents.text_parts import text_buffers
from byline.transforms.filters.splitting import Spans

_START, _PRIME, _ONE = np.uint32(2166136261), np.uint32(16777619), np.uint32(1)
_IS_PUNCTUATION = np.zeros(256, np.bool_)
_IS_PUNCTUATION[list(string.punctuation.encode())] = True
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[list(string.ascii_uppercase.encode())] += 32


class WordList(NamedTuple):
    """A list as a hash table.

    Attributes:
        slots: int64 [a power of two], a word's number, or -1.
        offsets: int64 [words + 1], where each begins in `spelling`.
        spelling: uint8, all of them.
    """

    slots: np.ndarray
    offsets: np.ndarray
    spelling: np.ndarray


def make_word_list(values: Iterable[str]) -> WordList:
    """Makes a list; duplicates are removed."""
    listed = sorted({value.encode().lower() for value in values})
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
def _find(slots: np.ndarray, offsets: np.ndarray, spelling: np.ndarray, data: np.ndarray, begin: int, end: int) -> int:
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
    # For each first byte, which lengths listed words have (bit 8: 8 or more); spares most words the lookup.
    lengths = np.zeros(256, np.uint16)
    for word in range(len(offsets) - 1):
        size = offsets[word + 1] - offsets[word]
        lengths[spelling[offsets[word]]] |= np.uint16(1 << min(size, 8))
    for row in range(len(counts)):
        for word in range(rows[row], rows[row + 1]):
            begin, end = begins[word], ends[word]
            while begin < end and _IS_PUNCTUATION[data[begin]]:
                begin += 1
            while end > begin and _IS_PUNCTUATION[data[end - 1]]:
                end -= 1
            if begin == end or not lengths[_LOWER[data[begin]]] >> min(end - begin, 8) & 1:
                continue
            number = _find(slots, offsets, spelling, data, begin, end)
            if number >= 0 and seen[number] != row:
                seen[number] = row
                counts[row] += 1
    return counts


def distinct_words(data: np.ndarray, words: Spans, listed: WordList) -> np.ndarray:
    """int64 [documents]: how many entries of the list each document contains."""
    return _distinct(data, words.begins, words.ends, words.offsets, *listed)


@njit(nogil=True, cache=True)
def _listed(
    data: np.ndarray, borders: np.ndarray, slots: np.ndarray, offsets: np.ndarray, spelling: np.ndarray
) -> np.ndarray:
    flags = np.zeros(len(borders) - 1, np.bool_)
    for row in range(len(flags)):
        flags[row] = _find(slots, offsets, spelling, data, borders[row], borders[row + 1]) >= 0
    return flags


def are_listed(values: pa.Array, listed: WordList) -> np.ndarray:
    """bool [values]: which of them are in the list; a null is not.

    Args:
        values: string or large_string, or a dictionary of them.
        listed: the list.
    """
    if pa.types.is_dictionary(values.type):
        flags = pa.array(are_listed(values.dictionary, listed)).take(values.indices)
        return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
    borders, data = text_buffers(values.cast(pa.large_string()))
    return _listed(data, borders, *listed) & values.is_valid().to_numpy(zero_copy_only=False)
