"""Reads JSON lines: a file, compressed or not -> record batches, one for each block of about 16 MiB of whole lines.

```
{"body": "Ada", "meta": {"link": "http://a.org"}, "n": 3}        text    url            n
                                                          ->     Ada     http://a.org   3
{"body": null, "n": "4", "other": [1]}                           null    null           4
```

A record is a line that is not blank (only spaces, tabs, carriage returns), and is one JSON object in UTF-8. What it
means depends on that line alone:

| in the line | result |
|---|---|
| text is a string or null; a field is absent | its value; null |
| messages, question or answer, where they are asked for | as text; messages as `documents/values.py` has them |
| text is anything else; the line is no JSON object, is not UTF-8, or has a lone surrogate (`"\\ud800"`) | malformed |
| a number that no double can hold (`1e400`), anywhere | malformed |
| `NaN`, `Infinity`, `-Infinity`, `Inf` as Python and others write them | null |
| `"\\u0000"` in a string | that character |
| one key twice | the last one counts |
| url is not a string | null |
| a field or score holds a value of another type than configured | as `byline.transforms.documents.values` makes it |

What a file's bytes and lines are, `byline.transforms.corpora.decompressing` says.

Two parsers read a file, and never disagree. Arrow's takes a block at once; what it refuses is read line by line with
orjson. Arrow's accepts more than orjson does: several objects on one line, one over several lines, bytes that are not
UTF-8, NaN, and more than 1024 levels. The first three are looked for before its answer is taken, the others are allowed
for in `_load` and `_row`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json

from byline.errors import BylineError
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import CONTENTS, InputFile
from byline.schemas.layouts import Layout, Records
from byline.transforms.corpora.decompressing import line_bounds, read_blocks
from byline.transforms.documents.values import (
    MESSAGE_KEYS,
    RAW_MESSAGES,
    as_messages,
    converter,
    field_at,
    finite,
    malformed_error,
    malformed_mask,
    missing_advice,
)

# One parse of Arrow's: long enough that its fixed costs vanish, short enough to stay small beside a chunk.
BLOCK_BYTES = 16 << 20
# Of a file, what its fields are told from; records of one file have much the same.
_NAMED_BYTES, _NAMED_RECORDS = 1 << 20, 1000


def read_json_lines(
    file: InputFile, schema: pa.Schema, paths: Mapping[str, str], malformed: Malformed, block_bytes: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Reads a file of JSON lines.

    Args:
        file: the file; gzip, zstd, bz2 and lz4 are told by its first bytes.
        schema: the columns to give: those of `schemas/documents.py` as there, others string, int64, float64, float32 or
            bool.
        paths: column -> where it stands in a record; a dot goes into an object.
        malformed: whether a malformed record is an error.
        block_bytes: about how much to parse at once; no result depends on it.

    Yields:
        For each block with a record in it, a batch of `schema` and a mask, bool[rows], of its malformed records.

    Raises:
        BylineError: a malformed record, a file that cannot be read or decompressed, or no record of the first block has
            the text field, or another that a document is made of.
    """
    columns = _columns(schema, paths)
    row = 0
    for offset, block in read_blocks(file.uri, block_bytes):
        lines = line_bounds(block)
        if not len(lines):
            continue
        reasons: dict[int, str] = {}
        batch = _parse_block(block, lines, columns)
        if batch is None:
            batch, reasons = _read_lines(block, lines, columns)
        for name in CONTENTS:
            if row == 0 and name in columns.schema.names and batch[name].null_count == len(lines) > len(reasons):
                _check_field(file, block, lines, name, paths[name])
        mask = malformed_mask(reasons, len(lines))
        if reasons and malformed is Malformed.ERROR:
            first = int(mask.argmax())
            where = f"row {row + first} (byte {offset + lines[first, 0]} of the decompressed file)"
            raise malformed_error(file.uri, file.source, where, reasons[first])
        yield batch, mask
        row += len(lines)


# --- columns


