"""What the readers of all layouts share: raw values converted to a field's configured type, and malformed records.

```
raw value           string           int      float, score     bool
"3"                 "3"              3        3.0              null
3.0                 "3.0"            3        3.0              null
"true"              "true"           null     null             true
[1, {"a": null}]    [1,{"a":null}]   null     null             null
```

| field of type | gets |
|---|---|
| string | a string as it is, any other value as its JSON text |
| int | an integer of 64 bits, a whole number up to 2^53 (`3.0`), or a string that is one of these |
| float, a score | a finite number, or a string that is one; -0 becomes 0; a score is rounded last |
| bool | `true`, `false`, or these as strings |
| any | null for anything else |

A string is a number if it is written as in JSON: no space, no `+`, no leading zero, no NaN.

The columns that make a document (`CONTENTS`) are stricter: a value that is neither null nor of their type makes the
record malformed. Messages are a list of objects; these keys of each are read:

```
{"role": "user", "content": "Hi"}   {"from": "human", "value": "Hi"}   {"name": "x"}
role    content                     role    content                    role   content
user    Hi                          human   Hi                         null   null
```
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import MESSAGES
from byline.schemas.faults import FaultyFileError
from byline.transforms.documents.text_parts import list_lengths

# The keys that are read of a message, in order of precedence.
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value")
MESSAGE_KEYS = (*ROLE_KEYS, *CONTENT_KEYS)
RAW_MESSAGES = pa.list_(pa.struct([(key, pa.string()) for key in MESSAGE_KEYS]))


# --- one value


def converter(kind: pa.DataType) -> Callable[[Any], Any]:
    """A function that converts any value to `kind` (string, int64, float64, float32, bool), or to None if it cannot.

    Floats come out as doubles, infinite ones too; `finite` then rounds a whole column and clears those.
    """
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


# --- one column


def finite(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Rounds doubles to `kind`; NaN and infinities become null, -0 becomes 0."""
    rounded = pc.add(values.cast(kind), pa.scalar(0, kind))
    return pc.if_else(pc.is_finite(rounded), rounded, pa.scalar(None, kind))


def as_messages(raw: pa.Array) -> pa.Array:
    """A column `messages` from lists of structs that have some of `MESSAGE_KEYS`, as strings."""
    messages = raw.flatten()
    children = [_first_of(messages, ROLE_KEYS), _first_of(messages, CONTENT_KEYS)]
    parts = pa.StructArray.from_arrays(children, fields=list(MESSAGES.type.value_type))
    offsets = pa.array(np.concatenate([[0], np.cumsum(list_lengths(raw))]), pa.int32())
    return pa.ListArray.from_arrays(offsets, parts, type=MESSAGES.type, mask=raw.is_null())


def _first_of(messages: pa.Array, keys: tuple[str, ...]) -> pa.Array:
    """The first of these fields that is not null in each struct; null where none is."""
    fields = [pc.struct_field(messages, key) for key in keys if messages.type.get_field_index(key) >= 0]
    if not fields:
        return pa.nulls(len(messages), pa.string())
    return pc.coalesce(*(values.cast(pa.string()) for values in fields))


# --- malformed records


def malformed_mask(reasons: Mapping[int, str], rows: int) -> np.ndarray:
    """A mask, bool [rows], of the records that `reasons` has a reason for."""
    mask = np.zeros(rows, bool)
    mask[list(reasons)] = True
    return mask


def malformed_error(file: str, source: str, where: str, reason: str) -> FaultyFileError:
    """The error for a malformed record."""
    return FaultyFileError(
        f"{file}: {where}: {reason}; fix the file, or set `malformed: drop` for source {source!r} "
        "to drop such records and count them",
        where,
    )


def too_long_error(file: str, source: str, where: str, size: int, limit: int) -> FaultyFileError:
    """The error for a record that is longer than the source's `max_document`."""
    return FaultyFileError(
        f"{file}: {where}: {size:,} bytes, and sources.{source}.max_document allows {limit:,}; raise it, or set "
        f"`malformed: drop` for source {source!r} to drop such records and count them",
        where,
    )


def missing_advice(source: str, name: str) -> str:
    """What to do if a file lacks one of `CONTENTS`."""
    return f"name the right one in sources.{source}.fields.{name}"
