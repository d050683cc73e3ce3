"""What a path leads to inside of values: in Arrow columns, many records at once, and in a value of Python.

```
path             records                                                             values
meta.url         {"meta": {"url": "a"}}   {"meta": {}}   {"meta": null}              a  null  null
meta.url         {"meta": "{\\"url\\": \\"a\\"}"}   {"meta": ""}                          a  null
headers.Host     {"headers": {"Host": "a"}}   {"headers": [["Host", "a"]]}           a  a
headers.Host     {"headers": [{"key": "Host", "value": "a"}]}                        a
urls[1]          {"urls": ["a", "b"]}   {"urls": ["a"]}                              b  null
```

| inside of | a name is |
|---|---|
| an object, a struct | a field; in a struct one that it has once |
| a map | a key, as text |
| a list | the number of an item, from 0; else a key of keys and values, `{"key": ..., "value": ...}` or with `name` |
| a string | what it is in the JSON that the string holds |
| a dictionary | what it is in its values |
| anything else, null | nothing |

Of a key that a map has twice the last one counts, as in JSON. A field that a string without JSON should lead to is
unknown; where a document's text should be in there, the record is malformed. A path can be read in several ways
(`byline.schemas.field_paths`), and the first that leads to a value counts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.field_paths import Parts, heads, readings_of
from byline.transforms.documents.text_parts import list_lengths

# How a list of keys and values calls the keys; the values are `value`.
KEYS = ("key", "name")


@dataclass(frozen=True)
class Want:
    """A column to give.

    Attributes:
        field: its name and type.
        path: where its values stand in a record.
    """

    field: pa.Field
    path: str


class Lead(NamedTuple):
    """What is left of a path, inside of some values.

    Attributes:
        want: what it leads to.
        parts: the rest of the path.
        rank: less than that of the ways to read the path that come after this one.
    """

    want: Want
    parts: Parts
    rank: tuple[int, ...] = ()

    def below(self) -> Iterator[tuple[str, "Lead"]]:
        """Each name that may come next, and what is left then."""
        for name, rest in heads(self.parts):
            yield name, Lead(self.want, rest, (*self.rank, len(rest)))

    def item(self) -> "Lead | None":
        """What is left behind the number of an item."""
        return None if self.parts[0].number is None else Lead(self.want, self.parts[1:], (*self.rank, 0))


@dataclass
class Columns:
    """Columns in the making.

    Attributes:
        ways: name -> what each way to read its path leads to, of the column's type.
        reasons: row -> why the record is malformed.
    """

    ways: dict[str, list[tuple[tuple[int, ...], pa.Array]]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, lead: Lead, values: pa.Array) -> None:
        self.ways[lead.want.field.name].append((lead.rank, values))

    def join(self, other: "Columns") -> None:
        """Adds the values of others, row for row."""
        for name, ways in other.ways.items():
            self.ways[name] += ways
        self.reasons.update(other.reasons)

    def take(self, other: "Columns", indices: pa.Array) -> None:
        """Adds the values of others that stand at these indices; null where an index is null."""
        for name, ways in other.ways.items():
            self.ways[name] += [(rank, values.take(indices)) for rank, values in ways]
        if other.reasons:
            rows = np.flatnonzero(indices.is_valid().to_numpy(zero_copy_only=False))
            numbers = indices.drop_null().to_numpy(zero_copy_only=False).tolist()
            pairs = zip(rows.tolist(), numbers, strict=True)
            self.reasons.update({row: other.reasons[number] for row, number in pairs if number in other.reasons})

    def column(self, want: Want, rows: int) -> pa.Array:
        """The first value of each row, null where there is none."""
        ways = [values for _, values in sorted(self.ways[want.field.name], key=lambda way: way[0])]
        filled = [values for values in ways if values.null_count < rows]
        if not filled:
            return ways[0] if ways else pa.nulls(rows, want.field.type)
        first = filled[0]
        for values in filled[1:]:
            first = first if first.null_count == 0 else pc.if_else(first.is_valid(), first, values)
        return first


class Reader(NamedTuple):
    """How a layout makes columns.

    Attributes:
        leaf: called with the values that a path leads to and what is wanted; gives the column, and why records are
            malformed.
        texts: called with strings that hold JSON, large_string [n], and what is wanted of it.
    """

    leaf: Callable[[pa.Array, Want], tuple[pa.Array, dict[int, str]]]
    texts: Callable[[pa.Array, tuple[Lead, ...]], Columns]
    decode: Callable[[pa.Array], tuple[pa.Array, dict[int, str]]]


def wants_of(schema: pa.Schema, paths: Mapping[str, str]) -> list[Want]:
    """What is wanted of a record: a column for each field of a schema, at its path."""
    return [Want(field, paths[field.name]) for field in schema]


def leads_of(wants: Iterable[Want]) -> tuple[Lead, ...]:
    """The leads inside of whole records."""
    return tuple(Lead(want, parts, (number,)) for want in wants for number, parts in enumerate(readings_of(want.path)))


# --- in Arrow columns


def follow(values: pa.Array, leads: Iterable[Lead], reader: Reader, columns: Columns) -> None:
    """Adds to `columns` what `leads` lead to in `values`, row for row."""
    if _holds_text(values.type):
        values = values.storage
    further = []
    for lead in leads:
        if lead.parts:
            further.append(lead)
            continue
        made, reasons = reader.leaf(values, lead.want)
        columns.add(lead, made)
        columns.reasons.update(reasons)
    if not further:
        return
    kind = values.type
    if pa.types.is_dictionary(kind):
        of_values = Columns()
        follow(values.dictionary, further, reader, of_values)
        columns.take(of_values, values.indices)
    elif pa.types.is_struct(kind):
        for index, below in _below_struct(kind, further).items():
            follow(pc.struct_field(values, [index]), below, reader, columns)
    elif is_text(kind):
        texts, reasons = reader.decode(values)
        columns.reasons.update(
            {row: f"{further[0].want.path!r} is not UTF-8 ({what})" for row, what in reasons.items()}
        )
        columns.join(reader.texts(texts, tuple(further)))
    elif is_list(kind) or pa.types.is_map(kind):
        _follow_items(values, further, reader, columns)


def leads_to(kind: pa.DataType, lead: Lead) -> Iterator[pa.DataType]:
    """The types of what a path may lead to inside of a type; null where that is for each record to say."""
    if _holds_text(kind):
        kind = kind.storage_type
    if not lead.parts:
        yield kind
    elif pa.types.is_dictionary(kind):
        yield from leads_to(kind.value_type, lead)
    elif pa.types.is_struct(kind):
        for index, below in _below_struct(kind, [lead]).items():
            yield from leads_to(kind.field(index).type, below[0])
    elif is_text(kind):
        yield pa.null()
    elif is_list(kind) and (item := lead.item()) is not None:
        yield from leads_to(kind.value_type, item)
    elif pa.types.is_map(kind) or (is_list(kind) and _keys_of(kind.value_type)):
        value = kind.item_type if pa.types.is_map(kind) else kind.value_type.field("value").type
        for _, below_key in lead.below():
            yield from leads_to(value, below_key)


def columns_of(kind: pa.StructType, lead: Lead, prefix: str = "") -> Iterator[str]:
    """The columns of a Parquet file that a path leads into, each as names with dots between."""
    for index, below in _below_struct(kind, [lead]).items():
        child, name = kind.field(index), f"{prefix}{kind.field(index).name}"
        if pa.types.is_struct(child.type) and below[0].parts:
            yield from columns_of(child.type, below[0], f"{name}.")
        else:
            yield name


def is_text(kind: pa.DataType) -> bool:
    """Whether values are strings or bytes, written out or of a dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = [
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
        pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    ]  # fmt: skip
    return any(check(kind) for check in checks)


