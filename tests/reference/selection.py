"""Which documents a stage may take: lists, thresholds and shares, step after step; and the borders of bins.

```
number    0.9   0.5   0.5   none        share 1/2 of documents   2 of 4: the 0.9, and the 0.5 of the smaller tie
tokens     10     4     7      1        share 1/2 of tokens      11 of 22: only the 0.9, since either 0.5 exceeds 11
```

`top` ranks higher numbers first, `bottom` lower ones; equal numbers are ranked by `tie(shuffle_key)`, then by shuffle
key, ascending. A document without the number (None or NaN) comes after all others; it counts in the total, and only a
share of 1 takes it. With `tokens`, the share ends before the first document that would exceed it, whatever comes later.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tests.reference.hashing import splitmix64

TIE_CONSTANT = 0x2545F4914F6CDD1D


@dataclass(frozen=True)
class Scored:
    """What ranking needs of a document: its number as in the token store (`as_float32`), shuffle key and tokens."""

    score: float | None
    shuffle_key: int
    tokens: int


@dataclass(frozen=True)
class Candidate:
    """What steps need of a document: its numbers as in the token store, and the texts of its template fields."""

    source: str
    shuffle_key: int
    tokens: int
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    values: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of `select`, with the keys of the configuration; it applies to all sources if `sources` is None."""

    top: Fraction | None = None
    bottom: Fraction | None = None
    at_least: Fraction | None = None
    at_most: Fraction | None = None
    by: str | None = None
    count: str = "documents"
    over: str = "each"
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deny: Mapping[str, Sequence[str]] = field(default_factory=dict)
    drop: Sequence[str] = ()
    sources: Sequence[str] | None = None


def select(documents: Sequence[Candidate], steps: Iterable[Step], kinds: Mapping[str, str]) -> set[int]:
    """Indices of the documents that all steps take; `kinds` maps each number to `float32`, `float` or `int`."""
    chosen = set(range(len(documents)))
    for step in steps:
        reached = {i for i in chosen if step.sources is None or documents[i].source in step.sources}
        chosen = (chosen - reached) | _taken(documents, reached, step, kinds)
    return chosen


def _taken(documents: Sequence[Candidate], reached: set[int], step: Step, kinds: Mapping[str, str]) -> set[int]:
    if step.top is None and step.bottom is None:
        return {i for i in reached if _is_listed(documents[i], step) and _is_between(documents[i], step, kinds)}
    groups = [reached]
    if step.over == "each":
        sources = {document.source for document in documents}
        groups = [{i for i in reached if documents[i].source == source} for source in sources]
    return set().union(*(_share_of(documents, sorted(group), step) for group in groups))


def _share_of(documents: Sequence[Candidate], group: list[int], step: Step) -> set[int]:
    assert step.by is not None
    scored = [Scored(documents[i].numbers[step.by], documents[i].shuffle_key, documents[i].tokens) for i in group]
    if step.top is not None:
        return {group[index] for index in take_share(scored, step.top, step.count, highest_first=True)}
    assert step.bottom is not None
    return {group[index] for index in take_share(scored, step.bottom, step.count, highest_first=False)}


def _is_listed(document: Candidate, step: Step) -> bool:
    allowed = all(document.values[name] in values for name, values in step.allow.items())
    is_denied = any(document.values[name] in values for name, values in step.deny.items())
    return allowed and not is_denied and not any(document.values[name] == "true" for name in step.drop)


def _is_between(document: Candidate, step: Step, kinds: Mapping[str, str]) -> bool:
    if step.by is None:
        return True
    number = document.numbers[step.by]
    if not is_number(number):
        return False
    low, high = step.at_least, step.at_most
    if kinds[step.by] == "float32":
        low, high = (None if bound is None else nearest_float32(bound) for bound in (low, high))
    # Python compares fractions, integers and floats exactly.
    return (low is None or number >= low) and (high is None or number <= high)


def take_share(documents: Sequence[Scored], share: Fraction, count: str, *, highest_first: bool) -> set[int]:
    """Indices of the selected documents; `count` is `documents` or `tokens`."""
    if share == 1:
        return set(range(len(documents)))
    ranked = sorted(range(len(documents)), key=lambda index: _rank(documents[index], highest_first))
    sizes = [documents[index].tokens if count == "tokens" else 1 for index in ranked]
    budget = math.floor(share * sum(sizes))
    selected = set()
    for index, size in zip(ranked, sizes, strict=True):
        budget -= size
        if budget < 0 or not is_scored(documents[index]):
            break
        selected.add(index)
    return selected


def top_share(documents: Sequence[Scored], share: Fraction, count: str) -> set[int]:
    """The share with the highest numbers."""
    return take_share(documents, share, count, highest_first=True)


def bin_borders(numbers: Iterable[float | None], bins: int) -> list[float]:
    """Borders between bins with equally many documents; equal values give equal borders."""
    ordered = sorted(number for number in numbers if number is not None and is_number(number))
    return [ordered[i * len(ordered) // bins] for i in range(1, bins)] if ordered else []


def tie(shuffle_key: int) -> int:
    """The number that ranks documents with equal numbers, smaller first."""
    return splitmix64(shuffle_key ^ TIE_CONSTANT)


def is_number(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def is_scored(document: Scored) -> bool:
    return is_number(document.score)


def as_float32(score: float) -> float:
    """The nearest 32-bit value, which is how the token store keeps scores."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", score))[0])
    except OverflowError:
        return math.copysign(math.inf, score)


def nearest_float32(value: Fraction) -> float:
    """The 32-bit value nearest to an exact number: 24 binary digits, ties to even."""
    exponent = -149
    while abs(value) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    rounded = round(value / Fraction(2) ** exponent) * Fraction(2) ** exponent
    if abs(rounded) >= Fraction(2) ** 128:
        return math.inf if rounded > 0 else -math.inf
    return float(rounded)


def _rank(document: Scored, highest_first: bool) -> tuple[bool, float, int, int]:
    score = document.score if document.score is not None and is_scored(document) else 0
    return not is_scored(document), -score if highest_first else score, tie(document.shuffle_key), document.shuffle_key
