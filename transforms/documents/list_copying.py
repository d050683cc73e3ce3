"""Copies whole lists of tokens, where Arrow's `take` and `filter` go value by value.

```
values   a a b c c c      lists 2, 0      into   c c c a a
offsets  0   2 3     6

         lists 0, 1, 2 to 4, 0, 1          b c c c a a
```
"""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def copy_lists(values: np.ndarray, offsets: np.ndarray, numbers: np.ndarray, into: np.ndarray, end: int) -> int:
    """Appends the numbered lists to `into[:end]`; returns the new end.

    Args:
        values: [k].
        offsets: int64 [n + 1], into `values`.
        numbers: int64 [m], of lists.
        into: of the values' dtype; changed.
        end: how much of `into` is filled.
    """
    for number in numbers:
        size = offsets[number + 1] - offsets[number]
        into[end : end + size] = values[offsets[number] : offsets[number + 1]]
        end += size
    return end


@numba.njit(cache=True, nogil=True)
def scatter_lists(values: np.ndarray, offsets: np.ndarray, into: np.ndarray, starts: np.ndarray) -> None:
    """Copies each list to its own start in `into`.

    Args:
        values: [k].
        offsets: int64 [n + 1], into `values`.
        into: of the values' dtype; changed.
        starts: int64 [n], where in `into` each list begins.
    """
    for number in range(len(starts)):
        size = offsets[number + 1] - offsets[number]
        into[starts[number] : starts[number] + size] = values[offsets[number] : offsets[number + 1]]
