"""Hashed features of documents: how often words of each bucket occur, and how much that weighs.

```
text         "Butter, butter and salt"
words        butter   butter   and   salt
bucket            5        5     2      9      the upper bits of the word's hash
features     5: 2   2: 1   9: 1
weight       (1 + log2 count) * log2((n + 1) / (documents with the bucket + 1))
```

Logarithms are integers, the floor of a multiple, found by squaring: the same on any machine, which `log` of a math
library is not. So are weights, and everything that is made of them.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from byline.transforms.attributes.clusters.words import LONGEST_TEXT, MOST_WORDS, character_tables, scan_words
from byline.transforms.documents.text_parts import text_buffers

LOG_BITS = 8
# More of one word says nothing more.
_MOST_COUNTED = 255
# Fixed-point numbers below 2 of `log2_fixed`; their squares fit in uint64.
_UNIT_BITS = 31


class Features(NamedTuple):
    """What words documents have, by bucket.

    Attributes:
        offsets: int64 [documents + 1], the features of each document.
        buckets: uint32 [features], in order of first occurrence.
        counts: uint8 [features], how often, at most 255.
    """

    offsets: np.ndarray
    buckets: np.ndarray
    counts: np.ndarray


@njit(nogil=True, cache=True)
def log2_fixed(values: np.ndarray) -> np.ndarray:
    """The floor of log2(value) * 2^LOG_BITS, int64 [n], of int64 [n] of 1 and more.

    Digit by digit: a number in [1, 2) is squared, and halved if the square is 2 or more, which makes a bit 1. Bits
    that squaring drops could only matter next to a power of two, where they are zeros.
    """
    logs = np.empty(len(values), np.int64)
    two = np.uint64(1) << np.uint64(_UNIT_BITS + 1)
    for index in range(len(values)):
        value = np.uint64(values[index])
        whole = 0
        while value >> np.uint64(whole + 1) > np.uint64(0):
            whole += 1
        shift = _UNIT_BITS - whole
        value = value << np.uint64(shift) if shift >= 0 else value >> np.uint64(-shift)
        log = whole
        for _ in range(LOG_BITS):
            value = value * value >> np.uint64(_UNIT_BITS)
            log *= 2
            if value >= two:
                value >>= np.uint64(1)
                log += 1
        logs[index] = log
    return logs


def features_of(texts: pa.Array, bits: int) -> Features:
    """The features of texts (large_string [documents]), in 2^bits buckets; a null has none."""
    offsets, data = text_buffers(texts)
    room = int((np.minimum(np.diff(offsets), LONGEST_TEXT) // 2 + 1).sum())
    buckets, counts = np.empty(room, np.uint32), np.empty(room, np.uint8)
    borders = np.empty(len(offsets), np.int64)
    used = _fill_features(data, offsets, character_tables(), bits, borders, buckets, counts)
    return Features(borders, buckets[:used], counts[:used])


@njit(nogil=True, cache=True)
def _fill_features(
    data: np.ndarray,
    offsets: np.ndarray,
    tables: tuple[np.ndarray, np.ndarray],
    bits: int,
    borders: np.ndarray,
    buckets: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Fills the arrays of `Features`; returns the number of features."""
    hashes, spans = np.empty(MOST_WORDS, np.uint64), np.empty((MOST_WORDS, 2), np.int64)
    seen = np.zeros(1 << bits, np.int32)
    shift, used = np.uint64(64 - bits), 0
    for row in range(len(offsets) - 1):
        first = used
        borders[row] = first
        for word in range(scan_words(data, offsets[row], offsets[row + 1], tables, hashes, spans)):
            bucket = hashes[word] >> shift
            if seen[bucket] == 0:
                buckets[used] = bucket
                used += 1
            seen[bucket] += 1
        for feature in range(first, used):
            bucket = buckets[feature]
            counts[feature] = min(seen[bucket], _MOST_COUNTED)
            seen[bucket] = 0
    borders[-1] = used
    return used


def bucket_documents(features: Features, bits: int) -> np.ndarray:
    """In how many documents each bucket occurs, int64 [2^bits]."""
    return np.bincount(features.buckets, minlength=1 << bits).astype(np.int64)


def bucket_weights(documents: np.ndarray, total: int) -> np.ndarray:
    """What each bucket weighs, int32 [buckets]: little if it is in nearly all documents, at least 1.

    Args:
        documents: int64 [buckets], of `bucket_documents`.
        total: documents in all.
    """
    logs = log2_fixed(np.array([total + 1]))[0] - log2_fixed(documents + 1)
    return np.maximum(logs, 1).astype(np.int32)


@cache
def count_weights() -> np.ndarray:
    """What 1, 2, ... 255 occurrences weigh, int64 [255]."""
    return (1 << LOG_BITS) + log2_fixed(np.arange(1, _MOST_COUNTED + 1))