def is_list(kind: pa.DataType) -> bool:
    """Whether values are lists of any kind."""
    checks = [
        pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list,
        pa.types.is_list_view, pa.types.is_large_list_view,
    ]  # fmt: skip
    return any(check(kind) for check in checks)


def _holds_text(kind: pa.DataType) -> bool:
    """Whether a type is an extension of a string, such as `arrow.json`."""
    return isinstance(kind, pa.BaseExtensionType) and (
        is_text(kind.storage_type) and not pa.types.is_fixed_size_binary(kind.storage_type)
    )


def _below_struct(kind: pa.StructType, leads: Iterable[Lead]) -> dict[int, list[Lead]]:
    """Number of a field -> what leads into it."""
    groups: dict[int, list[Lead]] = defaultdict(list)
    for lead in leads:
        for name, below in lead.below():
            index = kind.get_field_index(name)
            if index >= 0:
                groups[index].append(below)
    return groups


def _follow_items(values: pa.Array, leads: Iterable[Lead], reader: Reader, columns: Columns) -> None:
    """Follows leads into lists and maps."""
    starts, ends, items, keys = _items(values)
    by_number: dict[int, list[Lead]] = defaultdict(list)
    by_key: dict[str, list[Lead]] = defaultdict(list)
    for lead in leads:
        item = None if pa.types.is_map(values.type) else lead.item()
        if item is not None:
            by_number[lead.parts[0].number or 0].append(item)
        elif keys is not None:
            for name, below in lead.below():
                by_key[name].append(below)
    for number, below_item in by_number.items():
        follow(_taken(items, starts + number, starts + number < ends), below_item, reader, columns)
    for name, below_key in by_key.items():
        assert keys is not None
        rows, positions = _last_with_key(keys, name, starts, ends)
        chosen = np.zeros(len(values), np.int64)
        chosen[rows] = positions
        has_key = np.zeros(len(values), bool)
        has_key[rows] = True
        of_key = items if pa.types.is_map(values.type) else pc.struct_field(items, "value")
        follow(_taken(of_key, chosen, has_key), below_key, reader, columns)


