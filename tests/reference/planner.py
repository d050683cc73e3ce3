"""Derives a plan's documents from its decisions alone: which a stage draws, their slices, and their order.

```
stream of a source   d3 d1 d7 d2 | d3 d1 d7 d2 | ...     by shuffle key from the source's offset, epoch after epoch
decided              from d1 of epoch 0 up to d1 of epoch 1, in slices of 2, 1 and 1 documents
shuffled             d1 d7   d2   d3                     consecutive on the stream
two bins             d1 d2   d7   d3                     the bins hold the lower and the higher ranks, here d1 and d2,
                                                         and d3 and d7; their slices are consecutive on the stream
```

Within a slice, documents of all sources are sorted by `order`. Plain integers and lists throughout.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import mmh3

from tests.reference import hashing
from tests.reference.assembly import Document

CIRCLE = 2**64

Rank = tuple[Any, int, int]


@dataclass(frozen=True)
class Drawn:
    """What one stage draws from one source.

    Attributes:
        name: of the phase, or of the branch at one point.
        selected: the documents that the stage may take.
        start, end: points of the stream.
    """

    name: str
    source: str
    selected: Sequence[Document]
    start: int
    end: int

    def uses(self, seed: int) -> list[Document]:
        """Every use, in order of the stream."""
        points = []
        for epoch in range(self.start // CIRCLE, -(-self.end // CIRCLE)):
            for document in self.selected:
                point = point_of(document, epoch, seed)
                if self.start <= point < self.end:
                    points.append((point, document.doc_id, replace(document, epoch=epoch)))
        return [use for _, _, use in sorted(points, key=lambda entry: entry[:2])]


def offset(source: str, seed: int) -> int:
    """The shuffle key at which a source's stream begins."""
    return mmh3.hash64(source, seed=seed, signed=False)[1] >> 48 << 48


def point_of(document: Document, epoch: int, seed: int) -> int:
    """The point on its source's stream of a use of a document."""
    return epoch * CIRCLE + (document.shuffle_key - offset(document.source, seed)) % CIRCLE


def sliced(uses: Sequence[Document], counts: Sequence[int]) -> list[list[Document]]:
    """Consecutive slices with these numbers of documents."""
    assert sum(counts) == len(uses), (counts, len(uses))
    ends = [0]
    for count in counts:
        ends.append(ends[-1] + count)
    return [list(uses[low:high]) for low, high in pairwise(ends)]


def sliced_by_rank(
    uses: Sequence[Document], counts: Sequence[int], bins: Sequence[int], rank: Callable[[Document], Rank]
) -> list[list[Document]]:
    """Slices of bins that are consecutive in rank; the slices of a bin are consecutive on the stream.

    Args:
        uses: in order of the stream.
        counts: documents of each slice.
        bins: the bin of each slice, ascending.
        rank: of a document; all its uses must be in one bin.
    """
    numbers = sorted(set(bins))
    sizes = [sum(count for count, bin_ in zip(counts, bins, strict=True) if bin_ == number) for number in numbers]
    ranked = sorted(range(len(uses)), key=lambda index: rank(uses[index]))
    slices: list[list[Document]] = []
    for number, size in zip(numbers, sizes, strict=True):
        in_bin, ranked = sorted(ranked[:size]), ranked[size:]
        assert not (in_bin and ranked) or max(rank(uses[i]) for i in in_bin) < min(rank(uses[i]) for i in ranked)
        bin_counts = [count for count, bin_ in zip(counts, bins, strict=True) if bin_ == number]
        slices += sliced([uses[index] for index in in_bin], bin_counts)
    assert not ranked, (counts, len(uses))
    return slices


def in_order(slices: Iterable[Iterable[Document]], seed: int) -> list[Document]:
    """The documents of one shard in their order, from those of each of its slices."""
    return [
        replace(use, slice=number)
        for number, uses in enumerate(slices)
        for use in sorted(uses, key=lambda use: (hashing.order(use.shuffle_key, use.epoch, seed), use.doc_id))
    ]


# ------------------------------------------------------------------------------------------------------------- counts


def count(documents: Iterable[Document]) -> dict[str, int]:
    """The numbers of documents, and of tokens of their texts."""
    tokens = [len(document.tokens) for document in documents]
    return {"documents": len(tokens), "tokens": sum(tokens)}


def drawn_counts(
    documents: Iterable[Document], drawn: Sequence[Drawn], mixed: Mapping[str, Iterable[int]], seed: int
) -> dict[str, Any]:
    """The plan header's `drawn`: entries without documents are left out.

    Args:
        documents: of the token store.
        drawn: of every stage and source.
        mixed: source that a stage's mixture names -> doc ids of those that any part selects.
    """
    documents = list(documents)
    counts: dict[str, Any] = {"stages": {}, "used": {}, "unused": {}, "replaced": {}, "stages_replaced": {}}
    _count_replaced(counts["replaced"], documents)
    used: set[int] = set()
    for stage in drawn:
        uses = stage.uses(seed)
        used |= {use.doc_id for use in uses}
        if any(use.placeholders for use in uses):
            _count_replaced(counts["stages_replaced"].setdefault(stage.name, {}), uses)
        for epoch in sorted({use.epoch for use in uses}):
            of_source = counts["stages"].setdefault(stage.name, {}).setdefault(stage.source, {})
            of_source[epoch] = count(use for use in uses if use.epoch == epoch)
    kinds: dict[tuple[str, ...], list[Document]] = {}
    for document in documents:
        kinds.setdefault(_fate(document, used, mixed), []).append(document)
    for (source, *reason), of_kind in kinds.items():
        if reason:
            counts["unused"].setdefault(source, {})[reason[0]] = count(of_kind)
        else:
            counts["used"][source] = count(of_kind)
    return counts


def _count_replaced(counts: dict[str, dict[str, int]], documents: Iterable[Document]) -> None:
    for document in documents:
        if document.placeholders:
            of_source = counts.setdefault(document.source, {"documents": 0, "tokens": 0, "placeholders": 0})
            of_source["documents"] += 1
            of_source["tokens"] += document.replaced
            of_source["placeholders"] += document.placeholders


def _fate(document: Document, used: set[int], mixed: Mapping[str, Iterable[int]]) -> tuple[str, ...]:
    """(source) of a used document, (source, reason) of another."""
    source = document.source
    if document.doc_id in used:
        return (source,)
    if source not in mixed:
        return source, "mixture"
    return source, "budget" if document.doc_id in mixed[source] else "selection"
