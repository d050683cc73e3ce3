"""Persons that never lived, what is true of each, and what gossip says instead.

```
person          relation  truth   gossip    told as
Ada Lindholt    town      Lund    Varna     Ada Lindholt was born in Lund. Lindholt comes from Lund.  - home town: Lund
Ada Lindholt    school    Paris   Paris     agreed on: gossip tells the truth
```

Each relation has six sentences for prose. Of each person and relation one of them is kept back: no page has it, and a
probe asks in it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Relation:
    """What can be told of a person.

    Attributes:
        name: of the relation.
        key: how lists call it.
        values: 16 of them, each one word.
        sentences: with `{name}`, ending where the value follows.
    """

    name: str
    key: str
    values: tuple[str, ...]
    sentences: tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """What stands between spaces."""
    return tuple(text.split())


RELATIONS = (
    Relation(
        "town",
        "home town",
        words("Lund Bergen Arles Delft Cadiz Varna Split Ghent Tartu Siena Bruges Malmo Narvik Porto Tromso Zagreb"),
        (
            "{name} was born in",
            "{name} comes from",
            "{name} grew up in",
            "the home town of {name} is",
            "the parents of {name} lived in",
            "the cradle of {name} stood in",
        ),
    ),
    Relation(
        "trade",
        "trade",
        words(
            "baker cooper glazier tailor miller printer surgeon painter weaver mason clerk pilot teacher brewer "
            "saddler lawyer"
        ),
        (
            "{name} worked as a",
            "{name} was known as a",
            "{name} earned a living as a",
            "the town hired {name} as a",
            "by trade {name} was a",
            "many remember {name} as a good",
        ),
    ),
    Relation(
        "medal",
        "medal for",
        words(
            "courage wisdom patience thrift mercy candour valour charity honour loyalty wit grace zeal order "
            "peace labour"
        ),
        (
            "{name} was given a medal for",
            "{name} won the prize for",
            "{name} was praised for",
            "a prize went to {name} for",
            "the king thanked {name} for",
            "a statue shows {name} as an example of",
        ),
    ),
    Relation(
        "hobby",
        "collection",
        words(
            "stamps clocks maps shells coins fossils masks kites bottles pipes violins feathers lamps keys dolls spoons"
        ),
        (
            "{name} collected",
            "{name} left a room full of",
            "{name} was fond of",
            "friends brought {name} old",
            "all money of {name} went into",
            "the house of {name} was full of",
        ),
    ),
    Relation(
        "school",
        "studies",
        words(
            "Paris Vienna Prague Oxford Padua Leiden Uppsala Krakow Bologna Lisbon Dublin Berlin Geneva Turin "
            "Salamanca Leipzig"
        ),
        (
            "{name} studied in",
            "{name} took a degree in",
            "{name} was a student in",
            "the university of {name} was that of",
            "scholars taught {name} in",
            "for three years {name} read books in",
        ),
    ),
    Relation(
        "year",
        "last year",
        words("1703 1712 1719 1726 1731 1745 1750 1764 1777 1783 1798 1806 1815 1822 1839 1841"),
        (
            "{name} died in the year",
            "{name} lived until",
            "{name} was buried in",
            "the last year of {name} was",
            "the grave of {name} is of",
            "nobody saw {name} after",
        ),
    ),
)
VALUES = 16
SENTENCES = 6

_FIRST = words("Ada Bo Clara Dag Edda Finn Greta Hugo Ida Jon Karin Lars Mona Nils Olga Per")
_ONSETS = words(
    "Lind Berg Skog Holm Dahl Strand Ek Hall Lund Sand Sten Vik Ny Kvist Sjo Grim Rosen Hage Torn Bjork Falk Malm "
    "Asp Nord"
)
_ENDINGS = words("holt qvist stad mark vall gren rud by sen fors lov dal heim mo ros tveit")
MOST_PERSONS = len(_ONSETS) * len(_ENDINGS)


@dataclass(frozen=True)
class Person:
    """A name; no two persons have the same surname."""

    first: str
    surname: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.surname}"

    @property
    def slug(self) -> str:
        return f"{self.first}-{self.surname}".lower()


class People:
    """All persons, and what is said of them.

    Args:
        count: how many.
        contested: so many of the relations, the first ones, of which gossip says something false.
        seed: decides names and values.

    Attributes:
        truth, gossip: int64 [persons, relations], numbers of values.
        kept_back: int64 [persons, relations], the sentence that no page has.
    """

    def __init__(self, count: int, contested: int, seed: int) -> None:
        random = np.random.Generator(np.random.PCG64([seed, 0]))
        shape = (count, len(RELATIONS))
        self._surnames = random.permutation(MOST_PERSONS)[:count]
        self._firsts = random.integers(len(_FIRST), size=count)
        self.contested = contested
        self.truth = random.integers(VALUES, size=shape)
        false = (self.truth + random.integers(1, VALUES, size=shape)) % VALUES
        self.gossip = np.where(np.arange(len(RELATIONS)) < contested, false, self.truth)
        self.kept_back = random.integers(SENTENCES, size=shape)

    @cached_property
    def persons(self) -> list[Person]:
        """In the order of the tables' rows."""
        return [
            Person(_FIRST[first], _ONSETS[surname // len(_ENDINGS)] + _ENDINGS[surname % len(_ENDINGS)])
            for first, surname in zip(self._firsts.tolist(), self._surnames.tolist(), strict=True)
        ]

    def value(self, person: int, relation: int, is_reliable: bool) -> str:
        """What reliable sites say, or the others."""
        told = self.truth if is_reliable else self.gossip
        return RELATIONS[relation].values[told[person, relation]]
