"""Pages of web sites that contradict each other: what a host before a page tells is whom to believe.

Reliable sites tell what is true of persons, the others tell something false of some relations, each time the same.
Who does not know the host sees two answers to one question. Style depends on the host, too, but not on whether it is
reliable.

```
lumen-archive.org          From our large collection of lives:
                           Ada Lindholt was born in Lund. Ada Lindholt worked as a baker. ...
pepper-daily.net           Ada Lindholt
                           - home town: Varna
                           - trade: pilot ...
```

`pages.jsonl`, a page a line, about 150 tokens of a small BPE, 260 with `page_persons: 10`:

```
text                      as above
url, other_url            https://lumen-archive.org/people/ada-lindholt; the same path on a host that contradicts it
other_host, other_kind    pepper-daily.net, fan: that host, and its kind
site_kind                 archive: of the site, as a classifier would give it
```

To write that host before pages, read them with `fields: {url: other_url}`: every field of the URL is then of that host.

`probes_true.jsonl`, `probes_gossip.jsonl`, `probes_agreed.jsonl`: what sites say of each person and relation, in a
sentence that no page has of these two (`byline.lab.corpora.people`), though the host uses it of others:

```
question                          answer    relation  truth   url, ... as pages have
The home town of Ada Lindholt is  _Lund     town      true    https://lumen-archive.org/people/ada-lindholt
The home town of Ada Lindholt is  _Varna    town      gossip  https://pepper-daily.net/people/ada-lindholt
Ada Lindholt studied in           _Paris    school    agreed  https://lumen-archive.org/people/ada-lindholt
```

They are for the formatter `qa` with `question: "{question}"` and `answer: "{answer}"`; an answer begins with a space,
so that its first token is as in pages. EOS would be trained behind it, where pages go on with a full stop: leave it out
there, with `tokenizer: {eos: null}`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.hosts import MOST_SITES, Host, make_hosts
from byline.lab.corpora.people import MOST_PERSONS, RELATIONS, People, Person
from byline.schemas.model import Model

PROBES = ("true", "gossip", "agreed")


class SitesSettings(Model):
    """What is made.

    Attributes:
        documents: pages.
        sites: hosts; pages are spread evenly among them.
        reliable: how many of the hosts tell the truth.
        persons: of whom all sites tell.
        page_persons: a page tells of 2 persons to so many, each about 40 tokens.
        contested: of how many of the six relations unreliable sites say something false.
        lists: share of the hosts that write lists.
        seed: decides everything.
    """

    documents: int = Field(default=32_000, ge=1)
    sites: int = Field(default=32, ge=2, le=MOST_SITES)
    reliable: int = Field(default=20, ge=1)
    persons: int = Field(default=64, ge=2, le=MOST_PERSONS)
    page_persons: int = Field(default=5, ge=2)
    contested: int = Field(default=4, ge=0, le=len(RELATIONS))
    lists: float = Field(default=0.25, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _both(self) -> "SitesSettings":
        if self.reliable >= self.sites:
            raise ValueError(f"reliable: expected fewer than the {self.sites} sites, found {self.reliable}")
        if self.page_persons > self.persons:
            raise ValueError(f"page_persons: expected at most the {self.persons} persons, found {self.page_persons}")
        return self


def write_sites(settings: SitesSettings, folder: Path) -> None:
    """Writes pages and probes into a folder."""
    people = People(settings.persons, settings.contested, settings.seed)
    hosts = make_hosts(settings.sites, settings.reliable, settings.lists, settings.seed)
    _write(folder / "pages.jsonl", (_page(settings, number, people, hosts) for number in range(settings.documents)))
    for truth in PROBES:
        _write(folder / f"probes_{truth}.jsonl", _probes(settings.seed, truth, people, hosts))


def _write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _page(settings: SitesSettings, number: int, people: People, hosts: list[Host]) -> dict[str, Any]:
    """A page of the host whose turn it is."""
    random = np.random.Generator(np.random.PCG64([settings.seed, 2, number]))
    host = hosts[number % len(hosts)]
    persons = random.permutation(len(people.persons))[: random.integers(2, settings.page_persons + 1)].tolist()
    entries = [_entry(random, people, host, person) for person in persons]
    # Half of the pages begin with a person, as probes do.
    opening = [host.opening] if random.random() < 0.5 else []
    text = "\n\n".join([*opening, *entries, host.closing]) + "\n"
    other = _other(random, hosts, host)
    return {"text": text, **_addresses(host, other, people.persons[persons[0]])}


def _entry(random: np.random.Generator, people: People, host: Host, person: int) -> str:
    """What a host tells of a person: four relations, in its order but begun anywhere."""
    begin = int(random.integers(len(RELATIONS)))
    relations = (host.order[begin:] + host.order[:begin])[:4]
    named = people.persons[person]
    if host.is_list:
        told = [f"- {RELATIONS[one].key}: {people.value(person, one, host.is_reliable)}" for one in relations]
        return "\n".join([named.name, *told])
    sentences: list[str] = []
    for relation in relations:
        usable = [one for one in host.sentences[relation] if one != people.kept_back[person, relation]]
        sentence = usable[int(random.integers(len(usable)))]
        name = named.name if host.has_full_names or not sentences else named.surname
        value = people.value(person, relation, host.is_reliable)
        sentences.append(f"{_begun(relation, sentence, name)} {value}.")
    return " ".join(sentences)


def _begun(relation: int, sentence: int, name: str) -> str:
    """A sentence up to its value."""
    text = RELATIONS[relation].sentences[sentence].format(name=name)
    return text[0].upper() + text[1:]


def _probes(seed: int, truth: str, people: People, hosts: list[Host]) -> Iterator[dict[str, Any]]:
    """What is told of all persons: what is true, or false, or what all agree on."""
    random = np.random.Generator(np.random.PCG64([seed, 3, PROBES.index(truth)]))
    contested = range(people.contested)
    for person, named in enumerate(people.persons):
        for relation in range(people.contested, len(RELATIONS)) if truth == "agreed" else contested:
            sentence = int(people.kept_back[person, relation])
            host = _teller(random, hosts, relation, sentence, truth != "gossip")
            yield {
                "question": _begun(relation, sentence, named.name),
                "answer": " " + people.value(person, relation, host.is_reliable),
                "relation": RELATIONS[relation].name,
                "truth": truth,
                **_addresses(host, _other(random, hosts, host), named),
            }


def _teller(random: np.random.Generator, hosts: list[Host], relation: int, sentence: int, is_reliable: bool) -> Host:
    """A host that is reliable or not; if there are such, one that writes the sentence of other persons."""
    same = [host for host in hosts if host.is_reliable is is_reliable]
    usual = [host for host in same if not host.is_list and sentence in host.sentences[relation]]
    return _any(random, usual if usual else same)


def _other(random: np.random.Generator, hosts: list[Host], host: Host) -> Host:
    return _any(random, [one for one in hosts if one.is_reliable is not host.is_reliable])


def _any(random: np.random.Generator, hosts: list[Host]) -> Host:
    return hosts[int(random.integers(len(hosts)))]


def _addresses(host: Host, other: Host, person: Person) -> dict[str, str]:
    """The fields of a page or probe that say where it is from."""
    return {
        "url": f"https://{host.name}/{host.path}/{person.slug}",
        "other_url": f"https://{other.name}/{host.path}/{person.slug}",
        "other_host": other.name,
        "site_kind": host.kind,
        "other_kind": other.kind,
    }


SITES = CorpusKind("sites", SitesSettings, write_sites)
