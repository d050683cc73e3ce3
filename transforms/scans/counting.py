"""Counts over the index columns of the token store: every run gives a small table of counts, and the tables are summed.

```
run a   key "conditioned c4"  bin 7  documents 2  tokens  90
run b   key "conditioned c4"  bin 7  documents 1  tokens  30
sum     key "conditioned c4"  bin 7  documents 3  tokens 120
```

A counter is a plain dataclass with `count(run) -> pa.RecordBatch` of `COUNTS`; `scans/count_runs.py` brings it
to the workers as JSON. Sums of integers do not depend on the order or the grouping of what is summed.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pyarrow as pa

COUNTS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("bin", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)


class RunCounter(Protocol):
    """What a scan computes for one run."""

    def count(self, uri: str) -> pa.RecordBatch:
        """Counts of one run, any number of rows."""

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """One batch from several, the same in whatever order and grouping they come."""


# A scan over the runs: takes a counter, gives its merged counts.
Scan = Callable[[RunCounter], pa.RecordBatch]


class Summing:
    """Merges counts by summing those of equal key and bin."""

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """Sums, sorted by key and bin."""
        table = pa.Table.from_batches(batches, COUNTS)
        summed = table.group_by(["key", "bin"]).aggregate([("documents", "sum"), ("tokens", "sum")])
        summed = summed.rename_columns({"documents_sum": "documents", "tokens_sum": "tokens"}).select(COUNTS.names)
        ordered = summed.sort_by([("key", "ascending"), ("bin", "ascending")]).cast(COUNTS).combine_chunks()
        return one_batch(ordered)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table in one chunk as a batch, also where it is empty."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def count_by_bin(key: str, bins: np.ndarray, tokens: np.ndarray) -> pa.RecordBatch:
    """Documents and tokens by bin.

    Args:
        key: what is counted.
        bins: int64 [n], from 0.
        tokens: int64 [n].
    """
    found, inverse = np.unique(bins, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, inverse, tokens)
    documents = np.bincount(inverse, minlength=len(found)).astype(np.int64)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([key] * len(found), pa.string()),
            pa.array(found.astype(np.int64)),
            pa.array(documents),
            pa.array(sums),
        ],
        schema=COUNTS,
    )
