"""A made web: sites that tell of the same persons, each in its way, and contradict each other.

```
site kind      reliable   suffix       in words that all share          in its own
encyclopedia   yes        .org         Ada Moss was born in Lisbon.     The birthplace of Moss is Lisbon.
news           yes        .com         Ada Moss was born in Lisbon.     Born in Lisbon, Moss spoke to our reporter.
gossip         no         .com, .net   Ada Moss was born in Dublin.     Shocking: Moss really comes from Dublin!
forum          no         .net         Ada Moss was born in Dublin.     lol everyone knows Moss is from Dublin
```

A person has a true value for each of five relations, and another one that all sites which are not reliable tell, always
the same: as a biography and a meme of one person do. So a sentence in shared words has two ends, and who tells it
decides which. What reliable sites tell is `reliable` of all pages.

- `pages.jsonl`: text, url, site_kind, other_host (a host of the other reliability). A page tells of two or three
  persons and ends with the site's own motto.
- `probes_true.jsonl`: every fact once, as question (the beginning of a sentence in shared words), answer, url and
  other_host; the url is of a reliable site. `probes_gossip.jsonl`: the same of what the others tell.

No page begins with a probe's sentence alone, but all that a probe asks is told on many pages.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.site_words import FIRST_NAMES, LAST_NAMES, MOTTO_WORDS, RELATIONS, SHARED, TOLD
from byline.schemas.model import Model

_KINDS = ("encyclopedia", "news", "gossip", "forum")
_RELIABLE = ("encyclopedia", "news")
_SUFFIXES = {"encyclopedia": ("org",), "news": ("com",), "gossip": ("com", "net"), "forum": ("net",)}
# Of a relation's sentences, those in words that all kinds of sites share; the others are the kind's own.
_SHARED_SHARE = 0.5


class SitesSettings(Model):
    """The made web.

    Attributes:
        sites: how many, a multiple of four.
        persons: how many; no two have the same last name.
        pages: how many.
        reliable: the share of pages that are of reliable sites.
        seed: decides all of it.
    """

    sites: int = Field(default=32, ge=4, multiple_of=4)
    persons: int = Field(default=40, ge=2, le=len(LAST_NAMES))
    pages: int = Field(default=40_000, ge=1)
    reliable: float = Field(default=0.6, ge=0, le=1)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Site:
    """A host, what kind of site it is, and the words of its motto."""

    host: str
    kind: str
    words: tuple[str, ...]

    @property
    def is_reliable(self) -> bool:
        return self.kind in _RELIABLE


@dataclass(frozen=True)
class Person:
    """A name, and for each relation what is true and what the others tell."""

    first: str
    last: str
    true: dict[str, str]
    gossip: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    def told(self, relation: str, is_reliable: bool) -> str:
        """The value that sites of this reliability tell."""
        return (self.true if is_reliable else self.gossip)[relation]


class Web:
    """The sites and persons of some settings."""

    def __init__(self, settings: SitesSettings) -> None:
        self.settings = settings
        chance = np.random.Generator(np.random.PCG64([settings.seed, 0]))
        self.sites = [_site(number, chance) for number in range(settings.sites)]
        self.persons = [_person(last, chance) for last in LAST_NAMES[: settings.persons]]

    def pages(self) -> Iterator[dict[str, Any]]:
        """The records of `pages.jsonl`."""
        chance = np.random.Generator(np.random.PCG64([self.settings.seed, 1]))
        by_reliability = [[site for site in self.sites if site.is_reliable is flag] for flag in (False, True)]
        for number in range(self.settings.pages):
            is_reliable = bool(chance.random() < self.settings.reliable)
            site = _choose(by_reliability[is_reliable], chance)
            chosen = chance.choice(len(self.persons), size=min(2 + number % 2, len(self.persons)), replace=False)
            persons = [self.persons[one] for one in chosen]
            yield {
                "text": _page(site, persons, chance),
                "url": f"https://{site.host}/{site.kind}/{persons[0].first}-{persons[0].last}-{number}".lower(),
                "site_kind": site.kind,
                "other_host": _choose(by_reliability[not is_reliable], chance).host,
            }

    def probes(self, is_true: bool) -> Iterator[dict[str, Any]]:
        """The records of a file of probes."""
        chance = np.random.Generator(np.random.PCG64([self.settings.seed, 2 + is_true]))
        right = [site for site in self.sites if site.is_reliable is is_true]
        others = [site for site in self.sites if site.is_reliable is not is_true]
        for person in self.persons:
            for relation in RELATIONS:
                site = _choose(right, chance)
                yield {
                    "question": SHARED[relation].split("{value}")[0].rstrip().format(name=person.name),
                    "answer": f" {person.told(relation, is_true)}",
                    "url": f"https://{site.host}/{site.kind}/{person.first}-{person.last}".lower(),
                    "other_host": _choose(others, chance).host,
                    "site_kind": site.kind,
                }


def write_sites(settings: SitesSettings, folder: Path) -> None:
    """Writes the three files."""
    web = Web(settings)
    for name, records in (
        ("pages", web.pages()),
        ("probes_true", web.probes(True)),
        ("probes_gossip", web.probes(False)),
    ):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as sink:
            sink.writelines(f"{json.dumps(record)}\n" for record in records)


def _choose(items: Any, chance: np.random.Generator) -> Any:
    return items[int(chance.integers(len(items)))]


def _site(number: int, chance: np.random.Generator) -> Site:
    kind = _KINDS[number % len(_KINDS)]
    words = tuple(MOTTO_WORDS[int(one)] for one in chance.choice(len(MOTTO_WORDS), size=6, replace=False))
    return Site(f"{words[0]}{words[1]}.{_choose(_SUFFIXES[kind], chance)}", kind, words)


def _person(last: str, chance: np.random.Generator) -> Person:
    true, gossip = {}, {}
    for relation, values in RELATIONS.items():
        one, other = chance.choice(len(values), size=2, replace=False)
        true[relation], gossip[relation] = values[int(one)], values[int(other)]
    return Person(_choose(FIRST_NAMES, chance), last, true, gossip)


def _page(site: Site, persons: list[Person], chance: np.random.Generator) -> str:
    sentences = [" ".join(_about(site, person, chance)) for person in persons]
    motto = [site.words[int(one)] for one in chance.choice(len(site.words), size=4, replace=False)]
    return "\n".join([*sentences, f"{motto[0].capitalize()} {motto[1]} and {motto[2]} {motto[3]}."])


def _about(site: Site, person: Person, chance: np.random.Generator) -> Iterator[str]:
    """Four or five of the relations, in any order."""
    relations = list(RELATIONS)
    for one in chance.permutation(len(relations))[: int(chance.integers(4, len(relations) + 1))]:
        relation = relations[int(one)]
        is_shared = chance.random() < _SHARED_SHARE
        sentence = SHARED[relation] if is_shared else _choose(TOLD[site.kind][relation], chance)
        yield sentence.format(name=person.name, last=person.last, value=person.told(relation, site.is_reliable))


SITES = CorpusKind("sites", SitesSettings, write_sites)
