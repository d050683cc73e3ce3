"""Repetition within a document: spans that occurred before, and n-grams of words.

```
lines    home | about | home | home        2 duplicates with 8 characters: lines that repeat an earlier one
words    a b c a b c a b                   n = 2: the most frequent is "a b", 3 times
                                           n = 3: "a b c" is repeated, 3 words; what is left, "a b", is too short
```

All of it is exact: spans are compared byte by byte, and an n-gram is identified by two numbers, that of its first and
that of its last n - 1 words. A repeated n-gram consists of shorter repeated ones, so few are left to count after pairs.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.filters.splitting import Spans

TOP_SIZES = (2, 3, 4)
DUPLICATE_SIZES = (5, 6, 7, 8, 9, 10)
_LONGEST = 10
_FIRST_TOP, _LAST_TOP, _FIRST_DUPLICATE = 2, 4, 5
_ZERO, _ONE, _EIGHT, _ALL = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(2**64 - 1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


@njit(nogil=True, cache=True, forceinline=True)
def _load(data: np.ndarray, begin: int, end: int) -> int:
    """The first eight bytes of `data[begin:end]`, zeros behind fewer; all uint64, and one byte at least."""
    value = _ZERO
    if begin + _EIGHT > np.uint64(len(data)):
        for i in range(min(end - begin, _EIGHT)):
            value |= np.uint64(data[begin + np.uint64(i)]) << (_EIGHT * np.uint64(i))
        return value
    for i in range(8):  # unrolled and made one load by the compiler
        value |= np.uint64(data[begin + np.uint64(i)]) << np.uint64(8 * i)
    return value & (_ALL >> (_EIGHT * (_EIGHT - min(end - begin, _EIGHT))))


@njit(nogil=True, cache=True, forceinline=True)
def _mixed(value: int) -> int:
    value *= _MIX
    return value ^ (value >> _SHIFT)


@njit(nogil=True, cache=True, forceinline=True)
def _hash_rest(data: np.ndarray, begin: int, end: int, value: int) -> int:
    """Takes what stands behind the first eight bytes into a hash."""
    at = begin + _EIGHT
    while at < end:
        value = _mixed(value ^ _load(data, at, end))
        at += _EIGHT
    return value


@njit(nogil=True, cache=True, forceinline=True)
def _same_rest(data: np.ndarray, begin: int, other: int, size: int) -> bool:
    """Whether two spans of `size` bytes are the same behind their first eight."""
    at = _EIGHT
    while at < size:
        if _load(data, begin + at, begin + size) != _load(data, other + at, other + size):
            return False
        at += _EIGHT
    return True


@njit(nogil=True, cache=True)
def _table_size(count: int) -> int:
    """A power of two that this many entries fill by half at most."""
    size = 2
    while size < 2 * count:
        size *= 2
    return size


@njit(nogil=True, cache=True)
def _most(offsets: np.ndarray) -> int:
    most = 0
    for row in range(len(offsets) - 1):
        most = max(most, offsets[row + 1] - offsets[row])
    return most


@njit(nogil=True, cache=True)
def _number_spans(
    data: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    first: int,
    last: int,
    slots: np.ndarray,
    numbers: np.ndarray,
) -> None:
    """Fills `numbers` with the number, in `first:last`, of the first span with the same bytes.

    `slots` (uint64 [`_table_size(last - first)` or more, 2]: number + 1 or 0, first eight bytes) is cleared as far as
    it is used.
    """
    size = _table_size(last - first)
    mask = np.uint64(size - 1)
    slots[:size, 0] = 0
    for span in range(last - first):
        begin, end = np.uint64(begins[first + span]), np.uint64(ends[first + span])
        head = _load(data, begin, end)
        slot = _hash_rest(data, begin, end, _mixed(head ^ (end - begin) << _SHIFT)) & mask
        while slots[slot, 0] != _ZERO:
            if slots[slot, 1] == head:
                other = first + np.int64(slots[slot, 0]) - 1
                start = np.uint64(begins[other])
                if np.uint64(ends[other]) - start == end - begin and _same_rest(data, begin, start, end - begin):
                    break
            slot = (slot + _ONE) & mask
        if slots[slot, 0] == _ZERO:
            slots[slot, 0], slots[slot, 1] = np.uint64(span + 1), head
        numbers[span] = np.int64(slots[slot, 0]) - 1


@njit(nogil=True, cache=True)
def _duplicates(
    data: np.ndarray, begins: np.ndarray, ends: np.ndarray, lengths: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    most = _most(offsets)
    slots, numbers = np.empty((_table_size(most), 2), np.uint64), np.empty(most, np.int64)
    counts, characters = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        first, last = offsets[row], offsets[row + 1]
        _number_spans(data, begins, ends, first, last, slots, numbers)
        for span in range(last - first):
            if numbers[span] != span:
                counts[row] += 1
                characters[row] += lengths[first + span]
    return counts, characters


def find_duplicates(data: np.ndarray, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """Spans (lines, paragraphs) of each document that repeat an earlier one, and their characters.

    Returns:
        Two of int64 [documents].
    """
    return _duplicates(data, *spans)


class _Grams(NamedTuple):
    """N-grams of one document, in buffers that the next one reuses.

    Attributes:
        positions: int64, the first word of each, ascending.
        numbers: int64, the same for the same n-gram.
        seconds: int64, of a pair that is to be numbered, the number of its second half.
        slots: int64, a table as `_number_spans` has it.
        uses: int64, how often each number occurs; of the words themselves at first.
    """

    positions: np.ndarray
    numbers: np.ndarray
    seconds: np.ndarray
    slots: np.ndarray
    uses: np.ndarray


@njit(nogil=True, cache=True)
def _repeated_words(grams: _Grams, count: int) -> int:
    """Lists the words that occur at least twice, given the numbers of all; returns how many."""
    positions, numbers, _, _, uses = grams
    uses[:count] = 0
    for word in range(count):
        uses[numbers[word]] += 1
    left = 0
    for word in range(count):
        if uses[numbers[word]] > 1:
            positions[left], numbers[left] = word, numbers[word]
            left += 1
    return left


@njit(nogil=True, cache=True)
def _pair(grams: _Grams, count: int) -> int:
    """Turns n-grams that start one word apart into (n + 1)-grams, pairs of their numbers; returns how many."""
    positions, numbers, seconds, _, _ = grams
    left = 0
    for gram in range(count - 1):
        if positions[gram + 1] == positions[gram] + 1:
            positions[left], numbers[left], seconds[left] = positions[gram], numbers[gram], numbers[gram + 1]
            left += 1
    return left


@njit(nogil=True, cache=True)
def _number_pairs(grams: _Grams, count: int) -> None:
    """Replaces the first half of each pair by the number of the first equal pair, and counts its uses."""
    _, numbers, seconds, slots, uses = grams
    size = _table_size(count)
    mask = np.uint64(size - 1)
    slots[:size, 0] = 0
    uses[:count] = 0
    for gram in range(count):
        pair = np.uint64(numbers[gram]) << _SHIFT | np.uint64(seconds[gram])
        slot = _mixed(pair) & mask
        while slots[slot, 0] != _ZERO and slots[slot, 1] != pair:
            slot = (slot + _ONE) & mask
        if slots[slot, 0] == _ZERO:
            slots[slot, 0], slots[slot, 1] = np.uint64(gram + 1), pair
        numbers[gram] = np.int64(slots[slot, 0]) - 1
        uses[numbers[gram]] += 1


@njit(nogil=True, cache=True)
def _keep_repeated(grams: _Grams, count: int) -> tuple[int, int, int]:
    """Removes n-grams that occur once.

    Returns:
        How many are left; the first word of the most frequent one (the first of several) and its count.
    """
    positions, numbers, _, _, uses = grams
    left, top, most = 0, 0, 0
    for gram in range(count):
        if uses[numbers[gram]] > most:
            top, most = positions[gram], uses[numbers[gram]]
        if uses[numbers[gram]] > 1:
            positions[left], numbers[left] = positions[gram], numbers[gram]
            left += 1
    return left, top, most if most > 1 else 0


@njit(nogil=True, cache=True)
def _repeated_characters(grams: _Grams, count: int, lengths: np.ndarray, size: int) -> int:
    """Characters of the words of n-grams that occurred before, from left to right, no word counted twice."""
    positions, numbers, _, _, uses = grams
    for gram in range(count):
        uses[numbers[gram]] = 0
    characters, free = 0, 0
    for gram in range(count):
        if positions[gram] < free:
            continue
        if uses[numbers[gram]]:
            free = positions[gram] + size
            characters += lengths[positions[gram] : free].sum()
        uses[numbers[gram]] = 1
    return characters


@njit(nogil=True, cache=True)
def _ngrams(
    data: np.ndarray,
    begins: np.ndarray,
    ends: np.ndarray,
    lengths: np.ndarray,
    offsets: np.ndarray,
    characters: np.ndarray,
) -> None:
    most = _most(offsets)
    grams = _Grams(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty((_table_size(most), 2), np.uint64),
        np.empty(most, np.int64),
    )
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        _number_spans(data, begins, ends, first, last, grams.slots, grams.numbers)
        count = _repeated_words(grams, last - first)
        for size in range(_FIRST_TOP, _LONGEST + 1):
            count = _pair(grams, count)
            _number_pairs(grams, count)
            count, top, uses = _keep_repeated(grams, count)
            if count == 0:
                break
            if size <= _LAST_TOP:
                inside = lengths[first + top : first + top + size].sum() + size - 1
                characters[row, size - _FIRST_TOP] = inside * uses
            if size >= _FIRST_DUPLICATE:
                found = _repeated_characters(grams, count, lengths[first:last], size)
                characters[row, size - _FIRST_TOP] = found


def ngram_characters(data: np.ndarray, words: Spans) -> dict[int, np.ndarray]:
    """Size of an n-gram, from 2 to 10 words -> characters (int64 [documents]).

    For `TOP_SIZES`: the length of the most frequent n-gram (the first of several) with a space between its words, times
    its count; 0 if none occurs twice. For `DUPLICATE_SIZES`: the characters of the words of n-grams that occurred
    before, scanned from left to right; scanning continues behind such an n-gram, so no word is counted twice.
    """
    characters = np.zeros((len(words.offsets) - 1, len(TOP_SIZES) + len(DUPLICATE_SIZES)), np.int64)
    _ngrams(data, *words, characters)
    return {size: characters[:, size - _FIRST_TOP] for size in (*TOP_SIZES, *DUPLICATE_SIZES)}
