"""The names that records have: for messages, and to tell a field that no record has from one without values.

```
{"url": "a", "meta": "{\\"lang\\": \\"en\\"}", "tags": [null, "b"], "headers": [{"key": "Host", "value": "c"}]}

url a    meta {...}    meta.lang en    tags [...]    tags.0 null    tags.1 b    headers [...]    headers.Host c
```
"""

from collections.abc import Container, Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from byline.schemas.field_paths import as_path, ways_of
from byline.transforms.corpora.json_values import load
from byline.transforms.corpora.record_values import entry_of

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
        try:
            (row,) = rows.slice(index, 1).to_pylist(maps_as_pydicts="lossy")
        except UnicodeDecodeError:  # a malformed record
            continue
        add_names(row, values)


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


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    """What is inside of a value, by name."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = load(value.encode())
        except orjson.JSONDecodeError:
            return
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(number), item) for number, item in enumerate(value[:_MOST_ITEMS]))
        yield from ((key, of_key) for key, of_key in map(entry_of, value) if key is not None)


def _names_of_types(fields: Iterable[pa.Field], names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for field in fields:
        yield (*names, field.name)
        if pa.types.is_struct(field.type):
            yield from _names_of_types(field.type, (*names, field.name))
