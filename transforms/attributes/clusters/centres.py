"""Centres of clusters: spherical k-means in mini-batches, in integers.

```
starts   three times as many as asked for (`starts.py`)
iterate  batch 1 -> nearest centres -> each centre is the mean of what came to it in this one, scaled
         batch 2 -> nearest centres -> ...
merge    after three iterations, to as many as asked for (`merging.py`); a centre to which nothing came goes first
iterate  ...
last     the centres are numbered by how many documents are nearest, most first; one without any is left out
```

Mini-batches: Sculley, "Web-Scale K-Means Clustering", WWW 2010; here the means are sums of int64, and begin anew in
each iteration, so that the last one forgets the first.

Nothing is random and nothing depends on the order of a sum: the same vectors in the same order have the same centres on
any machine.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.attributes.clusters.merging import merge_clusters
from byline.transforms.attributes.clusters.starts import find_starts
from byline.transforms.attributes.clusters.vectors import Vectors, add_to_columns, nearest, scale_columns

# With fewer some topics get no start. Of 24 planted topics in 20,000 texts, 2 a cluster lost one for every other seed.
STARTS_A_CLUSTER = 3
_ITERATIONS_BEFORE_MERGING = 3
# Enough documents of each cluster that their mean says something.
_SMALLEST_BATCH, _BATCH_A_CLUSTER = 8192, 64


class Centres(NamedTuple):
    """Clusters of a sample.

    Attributes:
        columns: int16 [buckets, clusters], each column of length LENGTH.
        documents: int64 [clusters], of the sample, descending, 1 at least.
    """

    columns: np.ndarray
    documents: np.ndarray


def find_centres(vectors: Vectors, buckets: int, number: int, iterations: int, seed: int) -> Centres:
    """The centres of at most `number` clusters; fewer if there are fewer different vectors.

    Args:
        vectors: of documents in an order that tells nothing about them; those without words are left out.
        buckets: how many there are.
        number: 1 at least.
        iterations: over all vectors, after merging, 1 at least.
        seed: of the hashes that draw.
    """
    vectors = _with_words(vectors)
    centres = find_starts(vectors, buckets, STARTS_A_CLUSTER * number, seed)
    if centres.shape[1] == 0:
        return Centres(centres, np.zeros(0, np.int64))
    batch = max(_SMALLEST_BATCH, _BATCH_A_CLUSTER * number)
    for _ in range(_ITERATIONS_BEFORE_MERGING):
        _iterate(*vectors, centres, batch)
    centres = _merged(vectors, centres, number)
    for _ in range(iterations):
        _iterate(*vectors, centres, batch)
    return _numbered(vectors, centres)


def _with_words(vectors: Vectors) -> Vectors:
    offsets = vectors.offsets
    return Vectors(np.append(offsets[:-1][np.diff(offsets) > 0], offsets[-1]), vectors.buckets, vectors.values)


@njit(nogil=True, cache=True)
def _iterate(offsets: np.ndarray, buckets: np.ndarray, values: np.ndarray, centres: np.ndarray, batch: int) -> None:
    """Moves the centres, once over all vectors."""
    sums = np.zeros(centres.shape, np.int64)
    for begin in range(0, len(offsets) - 1, batch):
        borders = offsets[begin : begin + batch + 1]
        numbers, _ = nearest(borders, buckets, values, centres)
        add_to_columns(borders, buckets, values, numbers, sums)
        scale_columns(sums, centres)


def _merged(vectors: Vectors, centres: np.ndarray, number: int) -> np.ndarray:
    """As many centres as asked for, at most: means of all vectors nearest to those that are merged."""
    sums = np.zeros(centres.shape, np.int64)
    add_to_columns(*vectors, nearest(*vectors, centres)[0], sums)
    merged = merge_clusters(centres, scale_columns(sums, centres), number)
    joined = np.zeros((len(centres), int(merged.max()) + 1), np.int64)
    for cluster, into in enumerate(merged):
        joined[:, into] += sums[:, cluster]
    fewer = np.zeros(joined.shape, np.int16)
    scale_columns(joined, fewer)
    return fewer


def _numbered(vectors: Vectors, centres: np.ndarray) -> Centres:
    counts = np.bincount(nearest(*vectors, centres)[0], minlength=centres.shape[1])
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return Centres(np.ascontiguousarray(centres[:, order]), counts[order])
