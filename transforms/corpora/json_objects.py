"""JSON objects, one a line -> columns, a block of lines at once.

```
{"body": "Ada", "meta": {"link": "http://a.org"}, "n": 3}        text    url            n
                                                          ->     Ada     http://a.org   3
{"body": null, "n": "4", "meta": "{\\"link\\": \\"http://b.org\\"}"}   null    http://b.org   4
```

Two parsers read them, and never disagree. Arrow's takes a block at once; where it refuses one, halves of it are tried,
and what is left is read line by line with orjson. Arrow's accepts more than orjson does: several objects on one line,
one over several lines, bytes that are not UTF-8, NaN, and more than 1024 levels. A block with any of the first three is
not given to it, the others are allowed for in `load` and `_row`.

Arrow's is told the type of all that is asked for (`json_types.py`). A string that holds an object is parsed in the same
way, a column at once.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from byline.schemas.documents import CONTENTS
from byline.schemas.field_paths import Parts, readings_of, ways_through
from byline.transforms.corpora.json_types import ValueType, parsed_type
from byline.transforms.corpora.record_values import Columns, Lead, Reader, Want, follow, values_at
from byline.transforms.documents.values import (
    MESSAGE_KEYS,
    as_messages,
    converter,
    finite,
)

# One parse of Arrow's: long enough that its fixed costs vanish, short enough to stay small beside a chunk.
BLOCK_BYTES = 16 << 20
# So many lines of a refused block cost about as much line by line as one more try with Arrow.
_FEW_LINES = 256
# Of a path with more, values are searched for name by name.
_MOST_WAYS = 16
# Records of a refused block that are read for what stands on the way to values.
_SAMPLED = 32


class MalformedError(Exception):
    """Why a record is malformed."""


class JsonColumns:
    """What to take from objects.

    Attributes:
        leads: to all that is wanted.
        wants: the columns, in order.
    """

    def __init__(self, leads: Iterable[Lead]) -> None:
        self.leads = tuple(leads)
        self.wants = list(dict.fromkeys(lead.want for lead in self.leads))
        self._converters = [_converter(want.field) for want in self.wants]
        ways = {want: [lead for lead in self.leads if lead.want == want] for want in self.wants}
        self._readings = [
            [lead.parts for lead in sorted(ways[want], key=lambda lead: lead.rank)] for want in self.wants
        ]
        self._ways = [_few_ways(readings) for readings in self._readings]
        self._root = ValueType()
        for lead in self.leads:
            self._root.grow(lead)
        self.explicit = self._root.schema()

    def learn(self, records: Iterable[Any]) -> bool:
        """Learns from records what stands on the way to values. Returns whether it was taken for something else."""
        for record in records:
            self._root.learn(record)
        before, self.explicit = self.explicit, self._root.schema()
        return self.explicit is not None and self.explicit != before

    def values(self, record: Any) -> list[Any]:
        """The values of a record as orjson gives it, by column. Raises: MalformedError."""
        return [self._value(number, record) for number in range(len(self.wants))]

    def _value(self, number: int, record: Any) -> Any:
        """The first value that is one of the column's type."""
        ways, convert = self._ways[number], self._converters[number]
        for names in ways:
            value = record
            for name in names:
                if value.__class__ is not dict:
                    break
                value = value.get(name)
            else:
                if value is not None and (converted := convert(value)) is not None:
                    return converted
                continue
            if value.__class__ is str or value.__class__ is list:
                return self._value_inside(number, record)
        return None if ways else self._value_inside(number, record)

    def _value_inside(self, number: int, record: Any) -> Any:
        """Likewise, inside of strings and lists, too."""
        for parts in self._readings[number]:
            for value in values_at(record, parts, partial(_open_text, self.wants[number])):
                converted = self._converters[number](value)
                if converted is not None:
                    return converted
        return None

    def empty(self) -> list[pa.Array]:
        return [pa.nulls(0, want.field.type) for want in self.wants]

    def arrays(self, rows: list[list[Any]]) -> list[pa.Array]:
        """Rows of values as columns."""
        if not rows:
            return self.empty()
        kinds = [parsed_type(want.field) for want in self.wants]
        values = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        return [_finished(array, want) for array, want in zip(values, self.wants, strict=True)]


def _few_ways(readings: list[Parts]) -> list[tuple[str, ...]]:
    """All ways to read paths; none where they are many."""
    ways = list(itertools.islice((way for parts in readings for way in ways_through(parts)), _MOST_WAYS + 1))
    return ways if len(ways) <= _MOST_WAYS else []


