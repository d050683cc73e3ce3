"""What a kind leaves of each chunk: the values of its documents, in order of their rows, which are then aligned.

```
WORK/parts/<run of the chunk>     row  topic      run    row  topic
                                  0    bread             7    null
                                  3    sport             0    bread
                                                         3    sport
```
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from byline.schemas.attribute_kinds.attribute import ColumnType
from byline.schemas.documents import ROW
from byline.transforms.attributes.batch_files import read_batch, write_batch
from byline.transforms.files.storage import exists, join
from byline.transforms.store.run_names import run_name

TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
    "ranges": pa.list_(pa.int32()),
}


def parts_uri(parts: str, source: str, path: str, chunk: int) -> str:
    """Where the values of a chunk go."""
    return join(parts, run_name(source, path, chunk))


def write_values(uri: str, rows: pa.Array, columns: Mapping[str, pa.Array]) -> None:
    """Writes the values of a chunk.

    Args:
        uri: of `parts_uri`.
        rows: int64 [n], ascending, of documents; those that are not among them have no value.
        columns: the attribute's, n values each.
    """
    assert (np.diff(rows.to_numpy()) > 0).all(), f"{uri}: rows that do not ascend"
    fields = [ROW, *(pa.field(name, column.type) for name, column in columns.items())]
    write_batch(uri, pa.RecordBatch.from_arrays([rows, *columns.values()], schema=pa.schema(fields)))


def read_values(uri: str) -> pa.RecordBatch | None:
    """The values of a chunk; None if no document of it has one."""
    return read_batch(uri) if exists(uri) else None


def values_of(values: pa.RecordBatch | None, rows: np.ndarray, name: str, kind: ColumnType) -> pa.Array:
    """A column for these documents of the chunk: null where there is no value, false where it is a bool.

    Args:
        values: of `read_values`.
        rows: int64 [n], of the documents, in any order.
        name: of the column.
        kind: its type.
    """
    if values is None or values.num_rows == 0:
        column = pa.nulls(len(rows), TYPES[kind])
    else:
        known = values["row"].to_numpy()
        numbers = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        column = values[name].cast(TYPES[kind]).take(pa.array(numbers, mask=known[numbers] != rows))
    return column.fill_null(pa.scalar(value=False)) if kind == "bool" else column
