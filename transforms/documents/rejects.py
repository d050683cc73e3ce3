"""Rejects: the records that are dropped because they are no documents, carried beside a batch until its run is written.

```
reason         row   offset   why                                   head
malformed      17    20481    expected a JSON object                x,y,z
missing_text   40    51022    null                                  {"url": "http://a.org"}
```

| column | type | |
|---|---|---|
| reason | string | `DropReason` |
| row | int64 | of the record in its file |
| offset | int64 | byte of the decompressed file where it begins; null where nobody can say |
| why | string | in words; null where the reason says it all |
| head | binary | its first 200 bytes; null where nobody can say |

What a rule of a filter refuses is no reject: it is counted by its rule.
"""

from collections.abc import Sequence

import pyarrow as pa

from byline.schemas.documents import REJECTS_KEY

REJECTS = pa.schema(
    [
        pa.field("reason", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("why", pa.string()),
        pa.field("head", pa.binary()),
    ]
)
# What is kept of a record.
REJECT_HEAD_BYTES = 200


def reject_batch(
    reasons: Sequence[str] | pa.Array,
    rows: pa.Array,
    offsets: pa.Array | None = None,
    whys: pa.Array | None = None,
    heads: pa.Array | None = None,
) -> pa.RecordBatch:
    """Rejects from their columns; those that are not given are null."""
    columns = [pa.array(reasons, pa.string()) if not isinstance(reasons, pa.Array) else reasons, rows]
    for values, field in zip((offsets, whys, heads), list(REJECTS)[2:], strict=True):
        columns.append(pa.nulls(len(rows), field.type) if values is None else values.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=REJECTS)


def with_rejects(batch: pa.RecordBatch, rejects: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The batch with more rejects, without a copy."""
    rejects = [piece for piece in rejects if len(piece)]
    if not rejects:
        return batch
    table = pa.Table.from_batches([*rejects_of(batch).to_batches(), *rejects], REJECTS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, REJECTS, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table.combine_chunks())
    return batch.replace_schema_metadata({**(batch.schema.metadata or {}), REJECTS_KEY: sink.getvalue().to_pybytes()})


def rejects_of(batch: pa.RecordBatch) -> pa.Table:
    """The rejects of a batch, by row."""
    encoded = (batch.schema.metadata or {}).get(REJECTS_KEY)
    return REJECTS.empty_table() if encoded is None else pa.ipc.open_stream(encoded).read_all()