def has_path(record: Any, path: str) -> bool:
    """Whether a record has a value, or null, at a path."""
    try:
        return any(True for parts in readings_of(path) for _ in values_at(record, parts, _open_any))
    except orjson.JSONDecodeError:
        return False


def _open_any(text: str, parts: Parts) -> Iterator[Any]:
    yield from values_at(load(text.encode()), parts, _open_any)


# --- lines


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
    arrays = _parse_block(block, lines, columns)
    if arrays is None and columns.learn(_some_records(block, lines)):
        arrays = _parse_block(block, lines, columns)
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


# --- a block at once, with Arrow


def _parse_block(block: bytes, lines: np.ndarray, columns: JsonColumns) -> list[pa.Array] | None:
    """Parses a block that ends with a newline; None where a line of it has to be read otherwise."""
    explicit = columns.explicit
    if explicit is None or not _one_object_a_line(block, lines) or not _is_utf8(block):
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(block),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pyarrow.json.ParseOptions(explicit_schema=explicit, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):  # the latter where Arrow's own message cuts a character
        return None
    if table.num_rows != len(lines):
        return None
    record = table.combine_chunks().to_batches()[0]
    made = Columns()
    follow(record.to_struct_array(), columns.leads, _READER, made)
    if made.reasons:
        return None
    return [made.column(want, len(lines)) for want in columns.wants]


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


def _finished(values: pa.Array, want: Want) -> pa.Array:
    if want.field.name == "messages":
        return as_messages(values)
    return finite(values, want.field.type) if pa.types.is_floating(want.field.type) else values


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
        plain = _without_nan(line).strip(b" \t\r") + b"\n"
        # What other records have taught must not matter.
        alone = _parse_block(plain, np.array([[0, len(plain) - 1]]), JsonColumns(columns.leads))
        if alone is None:
            raise MalformedError(f"expected one JSON object a line, {_syntax(line, error)}") from None
        return [column[0].as_py() for column in alone]
    if not isinstance(record, dict):
        raise MalformedError(f"expected a JSON object, found {NAMES[type(record)]}")
    return columns.values(record)


def _syntax(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return f"found bytes that are not UTF-8 at byte {bad.start} of the line"
    return f"found: {error.msg} (character {error.pos} of the line)"


def load(line: bytes) -> Any:
    """The value of a line, with null for NaN and infinities. Raises: orjson.JSONDecodeError."""
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


NAMES = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "an object"}
NAMES[type(None)] = "null"


def _converter(field: pa.Field) -> Callable[[Any], Any]:
    if field.name == "messages":
        return _as_raw_messages
    if field.name in CONTENTS:
        return partial(_as_text, field.name)
    return _as_url if field.name == "url" else converter(field.type)


def _as_text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise MalformedError(f"the {name} is {NAMES[type(value)]}, expected a string")
    return value


def _as_raw_messages(value: Any) -> list[dict[str, Any] | None] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise MalformedError(f"messages is {NAMES[type(value)]}, expected an array of objects")
    for number, message in enumerate(value, 1):
        if message is not None and not isinstance(message, dict):
            raise MalformedError(f"message {number} is {NAMES[type(message)]}, expected an object")
        for key in MESSAGE_KEYS:
            found = None if message is None else message.get(key)
            if found is not None and not isinstance(found, str):
                raise MalformedError(f"{key!r} of message {number} is {NAMES[type(found)]}, expected a string")
    return [None if message is None else {key: message.get(key) for key in MESSAGE_KEYS} for message in value]


def _as_url(value: Any) -> str | None:
    return value if isinstance(value, str) else None


# --- strings that hold JSON


