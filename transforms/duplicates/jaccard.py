"""The Jaccard similarity of pairs of documents, exactly: what their shingles share, and what they have together.

```
first     1 2 5 9        second   2 5 7        shared 2, together 5: similarity 2/5
```
"""

from fractions import Fraction

import numpy as np
from numba import njit

from byline.transforms.duplicates.shingles import Sets


def shared_shingles(sets: Sets, firsts: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct shingles that the documents of each pair share, and that they have together.

    Args:
        sets: of n documents.
        firsts, seconds: int64 [pairs], numbers of documents.

    Returns:
        Two of int64 [pairs]; their quotient is the similarity, and of two documents without shingles 0 of 0.
    """
    shared = np.empty(len(firsts), np.int64)
    _count_shared(*sets, firsts, seconds, shared)
    sizes = np.diff(sets.borders)
    return shared, sizes[firsts] + sizes[seconds] - shared


def are_similar(shared: np.ndarray, together: np.ndarray, similarity: Fraction) -> np.ndarray:
    """Whether each pair is at least so similar, in whole numbers: bool [pairs]. One without shingles is not.

    Args:
        shared, together: int64 [pairs], of `shared_shingles`.
        similarity: above 0, to six decimals or with a denominator of a million at most.
    """
    return (shared * similarity.denominator >= together * similarity.numerator) & (together > 0)


@njit(nogil=True, cache=True)
def _count_shared(
    borders: np.ndarray, shingles: np.ndarray, firsts: np.ndarray, seconds: np.ndarray, out: np.ndarray
) -> None:
    for pair in range(len(out)):
        a, a_end = borders[firsts[pair]], borders[firsts[pair] + 1]
        b, b_end = borders[seconds[pair]], borders[seconds[pair] + 1]
        shared = 0
        while a < a_end and b < b_end:
            one, other = shingles[a], shingles[b]
            shared += one == other
            a += one <= other
            b += other <= one
        out[pair] = shared
