"""Which tokens of documents do not count in the loss: those of a formatter, and those that attributes say.

```
masked          [0, 3]                    a formatter's
evals_ranges    [2, 5, 9, 11]             of an attribute that the phase names in `mask`
all of them     [0, 5, 9, 11]             ranges that overlap or touch are one
```
"""

from collections.abc import Sequence

import numba
import numpy as np
import pyarrow as pa

_OWN = "masked"


def masked_ranges(documents: pa.RecordBatch, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The masked ranges of documents.

    Args:
        documents: n of them, perhaps with `masked`, and with these columns.
        columns: list<int32>, ranges of tokens: start, end, start, ... ascending; null for none.

    Returns:
        The ranges of all documents, ascending and apart in each (int32), and how many numbers each has (int64 [n]).
    """
    names = [name for name in (_OWN, *columns) if name in documents.schema.names]
    if not names:
        return np.zeros(0, np.int32), np.zeros(documents.num_rows, np.int64)
    lists = [_flat(documents[name]) for name in names]
    if len(lists) == 1:
        return lists[0]
    counts = np.stack([count for _, count in lists])
    ends = np.cumsum(counts, axis=1)
    return _union(tuple(values for values, _ in lists), ends - counts, ends)


def _flat(column: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Its numbers one after another, and how many each document has; null has none."""
    counts = column.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    return column.flatten().to_numpy(), counts


@numba.njit(cache=True, nogil=True)
def _union(values: tuple[np.ndarray, ...], starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lists, documents = starts.shape
    total = 0
    for k in range(lists):
        total += len(values[k])
    merged = np.empty(total, np.int32)
    counts = np.zeros(documents, np.int64)
    at = starts.copy()
    end = 0
    for d in range(documents):
        first = end
        while True:
            lowest = -1
            for k in range(lists):
                if at[k, d] < ends[k, d] and (lowest < 0 or values[k][at[k, d]] < values[lowest][at[lowest, d]]):
                    lowest = k
            if lowest < 0:
                break
            low, high = values[lowest][at[lowest, d]], values[lowest][at[lowest, d] + 1]
            at[lowest, d] += 2
            if end > first and low <= merged[end - 1]:
                merged[end - 1] = max(merged[end - 1], high)
            elif high > low:
                merged[end] = low
                merged[end + 1] = high
                end += 2
        counts[d] = end - first
    return merged[:end], counts
