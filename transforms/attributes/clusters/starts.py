"""Where k-means begins: documents drawn by hash, each with those most like it.

```
first        a document drawn by hash, and the 31 nearest to it: their mean
then         a document drawn again, likelier if it is far from all means so far, and the 31 nearest to it: their mean
```

The weight of a drawn document is its squared distance from the nearest mean (k-means++, Arthur and Vassilvitskii, SODA
2007). A document alone is a poor start where each has few words of a topic's many, and one of few words is far from
everything; the mean of those around it is what they have in common.
"""

from collections.abc import Iterator

import numpy as np
from numba import njit

from byline.splitmix import splitmix64
from byline.transforms.attributes.clusters.vectors import Vectors, add_to_columns, nearest, scale_columns

# Drawing takes time with starts times documents, so that it keeps to the first ones.
_FEWEST_DRAWN_FROM, _DRAWN_FROM_A_START = 4096, 20
_MOST_AROUND = 32


def find_starts(vectors: Vectors, buckets: int, number: int, seed: int) -> np.ndarray:
    """Centres to begin with, int16 [buckets, number]; fewer if there are fewer different vectors.

    Args:
        vectors: of documents with words, in an order that tells nothing about them.
        buckets: how many there are.
        number: 1 at least.
        seed: of the hashes that draw.
    """
    first = max(_FEWEST_DRAWN_FROM, _DRAWN_FROM_A_START * number)
    vectors = Vectors(vectors.offsets[: first + 1], vectors.buckets, vectors.values)
    squares = _squares(*vectors)
    # Of few documents each start has its own ones around it.
    around = min(_MOST_AROUND, max(1, len(squares) // (2 * number)))
    starts, draws = np.zeros((buckets, number), np.int16), _draws(seed)
    closest, count = np.ones(len(squares), np.int64), 0
    while count < number and closest.any():
        row = _drawn(closest, next(draws))
        start = starts[:, count : count + 1]
        start[:] = _mean_around(vectors, buckets, row, around)
        distances = _distances(vectors, squares, start)
        # A mean of others may be elsewhere, and the document would be drawn again without end.
        distances[row] = 0
        closest = np.minimum(closest, distances) if count else distances
        count += 1
    return np.ascontiguousarray(starts[:, :count])


def _draws(seed: int) -> Iterator[int]:
    """Numbers of 64 bits, without end."""
    key, count = splitmix64(np.array([seed], np.uint64)), 0
    while True:
        yield int(splitmix64(key ^ np.uint64(count))[0])
        count += 1


def _drawn(weights: np.ndarray, draw: int) -> int:
    """The row that a number of 64 bits draws, by weights (int64 [n], 0 and more, one at least above it)."""
    ends = np.cumsum(weights)
    return int(np.searchsorted(ends, draw % int(ends[-1]), side="right"))


def _mean_around(vectors: Vectors, buckets: int, row: int, around: int) -> np.ndarray:
    """The mean of the `around` documents nearest to one, with itself, int16 [buckets, 1]."""
    centre = np.zeros((buckets, 1), np.int16)
    features = slice(vectors.offsets[row], vectors.offsets[row + 1])
    centre[vectors.buckets[features], 0] = vectors.values[features]
    if around > 1:
        _, products = nearest(*vectors, centre)
        near = np.full(len(products), -1)
        near[np.argsort(-products, kind="stable")[:around]] = 0
        sums = np.zeros((buckets, 1), np.int64)
        add_to_columns(*vectors, near, sums)
        scale_columns(sums, centre)
    return centre


@njit(nogil=True, cache=True)
def _squares(offsets: np.ndarray, buckets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The square of each vector's length, int64 [n]."""
    squares = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(squares)):
        for feature in range(offsets[row], offsets[row + 1]):
            squares[row] += np.int64(values[feature]) * values[feature]
    return squares


def _distances(vectors: Vectors, squares: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The squared distance of each document from a centre (int16 [buckets, 1]), int64 [n]; 0 for equal ones."""
    _, products = nearest(*vectors, centre)
    square = int((centre.astype(np.int64) ** 2).sum())
    return np.maximum(squares + square - 2 * products.astype(np.int64), 0)
