"""The names that records have: for messages, and to tell a field that no record has from one without values.

```
{"url": "a", "meta": "{\\"lang\\": \\"en\\"}", "tags": [null, "b"], "headers": [{"key": "Host", "value": "c"}]}

url a    meta {...}    meta.lang en    tags [...]    tags.0 null    tags.1 b    headers [...]    headers.Host c
```
"""

from collections.abc import Container, Hashable, Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from byline.schemas.field_paths import as_path, ways_of
from byline.transforms.corpora.json_values import load
from byline.transforms.corpora.record_values import entry_of, is_list

# Records that names are taken from, items of a list, levels of a record, and names in all.
NAMED_RECORDS = 1000
_MOST_ITEMS, _MOST_LEVELS, _MOST_NAMES = 8, 6, 10_000


def add_names(record: Any, values: dict[str, Any]) -> None:
    """Adds the path of each value in a record, as orjson gives it, to `values`, with the value if none was there."""
    _add(record, (), values)


def add_column_names(schema: pa.Schema, rows: pa.RecordBatch, values: dict[str, Any]) -> None:
    """As `add_names`, for the columns and structs of a table, and for what is in some of its rows."""
    values.update(dict.fromkeys(as_path(*names) for names in _names_of_types(schema, ())))
    for index in range(len(rows)):
        add_names(
            {field.name: _python(column[index]) for field, column in zip(schema, rows.columns, strict=True)}, values
        )


def has_name(path: str, values: Container[str]) -> bool:
    """Whether a path leads to one of these."""
    return any(as_path(*names) in values for names in ways_of(path))


def _add(value: Any, names: tuple[str, ...], values: dict[str, Any]) -> None:
    if len(names) == _MOST_LEVELS:
        return
    for name, inside in _inside(value):
        path = as_path(*names, name)
        if path in values or len(values) < _MOST_NAMES:
            if values.setdefault(path, inside) is None:
                values[path] = inside
            _add(inside, (*names, name), values)


def _python(value: pa.Scalar) -> Any:
    """A value as Python has it; of what Python cannot hold, such as a time in nanoseconds, the text, or None."""
    try:
        return value.as_py(maps_as_pydicts="lossy")
    # Text that is no UTF-8, years beyond 9999, time zones that are not known here, maps whose keys are structs.
    except (ValueError, OverflowError, TypeError, KeyError, pa.ArrowException):
        kind = value.type
    if pa.types.is_struct(kind):
        numbers = {kind.field(number).name: number for number in range(kind.num_fields)}
        return {name: _python(value[number]) for name, number in numbers.items()}
    if pa.types.is_map(kind):
        return {
            key: _python(entry["value"]) for entry in value.values if isinstance(key := _python(entry["key"]), Hashable)
        }
    if is_list(kind):
        return [_python(item) for item in value.values]
    try:
        return value.cast(pa.string()).as_py() if pa.types.is_temporal(kind) else None
    except (ValueError, pa.ArrowException):
        return None


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """What is inside of a value, by name."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = load(value.encode())
        except orjson.JSONDecodeError:
            return
    if isinstance(value, dict):
        yield from ((name, of_key) for key, of_key in value.items() if (name := _as_name(key)) is not None)
    elif isinstance(value, list):
        yield from ((str(number), item) for number, item in enumerate(value[:_MOST_ITEMS]))
        yield from ((key, of_key) for key, of_key in map(entry_of, value) if key is not None)


def _as_name(key: Any) -> str | None:
    """A key of an object or a map as a path has it; None for one that no path leads to."""
    if isinstance(key, bytes):
        key = key.decode(errors="replace")
    return str(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else None


def _names_of_types(fields: Iterable[pa.Field], names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for field in fields:
        yield (*names, field.name)
        if pa.types.is_struct(field.type):
            yield from _names_of_types(field.type, (*names, field.name))
