"""JSON objects, one a line -> columns, a block of lines at once.

```
{"body": "Ada", "meta": {"link": "http://a.org"}, "n": 3}        text    url            n
                                                          ->     Ada     http://a.org   3
{"body": null, "n": "4", "meta": "{\\"link\\": \\"http://b.org\\"}"}   null    http://b.org   4
```

Two parsers read them, and never disagree. Arrow's takes a block at once (`json_blocks.py`); where it refuses one,
halves of it are tried, and what is left is read line by line with orjson.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from byline.transforms.corpora.json_blocks import parse_block
from byline.transforms.corpora.json_columns import JsonColumns
from byline.transforms.corpora.json_values import NAMES, MalformedError, load, without_nan

# One parse of Arrow's: long enough that its fixed costs vanish, short enough to stay small beside a chunk.
BLOCK_BYTES = 16 << 20
# So many lines of a refused block cost about as much line by line as one more try with Arrow.
_FEW_LINES = 256
# Levels that orjson reads (its RECURSION_LIMIT); a line with fewer openings is no deeper.
_DEEP = 1024
# Records of a refused block that are read for what stands on the way to values.
_SAMPLED = 32


def parse_lines(block: bytes, lines: np.ndarray, columns: JsonColumns) -> tuple[list[pa.Array], dict[int, str]]:
    """Parses lines.

    Args:
        block: the lines; it ends with a newline.
        lines: where they begin and end in it, int64[lines, 2]; none is blank.
        columns: what to take from each.

    Returns:
        The columns, null in malformed records, and why those are malformed.
    """
    if not len(lines):
        return columns.empty(), {}
    arrays, reasons, _ = _parse_halves(block, lines, columns)
    return arrays, reasons


def _parse_halves(block: bytes, lines: np.ndarray, columns: JsonColumns) -> tuple[list[pa.Array], dict[int, str], bool]:
    """The columns, the reasons, and whether Arrow's parser took any of the lines."""
    arrays = parse_block(block, lines, columns)
    if arrays is None and columns.learn(_some_records(block, lines)):
        arrays = parse_block(block, lines, columns)
    if arrays is not None:
        return arrays, {}, True
    if len(lines) <= _FEW_LINES or columns.explicit is None:
        return *_read_lines(block, lines, columns), False
    middle = len(lines) // 2
    first, first_reasons, is_taken = _parse_halves(*_part(block, lines[:middle]), columns)
    rest = _part(block, lines[middle:])
    # Where it took nothing of a long half, it would hardly take the other.
    is_tried = is_taken or middle <= 4 * _FEW_LINES
    second, second_reasons, is_second_taken = (
        _parse_halves(*rest, columns) if is_tried else (*_read_lines(*rest, columns), False)
    )
    joined = [pa.concat_arrays(pair) for pair in zip(first, second, strict=True)]
    reasons = {**first_reasons, **{middle + row: reason for row, reason in second_reasons.items()}}
    return joined, reasons, is_taken or is_second_taken


def _part(block: bytes, lines: np.ndarray) -> tuple[bytes, np.ndarray]:
    return block[lines[0, 0] : lines[-1, 1]] + b"\n", lines - lines[0, 0]


def _some_records(block: bytes, lines: np.ndarray) -> Iterator[Any]:
    for start, end in lines[:: max(1, len(lines) // _SAMPLED)].tolist():
        try:
            yield load(block[start:end])
        except orjson.JSONDecodeError:
            continue


# --- line by line, with orjson


def _read_lines(block: bytes, lines: np.ndarray, columns: JsonColumns) -> tuple[list[pa.Array], dict[int, str]]:
    rows: list[list[Any]] = []
    reasons: dict[int, str] = {}
    for index, (start, end) in enumerate(lines.tolist()):
        try:
            rows.append(_row(block[start:end], columns))
        except MalformedError as reason:
            rows.append([None] * len(columns.wants))
            reasons[index] = str(reason)
    return columns.arrays(rows), reasons


def _row(line: bytes, columns: JsonColumns) -> list[Any]:
    """The values of one record, by column."""
    try:
        record = load(line)
    except orjson.JSONDecodeError as error:
        # Nested deeper than orjson goes, perhaps in a field that nobody asked for.
        alone = _parse_deep(line, columns) if line.count(b"{") + line.count(b"[") >= _DEEP else None
        if alone is None:
            raise MalformedError(f"expected one JSON object a line, {_syntax(line, error)}") from None
        return [column[0].as_py() for column in alone]
    if not isinstance(record, dict):
        raise MalformedError(f"expected a JSON object, found {NAMES[type(record)]}")
    return columns.values(record)


def _parse_deep(line: bytes, columns: JsonColumns) -> list[pa.Array] | None:
    plain = without_nan(line).strip(b" \t\r") + b"\n"
    # What other records have taught must not matter.
    return parse_block(plain, np.array([[0, len(plain) - 1]]), JsonColumns(columns.leads, columns.texts))


def _syntax(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return f"found bytes that are not UTF-8 at byte {bad.start} of the line"
    return f"found: {error.msg} (character {error.pos} of the line)"
