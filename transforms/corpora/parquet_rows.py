"""Reads Parquet: a file -> record batches of about 16 MiB of text, with only the columns that are asked for.

```
content: string   url: string   meta: struct<lang: string, n: double>        text   url            meta.n
Ada               http://a.org  {lang: en, n: 3}                        ->   Ada    http://a.org   3
null              null          null                                         null   null           null
```

| in the file | result |
|---|---|
| the text column is string or binary of any kind (large, view, dictionary, fixed size) | its values |
| there is no text column, or it is of another type | an error that names the columns |
| question, answer, where they are asked for | as text |
| messages, where asked for: a list of structs with strings | as `documents/values.py` has them; else an error |
| a column of any other field is absent, or `url` is no string | null |
| a string or binary value of a field asked for is not UTF-8 | the record is malformed |
| a field or score of another type than configured | as `transforms/documents/values.py` makes it, so as in JSON lines |

A path goes into structs, maps, lists, and strings that hold JSON (`byline.transforms.corpora.record_values`).

Batches are cut by what texts are decoded, not by what the file holds of them: a column may name one text of 33 kB in
each of 66,000 rows and take 2.7 kB. No file is mapped, so one that is cut while it is read is an error, as is one with
fewer rows than its footer says. A footer is tried in a process of its own before it is used here (`parquet_trial.py`).
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from byline.addresses import is_object_address
from byline.printable import one_line
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import CONTENTS, InputFile
from byline.schemas.faults import FaultyFileError
from byline.schemas.layouts import Layout, Records
from byline.transforms.corpora.decoding import checksum_of
from byline.transforms.corpora.json_texts import parse_texts
from byline.transforms.corpora.parquet_footer import (
    Tail,
    leaves_below,
    open_dictionaries,
    open_parquet,
    parse_tail,
    read_tail,
    string_leaves,
)
from byline.transforms.corpora.parquet_trial import try_tail
from byline.transforms.corpora.record_names import NAMED_RECORDS, add_column_names
from byline.transforms.corpora.record_values import (
    Columns,
    Lead,
    Reader,
    Want,
    columns_of,
    follow,
    is_list,
    is_text,
    leads_of,
    leads_to,
    wants_of,
)
from byline.transforms.corpora.signatures import HEAD_BYTES, format_of
from byline.transforms.documents.text_parts import list_lengths
from byline.transforms.documents.values import (
    CONTENT_KEYS,
    MESSAGE_KEYS,
    ROLE_KEYS,
    as_messages,
    converter,
    finite,
    malformed_error,
    malformed_mask,
    missing_advice,
)
from byline.transforms.files import storage

# As for JSON lines: small beside a chunk, large enough that a batch's fixed costs vanish.
BATCH_BYTES = 16 << 20
# Where texts are tiny, so that the other columns stay small as well.
_MOST_ROWS = 1 << 16
# What a batch may decode to if each of its rows has the longest value of its dictionaries.
_MOST_BYTES = 256 << 20


def read_parquet(
    file: InputFile, schema: pa.Schema, paths: Mapping[str, str], malformed: Malformed, batch_bytes: int = BATCH_BYTES
) -> Generator[Records, None, str]:
    """Reads a Parquet file.

    Args:
        file: the file.
        schema: the columns to give: those of `schemas/documents.py` as there, others string, int64, float64, float32 or
            bool.
        paths: column -> path (`byline.schemas.field_paths`) of its values.
        malformed: whether a malformed record is an error.
        batch_bytes: about how much text to decode at once; no result depends on it.

    Yields:
        The records of each batch of rows, with the columns of `schema`.

    Returns:
        The checksum of the file (`RawStream.checksum`), which is read once more for it.

    Raises:
        FaultyFileError: a malformed record, no column for the text or another that a document is made of, or a file
            that is damaged or no Parquet.
    """
    row, wants = 0, wants_of(schema, paths)
    leads = leads_of(wants)
    with storage.open_unmapped(file.uri) as handle:
        with _reading(file, row):
            is_whole = is_object_address(file.uri)
            parquet, tail = _open(handle, is_whole)
            record = pa.struct(list(parquet.schema_arrow))
            for want in wants:
                _check_once(file, record, want)
                if want.field.name in CONTENTS:
                    _check_content(file, record, want)
            selected = sorted({column for lead in leads for column in columns_of(record, lead)})
            try_tail(tail, is_whole, selected)
            batches = _batches(parquet, selected, _Dictionaries(handle, parquet.metadata, selected), batch_bytes)
        while True:
            with _reading(file, row):
                rows = next(batches, None)
            if rows is None:
                break
            batch, reasons = _convert(rows, schema, wants, leads)
            mask = malformed_mask(reasons, len(rows))
            if reasons and malformed is Malformed.ERROR:
                first = int(mask.argmax())
                raise malformed_error(file.uri, file.source, f"row {row + first}", reasons[first])
            yield Records(batch, mask, origins=_RowOrigins(reasons))
            row += len(rows)
    return checksum_of(file.uri)


@dataclass(frozen=True)
class _RowOrigins:
    """Why rows are malformed; an `Origins`."""

    reasons: dict[int, str]

    def of(self, rows: np.ndarray) -> tuple[pa.Array, pa.Array, pa.Array]:
        whys = pa.array([self.reasons.get(row) for row in rows.tolist()], pa.string())
        return pa.nulls(len(rows), pa.int64()), whys, pa.nulls(len(rows), pa.binary())


def _open(handle: pa.NativeFile, is_whole: bool) -> tuple[pq.ParquetFile, Tail]:
    tail = read_tail(handle)
    try_tail(tail, is_whole)
    return open_parquet(handle, parse_tail(tail), is_whole), tail


@contextmanager
def _reading(file: InputFile, row: int) -> Iterator[None]:
    try:
        yield
    # Arrow decodes the names of columns when they are first asked for; a row group may lack a column.
    except (pa.ArrowException, OSError, UnicodeDecodeError, IndexError) as error:
        reason = one_line(error)
        with storage.open_unmapped(file.uri) as handle:
            head = handle.read(HEAD_BYTES)
        if not head.startswith(b"PAR1"):
            raise FaultyFileError(f"{file.uri}: expected Parquet, found {format_of(head)}") from None
        raise FaultyFileError(
            f"{file.uri}: cannot be read as Parquet from row {row} on ({reason}); "
            "fetch the file again and compare its checksum",
            f"row {row}",
            is_damage=True,
        ) from None


def _is_messages(kind: pa.DataType) -> bool:
    """Whether a type is a list of structs with a role and a content, of which all that is there is text."""
    if not is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    message = kind.value_type
    have = [key for key in MESSAGE_KEYS if message.get_field_index(key) >= 0]
    is_whole = all(any(key in have for key in keys) for keys in (ROLE_KEYS, CONTENT_KEYS))
    return is_whole and all(is_text(message.field(key).type) for key in have)


def _check_once(file: InputFile, record: pa.StructType, want: Want) -> None:
    if sum(field.name == want.path for field in record) > 1:
        raise FaultyFileError(f"{file.uri}: several columns are called {want.path!r}; write the file with one of them")


def _check_content(file: InputFile, record: pa.StructType, want: Want) -> None:
    name, advice = want.field.name, missing_advice(file.source, want.field.name)
    kinds = [kind for lead in leads_of([want]) for kind in leads_to(record, lead)]
    if not kinds:
        columns = ", ".join(field.name for field in record) or "none"
        raise FaultyFileError(f"{file.uri}: no {name} column {want.path!r}; the columns are {columns}; {advice}")
    is_right, expected = is_text, "string"
    if name == "messages":
        is_right, expected = _is_messages, "list<struct<role: string, content: string>>"
    for kind in kinds:
        if not is_right(kind) and not pa.types.is_null(kind):
            raise FaultyFileError(
                f"{file.uri}: the {name} column {want.path!r} is of type {kind}, expected {expected}; {advice}"
            )


def _batches(
    parquet: pq.ParquetFile, paths: list[str], dictionaries: "_Dictionaries", batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Decodes one row group after another, in batches of about `batch_bytes` of text."""
    leaves = leaves_below(parquet.metadata, paths)
    for index in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(index)
        size = max(1, sum(group.column(leaf).total_uncompressed_size for leaf in leaves))
        mean, longest = dictionaries.row_bytes(index)
        rows = min(_MOST_ROWS, batch_bytes * group.num_rows // size, batch_bytes // mean, _MOST_BYTES // longest)
        read = 0
        for batch in parquet.iter_batches(max(1, rows), row_groups=[index], columns=paths, use_threads=False):
            yield batch
            read += len(batch)
        # The library takes the end of a file for the end of a row group.
        if read != group.num_rows:
            raise pa.ArrowInvalid(f"row group {index} has {read:,} rows, and its metadata says {group.num_rows:,}")


class _Dictionaries:
    """What the values of a row group's dictionaries take where they are written out, row for row.

    A second reader decodes the first row of each row group with its dictionaries as such.
    """

    def __init__(self, handle: pa.NativeFile, metadata: pq.FileMetaData, paths: list[str]) -> None:
        self._metadata, self._paths = metadata, paths
        self._leaves = string_leaves(metadata, paths)
        self._parquet = open_dictionaries(handle, metadata, paths)

    def row_bytes(self, index: int) -> tuple[int, int]:
        """Bytes of a row whose values are as long as the dictionaries' mean, and as their longest; at least 1."""
        group = self._metadata.row_group(index)
        columns = [group.column(leaf) for leaf in self._leaves]
        if group.num_rows == 0 or not any(column.has_dictionary_page for column in columns):
            return 1, 1
        batches = self._parquet.iter_batches(1, row_groups=[index], columns=self._paths, use_threads=False)
        first = next(batches, None)
        if first is None:
            raise pa.ArrowInvalid(f"row group {index} has 0 rows, and its metadata says {group.num_rows:,}")
        # A list has several values a row.
        values = max(1, *(column.num_values // group.num_rows for column in columns))
        sizes = [pc.binary_length(dictionary) for column in first.columns for dictionary in _dictionaries_of(column)]
        sizes = [lengths for lengths in sizes if len(lengths)]
        mean = sum(pc.mean(lengths).as_py() for lengths in sizes)
        longest = sum(pc.max(lengths).as_py() for lengths in sizes)
        return max(1, round(mean * values)), max(1, longest * values)


def _dictionaries_of(values: pa.Array) -> Iterator[pa.Array]:
    """Every dictionary in a column."""
    if pa.types.is_dictionary(values.type):
        yield values.dictionary
    elif pa.types.is_struct(values.type):
        for index in range(values.type.num_fields):
            yield from _dictionaries_of(values.field(index))
    elif pa.types.is_nested(values.type) and hasattr(values, "values"):
        yield from _dictionaries_of(values.values)


def _convert(
    rows: pa.RecordBatch, schema: pa.Schema, wants: list[Want], leads: tuple[Lead, ...]
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The columns as configured, and why records are malformed."""
    made = Columns()
    follow(rows.to_struct_array(), leads, _READER, made)
    arrays = [made.column(want, len(rows)) for want in wants]
    if made.reasons:
        mask = pa.array(malformed_mask(made.reasons, len(rows)))
        arrays = [pc.if_else(mask, pa.nulls(len(rows), array.type), array) for array in arrays]
    return pa.RecordBatch.from_arrays(arrays, schema=schema), made.reasons


def _leaf(values: pa.Array, want: Want) -> tuple[pa.Array, dict[int, str]]:
    bad: dict[int, str] = {}
    if want.field.name == "messages" and _is_messages(values.type):
        values, bad = _decode_messages(values)
    elif is_text(values.type):
        values, bad = decode(values)
    reasons = {index: f"{want.path!r} is not UTF-8 ({what})" for index, what in bad.items()}
    return _as_configured(values, want.field), reasons


def decode(values: pa.Array) -> tuple[pa.LargeStringArray, dict[int, str]]:
    """Strings or bytes of any kind as large_string, null where they are not UTF-8, and what is wrong with those."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    data = values.cast(pa.large_binary())
    text = data.view(pa.large_string())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        bad = _invalid(data)
        mask = pa.array(malformed_mask(bad, len(data)))
        return pc.if_else(mask, pa.scalar(None, pa.large_binary()), data).view(pa.large_string()), bad
    return text, {}


def _decode_messages(values: pa.Array) -> tuple[pa.ListArray, dict[int, str]]:
    """Messages of any kind as a column `messages`, null where one is not UTF-8, and what is wrong with those."""
    messages = values.flatten()
    bad: dict[int, str] = {}
    ends = np.cumsum(list_lengths(values))
    children = {}
    for key in MESSAGE_KEYS:
        if messages.type.get_field_index(key) >= 0:
            children[key], wrong = decode(pc.struct_field(messages, key))
            bad.update({int(np.searchsorted(ends, at, side="right")): what for at, what in wrong.items()})
    parts = pa.StructArray.from_arrays(list(children.values()), names=list(children))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return as_messages(pa.LargeListArray.from_arrays(offsets, parts, mask=values.is_null())), bad


def _invalid(data: pa.LargeBinaryArray) -> dict[int, str]:
    bad = {}
    for index, value in enumerate(data):
        try:
            (value.as_py() or b"").decode()
        except UnicodeDecodeError as error:
            bad[index] = f"{error.reason} at byte {error.start} of it"
    return bad


_READER = Reader(_leaf, parse_texts, decode)


def _as_configured(values: pa.Array, field: pa.Field) -> pa.Array:
    """Values of any type (strings as large_string) as a column of `field`."""
    have, want = values.type, field.type
    if field.name in (*CONTENTS, "url"):
        return values if have == want else pa.nulls(len(values), want)
    if pa.types.is_floating(want) and (pa.types.is_floating(have) or pa.types.is_integer(have)):
        return finite(values.cast(pa.float64(), safe=False), want)
    if have == want or (pa.types.is_string(want) and have == pa.large_string()):
        return values.cast(want)
    if pa.types.is_signed_integer(have) and pa.types.is_integer(want):
        return values.cast(want)
    return _by_value(values, want)


def _by_value(values: pa.Array, want: pa.DataType) -> pa.Array:
    """Converts once for each distinct value; a list, struct or map has no distinct ones and is converted one by one."""
    values = _simplified(values)
    if pa.types.is_nested(values.type):
        distinct, codes = values, pa.array(np.arange(len(values)))
    else:
        encoded = values.dictionary_encode()
        distinct, codes = encoded.dictionary, encoded.indices
    convert = converter(want)
    parsed = pa.float64() if pa.types.is_floating(want) else want
    made = pa.array([convert(_python(value)) for value in distinct], parsed)
    return (finite(made, want) if pa.types.is_floating(want) else made).take(codes)


def _simplified(values: pa.Array) -> pa.Array:
    """Numbers as double, times as text (in UTC where they have a zone: a zone's rules may be missing here)."""
    if pa.types.is_decimal(values.type) or pa.types.is_floating(values.type):
        return values.cast(pa.float64())
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC"))
    return values.cast(pa.string()) if pa.types.is_temporal(values.type) else values


def _python(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    # A time inside a list or struct that Python cannot hold, or in a zone that is not known here.
    except (ValueError, OverflowError, KeyError):
        return None


def _read(file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str]) -> Iterator[Records]:
    return read_parquet(file, schema, paths, source.malformed)


def read_names(file: InputFile) -> dict[str, Any]:
    """The paths of a file's columns and of all that is in its first records, with a value where there is one."""
    values: dict[str, Any] = {}
    with storage.open_unmapped(file.uri) as handle, _reading(file, 0):
        parquet, _ = _open(handle, is_whole=is_object_address(file.uri))
        rows = next(parquet.iter_batches(NAMED_RECORDS, use_threads=False), None)
        rows = pa.RecordBatch.from_pylist([], schema=parquet.schema_arrow) if rows is None else rows
        add_column_names(parquet.schema_arrow, rows, values)
    return values


REFINEDWEB = Layout(
    "refinedweb",
    "Parquet with `content`, `url`, `timestamp`, `dump`, `segment` and `image_urls`",
    _read,
    fields={"text": "content"},
    names=read_names,
)
PARQUET = Layout("parquet", "any Parquet, through `fields`", _read, names=read_names)
