"""Documents as vectors of one length, and the nearest of some centres.

```
features     5: 2   2: 1   9: 1        bucket: count
weights      5: 900 2: 80  9: 700      of one occurrence
vector       5: 1800  2: 80  9: 700    times 2^14 / length, rounded
centres            0     1             column by cluster, row by bucket
    bucket 2       12    0
    bucket 5      940   30    product of vector and centre / 2^28: the cosine
```

Every number is an integer and none is negative, and a sum of products of two vectors is 2^28 at most (but for
rounding): it fits in int32 and is the same in any order of adding, on any machine.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.attributes.clusters.features import Features, count_weights

LENGTH = 1 << 14
# The product of two vectors that have a cosine of 1.
SQUARE = LENGTH * LENGTH
# Above it, the square of a length would not fit in int64.
_LONGEST_BITS = 31


class Vectors(NamedTuple):
    """Vectors of documents, by bucket.

    Attributes:
        offsets: int64 [n + 1], the buckets of each vector; one without any is a document without words.
        buckets: uint32, each once in a vector.
        values: int16, 0 and more; their squares sum up to SQUARE, but for rounding.
    """

    offsets: np.ndarray
    buckets: np.ndarray
    values: np.ndarray


def vectors_of(features: Features, weights: np.ndarray) -> Vectors:
    """The vectors of documents, given what each bucket weighs (int32 [buckets], of `bucket_weights`)."""
    values = np.empty(len(features.buckets), np.int16)
    _fill_values(*features, weights, count_weights(), values)
    return Vectors(features.offsets, features.buckets, values)


@njit(nogil=True, cache=True)
def _fill_values(
    offsets: np.ndarray,
    buckets: np.ndarray,
    counts: np.ndarray,
    weights: np.ndarray,
    by_count: np.ndarray,
    values: np.ndarray,
) -> None:
    for row in range(len(offsets) - 1):
        square = np.int64(0)
        for feature in range(offsets[row], offsets[row + 1]):
            weight = weights[buckets[feature]] * by_count[counts[feature] - 1]
            square += weight * weight
        length = root(square)
        for feature in range(offsets[row], offsets[row + 1]):
            values[feature] = scaled(weights[buckets[feature]] * by_count[counts[feature] - 1], length)


@njit(nogil=True, cache=True)
def root(square: int) -> int:
    """The floor of the square root of an int64."""
    number = np.int64(np.sqrt(np.float64(square)))
    while number * number > square:
        number -= 1
    while (number + 1) * (number + 1) <= square:
        number += 1
    return number


@njit(nogil=True, cache=True, forceinline=True)
def scaled(value: int, length: int) -> int:
    """A part of a vector of this length, in one of LENGTH, rounded."""
    return (2 * LENGTH * value + length) // (2 * length)


@njit(nogil=True, cache=True)
def scale_columns(sums: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Fills the columns of `centres` (int16 [buckets, clusters]) with those of `sums` (int64), scaled to LENGTH.

    A column of zeros leaves the centre as it is.

    Returns:
        The lengths of the columns of `sums`, int64 [clusters], in a unit that all share.
    """
    buckets, clusters = sums.shape
    totals, squares = np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
    for bucket in range(buckets):
        for cluster in range(clusters):
            totals[cluster] += sums[bucket, cluster]
    shift = 0
    while totals.max() >> shift >> _LONGEST_BITS > 0:
        shift += 1
    for bucket in range(buckets):
        for cluster in range(clusters):
            value = sums[bucket, cluster] >> shift
            squares[cluster] += value * value
    lengths = np.array([root(int(square)) for square in squares])
    for bucket in range(buckets):
        for cluster in range(clusters):
            if lengths[cluster] > 0:
                value = sums[bucket, cluster] >> shift
                centres[bucket, cluster] = 0 if value == 0 else scaled(value, lengths[cluster])
    return lengths


@njit(nogil=True, cache=True)
def add_to_columns(
    offsets: np.ndarray, buckets: np.ndarray, values: np.ndarray, numbers: np.ndarray, sums: np.ndarray
) -> None:
    """Adds each vector to its column (int [n], -1 for none) of `sums` (int64 [buckets, columns])."""
    for row in range(len(numbers)):
        for feature in range(offsets[row], offsets[row + 1]):
            if numbers[row] >= 0:
                sums[buckets[feature], numbers[row]] += values[feature]


@njit(nogil=True, cache=True)
def nearest(
    offsets: np.ndarray, buckets: np.ndarray, values: np.ndarray, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of the largest product with each vector, the first of equal ones.

    Args:
        offsets, buckets, values: of `Vectors`.
        centres: int16 [buckets, clusters], columns of length LENGTH; one at least.

    Returns:
        Clusters, int32 [n], -1 of a document without words; products, int32 [n].
    """
    numbers, largest = np.empty(len(offsets) - 1, np.int32), np.empty(len(offsets) - 1, np.int32)
    products = np.empty(centres.shape[1], np.int32)
    for row in range(len(numbers)):
        products[:] = 0
        for feature in range(offsets[row], offsets[row + 1]):
            centre, value = centres[buckets[feature]], np.int32(values[feature])
            for cluster in range(len(products)):
                products[cluster] += value * np.int32(centre[cluster])
        best = np.argmax(products)
        largest[row] = products[best]
        numbers[row] = best if offsets[row] < offsets[row + 1] else -1
    return numbers, largest
