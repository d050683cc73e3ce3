"""The best share of one source's documents by a score, exactly.

```
score     0.9   0.5   0.5   none        share 1/2 of documents   2 of 4: the 0.9, and the 0.5 of the smaller tie
tokens     10     4     7      1        share 1/2 of tokens      11 of 22: the 0.9 alone, for either 0.5 passes 11
```

A higher score comes first; equal scores by `tie(place)`, then by place, ascending. A document without a score (None or
not a number) comes after all others; it is counted in what there is, and selected by a share of 1 alone. Under
`tokens` the selection ends before the first document that would pass the share, even if a later one fits.
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from tests.reference.placing import splitmix64

TIE_CONSTANT = 0x2545F4914F6CDD1D


@dataclass(frozen=True)
class Scored:
    """What selection needs of a document: its score as the token store holds it (see `as_float32`), place, tokens."""

    score: float | None
    place: int
    tokens: int


def top_share(documents: list[Scored], share: Fraction, count: str) -> set[int]:
    """Indices into `documents` of the selected ones; `count` is `documents` or `tokens`."""
    if share == 1:
        return set(range(len(documents)))
    ranked = sorted(range(len(documents)), key=lambda index: _rank(documents[index]))
    sizes = [documents[index].tokens if count == "tokens" else 1 for index in ranked]
    budget = math.floor(share * sum(sizes))
    selected = set()
    for index, size in zip(ranked, sizes, strict=True):
        budget -= size
        if budget < 0 or not is_scored(documents[index]):
            break
        selected.add(index)
    return selected


def tie(place: int) -> int:
    """What decides between equal scores: the smaller comes first."""
    return splitmix64(place ^ TIE_CONSTANT)


def is_scored(document: Scored) -> bool:
    return document.score is not None and not math.isnan(document.score)


def as_float32(score: float) -> float:
    """The nearest 32-bit value, as the token store keeps scores."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", score))[0])
    except OverflowError:
        return math.copysign(math.inf, score)


def _rank(document: Scored) -> tuple[bool, float, int, int]:
    score = document.score if document.score is not None and is_scored(document) else 0.0
    return not is_scored(document), -score, tie(document.place), document.place
