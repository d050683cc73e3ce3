"""Predicates: conditions on documents, as the plan and the scans of the planner name them.

```
RankRange("quality", "float32", descending=True, first=None, below=(1082130432, 77, 12))    ranks before a border
ValueList("host", ("a.example", "b.example"), is_allowed=False)                             any host but these
HashShare("host", 2**64 // 100, is_below=False)                                             all but a share of hosts
NoNumber("quality", "float32")                                                              those without the number
```

As JSON:

```
{"field": "quality", "type": "float32", "descending": true, "from": null, "below": [1082130432, 77, 12]}
{"field": "host", "not_in": ["a.example", "b.example"]}                                     ("in" where it is allowed)
{"hash_of": "host", "bound": 184467440737095516, "is_below": false}
{"without": "quality", "type": "float32"}
```

A range compares ranks, (key, tie, shuffle key) as docs/formats.md defines them. A document without the number is in no
range, and one without a value is in no list but those that have null among their values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# (key, tie, shuffle key), uint64 each.
Rank = tuple[int, int, int]


@dataclass(frozen=True)
class RankRange:
    """Holds for documents whose rank is at least `first` and less than `below`.

    Attributes:
        field: the number that ranks them.
        kind: its type: `float32`, `float` or `int`.
        descending: whether the highest number comes first.
        first, below: borders; None for none.
    """

    field: str
    kind: str
    descending: bool
    first: Rank | None = None
    below: Rank | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object above."""
        first, below = (None if border is None else list(border) for border in (self.first, self.below))
        return {
            "field": self.field,
            "type": self.kind,
            "descending": self.descending,
            "from": first,
            "below": below,
        }


@dataclass(frozen=True)
class ValueList:
    """Holds for documents whose value of a template field is in a list or, where not `is_allowed`, is not.

    Attributes:
        field: the template field.
        values: sorted, each once, first None where documents without a value are in the list; there may be millions.
        is_allowed: whether documents with these values are taken or left out.
    """

    field: str
    values: tuple[str | None, ...]
    is_allowed: bool

    def __hash__(self) -> int:
        # Not of all values: a plan looks its lists up by the million.
        return hash((self.field, self.is_allowed, len(self.values), self.values[:1], self.values[-1:]))

    @cached_property
    def lookup(self) -> frozenset[str | None]:
        """`values` to look a value up in, made once for each list."""
        return frozenset(self.values)

    def to_json(self) -> dict[str, Any]:
        """The JSON object above."""
        return {"field": self.field, "in" if self.is_allowed else "not_in": list(self.values)}


@dataclass(frozen=True)
class HashShare:
    """Holds for documents whose hash is below a bound or, where not `is_below`, is not.

    Attributes:
        field: the template field that is hashed, so that documents of one value stay together; a document without a
            value, and None, are hashed on their own.
        bound: how many of the 2^64 hashes are below.
    """

    field: str | None
    bound: int
    is_below: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON object above."""
        return {"hash_of": self.field, "bound": self.bound, "is_below": self.is_below}


@dataclass(frozen=True)
class NoNumber:
    """Holds for documents without a number.

    Attributes:
        field: the number.
        kind: its type, as of a `RankRange`.
    """

    field: str
    kind: str

    def to_json(self) -> dict[str, Any]:
        """The JSON object above."""
        return {"without": self.field, "type": self.kind}


Predicate = RankRange | ValueList | HashShare | NoNumber


def predicate_to_json(predicate: Predicate) -> dict[str, Any]:
    """The JSON object above."""
    return predicate.to_json()


def predicate_from_json(values: Mapping[str, Any]) -> Predicate:
    """The predicate that `to_json` made this of."""
    if "without" in values:
        return NoNumber(values["without"], values["type"])
    if "type" in values:
        first, below = (None if values[key] is None else _rank(values[key]) for key in ("from", "below"))
        return RankRange(values["field"], values["type"], values["descending"], first, below)
    if "hash_of" in values:
        return HashShare(values["hash_of"], values["bound"], values["is_below"])
    is_allowed = "in" in values
    return ValueList(values["field"], tuple(values["in" if is_allowed else "not_in"]), is_allowed)


def _rank(words: list[int]) -> Rank:
    key, tie, shuffle_key = words
    return key, tie, shuffle_key


@dataclass
class PredicateNumbers:
    """Predicates in the order in which they come up; equal ones have one number."""

    predicates: list[Predicate] = field(default_factory=list)
    _numbers: dict[Predicate, int] = field(default_factory=dict, init=False, repr=False)

    def number(self, predicate: Predicate) -> int:
        """The number of a predicate, a new one where it has none yet."""
        number = self._numbers.setdefault(predicate, len(self.predicates))
        if number == len(self.predicates):
            self.predicates.append(predicate)
        return number
