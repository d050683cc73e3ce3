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

A dot in a path always goes into a struct; a null struct has null fields.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from byline.errors import BylineError
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import CONTENTS, InputFile
from byline.schemas.layouts import Layout, Records
from byline.transforms.documents.values import (
    CONTENT_KEYS,
    MESSAGE_KEYS,
    ROLE_KEYS,
    as_messages,
    converter,
    field_at,
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


def read_parquet(
    file: InputFile, schema: pa.Schema, paths: Mapping[str, str], malformed: Malformed, batch_bytes: int = BATCH_BYTES
) -> Iterator[Records]:
    """Reads a Parquet file.

    Args:
        file: the file.
        schema: the columns to give: those of `schemas/documents.py` as there, others string, int64, float64, float32 or
            bool.
        paths: column -> where it stands; a dot goes into a struct.
        malformed: whether a malformed record is an error.
        batch_bytes: about how much text to decode at once; no result depends on it.

    Yields:
        For each batch of rows, a batch of `schema` and a mask, bool[rows], of its malformed records.

    Raises:
        BylineError: a malformed record, no column for the text or another that a document is made of, or a file that is
            damaged or no Parquet.
    """
    row = 0
    with storage.open_random(file.uri) as handle:
        with _reading(file, row):
            parquet = pq.ParquetFile(handle, page_checksum_verification=True)
        found = {name: _find(parquet.schema_arrow, paths[name]) for name in schema.names}
        contents = [name for name in CONTENTS if name in found]
        for name in contents:
            _check_content(file, parquet.schema_arrow, name, paths[name], found[name])
        selected = sorted({paths[name] for name, field in found.items() if field is not None})
        batches = _batches(parquet, selected, [paths[name] for name in contents], batch_bytes)
        while True:
            with _reading(file, row):
                rows = next(batches, None)
            if rows is None:
                return
            batch, reasons = _convert(rows, schema, paths, found)
            mask = malformed_mask(reasons, len(rows))
            if reasons and malformed is Malformed.ERROR:
                first = int(mask.argmax())
                raise malformed_error(file.uri, file.source, f"row {row + first}", reasons[first])
            yield batch, mask
            row += len(rows)


@contextmanager
def _reading(file: InputFile, row: int) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise BylineError(
            f"{file.uri}: cannot be read as Parquet from row {row} on ({reason}); "
            "if it is Parquet, fetch the file again and compare its checksum"
        ) from None


def _find(schema: pa.Schema, path: str) -> pa.Field | None:
    """The field a path leads to; a name that a struct has twice leads nowhere."""
    field: pa.Field | None = None
    inside: pa.Schema | pa.StructType = schema
    for key in path.split("."):
        if field is not None:
            if not pa.types.is_struct(field.type):
                return None
            inside = field.type
        index = inside.get_field_index(key)
        if index < 0:
            return None
        field = inside.field(index)
    return field


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = [
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    ]  # fmt: skip
    return any(check(kind) for check in checks)


def _is_messages(kind: pa.DataType) -> bool:
    """Whether a type is a list of structs with a role and a content, of which all that is there is text."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(check(kind) for check in lists) or not pa.types.is_struct(kind.value_type):
        return False
    message = kind.value_type
    have = [key for key in MESSAGE_KEYS if message.get_field_index(key) >= 0]
    is_whole = all(any(key in have for key in keys) for keys in (ROLE_KEYS, CONTENT_KEYS))
    return is_whole and all(_is_text(message.field(key).type) for key in have)


def _check_content(file: InputFile, schema: pa.Schema, name: str, path: str, found: pa.Field | None) -> None:
    advice = missing_advice(file.source, name)
    if found is None:
        columns = ", ".join(schema.names) or "none"
        raise BylineError(f"{file.uri}: no {name} column {path!r}; the columns are {columns}; {advice}")
    is_right, expected = _is_text(found.type), "string"
    if name == "messages":
        is_right, expected = _is_messages(found.type), "list<struct<role: string, content: string>>"
    if not is_right and not pa.types.is_null(found.type):
        raise BylineError(
            f"{file.uri}: the {name} column {path!r} is of type {found.type}, expected {expected}; {advice}"
        )


def _batches(
    parquet: pq.ParquetFile, paths: list[str], contents: list[str], batch_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Decodes one row group after another, so that memory holds one, in batches of about `batch_bytes` of text."""
    leaves = [
        index
        for index in range(len(parquet.schema))
        if any(f"{parquet.schema.column(index).path}.".startswith(f"{path}.") for path in contents)
    ]
    for index in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(index)
        size = sum(group.column(leaf).total_uncompressed_size for leaf in leaves)
        rows = max(1, min(_MOST_ROWS, batch_bytes * group.num_rows // max(1, size)))
        yield from parquet.iter_batches(rows, row_groups=[index], columns=paths, use_threads=False)


def _convert(
    rows: pa.RecordBatch, schema: pa.Schema, paths: Mapping[str, str], found: Mapping[str, pa.Field | None]
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The columns as configured, and why records are malformed."""
    arrays, reasons = [], {}
    for field in schema:
        if found[field.name] is None:
            arrays.append(pa.nulls(len(rows), field.type))
            continue
        values = field_at(rows, paths[field.name].split("."))
        bad: dict[int, str] = {}
        if field.name == "messages" and _is_messages(values.type):
            values, bad = decode_messages(values)
        elif _is_text(values.type):
            values, bad = decode(values)
        reasons.update({index: f"{paths[field.name]!r} is not UTF-8 ({what})" for index, what in bad.items()})
        arrays.append(as_configured(values, field))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    if reasons:
        nothing = pa.nulls(len(rows))
        mask = pa.array(malformed_mask(reasons, len(rows)))
        arrays = [pc.if_else(mask, nothing.cast(array.type), array) for array in batch.columns]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return batch, reasons


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


def decode_messages(values: pa.Array) -> tuple[pa.ListArray, dict[int, str]]:
    """Messages of any kind as a column `messages`, null where one is not UTF-8, and what is wrong with those."""
    messages = values.flatten()
    bad: dict[int, str] = {}
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
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


def as_configured(values: pa.Array, field: pa.Field) -> pa.Array:
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
    except (ValueError, OverflowError):  # a time inside a list or struct that Python cannot hold
        return None


def _read(file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str]) -> Iterator[Records]:
    return read_parquet(file, schema, paths, source.malformed)


def read_names(file: InputFile) -> dict[str, Any]:
    """The names of the columns of a file, and of what is in its structs; without values."""
    with storage.open_random(file.uri) as handle, _reading(file, 0):
        return dict.fromkeys(_names_in(pq.read_schema(handle), ""))


def _names_in(fields: Iterable[pa.Field], prefix: str) -> Iterator[str]:
    for field in fields:
        yield f"{prefix}{field.name}"
        if pa.types.is_struct(field.type):
            yield from _names_in(field.type, f"{prefix}{field.name}.")


REFINEDWEB = Layout(
    "refinedweb",
    "Parquet with `content`, `url`, `timestamp`, `dump`, `segment` and `image_urls`",
    _read,
    fields={"text": "content"},
    names=read_names,
)
PARQUET = Layout("parquet", "any Parquet, through `fields`", _read, names=read_names)