def parse_texts(texts: pa.Array, leads: tuple[Lead, ...]) -> Columns:
    """What paths lead to in the JSON of strings.

    Args:
        texts: large_string [n], with nulls.
        leads: what is wanted of each.

    Returns:
        Columns of n rows, null where a string is null or no JSON; that makes a record malformed only where a document's
        text is wanted of it.
    """
    columns = _columns_of(leads)
    is_object = pc.fill_null(pc.and_(pc.starts_with(texts, "{"), pc.ends_with(texts, "}")), False)
    rows = np.flatnonzero(is_object.to_numpy(zero_copy_only=False))
    pieces, reasons = [], {}
    objects = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
    for low, high in _cuts(objects):
        arrays, why = parse_lines(*_as_lines(objects.slice(low, high - low)), columns)
        pieces.append(arrays)
        reasons.update({int(rows[low + row]): reason for row, reason in why.items()})
    others = np.flatnonzero(pc.and_not(texts.is_valid(), is_object).to_numpy(zero_copy_only=False))
    values, why = _read_texts(texts.take(pa.array(others)), columns)
    reasons.update({int(others[row]): reason for row, reason in why.items()})
    pieces.append(values)
    # Where each row is among objects and others.
    order = np.zeros(len(texts), np.int64)
    order[rows], order[others] = np.arange(len(rows)), len(rows) + np.arange(len(others))
    indices = pa.array(order, mask=texts.is_null().to_numpy(zero_copy_only=False))
    made = Columns()
    for lead, parts in zip(_first_leads(columns), zip(*pieces, strict=True), strict=True):
        made.add(lead, pa.concat_arrays(parts).take(indices))
    if any(want.field.name in CONTENTS for want in columns.wants):
        made.reasons = {row: _in_text(columns, reason) for row, reason in reasons.items()}
    return made


@functools.lru_cache(maxsize=64)
def _columns_of(leads: tuple[Lead, ...]) -> JsonColumns:
    return JsonColumns(leads)


def _first_leads(columns: JsonColumns) -> list[Lead]:
    return [next(lead for lead in columns.leads if lead.want == want) for want in columns.wants]


def _in_text(columns: JsonColumns, reason: str) -> str:
    path = next(want.path for want in columns.wants if want.field.name in CONTENTS)
    return f"{path!r} leads into a string: {reason}"


def _cuts(texts: pa.Array) -> Iterator[tuple[int, int]]:
    """Cuts texts into stretches of about a block."""
    blocks = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False)) // BLOCK_BYTES
    cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(texts)]
    yield from itertools.pairwise(cuts)


def _as_lines(texts: pa.Array) -> tuple[bytes, np.ndarray]:
    """Objects as a block of lines, and where they are in it."""
    if pc.any(pc.match_substring(texts, "\n")).as_py():
        # As wrong as a newline inside of a string, and as right outside of one.
        texts = pc.replace_substring(texts, "\n", "\t")
    joined = pc.binary_join_element_wise(texts, pa.scalar("", texts.type), pa.scalar("\n", texts.type))
    _, offsets, data = joined.buffers()
    bounds = np.frombuffer(offsets, np.int64)[joined.offset : joined.offset + len(joined) + 1]
    block = data[bounds[0] : bounds[-1]].to_pybytes() if len(joined) else b""
    return block, np.stack([bounds[:-1], bounds[1:] - 1], axis=1) - bounds[0]


def _read_texts(texts: pa.Array, columns: JsonColumns) -> tuple[list[pa.Array], dict[int, str]]:
    """Reads JSON one by one, each text once."""
    distinct = texts.dictionary_encode()
    rows, wrong = [], {}
    for number, text in enumerate(distinct.dictionary.to_pylist()):
        try:
            rows.append(_values_in(text, columns))
        except MalformedError as reason:
            rows.append([None] * len(columns.wants))
            wrong[number] = str(reason)
    numbers = distinct.indices.to_pylist() if wrong else []
    reasons = {row: wrong[number] for row, number in enumerate(numbers) if number in wrong}
    return [array.take(distinct.indices) for array in columns.arrays(rows)], reasons


def _values_in(text: str, columns: JsonColumns) -> list[Any]:
    try:
        value = load(text.encode())
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"expected JSON, found: {error.msg} (character {error.pos})") from None
    return columns.values(value)


def _open_text(want: Want, text: str, parts: Parts) -> Iterator[Any]:
    """What a path leads to in the JSON of a string. Raises: MalformedError."""
    try:
        yield from values_at(load(text.encode()), parts, partial(_open_text, want))
    except orjson.JSONDecodeError:
        made = parse_texts(pa.array([text], pa.large_string()), (Lead(want, parts),))
        if made.reasons:
            raise MalformedError(made.reasons[0]) from None
        yield made.column(want, 1)[0].as_py()


def _leaf(values: pa.Array, want: Want) -> tuple[pa.Array, dict[int, str]]:
    values = _finished(values, want)
    return values if values.type == want.field.type else values.cast(want.field.type), {}


def _as_they_are(texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    return texts.cast(pa.large_string()), {}


_READER = Reader(_leaf, parse_texts, _as_they_are)
