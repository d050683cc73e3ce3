"""N-grams of words of evaluation items, in a table that documents' n-grams are looked up in.

```
words of items   [the quick brown fox jumps]  [a quick brown fox]  [hello there]       words: 4, least words: 3
n-grams          0 the quick brown fox     1 quick brown fox jumps     2 a quick brown fox
items of each    0                         0                           1
checked          True                      True                        False    fewer than 3 words
```

An item of fewer words than an n-gram is one n-gram of all its words if these are at least the least words, else it is
not checked: two words occur everywhere. So there are n-grams of several sizes, each looked up by its own hash.

A hash of 64 bits says where an n-gram may be in the table; what counts is that its words are the same, code point by
code point. So neither two n-grams of the table nor one of a document can be taken for another.

A head is the first words of an n-gram, as many as the smallest has. Bits say which hashes of heads there are, 16 times
as many as n-grams: they spare nearly all words of a document the table, and n-grams of several sizes cost one lookup.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.attributes.contamination.words import Words, normalize_words

_BASE, _MIX = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xFF51AFD7ED558CCD)
_ZERO, _ONE, _THREE, _SEVEN, _SHIFT = np.uint64(0), np.uint64(1), np.uint64(3), np.uint64(7), np.uint64(32)


class NgramTable(NamedTuple):
    """Distinct n-grams of evaluation items.

    Attributes:
        sizes: int64, how many words n-grams have, ascending, without those that none has.
        slots: int32 [a power of two], an n-gram's number, or -1.
        bits: uint8 [a power of two], a bit for each upper part of the hash of a head, set where an n-gram has it.
        hashes: uint64 [n-grams].
        firsts: int64 [n-grams], the number of its first word in `starts`.
        counts: int64 [n-grams], its words.
        points: int32, the code points of all words of all items.
        starts: int64 [words + 1], where each word begins in them.
    """

    sizes: np.ndarray
    slots: np.ndarray
    bits: np.ndarray
    hashes: np.ndarray
    firsts: np.ndarray
    counts: np.ndarray
    points: np.ndarray
    starts: np.ndarray


class EvaluationNgrams(NamedTuple):
    """The n-grams of some items.

    Attributes:
        table: what finds them.
        items: int64, the items of n-gram after n-gram, ascending for each.
        offsets: int64 [n-grams + 1], into `items`.
        is_checked: bool [items], those with an n-gram.
    """

    table: NgramTable
    items: np.ndarray
    offsets: np.ndarray
    is_checked: np.ndarray


@njit(nogil=True, cache=True, forceinline=True)
def finished(value: int, size: int) -> int:
    """The hash of some words, from what rolls over them."""
    value ^= np.uint64(size)
    value = (value ^ (value >> _SHIFT)) * _MIX
    return value ^ (value >> _SHIFT)


@njit(nogil=True, cache=True)
def power(size: int) -> int:
    """What the first of some words is multiplied by."""
    value = _ONE
    for _ in range(size - 1):
        value *= _BASE
    return value


@njit(nogil=True, cache=True, forceinline=True)
def rolled(value: int, added: int) -> int:
    """Takes a word behind the others."""
    return value * _BASE + added


@njit(nogil=True, cache=True)
def hash_of(hashes: np.ndarray, first: int, size: int) -> int:
    """The hash of words from the first on, of which `hashes` has those."""
    value = _ZERO
    for word in range(first, first + size):
        value = rolled(value, hashes[word])
    return finished(value, size)


@njit(nogil=True, cache=True)
def _same(points: np.ndarray, starts: np.ndarray, first: int, other: int, size: int) -> bool:
    """Whether `size` words from the first on are those from the other on."""
    for word in range(size):
        start, behind = starts[first + word], starts[other + word]
        if starts[first + word + 1] - start != starts[other + word + 1] - behind:
            return False
        for at in range(starts[first + word + 1] - start):
            if points[start + at] != points[behind + at]:
                return False
    return True


@njit(nogil=True, cache=True)
def _fill(
    hashes: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    slots: np.ndarray,
    distinct: np.ndarray,
    firsts: np.ndarray,
    counts: np.ndarray,
    numbers: np.ndarray,
    items: np.ndarray,
) -> tuple[int, int]:
    """Fills what `NgramTable` has of them, and the number and item of each n-gram of each item."""
    used = occurrences = 0
    mask = np.uint64(len(slots) - 1)
    for item in range(len(sizes)):
        size = sizes[item]
        last = offsets[item + 1] - size if size > 0 else -1
        for first in range(offsets[item], last + 1):
            sought = hash_of(hashes, first, size)
            slot = sought & mask
            while slots[slot] >= 0:
                number = slots[slot]
                is_alike = distinct[number] == sought and counts[number] == size
                if is_alike and _same(points, starts, first, firsts[number], size):
                    break
                slot = (slot + _ONE) & mask
            if slots[slot] < 0:
                slots[slot] = used
                distinct[used], firsts[used], counts[used] = sought, first, size
                used += 1
            numbers[occurrences], items[occurrences] = slots[slot], item
            occurrences += 1
    return used, occurrences


def make_ngrams(data: np.ndarray, words: Words, size: int, least: int) -> EvaluationNgrams:
    """Makes the table of some evaluation items.

    Args:
        data: the bytes of their texts.
        words: of these (`hash_words`), a text each item.
        size: words of an n-gram, 1 at least.
        least: an item of fewer words is not checked.
    """
    lengths = np.diff(words.offsets)
    sizes = np.where(lengths >= max(least, 1), np.minimum(lengths, size), 0)
    points, starts = normalize_words(data, words)
    most = int(np.where(sizes > 0, lengths - sizes + 1, 0).sum())
    slots = np.full(_power_of_two(2 * most), -1, np.int32)
    distinct, firsts, counts = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    numbers, items = np.empty(most, np.int64), np.empty(most, np.int64)
    used, _ = _fill(words.hashes, words.offsets, sizes, points, starts, slots, distinct, firsts, counts, numbers, items)
    table = NgramTable(
        np.unique(sizes[sizes > 0]), slots, _bits(words.hashes, firsts[:used], counts[:used]),
        distinct[:used].copy(), firsts[:used].copy(), counts[:used].copy(), points, starts,
    )  # fmt: skip
    return EvaluationNgrams(table, *_grouped(numbers, items, used), sizes > 0)


def _grouped(numbers: np.ndarray, items: np.ndarray, used: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct items of each n-gram, and offsets."""
    pairs = np.unique(np.stack([numbers, items], axis=1), axis=0)
    return pairs[:, 1].copy(), np.searchsorted(pairs[:, 0], np.arange(used + 1))


