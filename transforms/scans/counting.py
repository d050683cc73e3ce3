"""Counts over the index columns of the token store: every run gives a small table of counts, and the tables are summed.

```
run a   stage 0  source c4  bin 7  documents 2  tokens  90
run b   stage 0  source c4  bin 7  documents 1  tokens  30
sum     stage 0  source c4  bin 7  documents 3  tokens 120
```

A counter is a plain dataclass that counts one run; `scans/count_runs.py` brings it to the workers as JSON. Each kind
has key columns of its own. Sums of integers do not depend on the order or the grouping of what is summed.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from byline.transforms.store.attribute_columns import StoredRun

_SUMS = (pa.field("documents", pa.int64(), nullable=False), pa.field("tokens", pa.int64(), nullable=False))


class RunCounter(Protocol):
    """What a scan computes for one run."""

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Counts of one run, any number of rows; a run is given by its address, or with the attributes beside it."""

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """One batch from several, the same in whatever order and grouping they come."""


# A scan over the runs: takes a counter, gives its merged counts.
Scan = Callable[[RunCounter], pa.RecordBatch]


class Summing:
    """Merges counts by summing those whose keys are equal.

    Attributes:
        keys: the columns before `documents` and `tokens` (int64).
    """

    keys: ClassVar[pa.Schema]

    @classmethod
    def schema(cls) -> pa.Schema:
        """Columns of the counts."""
        return pa.schema([*cls.keys, *_SUMS])

    @classmethod
    def batch(cls, documents: np.ndarray, tokens: np.ndarray, **keys: Any) -> pa.RecordBatch:
        """Counts from columns.

        Args:
            documents, tokens: int64 [n].
            keys: of each key column an array [n], or the one value of all rows.
        """
        columns = [_column(keys[key.name], key.type, len(documents)) for key in cls.keys]
        return pa.RecordBatch.from_arrays([*columns, pa.array(documents), pa.array(tokens)], schema=cls.schema())

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """Sums, sorted by their keys."""
        schema = self.schema()
        table = pa.Table.from_batches(batches, schema)
        summed = table.group_by(self.keys.names).aggregate([("documents", "sum"), ("tokens", "sum")])
        summed = summed.rename_columns({"documents_sum": "documents", "tokens_sum": "tokens"}).select(schema.names)
        return one_batch(summed.sort_by([(name, "ascending") for name in self.keys.names]).cast(schema))


def _column(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if isinstance(values, pa.Array | np.ndarray):
        return pa.array(values, kind)
    return pa.repeat(pa.scalar(values, kind), rows)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table in one chunk as a batch, also where it is empty."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def count_by_value(values: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents and tokens of each value.

    Args:
        values: int64 [n], one a document.
        tokens: int64 [n].

    Returns:
        int64 [k] each: the distinct values, ascending, their documents and their tokens.
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, inverse, tokens)
    documents = np.bincount(inverse, minlength=len(distinct)).astype(np.int64)
    return distinct.astype(np.int64), documents, sums
