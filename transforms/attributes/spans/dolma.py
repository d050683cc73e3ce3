"""Spans of Dolma's attribute files, a row for each.

```
{"id": "x1", "attributes": {"pii__email": [[3, 9, 1.0], [20, 31, 0.5]], "pii__ip": []}}       row 0
{"id": "x2", "attributes": {"pii__email": []}}                                                row 1

row  key  value0  value1  value2            start, stop and label, as `tables.layouts` calls an attribute's columns
0    x1   3       9       pii__email
0    x1   20      31      pii__email
```

The layout is allenai/dolma's, docs/data-format.md: under each name a list of `[start, end, score]`, in characters. What
is said of a whole document is one span over all of it.
"""

import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from byline.errors import BylineError
from byline.printable import one_line
from byline.schemas.documents import InputFile
from byline.transforms.corpora.decompressing import line_bounds, read_blocks
from byline.transforms.corpora.signatures import is_parquet
from byline.transforms.files import storage

_BLOCK_BYTES = 16 << 20
_NUMBERS = 3
_SPANS = pa.list_(pa.list_(pa.float64()))
_ATTRIBUTES = "attributes"


def read_dolma(
    file: InputFile, key: str, key_type: pa.DataType, names: list[str], least_score: float | None
) -> Iterator[pa.RecordBatch]:
    """The spans of a file.

    Args:
        file: JSON lines, compressed or not, or Parquet.
        key: the field with what says the document.
        key_type: its type, string or int64.
        names: of the attributes whose spans are wanted.
        least_score: spans of a lower score are left out; None for all.

    Yields:
        `row` (int64), `key`, `value0` and `value1` (int64), `value2` (large_string).

    Raises:
        BylineError: the file cannot be read, or has a span that is not three numbers, the first two of them whole.
    """
    schema = pa.schema([(key, key_type), (_ATTRIBUTES, pa.struct([(name, _SPANS) for name in names]))])
    first = 0
    for records in _records(file.uri, schema):
        attributes = records[_ATTRIBUTES]
        parts = [
            _spans(file.uri, records[key], pc.struct_field(attributes, name), name, first, least_score)
            for name in names
        ]
        yield pa.Table.from_batches(parts).combine_chunks().to_batches()[0] if len(parts) > 1 else parts[0]
        first += records.num_rows


def _spans(
    uri: str, keys: pa.Array, lists: pa.Array, name: str, first: int, least_score: float | None
) -> pa.RecordBatch:
    """The spans of one attribute, of records [n] that are numbered from `first` on."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    rows, items = np.repeat(np.arange(len(keys)), counts), lists.flatten()
    sizes = pc.fill_null(pc.list_value_length(items), 0).to_numpy(zero_copy_only=False)
    numbers = items.flatten()
    if (sizes != _NUMBERS).any():
        _refuse(uri, first + rows[np.flatnonzero(sizes != _NUMBERS)[0]], name)
    spans = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False).reshape(-1, _NUMBERS)
    borders = spans[:, :2]
    is_wrong = ~(np.isfinite(borders) & (borders == np.floor(borders))).all(axis=1)
    if is_wrong.any():
        _refuse(uri, first + rows[np.flatnonzero(is_wrong)[0]], name)
    keep = np.ones(len(spans), bool) if least_score is None else spans[:, 2] >= least_score
    start, stop = borders[keep].astype(np.int64).T
    columns = {
        "row": pa.array(first + rows[keep]),
        "key": keys.take(pa.array(rows[keep])),
        "value0": pa.array(np.ascontiguousarray(start)),
        "value1": pa.array(np.ascontiguousarray(stop)),
        "value2": pa.array([name], pa.large_string()).take(pa.array(np.zeros(int(keep.sum()), np.int64))),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _refuse(uri: str, row: int, name: str) -> None:
    raise BylineError(
        f"{uri}: row {row}: expected spans of {name!r} as [start, stop, score], with whole numbers of characters as "
        "start and stop"
    )


def _records(uri: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The records of a file, with the columns of the schema alone."""
    if is_parquet(uri):
        with storage.open_unmapped(uri) as handle:
            yield from _parquet(uri, handle, schema)
        return
    parsing = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    for offset, block in read_blocks(uri, _BLOCK_BYTES):
        if not len(line_bounds(block)):
            continue
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
        try:
            table = pyarrow.json.read_json(io.BytesIO(block), reading, parsing)
        except pa.ArrowException as error:
            raise BylineError(f"{uri}: behind byte {offset}: {one_line(error)}; {_expected(schema)}") from None
        yield table.combine_chunks().to_batches()[0]


def _parquet(uri: str, handle: pa.NativeFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        parquet = pq.ParquetFile(handle)
        missing = [name for name in schema.names if name not in parquet.schema_arrow.names]
        if missing:
            raise BylineError(f"{uri}: has no column {missing[0]!r}; {_expected(schema)}")
        for batch in parquet.iter_batches(columns=schema.names):
            attributes = batch[_ATTRIBUTES]
            spans = [pc.struct_field(attributes, field.name).cast(_SPANS) for field in schema.field(_ATTRIBUTES).type]
            struct = pa.StructArray.from_arrays(spans, fields=list(schema.field(_ATTRIBUTES).type))
            key = batch[schema.names[0]].cast(schema.field(0).type)
            yield pa.RecordBatch.from_arrays([key, struct], schema=schema)
    except (pa.ArrowException, KeyError) as error:
        raise BylineError(f"{uri}: {one_line(error)}; {_expected(schema)}") from None


def _expected(schema: pa.Schema) -> str:
    return (
        f"expected records with {schema.names[0]!r} ({schema.field(0).type}) and `attributes`, by names like "
        f"{schema.field(_ATTRIBUTES).type[0].name!r} lists of [start, stop, score]"
    )
