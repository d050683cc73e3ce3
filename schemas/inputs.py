"""The list of input files, `OUT/_inputs.ipc`: the numbers in doc ids are its rows.

```
file  source  path                              rows
0     c4      c4-train.00000-of-01024.json.gz   356317
1     c4      c4-train.00001-of-01024.json.gz   356211
```
"""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from byline.schemas.store import RunInfo

INPUTS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
    ]
)


def input_table(runs: Iterable[RunInfo]) -> pa.Table:
    """Numbers the input files of a token store by (source, path) in order of UTF-8 bytes; `rows` are records read."""
    rows: dict[tuple[str, str], int] = {}
    for run in runs:
        key = (run.source, run.path)
        rows[key] = rows.get(key, 0) + run.rows_read
    return numbered_inputs(rows)


def numbered_inputs(rows: Mapping[tuple[str, str], int]) -> pa.Table:
    """The list of these files, (source, path) -> records, in order of UTF-8 bytes."""
    names = sorted(rows, key=lambda name: (name[0].encode(), name[1].encode()))
    columns = [list(range(len(names))), [n[0] for n in names], [n[1] for n in names], [rows[n] for n in names]]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, INPUTS_SCHEMA, strict=True)], INPUTS_SCHEMA)
