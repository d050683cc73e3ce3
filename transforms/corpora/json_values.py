"""Values of JSON, one at a time: read with orjson, and taken from a record for a column.

```
{"text": "a", "x": NaN}      load        {"text": "a", "x": None}
{"text": "a" {               load        JSONDecodeError
text, 3                      converter   MalformedError: the text is a number, expected a string
url, 3                       converter   None
```
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
import pyarrow as pa

from byline.schemas.documents import CONTENTS
from byline.schemas.field_paths import Parts, readings_of
from byline.transforms.corpora.record_values import values_at
from byline.transforms.documents.values import MESSAGE_KEYS, converter


class MalformedError(Exception):
    """Why a record is malformed."""


def load(line: bytes) -> Any:
    """The value of a line, with null for NaN and infinities. Raises: orjson.JSONDecodeError."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        if b"NaN" not in line and b"Inf" not in line:
            raise
        return orjson.loads(without_nan(line))


_STRING_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?(?:NaN|Inf(?:inity)?)', re.DOTALL)


def without_nan(line: bytes) -> bytes:
    """Writes `null` for NaN and infinities outside strings."""
    return _STRING_OR_NAN.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", line)


# What messages call a value of each type.
NAMES = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "an object"}
NAMES[type(None)] = "null"


def has_path(record: Any, path: str) -> bool:
    """Whether a record has a value, or null, at a path."""
    return any(True for parts in readings_of(path) for _ in values_in(record, parts))


def values_in(record: Any, parts: Parts) -> Iterator[Any]:
    """What a path leads to in a record, by each way to read it."""
    return values_at(record, parts, _open_any)


def _open_any(text: str, parts: Parts) -> Iterator[Any]:
    try:
        value = load(text.encode())
    except orjson.JSONDecodeError:
        return
    yield from values_at(value, parts, _open_any)


# --- for a column


def column_converter(field: pa.Field) -> Callable[[Any], Any]:
    """Makes any value one of a column, or None; it raises `MalformedError` for a record that is malformed by it."""
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
