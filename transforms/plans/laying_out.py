"""From tokens wanted of each source in each slice to ranges of shuffle keys, and for an order also of ranks.

```
shuffled    stream of the source   |---- slice 0 ----|-- slice 1 --|---- slice 2 ----|     consecutive intervals
ordered     bin 0 (short)        |---- slice 0 ----|-- slice 1 --|                       each bin takes of the whole
            bin 1 (long)         |----------- slice 2 -----------|                       interval what is of its ranks
```

So whatever the order, a stage's documents are those of one interval of the stream, and the next stage begins behind it.
The borders of bins are ranks of documents of the interval, such that each bin has the tokens that its slices want.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from byline.schemas.predicates import Rank
from byline.transforms.documents.shuffle_keys import ties
from byline.transforms.plans.intervals import EPOCH, Stream, shuffle_key_ranges
from byline.transforms.plans.simulating import Draw, SourceSample, drawn_documents

# Behind every document's rank, but for one in 2^128.
_LAST_RANK: Rank = (2**64 - 1, 2**64 - 1, 2**64 - 1)


@dataclass(frozen=True)
class Laid:
    """One source in one stage.

    Attributes:
        draws: of each slice.
        points: where on the stream each slice ends; None for an order, whose slices have no shuffle key of their own.
        end: where the next stage begins.
    """

    draws: list[list[Draw]]
    points: list[int] | None
    end: int


def lay_shuffled(stream: Stream, start: int, end: int, wanted: Sequence[int]) -> Laid:
    """Cuts an interval in proportion to the tokens that the slices want.

    Args:
        stream: of the source, as the stage sees it.
        start, end: points of the stream.
        wanted: tokens, for each slice.
    """
    tokens = stream.tokens_before(end) - stream.tokens_before(start)
    total = max(sum(wanted), 1)
    points = [min(stream.advance(start, tokens * so_far // total), end) for so_far in accumulate(wanted)]
    points[_last_wanting(wanted) :] = [end] * (len(wanted) - _last_wanting(wanted))
    borders = [start, *points]
    draws = [[Draw(shuffle_key_ranges(stream.offset, low, high))] for low, high in pairwise(borders)]
    return Laid(draws, points, end)


def _last_wanting(wanted: Sequence[int]) -> int:
    """The last slice that wants tokens: it takes what rounding left."""
    return max((number for number, tokens in enumerate(wanted) if tokens > 0), default=len(wanted) - 1)


@dataclass(frozen=True)
class _Documents:
    """Sampled documents of an interval, one entry for each use: arrays of n.

    Attributes:
        epoch: int64.
        step: uint64, from the stream's offset.
        key, tie, shuffle_key: uint64, the rank.
        tokens: int64, of the framed document.
    """

    epoch: np.ndarray
    step: np.ndarray
    key: np.ndarray
    tie: np.ndarray
    shuffle_key: np.ndarray
    tokens: np.ndarray

    def take(self, chosen: np.ndarray) -> "_Documents":
        return _Documents(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def rank(self, index: int) -> Rank:
        return int(self.key[index]), int(self.tie[index]), int(self.shuffle_key[index])


def lay_ordered(
    stream: Stream,
    start: int,
    end: int,
    wanted: Sequence[int],
    bins: Sequence[int],
    sample: SourceSample,
    stage: int,
    specials: int,
) -> Laid:
    """Divides an interval into bins by rank, and each bin between its slices by shuffle key.

    Args:
        stream, start, end, wanted: as in `lay_shuffled`.
        bins: the bin of each slice.
        sample: of the source.
        stage: number of the stage.
        specials: BOS and EOS tokens of a framed document.
    """
    if not any(wanted):
        # An interval that is taken to its end though nothing is asked of it must still go somewhere.
        wanted = [1] * len(wanted)
    draws: list[list[Draw]] = [[] for _ in wanted]
    documents = _documents_of(stream, start, end, sample, stage, specials)
    ranked = documents.take(np.lexsort((documents.shuffle_key, documents.tie, documents.key)))
    filled = [bin_ for bin_ in sorted(set(bins)) if _wanted_of(bin_, wanted, bins) > 0]
    cuts = _cut([_wanted_of(bin_, wanted, bins) for bin_ in filled], ranked.tokens)
    first, low = None, 0
    for number, bin_ in enumerate(filled):
        is_last = number + 1 == len(filled)
        high = len(ranked.tokens) if is_last else _end_of_rank(ranked, cuts[number], low)
        # With documents used up before the last bin, the bins behind it are empty.
        below = None if is_last else ranked.rank(high) if high < len(ranked.tokens) else _LAST_RANK
        slices = [slice_ for slice_, taken in enumerate(bins) if taken == bin_]
        points = _points_in_bin(ranked.take(np.arange(low, high)), [wanted[s] for s in slices], start, end)
        for slice_, (begin, stop) in zip(slices, pairwise(points), strict=True):
            draws[slice_] = [Draw(shuffle_key_ranges(stream.offset, begin, stop), first, below)]
        first, low = below, high
    return Laid(draws, None, end)


def _wanted_of(bin_: int, wanted: Sequence[int], bins: Sequence[int]) -> int:
    return sum(tokens for tokens, taken in zip(wanted, bins, strict=True) if taken == bin_)


def _documents_of(stream: Stream, start: int, end: int, sample: SourceSample, stage: int, specials: int) -> _Documents:
    indices, epochs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for chosen, epoch in drawn_documents(sample, stage, Draw(shuffle_key_ranges(stream.offset, start, end))):
        indices.append(chosen)
        epochs.append(np.full(len(chosen), epoch))
    index = np.concatenate(indices)
    shuffle_key = sample.shuffle_key[index]
    with np.errstate(over="ignore"):
        step = shuffle_key - np.uint64(stream.offset)
    tokens = sample.tokens[index] + specials + sample.prefixes[stage][index]
    return _Documents(np.concatenate(epochs), step, sample.keys[stage][index], ties(shuffle_key), shuffle_key, tokens)


def _cut(wanted: Sequence[int], tokens: np.ndarray) -> list[int]:
    """Ends of consecutive stretches of documents whose tokens are in proportion to what is wanted."""
    ends = np.cumsum(tokens)
    total, asked = int(ends[-1]) if len(ends) else 0, max(sum(wanted), 1)
    # A document belongs to the stretch in which its middle lies.
    middles = ends - tokens / 2
    return [int(np.searchsorted(middles, total * so_far / asked)) for so_far in accumulate(wanted)]


def _end_of_rank(ranked: _Documents, cut: int, least: int) -> int:
    """A cut moved on behind all uses of one document, since they have one rank."""
    cut = max(cut, least)
    while 0 < cut < len(ranked.shuffle_key) and ranked.rank(cut) == ranked.rank(cut - 1):
        cut += 1
    return cut


def _points_in_bin(documents: _Documents, wanted: Sequence[int], start: int, end: int) -> list[int]:
    """Points of the stream, from start to end, between which the bin's documents are divided as wanted."""
    if len(documents.shuffle_key) < 2 * len(wanted):
        # So thin a sample says nothing of where documents are, and shuffle keys are spread evenly.
        total = max(sum(wanted), 1)
        return [start, *(start + (end - start) * so_far // total for so_far in accumulate(wanted[:-1])), end]
    in_line = documents.take(np.lexsort((documents.step, documents.epoch)))
    points = [start]
    for cut in _cut(wanted, in_line.tokens)[:-1]:
        at = int(in_line.epoch[cut]) * EPOCH + int(in_line.step[cut]) if cut < len(in_line.step) else end
        points.append(min(max(at, points[-1]), end))
    return [*points, end]
