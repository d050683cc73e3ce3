"""The types that Arrow's JSON parser is told to make: of what is wanted, and of what stands on the way to it.

```
path            taken for, at first            where a record has           then it is
meta.url        meta: struct<url: string>      {"meta": "{\\"url\\": ...}"}    meta: string
urls[0]         urls: list<string>             {"urls": {"0": ...}}         urls: struct<0: string>
headers.Host    headers: struct<Host: string>  {"headers": [{"key": ...     headers: list<struct<key, name, value>>
```

No result depends on it: what a parser that was told something else refuses is read otherwise.
"""

from typing import Any

import pyarrow as pa

from byline.transforms.corpora.record_values import KEYS, Lead, entry_of
from byline.transforms.documents.values import RAW_MESSAGES

# Of a path with more dots, which has too many readings to ask for all, records are read line by line.
_MOST_DOTS = 6


class _MixedError(Exception):
    """Two columns want one value as different types, which Arrow's parser cannot give."""


class ValueType:
    """A value on the way to others or, with `leaf`, a value that is wanted.

    Attributes:
        leaf: what to parse it as.
        is_mixed: whether it is wanted as two types, or its path has too many readings.
        below: name -> value inside of it, if it is an object.
        items: names of those inside of it if it is a list.
        keys: names of those inside of it if it is a list of keys and values.
        kind: what it was in a record that was read.
    """

    def __init__(self) -> None:
        self.leaf: pa.DataType | None = None
        self.is_mixed = False
        self.below: dict[str, ValueType] = {}
        self.items: set[str] = set()
        self.keys: set[str] = set()
        self.kind: str | None = None

    def grow(self, lead: Lead) -> None:
        if not lead.parts:
            kind = parsed_type(lead.want.field)
            self.is_mixed |= self.leaf not in (None, kind)
            self.leaf = kind
            return
        if sum(part.follows_dot for part in lead.parts) > _MOST_DOTS:
            self.is_mixed = True
            return
        names = [name for name, _ in lead.below()]
        if lead.item() is None:
            self.keys.update(names)
        else:
            self.items.add(lead.parts[0].name)
        for name, below in lead.below():
            self.below.setdefault(name, ValueType()).grow(below)

    def schema(self) -> pa.Schema | None:
        """What to tell Arrow's parser; None where it cannot give all that is wanted."""
        try:
            return None if self.is_mixed else pa.schema(list(self._type_of_object()))
        except _MixedError:
            return None

    def _type(self) -> pa.DataType:
        if self.is_mixed:
            raise _MixedError
        if not self.below:
            return self.leaf
        if self.kind == "text" and (self.leaf is None or pa.types.is_large_string(self.leaf)):
            return pa.large_string()
        if self.kind == "text" and pa.types.is_string(self.leaf):
            return pa.string()
        if self.leaf is not None:
            raise _MixedError
        if self.kind == "entries":
            kind = self._type_of(self.keys, self.items)
            return pa.list_(pa.struct([*((key, pa.string()) for key in KEYS), ("value", kind)]))
        if self.kind == "list" or (self.kind is None and not self.keys):
            return pa.list_(self._type_of(self.items, self.keys))
        return self._type_of_object()

    def _type_of_object(self) -> pa.StructType:
        return pa.struct([(name, node._type()) for name, node in self.below.items()])

    def _type_of(self, names: set[str], others: set[str]) -> pa.DataType:
        kinds = {self.below[name]._type() for name in names}
        if others or len(kinds) != 1:
            raise _MixedError
        return kinds.pop()

    def learn(self, value: Any) -> None:
        """Learns what the value is, and those below it."""
        if not self.below or value is None:
            return
        if isinstance(value, str):
            self.kind = "text"
        elif isinstance(value, dict):
            self.kind = "object"
            for name in value.keys() & self.below.keys():
                self.below[name].learn(value[name])
        elif isinstance(value, list) and self.keys and any(isinstance(item, dict) for item in value):
            self.kind = "entries"
            for key, of_key in map(entry_of, value):
                if key in self.keys:
                    self.below[key].learn(of_key)
        elif isinstance(value, list):
            self.kind = "list"
            for name in self.items:
                for item in value[int(name) : int(name) + 1]:
                    self.below[name].learn(item)


def parsed_type(field: pa.Field) -> pa.DataType:
    """What to parse a value as: a score as a double, so that both parsers round it alike."""
    if field.name == "messages":
        return RAW_MESSAGES
    return pa.float64() if pa.types.is_floating(field.type) else field.type