class _Columns(NamedTuple):
    """What to take from a record.

    Attributes:
        schema: the columns to give.
        paths: the keys that lead to each.
        converters: what makes each from a value as orjson gives it.
        explicit: the schema for Arrow's parser, or None where two columns want one value as different types.
    """

    schema: pa.Schema
    paths: list[list[str]]
    converters: list[Callable[[Any], Any]]
    explicit: pa.Schema | None


def _columns(schema: pa.Schema, paths: Mapping[str, str]) -> _Columns:
    keys = [paths[name].split(".") for name in schema.names]
    converters = [_converter(field) for field in schema]
    tree: dict[str, Any] = {}
    for path, field in zip(keys, schema, strict=True):
        node: Any = tree
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else None
        kind = _parsed(field)
        if not isinstance(node, dict) or node.setdefault(path[-1], kind) != kind:
            return _Columns(schema, keys, converters, None)
    return _Columns(schema, keys, converters, pa.schema(list(_struct(tree))))


def _converter(field: pa.Field) -> Callable[[Any], Any]:
    if field.name == "messages":
        return _as_raw_messages
    if field.name in CONTENTS:
        return partial(_as_text, field.name)
    return _as_url if field.name == "url" else converter(field.type)


def _parsed(field: pa.Field) -> pa.DataType:
    """What to parse a value as: a score as a double, so that both parsers round it alike."""
    if field.name == "messages":
        return RAW_MESSAGES
    return pa.float64() if pa.types.is_floating(field.type) else field.type


def _struct(tree: dict[str, Any]) -> pa.StructType:
    return pa.struct([(key, _struct(kind) if isinstance(kind, dict) else kind) for key, kind in tree.items()])


