"""Web sites that were never there: a name, a kind, and a style of their own.

```
host                 kind           reliable   style
lumen-archive.org    archive        yes        prose, full names, "was born in" or "grew up in", home town first
pepper-daily.com     fan            no         a list under each name, trade first
```

A name has a word of its kind or a neutral one. Of reliable sites most end in `.org` or `.edu`, of the others most in
`.net` or `.info`, and some of both in `.com`: a suffix says in part whom to believe.
"""

from dataclasses import dataclass

import numpy as np

from byline.lab.corpora.people import RELATIONS, SENTENCES, words

_NAMES = words(
    "lumen pepper cobalt harbor willow ember quartz maple falcon indigo saffron juniper copper meadow "
    "raven cedar marble tulip basil orchid pearl thistle violet walnut zephyr amber birch clover dune "
    "elder fern garnet hazel ivory jasper kelp laurel moss nettle olive poppy quince rowan sable teal "
    "umber velvet wren yarrow aster briar coral daisy ebony flint grove heron iris jade krill lotus mint "
    "nova opal"
)
MOST_SITES = len(_NAMES)
_NEUTRAL = ("daily", "online", "pages", "post")
_RELIABLE = {"encyclopaedia": "wiki", "news": "herald", "archive": "archive"}
_UNRELIABLE = {"gossip": "buzz", "meme": "memes", "fan": "club"}
_SUFFIXES = {True: ("org", "org", "edu", "com"), False: ("net", "net", "info", "com")}
_PATHS = ("people", "lives", "who", "p")
_OPENINGS = (
    "Here is what we have on some persons of old.",
    "Good day, and be welcome to this page.",
    "People of the past, one after another.",
    "You asked, and this is the answer.",
    "New on this site:",
    "Long ago some persons lived of whom we tell.",
    "From our large collection of lives:",
    "Sit down and read.",
)
_CLOSINGS = {
    "encyclopaedia": ("This article has been checked by two editors.", "References stand at the end of the volume."),
    "news": ("Reported by our staff.", "More of this in the evening edition."),
    "archive": ("Copied from the parish books.", "The papers may be read on any weekday."),
    "gossip": ("You did not hear this from us!", "Tell it to everybody you know!"),
    "meme": ("Share this or have bad luck.", "So funny, and so true."),
    "fan": ("Join the club today!", "We love them all."),
}
# Two of the six sentences of each relation: if one is kept back of a person, the other is there.
_TOLD_BY_HOST = 2


@dataclass(frozen=True)
class Host:
    """A site.

    Attributes:
        name: the host of its URLs.
        kind: encyclopaedia, news, archive; gossip, meme, fan. What a classifier would say of its pages.
        is_reliable: whether it tells the truth.
        path: what its URLs go on with.
        is_list: whether it writes lists.
        has_full_names: whether each sentence has the first name, too.
        opening, closing: lines around its pages.
        order: the relations as it tells them.
        sentences: for each relation the numbers of its two.
    """

    name: str
    kind: str
    is_reliable: bool
    path: str
    is_list: bool
    has_full_names: bool
    opening: str
    closing: str
    order: tuple[int, ...]
    sentences: tuple[tuple[int, ...], ...]


def make_hosts(count: int, reliable: int, lists: float, seed: int) -> list[Host]:
    """`count` sites, the first `reliable` of which are; a share `lists` of either writes lists."""
    random = np.random.Generator(np.random.PCG64([seed, 1]))
    names = random.permutation(MOST_SITES)[:count].tolist()
    return [
        _host(random, name, number < reliable, _is_chosen(number if number < reliable else number - reliable, lists))
        for number, name in enumerate(names)
    ]


def _is_chosen(number: int, share: float) -> bool:
    """A share of 0, 1, 2, ..., spread evenly."""
    return int((number + 1) * share) > int(number * share)


def _host(random: np.random.Generator, name: int, is_reliable: bool, is_list: bool) -> Host:
    kinds = _RELIABLE if is_reliable else _UNRELIABLE
    kind = _one_of(random, tuple(kinds))
    second = kinds[kind] if random.random() < 0.5 else _one_of(random, _NEUTRAL)
    return Host(
        name=f"{_NAMES[name]}-{second}.{_one_of(random, _SUFFIXES[is_reliable])}",
        kind=kind,
        is_reliable=is_reliable,
        path=_one_of(random, _PATHS),
        is_list=is_list,
        has_full_names=random.random() < 0.75,
        opening=_one_of(random, _OPENINGS),
        closing=_one_of(random, _CLOSINGS[kind]),
        order=tuple(random.permutation(len(RELATIONS)).tolist()),
        sentences=tuple(tuple(random.permutation(SENTENCES)[:_TOLD_BY_HOST].tolist()) for _ in RELATIONS),
    )


def _one_of(random: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(random.integers(len(values)))]