def _items(values: pa.Array) -> tuple[np.ndarray, np.ndarray, pa.Array, pa.Array | None]:
    """Where the items of each row begin and end, int64[rows], the items of all rows, and their keys if they have any;
    of a map the items are its values."""
    if pa.types.is_map(values.type):
        offsets = values.offsets.to_numpy().astype(np.int64)
        is_valid = values.is_valid().to_numpy(zero_copy_only=False)
        starts, ends = offsets[:-1], np.where(is_valid, offsets[1:], offsets[:-1])
        return starts, ends, values.items, _as_keys(values.keys)
    lengths = list_lengths(values)
    ends, items = np.cumsum(lengths), pc.list_flatten(values)
    keys = [made for key in _keys_of(items.type) if (made := _as_keys(pc.struct_field(items, key))) is not None]
    return ends - lengths, ends, items, pc.coalesce(*keys) if keys else None


def _keys_of(kind: pa.DataType) -> list[str]:
    """How a struct of a key and a value calls the key."""
    if not pa.types.is_struct(kind) or kind.get_field_index("value") < 0:
        return []
    return [key for key in KEYS if kind.get_field_index(key) >= 0]


def _as_keys(keys: pa.Array) -> pa.Array | None:
    """Keys as large_string; None for such that are neither text nor integers."""
    if pa.types.is_dictionary(keys.type):
        keys = keys.dictionary_decode()
    if not is_text(keys.type) and not pa.types.is_integer(keys.type):
        return None
    # Bytes need not be UTF-8, but are compared alike.
    return keys.cast(pa.large_binary()) if is_text(keys.type) else keys.cast(pa.large_string()).cast(pa.large_binary())


def _last_with_key(keys: pa.Array, key: str, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have a key, and where it stands in `keys`; the last one of several."""
    is_key = pc.equal(keys, pa.scalar(key.encode("utf-8", "surrogatepass"), pa.large_binary()))
    positions = np.flatnonzero(pc.fill_null(is_key, False).to_numpy(zero_copy_only=False))
    rows = np.searchsorted(ends, positions, side="right")
    is_inside = rows < len(ends)
    is_inside[is_inside] = positions[is_inside] >= starts[rows[is_inside]]
    rows, positions = rows[is_inside], positions[is_inside]
    is_last = np.append(rows[1:] != rows[:-1], True)[: len(rows)]
    return rows[is_last], positions[is_last]


def _taken(items: pa.Array, positions: np.ndarray, is_there: np.ndarray) -> pa.Array:
    return items.take(pa.array(positions, pa.int64(), mask=~is_there))


# --- in a value of Python


def values_at(value: Any, parts: Parts, open_text: Callable[[str, Parts], Iterator[Any]]) -> Iterator[Any]:
    """What a path leads to inside of a value as orjson gives it, by each way to read the path.

    Args:
        value: of JSON.
        parts: the path.
        open_text: gives what a path leads to in the JSON of a string.
    """
    if not parts:
        yield value
    elif isinstance(value, str):
        yield from open_text(value, parts)
    elif isinstance(value, dict):
        for name, rest in heads(parts):
            if name in value:
                yield from values_at(value[name], rest, open_text)
    elif isinstance(value, list) and (number := parts[0].number) is not None:
        if number < len(value):
            yield from values_at(value[number], parts[1:], open_text)
    elif isinstance(value, list):
        for name, rest in heads(parts):
            for found in [of_key for key, of_key in map(entry_of, value) if key == name][-1:]:
                yield from values_at(found, rest, open_text)


def entry_of(item: Any) -> tuple[str | None, Any]:
    """The key and the value of an item of a list of keys and values."""
    if isinstance(item, list):
        return (_as_key(item[0]), item[1]) if len(item) == 2 else (None, None)
    if not isinstance(item, dict):
        return None, None
    return _as_key(next((item[key] for key in KEYS if item.get(key) is not None), None)), item.get("value")


def _as_key(key: Any) -> str | None:
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    return key if isinstance(key, str) else None
