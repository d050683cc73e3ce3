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
| text is anything else; the line is no JSON object, is not UTF-8, or has a lone surrogate (`"\\ud800"`) | malformed |
| a number that no double can hold (`1e400`), anywhere | malformed |
| `NaN`, `Infinity`, `-Infinity`, `Inf` as Python and others write them | null |
| `"\\u0000"` in a string | that character |
| one key twice | the last one counts |
| url is not a string | null |
| a field of type string holds another value | its JSON text |
| a field of type int | an integer of 64 bits, a whole number up to 2^53 (`3.0`), or a string that is one |
| a field of type float, a score | a finite number, or a string that is one; -0 is 0; a score is rounded last |
| a field of type bool | `true`, `false`, or those as strings |
| a field or score holds anything else | null |

Two parsers read a file, and never disagree. Arrow's takes a block at once; what it refuses is read line by line with
orjson. Arrow's accepts more than orjson does: several objects on one line, one over several lines, bytes that are not
UTF-8, NaN, and more than 1024 levels. The first three are looked for before its answer is taken, the others are allowed
for in `_load` and `_row`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from byline.errors import BylineError
from schemas.config import Malformed
from schemas.documents import InputFile
from transforms import storage

# One parse of Arrow's: long enough that its fixed costs vanish, short enough to stay small beside a chunk.
BLOCK_BYTES = 16 << 20
# One read: a piece stays in the processor's cache, and an error names its place to within a piece.
_PIECE_BYTES = 1 << 20
# Arrow's parser counts a block's bytes in 31 bits; no document is as long.
_LINE_LIMIT = 1 << 30

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_FOREIGN = {
    b"PAR1": "a Parquet file; set `format: parquet`",
    b"\xfd7zXZ": "compressed with xz, which is not supported; compress it with zstd or gzip",
    b"PK\x03\x04": "a zip archive; unpack it",
}

# Columns as configured, with a mask of the records that are malformed (their values are null).
Records = tuple[pa.RecordBatch, np.ndarray]


def read_json_lines(
    file: InputFile, schema: pa.Schema, paths: Mapping[str, str], malformed: Malformed, block_bytes: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Reads a file of JSON lines.

    Args:
        file: the file; gzip, zstd, bz2 and lz4 are told by its first bytes.
        schema: the columns to give: `text` and `url` as large_string, others string, int64, float64, float32 or bool.
        paths: column -> where it stands in a record; a dot goes into an object.
        malformed: whether a malformed record is an error.
        block_bytes: about how much to parse at once; no result depends on it.

    Yields:
        For each block with a record in it, a batch of `schema` and a mask, bool[rows], of its malformed records.

    Raises:
        BylineError: a malformed record, a file that cannot be read or decompressed, or no record of the first block has
            the text field.
    """
    columns = _columns(schema, paths)
    row = 0
    for offset, block in _blocks(file.uri, block_bytes):
        lines = _line_bounds(block)
        if not len(lines):
            continue
        reasons: dict[int, str] = {}
        batch = _parse_block(block, lines, columns)
        if batch is None:
            batch, reasons = _read_lines(block, lines, columns)
        if row == 0 and batch.column("text").null_count == len(lines) > len(reasons):
            _check_text(file, block, lines, paths["text"])
        mask = malformed_mask(reasons, len(lines))
        if reasons and malformed is Malformed.ERROR:
            first = int(mask.argmax())
            where = f"row {row + first} (byte {offset + lines[first, 0]} of the decompressed file)"
            raise malformed_error(file, where, reasons[first])
        yield batch, mask
        row += len(lines)


def malformed_mask(reasons: Mapping[int, str], rows: int) -> np.ndarray:
    """A mask, bool[rows], of the records that have a reason."""
    mask = np.zeros(rows, bool)
    mask[list(reasons)] = True
    return mask


def malformed_error(file: InputFile, where: str, reason: str) -> BylineError:
    """The error for a malformed record."""
    return BylineError(
        f"{file.uri}: {where}: {reason}; mend the file, or set `malformed: drop` for source {file.source!r} "
        "to drop such records and count them"
    )


# --- bytes


def _codec(uri: str) -> str | None:
    """The compression of a file by its first bytes, behind any skippable frames (zstd and lz4 have the same)."""
    with storage.open_random(uri) as file:
        head = file.read(8)
        while head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:
            behind = file.tell() - len(head) + 8 + int.from_bytes(head[4:8], "little")
            file.seek(min(behind, file.size()))
            head = file.read(8) or b"\x28\xb5\x2f\xfd"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise BylineError(f"{uri}: expected JSON lines, found {what}")
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)


def _pieces(uri: str, size: int) -> Iterator[bytes]:
    """The decompressed content."""
    codec = _codec(uri)
    filesystem, path = storage.resolve(uri)
    reached = 0
    try:
        with filesystem.open_input_stream(path, compression=codec, buffer_size=_PIECE_BYTES) as stream:
            while piece := stream.read(size):
                yield piece
                reached += len(piece)
    except OSError as error:
        what = f"the {codec} data is damaged or cut short" if codec else "the file cannot be read"
        raise BylineError(
            f"{uri}: {what} behind byte {reached} of its {'decompressed ' if codec else ''}content ({error}); "
            "fetch the file again and compare its checksum"
        ) from None


def _blocks(uri: str, block_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cuts the content into blocks of whole lines, each ending with a newline, and gives their offsets; skips a BOM."""
    offset, size, parts = 0, 0, []
    for piece in _pieces(uri, min(_PIECE_BYTES, block_bytes)):
        parts.append(piece)
        size += len(piece)
        end = piece.rfind(b"\n") + 1 if size >= block_bytes else 0
        if end:
            parts[-1] = piece[:end]
            block = b"".join(parts)
            yield _without_bom(offset, block)
            offset, size, parts = offset + len(block), len(piece) - end, [piece[end:]]
        elif size > block_bytes + _LINE_LIMIT:
            raise BylineError(
                f"{uri}: a line of more than {_LINE_LIMIT} bytes behind byte {offset}; expected one JSON object a line"
            )
    if size:
        yield _without_bom(offset, b"".join([*parts, b"\n"]))


def _without_bom(offset: int, block: bytes) -> tuple[int, bytes]:
    return (len(_BOM), block[len(_BOM) :]) if offset == 0 and block.startswith(_BOM) else (offset, block)


def _line_bounds(block: bytes) -> np.ndarray:
    """Where the records are: int64[rows, 2], begin and end of each line that is not blank, without its `\\r\\n`."""
    data = np.frombuffer(block, np.uint8)
    pieces = range(0, len(data), _PIECE_BYTES)
    ends = np.concatenate([np.flatnonzero(data[at : at + _PIECE_BYTES] == ord("\n")) + at for at in pieces])
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == ord("\r")))
    keep = ends > starts
    for index in np.flatnonzero(keep & (data[starts] <= ord(" "))):
        keep[index] = block[starts[index] : ends[index]].strip(_BLANK) != b""
    return np.stack([starts[keep], ends[keep]], axis=1)


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
    own: dict[str, Callable[[Any], Any]] = {"text": _as_text, "url": _as_url}
    converters = [own.get(field.name) or converter(field.type) for field in schema]
    tree: dict[str, Any] = {}
    for path, field in zip(keys, schema, strict=True):
        node: Any = tree
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else None
        # A score is parsed as a double first, so that both parsers round it alike.
        kind = pa.float64() if pa.types.is_floating(field.type) else field.type
        if not isinstance(node, dict) or node.setdefault(path[-1], kind) != kind:
            return _Columns(schema, keys, converters, None)
    return _Columns(schema, keys, converters, pa.schema(list(_struct(tree))))


