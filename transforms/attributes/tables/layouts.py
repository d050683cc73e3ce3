"""The rows of a table, in any of its layouts: files -> record batches with keys and values.

```
layout     a row                                                             key              value
plain      {"url": "http://a", "scores": {"q": "0.5"}}                       http://a         0.5
plain      {"path": "a.json.gz", "row": 7, "stars": 4}                       a.json.gz, 7     4
dolma      {"id": "x1", "attributes": {"exp__toxic": [[0, 52, 0.25]]}}       x1               0.25
redpajama  {"id": "2023-06/0003/en_head.json.gz/1",                          2023-06/0003/en_head.json.gz, 1
            "quality_signals": {"ccnet_perplexity": [[0, 1234, 345.1]]}}                      345.1
```

A file is Parquet where its first bytes say so, else JSON lines, compressed or not; paths lead into structs, maps,
lists and strings that hold JSON, as in a source (`byline.transforms.corpora.record_values`), and values become those
of a column's type as there (`byline.transforms.documents.values`), null where they cannot.

Dolma's attribute files (allenai/dolma, docs/data-format.md): one for each file of documents, under its path; a line
has the document's `id`, which is distinct within its source, and `attributes`, by names like `tagger__attribute` a list
of spans `[start, end, score]` in characters of the text. What is said of a whole document is one span, from 0 to the
length of the text. Where `attributes` has plain numbers, layout plain reads them, at `attributes.NAME`.

RedPajama-V2's quality signals (togethercomputer/RedPajama-Data-V2, its dataset card): `quality_signals` likewise, by
names like `rps_doc_word_count`; `id` is the path of the file of documents below `documents/` and the number of the
document in it, from 0; `metadata.url` is its URL. Signals of lines have a span for each line. Where they are published
as Parquet, the id is `doc_id` (`key: doc_id`) and `quality_signals` is a string of JSON.

A column holds one value for a document, so several spans are an error, and no span is null.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.attribute_kinds.table import ROW, URL, TableAttribute, TableLayout
from byline.schemas.corpora import MAX_DOCUMENT, Malformed
from byline.schemas.documents import InputFile
from byline.schemas.faults import FaultyFileError
from byline.schemas.field_paths import as_path
from byline.schemas.layouts import Layout, Records
from byline.transforms.corpora.json_lines import JSONL, read_json_lines
from byline.transforms.corpora.parquet_rows import PARQUET, read_parquet
from byline.transforms.corpora.signatures import is_parquet

_TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
# Where each layout has the spans of a document, by name.
_SPANS = {TableLayout.DOLMA: "attributes", TableLayout.REDPAJAMA: "quality_signals"}
# The path of a file and the number of a document in it.
_ID = r"^(?P<path>(?s:.+))/(?P<document>[0-9]{1,18})$"
# Above it, two doubles have one whole number.
_WHOLE = 2.0**53


@dataclass(frozen=True)
class TableShape:
    """What is read of the rows of a table.

    Attributes:
        settings: of the attribute.
        name: of the attribute.
        key_type: string or int64, of the keys where it is not joined by row.
    """

    settings: TableAttribute
    name: str
    key_type: pa.DataType

    @property
    def keys(self) -> dict[str, tuple[str, pa.DataType]]:
        """What a row is joined by: column -> where it stands, and its type."""
        settings = self.settings
        if settings.by == ROW and settings.layout is TableLayout.PLAIN:
            named = {"source": pa.string(), "path": pa.string(), "document": pa.int64()}
            return {name: (ROW if name == "document" else name, kind) for name, kind in named.items()}
        of_layout = settings.by if settings.layout is TableLayout.PLAIN else "id"
        if settings.by == URL and settings.layout is TableLayout.REDPAJAMA:
            of_layout = "metadata.url"
        return {"key": (of_layout if settings.key is None else settings.key, self.key_type)}

    @property
    def values(self) -> dict[str, tuple[str, pa.DataType]]:
        """The attribute's columns: name -> where the values stand, and their type."""
        wanted = self.settings.wanted(self.name).items()
        return {column: (path, _TYPES[kind]) for column, (path, kind) in wanted}


