"""What to take from JSON objects: of a record as orjson gives it, values; of many, columns.

```
wants                       record                                         values
text, url at m.u, int n     {"text": "a", "m": {"u": "x"}, "n": 3}         "a"    "x"   3
                            {"m": "{\\"u\\": \\"y\\"}", "n": "4"}             None   "y"   4
```
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import orjson
import pyarrow as pa

from byline.schemas.field_paths import Parts, ways_through
from byline.transforms.corpora.json_types import ValueType, parsed_type
from byline.transforms.corpora.json_values import MalformedError, column_converter, load
from byline.transforms.corpora.record_values import Columns, Lead, Want, values_at
from byline.transforms.documents.values import as_messages, finite

# Of a path with more, values are searched for name by name.
_MOST_WAYS = 16

ReadTexts = Callable[[pa.Array, tuple[Lead, ...]], Columns]


class JsonColumns:
    """What to take from objects.

    Attributes:
        leads: to all that is wanted.
        wants: the columns, in order.
        texts: reads strings that hold JSON (`json_texts.parse_texts`).
        explicit: what Arrow's parser is told to make; None where it cannot be told.
    """

    def __init__(self, leads: Iterable[Lead], texts: ReadTexts) -> None:
        self.leads, self.texts = tuple(leads), texts
        self.wants = list(dict.fromkeys(lead.want for lead in self.leads))
        self._converters = [column_converter(want.field) for want in self.wants]
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
            for value in values_at(record, parts, partial(self._open_text, self.wants[number])):
                converted = self._converters[number](value)
                if converted is not None:
                    return converted
        return None

    def _open_text(self, want: Want, text: str, parts: Parts) -> Iterator[Any]:
        """What a path leads to in the JSON of a string. Raises: MalformedError."""
        try:
            yield from values_at(load(text.encode()), parts, partial(self._open_text, want))
        except orjson.JSONDecodeError:
            made = self.texts(pa.array([text], pa.large_string()), (Lead(want, parts),))
            if made.reasons:
                raise MalformedError(made.reasons[0]) from None
            yield made.column(want, 1)[0].as_py()

    def empty(self) -> list[pa.Array]:
        return [pa.nulls(0, want.field.type) for want in self.wants]

    def arrays(self, rows: list[list[Any]]) -> list[pa.Array]:
        """Rows of values as columns."""
        if not rows:
            return self.empty()
        kinds = [parsed_type(want.field) for want in self.wants]
        values = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        return [finished(array, want) for array, want in zip(values, self.wants, strict=True)]


def _few_ways(readings: list[Parts]) -> list[tuple[str, ...]]:
    """All ways to read paths; none where they are many."""
    ways = list(itertools.islice((way for parts in readings for way in ways_through(parts)), _MOST_WAYS + 1))
    return ways if len(ways) <= _MOST_WAYS else []


def finished(values: pa.Array, want: Want) -> pa.Array:
    """A column from the values that were parsed for it."""
    if want.field.name == "messages":
        return as_messages(values)
    return finite(values, want.field.type) if pa.types.is_floating(want.field.type) else values
