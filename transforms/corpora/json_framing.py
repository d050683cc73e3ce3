"""JSON that is not one object a line, put on lines byte for byte: an array of objects, objects over several lines.

```
[                            <newline>
  {"text": "a"},      ->     {"text": "a"}          what was between the records is newlines
  {                          {..."text": "b"...}    newlines inside of a record are tabs (here dots)
    "text": "b"
  }
]
```

No byte moves, so that an offset is that in the file. Inside of a string a tab is as wrong as a newline. Only one record
and the piece at hand are in memory. What the file is, its first MiB says:

| it begins with | it is |
|---|---|
| `[`, and `{` or `]` behind that; no second line begins with `[` after a whole array | one array of records |
| an object over several lines, and no object alone on the second of them | records one after another |
| anything else | lines |
"""

import codecs
import re
from collections.abc import Iterator

import numba
import numpy as np
import orjson

from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora.json_values import load

_HEAD_BYTES = 1 << 20
# A record of an array, or over several lines. As one line it may be four times as long.
_MOST_BYTES = 256 << 20
_ARRAY = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*(?:[{\]]|\Z)")

# What `_put_on_lines` knows of the bytes before: numbers of an int64 array.
_DEPTH, _BEGIN, _IS_CLOSED = 0, 3, 5


def as_lines(pieces: Iterator[bytes], uri: str) -> Iterator[bytes]:
    """The content of a file, as lines.

    Args:
        pieces: the content.
        uri: of the file, for messages.

    Raises:
        FaultyFileError: an array, or an object over several lines, has no end; something stands behind an array or
            between its records; or a record is longer than 256 MiB.
    """
    first: list[bytes] = []
    fault = None
    try:
        while sum(map(len, first)) < _HEAD_BYTES and (piece := next(pieces, None)) is not None:
            first.append(piece)
    except FaultyFileError as error:
        # What was read before it comes first.
        fault = error
    base = _base(b"".join(first)[:_HEAD_BYTES])
    content = _continued(first, fault, pieces)
    yield from content if base is None else _put_on_lines(content, uri, base)


def _continued(first: list[bytes], fault: FaultyFileError | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    if fault is not None:
        raise fault
    yield from rest


def _base(head: bytes) -> int | None:
    """How deep records are: 1 in an array, 0 one after another; None where they are lines."""
    head = head.removeprefix(codecs.BOM_UTF8)
    first, second = _first_lines(head)
    if _ARRAY.match(head):
        return None if second.startswith(b"[") and isinstance(_value(first), list) else 1
    if not first.startswith(b"{") or not second or _value(first) is not None or isinstance(_value(second), dict):
        return None
    state = np.zeros(6, np.int64)
    data = np.frombuffer(head, np.uint8).copy()
    _mark(data, state, 0, 0)
    whole = data.tobytes().strip().partition(b"\n")[0]
    looks_inside = second[:1] in b'"}]' or second[-1:] in b",[{"
    return 0 if looks_inside or isinstance(_value(whole), dict) else None


def _first_lines(head: bytes) -> tuple[bytes, bytes]:
    """The first two of its first thousand lines that are not blank, empty where there is none; the last one may be
    cut."""
    lines = (line.strip() for line in head.split(b"\n", 1000) if line.strip())
    return next(lines, b""), next(lines, b"")


def _value(line: bytes) -> object:
    """The JSON of a line; None where it is none."""
    try:
        return load(line)
    except orjson.JSONDecodeError:
        return None


_WRONG = {
    1: "more follows behind its end",
    2: "a comma is missing before the record",
    3: "a bracket closes nothing",
}


def _put_on_lines(pieces: Iterator[bytes], uri: str, base: int) -> Iterator[bytes]:
    state, offset = np.zeros(6, np.int64), 0
    kind = "one JSON array" if base else "JSON objects over several lines"
    for number, piece in enumerate(pieces):
        data = np.frombuffer(piece, np.uint8).copy()
        skipped = len(codecs.BOM_UTF8) if number == 0 and piece.startswith(codecs.BOM_UTF8) else 0
        wrong, at = _mark(data[skipped:], state, base, offset + skipped)
        offset += len(piece)
        if wrong:
            raise FaultyFileError(f"{uri}: is {kind}, but {_WRONG[wrong]} at byte {at}; mend it", f"byte {at}")
        if state[_DEPTH] > base and offset - state[_BEGIN] > _MOST_BYTES:
            raise FaultyFileError(
                f"{uri}: is {kind}, with one of more than {_MOST_BYTES >> 20} MiB that begins at byte {state[_BEGIN]}; "
                "if the records are in an array inside of it, such as `data`, write them as JSON lines, with "
                "`jq -c '.data[]' FILE` for example",
                f"byte {state[_BEGIN]}",
            )
        yield data.tobytes()
    if state[_DEPTH] > 0 or (base and not state[_IS_CLOSED]):
        begin = f"a record that begins at byte {state[_BEGIN]}" if state[_DEPTH] > base else "its array"
        raise FaultyFileError(
            f"{uri}: is {kind}, and ends within {begin}; fetch the file again and compare its checksum",
            f"byte {state[_BEGIN]}",
            is_damage=True,
        )


@numba.njit(cache=True, nogil=True)
def _mark(data: np.ndarray, state: np.ndarray, base: int, offset: int) -> tuple[int, int]:
    """Puts newlines between the records of a piece, and tabs for newlines in them.

    Args:
        data: the bytes, uint8[n], changed in place.
        state: of the bytes before, int64[6], kept up to date.
        base: how deep records are.
        offset: of the piece in the file.

    Returns:
        A key of `_WRONG` and where that is in the file; 0, 0 where nothing is wrong.
    """
    depth, in_string, is_escaped, begin, needs_comma, is_closed = state
    for index in range(len(data)):
        byte = data[index]
        if in_string:
            if byte == 10:
                data[index] = 9
            if is_escaped:
                is_escaped = 0
            elif byte == 92:  # a backslash
                is_escaped = 1
            elif byte == 34:
                in_string = 0
            continue
        if byte == 32 or byte == 9 or byte == 10 or byte == 13:
            if depth <= base:
                data[index] = 10
            elif byte == 10:
                data[index] = 9
            continue
        if is_closed:
            return 1, offset + index
        if byte == 91 or byte == 123:  # [ {
            if depth == base:
                if base == 1 and needs_comma:
                    return 2, offset + index
                begin = offset + index
            depth += 1
            if depth == base:
                data[index] = 10
        elif byte == 93 or byte == 125:  # ] }
            depth -= 1
            if depth < 0:
                return 3, offset + index
            needs_comma = int(depth == base)
            if depth < base:
                data[index] = 10
                is_closed = 1
        elif byte == 34:
            in_string = 1
        elif byte == 44 and depth == base and base == 1:  # a comma
            data[index] = 10
            needs_comma = 0
    state[0], state[1], state[2], state[3], state[4], state[5] = (
        depth, in_string, is_escaped, begin, needs_comma, is_closed,
    )  # fmt: skip
    return 0, 0