def read_rows(file: InputFile, shape: TableShape) -> Iterator[pa.RecordBatch]:
    """The rows of a file of a table.

    Args:
        file: Parquet or JSON lines.
        shape: what is read of it.

    Yields:
        `row` (int64, from 0); `key` (large_string or int64), or by row `source`, `path` (large_string) and `document`
        (int64); and the attribute's columns as `value0`, `value1`, ... (`value_names`), strings as large_string.

    Raises:
        FaultyFileError: the file cannot be read, or a row of it; with several spans for a column; or with an id that is
            no path and number.
    """
    wanted, paths = _wanted(shape)
    start = 0
    for records in _records(file, wanted, paths):
        _check(file, records, start)
        batch = records.batch
        columns = {"row": pa.array(np.arange(start, start + batch.num_rows))}
        columns.update({name: _text(batch[name]) for name in shape.keys})
        if shape.settings.by == ROW and "key" in columns:
            columns.update(_path_and_number(file, columns.pop("key"), start))
        for number, (path, kind) in enumerate(shape.values.values()):
            is_plain = not shape.settings.has_spans
            values = _text(batch[f"value{number}"]) if is_plain else _score(file, batch, number, path, kind, start)
            columns[f"value{number}"] = values
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        start += batch.num_rows


def value_names(count: int) -> list[str]:
    """What the attribute's columns are called on the way, beside others that may have any of their names."""
    return [f"value{number}" for number in range(count)]


def layout_of(file: InputFile) -> Layout:
    """Parquet, or JSON lines, by the first bytes of a file."""
    return PARQUET if is_parquet(file.uri) else JSONL


def _wanted(shape: TableShape) -> tuple[pa.Schema, dict[str, str]]:
    """Columns to read, and their paths; values under numbers, as some names mean more to a reader."""
    columns = dict(shape.keys)
    for number, (path, kind) in enumerate(shape.values.values()):
        if shape.settings.has_spans:
            spans = as_path(_SPANS[shape.settings.layout]) + "." + _quoted(path)
            columns[f"value{number}"] = (f"{spans}[0][2]", pa.float64())
            columns[f"second{number}"] = (f"{spans}[1][0]", pa.float64())
        else:
            columns[f"value{number}"] = (path, kind)
    schema = pa.schema([pa.field(name, kind) for name, (_, kind) in columns.items()])
    return schema, {name: path for name, (path, _) in columns.items()}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _records(file: InputFile, schema: pa.Schema, paths: dict[str, str]) -> Iterator[Records]:
    if layout_of(file) is PARQUET:
        yield from read_parquet(file, schema, paths, Malformed.DROP)
    else:
        yield from read_json_lines(file, schema, paths, Malformed.DROP)


def _check(file: InputFile, records: Records, start: int) -> None:
    """Raises at the first row that is malformed or too long."""
    bad = records.malformed if records.too_long is None else records.malformed | records.too_long
    if not bad.any():
        return
    first = int(bad.argmax())
    where, reason = f"row {start + first}", f"longer than {4 * MAX_DOCUMENT:,} bytes"
    if records.origins is not None:
        offset, why, _ = records.origins.of(np.array([first]))
        where += f" (byte {offset[0]} of the decompressed file)" if offset[0].is_valid else ""
        reason = why[0].as_py() or reason
    raise FaultyFileError(f"{file.uri}: {where}: {reason}; mend that row of the table, or remove it", where)


def _text(column: pa.Array) -> pa.Array:
    """Strings with offsets of 64 bits: a partition of a table may have more than 2 GB of them."""
    return column.cast(pa.large_string()) if pa.types.is_string(column.type) else column


def _path_and_number(file: InputFile, ids: pa.Array, start: int) -> dict[str, pa.Array]:
    split = pc.extract_regex(ids, _ID)
    wrong = pc.and_(ids.is_valid(), split.is_null()).to_numpy(zero_copy_only=False)
    if wrong.any():
        first = int(wrong.argmax())
        raise FaultyFileError(
            f"{file.uri}: row {start + first}: expected an id of a file's path and a number, such as "
            f"'2023-06/0003/en_head.json.gz/1', found {ids[first].as_py()!r}",
            f"row {start + first}",
        )
    path, document = (pc.if_else(ids.is_valid(), part, None) for part in split.flatten())
    return {"source": pa.nulls(len(ids), pa.large_string()), "path": path, "document": document.cast(pa.int64())}


def _score(file: InputFile, batch: pa.RecordBatch, number: int, path: str, kind: pa.DataType, start: int) -> pa.Array:
    """The score of the only span of each row."""
    several = batch[f"second{number}"].is_valid().to_numpy(zero_copy_only=False)
    if several.any():
        row = start + int(several.argmax())
        raise FaultyFileError(
            f"{file.uri}: row {row}: {path!r} has several spans, as what is said of lines or paragraphs; expected one, "
            "over the whole document",
            f"row {row}",
        )
    scores = batch[f"value{number}"]
    if not pa.types.is_integer(kind):
        return scores
    is_whole = pc.and_(pc.equal(scores, pc.round(scores)), pc.less_equal(pc.abs(scores), _WHOLE))
    return pc.if_else(is_whole, scores, pa.scalar(None, pa.float64())).cast(kind)
