"""Merging of clusters, two by two, where it costs least, until few enough are left.

```
clusters   a: 900 documents    b: 850 like those of a    c: 12 like nothing    d: 800
merges     c into d, then b into a            two clusters: a, d
cost       |A| + |B| - |A + B|                A, B: the sums of the vectors of two clusters
```

The lengths of the sums are what spherical k-means makes as large as it can: the sum of the cosines of all documents
with their centres. So a merge costs just that much of it. It joins what was begun twice and gets rid of the few that
are like nothing, which more iterations do not: a centre hardly ever leaves its topic for another.
"""

import numpy as np
from numba import njit

from byline.transforms.attributes.clusters.vectors import SQUARE


def merge_clusters(centres: np.ndarray, lengths: np.ndarray, number: int) -> np.ndarray:
    """The number of the merged cluster of each, int64 [clusters], counted from 0.

    Args:
        centres: int16 [buckets, clusters], columns of length LENGTH.
        lengths: int64 [clusters], of the sums of the vectors that are nearest to each, 0 for an empty one.
        number: clusters to be left, at most.
    """
    sizes = lengths.astype(np.float64)
    # Products of the sums. Single operations on floats are the same on any machine; sums of many would not be.
    products = _products(centres).astype(np.float64) / SQUARE * (sizes[:, None] * sizes[None, :])
    np.fill_diagonal(products, sizes * sizes)
    merged, left = np.arange(len(sizes)), np.ones(len(sizes), bool)
    costs = _costs(products, np.arange(len(sizes)), left)
    for _ in range(len(sizes) - number):
        first, second = sorted(divmod(int(costs.argmin()), len(sizes)))
        merged[merged == second] = first
        left[second] = False
        products[first] += products[second]
        products[:, first] += products[:, second]
        costs[first] = costs[:, first] = _costs(products, np.array([first]), left)[0]
        costs[second] = costs[:, second] = np.inf
    return np.unique(merged, return_inverse=True)[1]


def _costs(products: np.ndarray, rows: np.ndarray, left: np.ndarray) -> np.ndarray:
    """What it costs to merge each of these clusters with each that is left, float64 [rows, clusters], else infinite."""
    squares = np.diag(products)
    one, other = squares[rows][:, None], squares[None, :]
    costs = np.sqrt(one) + np.sqrt(other) - np.sqrt(one + other + 2 * products[rows])
    costs[np.arange(len(rows)), rows] = np.inf
    costs[:, ~left] = np.inf
    return costs


@njit(nogil=True, cache=True)
def _products(centres: np.ndarray) -> np.ndarray:
    """The products of all pairs of centres, int64 [clusters, clusters]."""
    buckets, clusters = centres.shape
    products = np.zeros((clusters, clusters), np.int64)
    for bucket in range(buckets):
        for one in range(clusters):
            value = np.int64(centres[bucket, one])
            if value != 0:
                for other in range(clusters):
                    products[one, other] += value * centres[bucket, other]
    return products
