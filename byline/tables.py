"""`byline.to_table`: rows as an Arrow table, for whatever reads one.

```python
table = byline.to_table(byline.open("out/meco")[:1000])
polars.from_arrow(table)
duckdb.from_arrow(table).aggregate("phase, count(*)")
datasets.Dataset(table)
```

```
row  phase        input_ids       loss_mask       seq_lengths  doc_ids  doc_offsets
0    conditioned  0 22 27 5 9 0   0 0 0 1 1 0     4 2          7 8      0 0
1    conditioned  8 5 5 1 0 31    1 1 1 1 0 1     4 2          8 9      2 0
```
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.printable import shown
from byline.reader import Shards
from byline.rows import Rows

# Tokens of one record batch of the table, unless one row has more: a list's offsets are 32 bits.
_TOKENS = 1 << 24


def to_table(shards: Shards, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a view, in its order, copied into memory: about 5 bytes for each token.

    Args:
        shards: the rows; a slice or a phase of a large build.
        columns: which, in which order; all unless given.

    Returns:
        A table without nulls. `row` (int64) is the number in `shards`, `phase` (string) the row's phase; `input_ids`
        (int32) and `loss_mask` (uint8) are lists of L, and so is `loss_weight` (float32) of a build with weights;
        `seq_lengths`, `doc_offsets` (int32) and `doc_ids` (int64) are lists with an item for each segment.

    Raises:
        BylineError: there is no such column, or a shard is not what the manifest says.
    """
    known = [name for name in COLUMNS if name != "loss_weight" or shards.manifest.loss_weight is not None]
    names = known if columns is None else list(columns)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BylineError(f"no column {shown(unknown[0])} of a table; there are {', '.join(known)}")
    schema = pa.schema([pa.field(name, COLUMNS[name].type, nullable=False) for name in names])
    size = max(1, _TOKENS // shards.sequence_length)
    batches = []
    for first in range(0, len(shards), size):
        numbers = np.arange(first, min(first + size, len(shards)))
        rows = shards.batch(numbers)
        batches.append(pa.record_batch([COLUMNS[name].make(rows, numbers) for name in names], schema=schema))
    return pa.Table.from_batches(batches, schema)


@dataclass(frozen=True)
class _Column:
    """One column: its type, and how it is made of rows and their numbers."""

    type: pa.DataType
    make: Callable[[Rows, np.ndarray], pa.Array]


def _list_of(item: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", item, nullable=False))


def _lists(values: np.ndarray, lengths: np.ndarray, item: pa.DataType) -> pa.Array:
    """Lists of these lengths; int32 [n]."""
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), item), type=_list_of(item))


def _of_tokens(name: Literal["input_ids", "loss_mask", "loss_weight"], item: pa.DataType) -> _Column:
    def make(rows: Rows, numbers: np.ndarray) -> pa.Array:
        values = rows[name]
        # A float16 of the build is a float32 here, which every reader of tables knows.
        return _lists(values, np.full(len(values), values.shape[1], np.int32), item)

    return _Column(_list_of(item), make)


def _of_segments(name: Literal["seq_lengths", "doc_ids", "doc_offsets"], item: pa.DataType) -> _Column:
    def make(rows: Rows, numbers: np.ndarray) -> pa.Array:
        return _lists(rows[name], rows["segments"], item)

    return _Column(_list_of(item), make)


COLUMNS = {
    "row": _Column(pa.int64(), lambda rows, numbers: pa.array(numbers, pa.int64())),
    "phase": _Column(pa.string(), lambda rows, numbers: pa.array(rows["phase"].tolist(), pa.string())),
    "input_ids": _of_tokens("input_ids", pa.int32()),
    "loss_mask": _of_tokens("loss_mask", pa.uint8()),
    "loss_weight": _of_tokens("loss_weight", pa.float32()),
    "seq_lengths": _of_segments("seq_lengths", pa.int32()),
    "doc_ids": _of_segments("doc_ids", pa.int64()),
    "doc_offsets": _of_segments("doc_offsets", pa.int32()),
}