def _power_of_two(count: int) -> int:
    """The next one, 64 at least."""
    return 1 << max(6, (count - 1).bit_length())


def _bits(hashes: np.ndarray, firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The bits of the heads of n-grams, whose first words have these numbers."""
    bits = np.zeros(_power_of_two(2 * len(firsts)), np.uint8)
    upper = _heads(hashes, firsts, min(counts, default=0)) >> bit_shift(len(bits))
    np.bitwise_or.at(bits, (upper >> _THREE).astype(np.int64), np.uint8(1) << (upper & _SEVEN).astype(np.uint8))
    return bits


@njit(nogil=True, cache=True)
def _heads(hashes: np.ndarray, firsts: np.ndarray, size: int) -> np.ndarray:
    heads = np.empty(len(firsts), np.uint64)
    for number in range(len(firsts)):
        heads[number] = hash_of(hashes, firsts[number], size)
    return heads


@njit(nogil=True, cache=True)
def bit_shift(count: int) -> int:
    """What brings a hash down to a bit of this many bytes, a power of two."""
    shift = 64 - 3
    while count > 1:
        count >>= 1
        shift -= 1
    return np.uint64(shift)


@njit(nogil=True, cache=True, forceinline=True)
def has_bit(bits: np.ndarray, value: int, shift: int) -> bool:
    """Whether the hash of a head may be one of the table."""
    upper = value >> shift
    return bits[upper >> _THREE] >> (upper & _SEVEN) & _ONE != _ZERO
