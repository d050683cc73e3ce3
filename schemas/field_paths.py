"""Field paths: where a value stands in a record, as `fields`, `keep` and `score` of a source say it.

```
path                 leads to
url                  the field url
metadata.url         the field metadata.url; where that has no value, url inside of metadata
"metadata"."url"     url inside of metadata alone: what is in quotes is one name, and "" in it is a quote
urls[0]  urls.0      the first item of urls
headers.Host         the value of Host in a map, or in a list of keys and values
```

A dot stands in a name or between two names. Of all readings of a path the one with the longest names first comes
first, and the first that has a value counts:

```
a.b.c                a.b.c    a.b > c    a > b.c    a > b > c
"a.b".c              a.b > c
```

What there is inside of a value, `byline.transforms.corpora.record_values` says.
"""

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

_PART = re.compile(
    r'"(?P<quoted>(?:[^"]|"")*)"(?=[.\[]|\Z)|(?P<plain>[^.\[]*(?:\[(?![0-9]+\](?:[.\[]|\Z))[^.\[]*)*)', re.DOTALL
)
_INDEX = re.compile(r"\[(?P<index>[0-9]+)\]")
_QUOTE = re.compile(r'(?:^|\.)"')
_MOST_PARTS = 64
_MOST_WAYS = 100
# No list is as long.
_MOST_DIGITS = 9


class Part(NamedTuple):
    """A name of a path.

    Attributes:
        name: of a field, a key of a map, or the number of an item from 0.
        follows_dot: whether it may be the rest of the name before it, behind a dot.
    """

    name: str
    follows_dot: bool = False

    @property
    def number(self) -> int | None:
        """The number of an item that the name may be."""
        is_number = self.name.isascii() and self.name.isdecimal() and len(self.name) <= _MOST_DIGITS
        return int(self.name) if is_number else None


Parts = tuple[Part, ...]


def _check_path(path: str) -> str:
    readings_of(path)
    return path


FieldPath = Annotated[str, AfterValidator(_check_path)]


@functools.lru_cache
def readings_of(path: str) -> tuple[Parts, ...]:
    """The parts of a path, once as they are, and before that as one name where it may be one with brackets.

    Raises:
        ValueError: a quote is not closed, or there are more than 64 names.
    """
    parts = tuple(itertools.islice(_parts(path), _MOST_PARTS + 1))
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"a path of more than {_MOST_PARTS} names: {path[:100]!r}...; put names with dots in quotes")
    has_index = any(not part.follows_dot for part in parts[1:])
    return ((Part(path),), parts) if has_index and not _QUOTE.search(path) else (parts,)


def _parts(path: str) -> Iterator[Part]:
    at, is_plain_before = 0, False
    while True:
        match = _PART.match(path, at)
        assert match is not None, path
        if path.startswith('"', at) and match["quoted"] is None:
            raise ValueError(
                f"the quote at character {at} of the path {path!r} has no end before a dot or the end of the path; "
                'expected "name", with "" for a quote in the name'
            )
        is_plain = match["quoted"] is None
        name = match["plain"] if is_plain else match["quoted"].replace('""', '"')
        yield Part(name, is_plain and is_plain_before)
        at = match.end()
        while index := _INDEX.match(path, at):
            yield Part(index["index"])
            at, is_plain = index.end(), False
        if at == len(path):
            return
        # Both patterns end before a dot.
        at, is_plain_before = at + 1, is_plain


def heads(parts: Parts) -> Iterator[tuple[str, Parts]]:
    """Each name that a path may begin with, and what is left of the path; the longest name first."""
    length = 1
    while length < len(parts) and parts[length].follows_dot:
        length += 1
    for size in range(length, 0, -1):
        yield ".".join(part.name for part in parts[:size]), parts[size:]


def ways_of(path: str) -> Iterator[tuple[str, ...]]:
    """All ways to read a path, as names; of a path with many dots no more than a hundred."""
    return itertools.islice((way for parts in readings_of(path) for way in ways_through(parts)), _MOST_WAYS)


def ways_through(parts: Parts) -> Iterator[tuple[str, ...]]:
    """All ways to read parts of a path, as names, in the order of `heads`."""
    if not parts:
        yield ()
        return
    for name, rest in heads(parts):
        for way in ways_through(rest):
            yield (name, *way)


def as_path(*names: str) -> str:
    """A path through these names, quoted where they have dots."""
    return ".".join('"' + name.replace('"', '""') + '"' if re.search(r'[.\[]|^"', name) else name for name in names)
