"""Reads JSON lines: a file, compressed or not -> record batches, one for each block of about 16 MiB of whole lines.

```
{"body": "Ada", "meta": {"link": "http://a.org"}, "n": 3}        text    url            n
                                                          ->     Ada     http://a.org   3
{"body": null, "n": "4", "other": [1]}                           null    null           4
{"body": "B", "meta": "{\\"link\\": \\"http://b.org\\"}"}             B       http://b.org   null
```

A record is a line that is not blank (only spaces, tabs, carriage returns), and is one JSON object in UTF-8; or an
object of one JSON array, or one over several lines (`json_framing.py`). What it means depends on that line alone:

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

What a file's bytes and lines are, `byline.transforms.corpora.decompressing` says; where a path leads,
`byline.transforms.corpora.record_values`.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from byline.schemas.corpora import MAX_DOCUMENT, Malformed, Source
from byline.schemas.documents import CONTENTS, InputFile
from byline.schemas.faults import FaultyFileError
from byline.schemas.layouts import Layout, Records
from byline.transforms.corpora.decompressing import line_bounds, read_blocks
from byline.transforms.corpora.json_columns import JsonColumns
from byline.transforms.corpora.json_objects import BLOCK_BYTES, parse_lines
from byline.transforms.corpora.json_rows import line_limit, only_lines, read_json_rows
from byline.transforms.corpora.json_texts import json_columns
from byline.transforms.corpora.json_values import has_path, load
from byline.transforms.corpora.record_names import NAMED_RECORDS, add_names
from byline.transforms.corpora.record_values import leads_of, wants_of
from byline.transforms.corpora.returning import Returning
from byline.transforms.corpora.signatures import HEAD_BYTES, likely_format
from byline.transforms.documents.rejects import REJECT_HEAD_BYTES
from byline.transforms.documents.values import malformed_error, malformed_mask, missing_advice, too_long_error

# Of a file, what its fields are told from; records of one file have much the same.
_NAMED_BYTES = 1 << 20
# Of a longer record only the first bytes are known, when it lacks a text.
_MOST_READ, _HEAD_BYTES = 16 << 20, 1 << 16
_ARRAY_OF_OBJECTS = re.compile(rb'(?P<key>"(?:[^"\\]|\\.)*")\s*:\s*\[\s*\{')


def read_json_lines(
    file: InputFile,
    schema: pa.Schema,
    paths: Mapping[str, str],
    malformed: Malformed,
    block_bytes: int = BLOCK_BYTES,
    max_document: int = MAX_DOCUMENT,
    tells_kind: bool = True,
) -> Generator[Records, None, str | None]:
    """Reads a file of JSON lines.

    Args:
        file: the file; gzip, zstd, bz2, xz and lz4 are told by its first bytes.
        schema: the columns to give: those of `schemas/documents.py` as there, others string, int64, float64, float32 or
            bool.
        paths: column -> path (`byline.schemas.field_paths`) of its values.
        malformed: whether a malformed record is an error.
        block_bytes: about how much to parse at once; no result depends on it.
        max_document: a line of more than four times these bytes is too long, whatever is in it.
        tells_kind: whether a file whose first records are all malformed is an error that says what it looks like.

    Yields:
        The records of each block that has any, with the columns of `schema`.

    Returns:
        The checksum of the file (`RawStream.checksum`).

    Raises:
        FaultyFileError: a malformed record, a file that cannot be read or decompressed, or no record of the first block
            has the text field, or another that a document is made of.
    """
    columns = json_columns(leads_of(wants_of(schema, paths)))
    row = 0
    limit = line_limit(max_document)
    long_lines: dict[int, int] = {}
    blocks: Returning[tuple[int, bytes], str] = Returning(read_blocks(file.uri, block_bytes, limit, long_lines))
    for offset, block in blocks:
        # The head of a line that is too long counts though it may be blank.
        lines = np.array([[0, len(block) - 1]]) if offset in long_lines else line_bounds(block)
        if not len(lines):
            continue
        sizes = lines[:, 1] - lines[:, 0]
        if offset in long_lines:
            sizes[0] = long_lines[offset]
        arrays, bad = _parse_possible(block, lines, sizes > limit, columns)
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if row == 0:
            without = [
                name
                for name in CONTENTS
                if name in schema.names and batch[name].null_count == len(lines) > bad.dropped.sum()
            ]
            _check_first_block(file, block, lines, bad, {name: paths[name] for name in without}, malformed, tells_kind)
        if malformed is Malformed.ERROR and bad.dropped.any():
            first = int(bad.dropped.argmax())
            where = f"row {row + first} (byte {offset + lines[first, 0]} of the decompressed file)"
            if bad.too_long[first]:
                raise too_long_error(file.uri, file.source, where, int(sizes[first]), max_document)
            raise malformed_error(file.uri, file.source, where, bad.reason(first, block, lines, columns))
        yield Records(batch, bad.dropped & ~bad.too_long, bad.too_long, _LineOrigins(block, offset, lines, bad))
        row += len(lines)
    return blocks.value


@dataclass(frozen=True)
class _Bad:
    """Which lines of a block are dropped.

    Attributes:
        dropped: bool[lines].
        too_long: bool[lines], some of these.
        reasons: why others are malformed, where they were parsed.
    """

    dropped: np.ndarray
    too_long: np.ndarray
    reasons: dict[int, str]

    def reason(self, line: int, block: bytes, lines: np.ndarray, columns: JsonColumns) -> str:
        """Why a line is malformed."""
        if line in self.reasons:
            return self.reasons[line]
        start, end = lines[line].tolist()
        _, reasons = parse_lines(block[start:end] + b"\n", np.array([[0, end - start]]), columns)
        return reasons[0]


@dataclass(frozen=True)
class _LineOrigins:
    """The lines of a block; an `Origins`.

    Attributes:
        block: the lines.
        offset: of the block in the decompressed file.
        lines: int64[rows, 2], where they begin and end in it.
        bad: which of them are dropped.
    """

    block: bytes
    offset: int
    lines: np.ndarray
    bad: _Bad

    def of(self, rows: np.ndarray) -> tuple[pa.Array, pa.Array, pa.Array]:
        starts = self.lines[rows, 0]
        sizes = np.minimum(self.lines[rows, 1] - starts, REJECT_HEAD_BYTES)
        ends = np.concatenate([[0], np.cumsum(sizes)])
        into = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], sizes)
        heads = np.frombuffer(self.block, np.uint8)[into]
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(heads)]
        parsed = self.bad.reasons
        no_object = "expected a JSON object"
        is_bad = self.bad.dropped & ~self.bad.too_long
        whys = [parsed.get(row, no_object) if is_bad[row] else None for row in rows.tolist()]
        return (
            pa.array(self.offset + starts),
            pa.array(whys, pa.string()),
            pa.Array.from_buffers(pa.binary(), len(rows), buffers),
        )


def _parse_possible(
    block: bytes, lines: np.ndarray, too_long: np.ndarray, columns: JsonColumns
) -> tuple[list[pa.Array], _Bad]:
    """Parses the lines that can be objects: one that begins otherwise is none, however many of them there are."""
    first = np.frombuffer(block, np.uint8)[lines[:, 0]]
    # White space before an object is left to the parser.
    is_other = ~np.isin(first, np.frombuffer(b"{ \t\r", np.uint8)) | too_long
    if not is_other.any():
        arrays, reasons = parse_lines(block, lines, columns)
        return arrays, _Bad(malformed_mask(reasons, len(lines)), too_long, reasons)
    rows = np.flatnonzero(~is_other)
    arrays, reasons = parse_lines(*only_lines(block, lines[rows]), columns)
    reasons = {int(rows[line]): reason for line, reason in reasons.items()}
    parsed_rows = pa.array(np.cumsum(~is_other) - 1, mask=is_other)
    dropped = is_other | malformed_mask(reasons, len(lines))
    return [array.take(parsed_rows) for array in arrays], _Bad(dropped, too_long, reasons)


# --- errors


def _check_first_block(
    file: InputFile,
    block: bytes,
    lines: np.ndarray,
    bad: _Bad,
    missing: dict[str, str],
    malformed: Malformed,
    tells_kind: bool,
) -> None:
    """Raises where the first block says that the file is not what the source says.

    Args:
        missing: column of a document -> its path, of those that no record has.
    """
    for name, path in missing.items():
        if tells_kind:
            _check_not_wrapped(file, block, lines)
        if malformed is Malformed.ERROR:
            _check_field(file, block, lines, name, path)
    if tells_kind and (bad.dropped[0] if malformed is Malformed.ERROR else bad.dropped.all()):
        _check_kind(file, block, lines, malformed)


def _check_not_wrapped(file: InputFile, block: bytes, lines: np.ndarray) -> None:
    """Raises where the file is one object with an array of objects in it."""
    array = _ARRAY_OF_OBJECTS.search(block[:_HEAD_BYTES]) if len(lines) == 1 else None
    if array is not None:
        key = array["key"].decode(errors="replace")
        raise FaultyFileError(
            f"{file.uri}: is one JSON object, whose {key} is an array of objects; if those are the records, write "
            f"them as JSON lines, with `jq -c '.[{key}][]' FILE` for example"
        )


def _check_field(file: InputFile, block: bytes, lines: np.ndarray, name: str, path: str) -> None:
    """Raises where no record of the first block has the field: the configuration is wrong, not each record."""
    first: dict[str, Any] | None = None
    for start, end in lines.tolist():
        if end - start > _MOST_READ:
            continue
        try:
            record = load(block[start:end])
        except orjson.JSONDecodeError:
            continue
        if has_path(record, path):
            return
        first = record if first is None and isinstance(record, dict) else first
    raise FaultyFileError(
        f"{file.uri}: no record has the {name} field {path!r}; the first has {', '.join(first or ()) or 'no key'}; "
        f"{missing_advice(file.source, name)}"
    )


def _check_kind(file: InputFile, block: bytes, lines: np.ndarray, malformed: Malformed) -> None:
    """Raises where not only the first record is wrong; what looks like JSON may be dropped."""
    line, kind = block[lines[0, 0] : lines[0, 1]], None
    try:
        value = load(line)
    except orjson.JSONDecodeError as error:
        kind = likely_format(block[:HEAD_BYTES])
        if kind is None and malformed is Malformed.ERROR:
            kind = _almost_json(line, error)
    else:
        if isinstance(value, list) and malformed is Malformed.ERROR:
            kind = _kind_of_array(value)
    if kind is not None:
        raise FaultyFileError(f"{file.uri}: expected JSON lines, found {kind}")


def _kind_of_array(items: Sequence[Any]) -> str:
    """What a line is that is an array, and what to do with it."""
    if any(isinstance(item, dict) for item in items):
        return "an array of objects; write each on a line of its own, with `jq -c '.[]' FILE` for example"
    return "an array whose items are no objects; write each record as one, with its text under a key"


def _almost_json(line: bytes, error: orjson.JSONDecodeError) -> str | None:
    """What a line is that is no JSON, but begins so, and what to do with it; None where that is not known."""
    if line.lstrip().startswith(b"["):
        return _kind_of_array(())
    if len(line) > _HEAD_BYTES or not error.msg.startswith("unexpected content after document"):
        return None
    behind = line.decode(errors="replace")[error.pos :].strip()
    if behind == ",":
        return "a comma behind each object; remove them, with `sed 's/,\r*$//' FILE` for example"
    if behind.startswith("{"):
        return "several objects on one line; write each on its own, with `jq -c . FILE` for example"
    return None


def _read(file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str]) -> Iterator[Records]:
    tells_kind = source.max_rejected < 1
    return read_json_lines(
        file, schema, paths, source.malformed, max_document=source.max_document, tells_kind=tells_kind
    )


def read_names(file: InputFile) -> dict[str, Any]:
    """The paths of all that is in a file's first records, with the first value of each that is not null."""
    values: dict[str, Any] = {}
    for _, block in read_blocks(file.uri, _NAMED_BYTES):
        for start, end in line_bounds(block)[:NAMED_RECORDS].tolist():
            try:
                add_names(load(block[start:end]), values)
            except orjson.JSONDecodeError:
                continue
        if values:
            break
    return values


DCLM = Layout("dclm", "JSON lines with `text` and `url`", _read, names=read_names, read_rows=read_json_rows)
C4 = Layout("c4", "JSON lines with `text`, `timestamp` and `url`", _read, names=read_names, read_rows=read_json_rows)
JSONL = Layout("jsonl", "any JSON lines, through `fields`", _read, names=read_names, read_rows=read_json_rows)