def _finish(values: list[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for array, field in zip(values, schema, strict=True):
        if field.name == "messages":
            arrays.append(as_messages(array))
        else:
            arrays.append(finite(array, field.type) if pa.types.is_floating(field.type) else array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# --- a block at once, with Arrow


def _parse_block(block: bytes, lines: np.ndarray, columns: _Columns) -> pa.RecordBatch | None:
    """Parses a block that ends with a newline; None where a line of it needs a closer look."""
    if columns.explicit is None or not _one_object_a_line(block, lines) or not _is_utf8(block):
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(block),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pyarrow.json.ParseOptions(explicit_schema=columns.explicit, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):  # the latter where Arrow's own message cuts a character
        return None
    if table.num_rows != len(lines):
        return None
    record = table.combine_chunks().to_batches()[0]
    values = [field_at(record, path) for path in columns.paths]
    return _finish(values, columns.schema)


def _one_object_a_line(block: bytes, lines: np.ndarray) -> bool:
    """Whether every line is one object, given that Arrow's parser finds as many objects as lines and no error.

    For that parser a newline is a space, and it stops at a NUL. But a line that ends with `}` and a next one that
    begins with `{` cannot be inside one object: a comma would be missing. So each line holds an object and perhaps more
    behind it, and by their number no more. A first line that begins otherwise must not reach it: pyarrow 25 crashes
    on `null`.
    """
    data = np.frombuffer(block, np.uint8)
    begin = (data[lines[:, 0]] == ord("{")).all()
    return bool(begin and (data[lines[:, 1] - 1] == ord("}")).all()) and b"\0" not in block


def _is_utf8(block: bytes) -> bool:
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(block)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


# --- line by line, with orjson


class _MalformedError(Exception):
    """Why a record is malformed."""


def _read_lines(block: bytes, lines: np.ndarray, columns: _Columns) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Reads a block line by line: the batch, with nulls for malformed records, and why those are malformed."""
    rows: list[list[Any]] = []
    reasons: dict[int, str] = {}
    for index, (start, end) in enumerate(lines.tolist()):
        try:
            rows.append(_row(block[start:end], columns))
        except _MalformedError as reason:
            rows.append([None] * len(columns.paths))
            reasons[index] = str(reason)
    kinds = [_parsed(field) for field in columns.schema]
    values = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    return _finish(values, columns.schema), reasons


def _row(line: bytes, columns: _Columns) -> list[Any]:
    """The values of one record, by column."""
    try:
        record = _load(line)
    except orjson.JSONDecodeError as error:
        # Nested deeper than orjson goes, perhaps in a field that nobody asked for.
        plain = _without_nan(line) + b"\n"
        alone = _parse_block(plain, line_bounds(plain), columns)
        if alone is None:
            raise _MalformedError(f"expected one JSON object a line, {_syntax(line, error)}") from None
        return [column[0].as_py() for column in alone.columns]
    if not isinstance(record, dict):
        raise _MalformedError(f"expected a JSON object, found {_NAMES[type(record)]}")
    return [convert(_find(record, path)) for convert, path in zip(columns.converters, columns.paths, strict=True)]


def _syntax(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return f"found bytes that are not UTF-8 at byte {bad.start} of the line"
    return f"found: {error.msg} (character {error.pos} of the line)"


def _load(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        if b"NaN" not in line and b"Inf" not in line:
            raise
        return orjson.loads(_without_nan(line))


_STRING_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?(?:NaN|Inf(?:inity)?)', re.DOTALL)


def _without_nan(line: bytes) -> bytes:
    """Writes `null` for NaN and infinities outside strings."""
    return _STRING_OR_NAN.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", line)


def _find(record: Any, path: list[str]) -> Any:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


_NAMES = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "an object"}
_NAMES[type(None)] = "null"


def _as_text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _MalformedError(f"the {name} is {_NAMES[type(value)]}, expected a string")
    return value


def _as_raw_messages(value: Any) -> list[dict[str, Any] | None] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _MalformedError(f"messages is {_NAMES[type(value)]}, expected an array of objects")
    for number, message in enumerate(value, 1):
        if message is not None and not isinstance(message, dict):
            raise _MalformedError(f"message {number} is {_NAMES[type(message)]}, expected an object")
        for key in MESSAGE_KEYS:
            found = None if message is None else message.get(key)
            if found is not None and not isinstance(found, str):
                raise _MalformedError(f"{key!r} of message {number} is {_NAMES[type(found)]}, expected a string")
    return [None if message is None else {key: message.get(key) for key in MESSAGE_KEYS} for message in value]


def _as_url(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# --- errors


def _check_field(file: InputFile, block: bytes, lines: np.ndarray, name: str, path: str) -> None:
    """Raises where no record of the first block has the field: the configuration is wrong, not each record."""
    *folders, last = path.split(".")
    found: list[str] | None = None
    for start, end in lines.tolist():
        try:
            record = _load(block[start:end])
        except orjson.JSONDecodeError:
            continue
        inside = _find(record, folders)
        if isinstance(inside, dict) and last in inside:
            return
        found = list(record) if found is None and isinstance(record, dict) else found
    raise BylineError(
        f"{file.uri}: no record has the {name} field {path!r}; the first has {', '.join(found or ()) or 'no key'}; "
        f"{missing_advice(file.source, name)}"
    )


def _read(file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str]) -> Iterator[Records]:
    return read_json_lines(file, schema, paths, source.malformed)


def read_names(file: InputFile) -> dict[str, Any]:
    """The names of the fields of a file's first records, with the first value of each that is not null."""
    values: dict[str, Any] = {}
    for _, block in read_blocks(file.uri, _NAMED_BYTES):
        for start, end in line_bounds(block)[:_NAMED_RECORDS].tolist():
            try:
                _add_names(_load(block[start:end]), "", values)
            except orjson.JSONDecodeError:
                continue
        if values:
            break
    return values


def _add_names(record: Any, prefix: str, values: dict[str, Any]) -> None:
    for key, value in record.items() if isinstance(record, dict) else ():
        name = f"{prefix}{key}"
        if values.setdefault(name, value) is None:
            values[name] = value
        _add_names(value, f"{name}.", values)


DCLM = Layout("dclm", "JSON lines with `text` and `url`", _read, names=read_names)
C4 = Layout("c4", "JSON lines with `text`, `timestamp` and `url`", _read, names=read_names)
JSONL = Layout("jsonl", "any JSON lines, through `fields`", _read, names=read_names)