def _struct(tree: dict[str, Any]) -> pa.StructType:
    return pa.struct([(key, _struct(kind) if isinstance(kind, dict) else kind) for key, kind in tree.items()])


def _finish(values: list[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    floating = [pa.types.is_floating(kind) for kind in schema.types]
    arrays = [
        finite(array, kind) if inexact else array
        for array, kind, inexact in zip(values, schema.types, floating, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def field_at(record: pa.RecordBatch, path: list[str]) -> pa.Array:
    """The column a path leads to; null where a struct on the way is."""
    values = record.column(path[0])
    return pc.struct_field(values, path[1:]) if len(path) > 1 else values


def finite(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Rounds doubles to `kind`; NaN and infinite ones become null, -0 becomes 0."""
    rounded = pc.add(values.cast(kind), pa.scalar(0, kind))
    return pc.if_else(pc.is_finite(rounded), rounded, pa.scalar(None, kind))


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
    kinds = [pa.float64() if pa.types.is_floating(kind) else kind for kind in columns.schema.types]
    values = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    return _finish(values, columns.schema), reasons


def _row(line: bytes, columns: _Columns) -> list[Any]:
    """The values of one record, by column."""
    try:
        record = _load(line)
    except orjson.JSONDecodeError as error:
        # Nested deeper than orjson goes, perhaps in a field that nobody asked for.
        plain = _without_nan(line) + b"\n"
        alone = _parse_block(plain, _line_bounds(plain), columns)
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


def _as_text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _MalformedError(f"the text is {_NAMES[type(value)]}, expected a string")
    return value


def _as_url(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# --- values


def converter(kind: pa.DataType) -> Callable[[Any], Any]:
    """What makes a value of `kind` (string, int64, float64, float32, bool) from any other, or None where it cannot."""
    if pa.types.is_string(kind):
        return _as_string
    if pa.types.is_floating(kind):
        return _as_float
    return _as_int if pa.types.is_integer(kind) else _as_bool


def _as_string(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:  # nested too deep
        return None


def _as_float(value: Any) -> float | None:
    if isinstance(value, str):
        value = _number(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _as_int(value: Any) -> int | None:
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, float) and abs(value) <= 2**53 and value.is_integer():
        return int(value)
    exact = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if exact else None


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def _number(text: str) -> int | float | None:
    """The value of a string that is a JSON number within a double's range."""
    try:
        return orjson.loads(text) if _NUMBER.fullmatch(text) else None
    except orjson.JSONDecodeError:
        return None


# --- errors


def _check_text(file: InputFile, block: bytes, lines: np.ndarray, path: str) -> None:
    """Raises where no record of the first block has the text field: the configuration is wrong, not each record."""
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
        f"{file.uri}: no record has the text field {path!r}; the first has {', '.join(found or ()) or 'no key'}; "
        f"name the right one in sources.{file.source}.fields.text"
    )
