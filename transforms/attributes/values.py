"""What a kind leaves of each chunk: the values of its documents, in order of their rows, which are then aligned.

```
WORK/parts/<run of the chunk>     row  topic      run    row  topic
                                  0    bread             7    null
                                  3    sport             0    bread
                                                         3    sport
```
"""

import numpy as np
import pyarrow as pa

from byline.schemas.attribute_kinds.attribute import ColumnType
from byline.transforms.files.sealed_files import open_sealed, write_sealed
from byline.transforms.files.storage import exists, join, open_random
from byline.transforms.store.run_names import run_name
from byline.transforms.store.run_pieces import reading_run

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


def write_values(uri: str, values: pa.RecordBatch) -> None:
    """Writes the values of a chunk.

    Args:
        uri: of `parts_uri`.
        values: `row` (int64, ascending) and the attribute's columns; documents that are not among them have no value.
    """
    rows = values["row"].to_numpy()
    assert (np.diff(rows) > 0).all(), f"{uri}: rows that do not ascend"
    with write_sealed(uri, values.schema.remove_metadata()) as writer:
        writer.write_batch(values.replace_schema_metadata())


def read_values(uri: str) -> pa.RecordBatch | None:
    """The values of a chunk; None if no document of it has one."""
    if not exists(uri):
        return None
    with reading_run(uri), open_random(uri) as source:
        return open_sealed(source).get_batch(0)


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
