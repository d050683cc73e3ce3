"""Where documents have n-grams of evaluation items.

```
n-grams     quick brown fox   brown fox jumps   the end                            (of 3 words, and an item of 2)

document    A quick, brown fox jumps. But the end...    characters 2 to 26 and 31 to 41
            |  |      |     |   |      |   |   |
words       8                                           matches  quick brown fox, brown fox jumps, the end
covered     1 ...... 1 .. 1 . 1        1   1            6 of 8
```

The range of an n-gram is from the first character of its first word to the last of its last, with the punctuation in
and around these; those of a document are the union. They are exact: each match is compared with the n-gram's real
words (`byline.transforms.attributes.contamination.ngrams`).
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from byline.transforms.attributes.contamination.ngrams import (
    NgramTable,
    bit_shift,
    finished,
    has_bit,
    hash_of,
    power,
    rolled,
)
from byline.transforms.attributes.contamination.words import Words, hash_words, is_word, normal_codes
from byline.transforms.documents.text_parts import character_positions, span_lists, text_buffers

_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Overlaps(NamedTuple):
    """What documents [n] have of the n-grams of a table.

    Attributes:
        words: int64 [n], of each document.
        covered: int64 [n], those of them that are in a range.
        ranges: list<int32> [n]: start, end, ... in characters, ascending, apart; never null.
        matches: int64, the n-grams that match, document after document, by their first words.
        offsets: int64 [n + 1], into `matches`.
    """

    words: np.ndarray
    covered: np.ndarray
    ranges: pa.Array
    matches: np.ndarray
    offsets: np.ndarray


def find_overlaps(texts: pa.Array, table: NgramTable) -> Overlaps:
    """Finds the n-grams of a table in documents.

    Args:
        texts: large_string [n] without nulls.
        table: of the evaluation items.
    """
    borders, data = text_buffers(texts)
    if len(data) == 0:
        data = _NO_BYTES
    words = hash_words(data, borders)
    matches, at, offsets = _matches(data, words, table)
    first, last, covered, range_offsets = _ranges(table.counts, matches, at, offsets)
    in_bytes = np.stack([words.begins[first], words.ends[last]], axis=1).reshape(-1)
    positions = character_positions(texts, in_bytes, 2 * range_offsets)
    rows = np.repeat(np.arange(len(texts)), np.diff(range_offsets))
    return Overlaps(
        np.diff(words.offsets), covered, span_lists(rows, positions[::2], positions[1::2], len(texts)), matches, offsets
    )


# Read-only, as Arrow's buffers are: else numba compiles once more.
_NO_BYTES = np.frombuffer(b"\0", np.uint8)


def _matches(data: np.ndarray, words: Words, table: NgramTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-grams that match, the first word of each, and the documents' offsets into them."""
    # Pages that are not filled are not touched and cost nothing.
    most = len(words.hashes) * len(table.sizes)
    matches, at = np.empty(most, np.int64), np.empty(most, np.int64)
    offsets = np.empty(len(words.offsets), np.int64)
    used = _find(data, *words, normal_codes(), *table, matches, at, offsets)
    return matches[:used].copy(), at[:used].copy(), offsets


@njit(nogil=True, cache=True)
def _find(
    data: np.ndarray,
    word_hashes: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    rows: np.ndarray,
    codes: np.ndarray,
    sizes: np.ndarray,
    slots: np.ndarray,
    bits: np.ndarray,
    hashes: np.ndarray,
    firsts: np.ndarray,
    counts: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    matches: np.ndarray,
    at: np.ndarray,
    offsets: np.ndarray,
) -> int:
    used = 0
    if len(sizes) == 0:
        offsets[:] = 0
        return used
    head, mask, shift = sizes[0], np.uint64(len(slots) - 1), bit_shift(len(bits))
    oldest = power(head)
    for row in range(len(rows) - 1):
        offsets[row] = used
        value = _ZERO
        for word in range(rows[row], rows[row + 1]):
            first = word - head + 1
            if first > rows[row]:
                value -= word_hashes[first - 1] * oldest
            value = rolled(value, word_hashes[word])
            if first < rows[row] or not has_bit(bits, finished(value, head), shift):
                continue
            for size in sizes:
                if first + size > rows[row + 1]:
                    break
                sought = hash_of(word_hashes, first, size)
                slot = sought & mask
                while slots[slot] >= 0:
                    number = slots[slot]
                    is_alike = hashes[number] == sought and counts[number] == size
                    if is_alike and _has_words(data, begins, stops, first, codes, points, starts, firsts[number], size):
                        matches[used], at[used] = number, first
                        used += 1
                        break
                    slot = (slot + _ONE) & mask
    offsets[-1] = used
    return used


@njit(nogil=True, cache=True)
def _has_words(
    data: np.ndarray,
    begins: np.ndarray,
    stops: np.ndarray,
    first: int,
    codes: np.ndarray,
    points: np.ndarray,
    starts: np.ndarray,
    other: int,
    size: int,
) -> bool:
    """Whether the document's words from the first on are the table's from the other on."""
    for at in range(size):
        word = other + at
        if not is_word(data, begins[first + at], stops[first + at], codes, points, starts[word], starts[word + 1]):
            return False
    return True


@njit(nogil=True, cache=True)
def _ranges(
    counts: np.ndarray, matches: np.ndarray, at: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First and last word of each range, how many words each document's ranges have, and its offsets into them."""
    first, last = np.empty(len(matches), np.int64), np.empty(len(matches), np.int64)
    covered, range_offsets = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets), np.int64)
    used = 0
    for row in range(len(offsets) - 1):
        range_offsets[row] = used
        for match in range(offsets[row], offsets[row + 1]):
            end = at[match] + counts[matches[match]] - 1
            if used > range_offsets[row] and at[match] <= last[used - 1]:
                last[used - 1] = max(last[used - 1], end)
            else:
                first[used], last[used] = at[match], end
                used += 1
        for number in range(range_offsets[row], used):
            covered[row] += last[number] - first[number] + 1
    range_offsets[-1] = used
    return first[:used], last[:used], covered, range_offsets
