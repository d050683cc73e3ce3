"""Loss weights that differ within a document: ranges of its own tokens that a formatter weighs, from runs to rows.

```
document          weight 0.5      own tokens  d0 d1 d2 d3 d4 d5      weighed [0, 2, 4, 6]   range_weights [0.2, 4]
range weights     0.1, 2                      the document's weight times each, in float64
row               BOS prefix d0 d1 d2 d3 d4 d5 EOS
masked            0   0      1  1  1  0  1  1  1                     d3 by an attribute, say
loss_weight       0   0     .1 .1 .5  0  2  2 .5                     each rounded once to the type of the column
```

What no range covers (EOS, a BOS or a prefix that is trained, any other token) has the document's weight.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.documents import RANGE_WEIGHTS, WEIGHED
from byline.schemas.loss_weights import LARGEST, LossWeights
from byline.transforms.fields.loss_weights import weighs_by_formatter

# numba has no float16, and values are only copied.
_BITS = {"float16": np.uint16, "float32": np.uint32}


class WeighedRanges(NamedTuple):
    """Ranges of own tokens of n documents.

    Attributes:
        ranges: int32, start, end, ... of all documents, ascending and apart in each.
        weights: float64, one for each range: that of its document times what the formatter gives the range.
        starts, counts: int64 [n], each document's part of `ranges`; the weight of the range at m is at m // 2.
    """

    ranges: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_counts(cls, ranges: np.ndarray, weights: np.ndarray, counts: np.ndarray) -> "WeighedRanges":
        """Ranges of documents one after another."""
        return cls(ranges, weights, np.cumsum(counts) - counts, counts)


_NOTHING = np.zeros(0, np.int64)
NO_RANGES = WeighedRanges(np.zeros(0, np.int32), np.zeros(0), _NOTHING, _NOTHING)


def weighed_ranges(
    documents: pa.RecordBatch, document_weights: np.ndarray, source: str, weights: LossWeights | None
) -> WeighedRanges:
    """What a formatter weighs of documents; nothing unless the recipe asks for it.

    Args:
        documents: n of one source, with `row`, and where the recipe asks for it `weighed` and `range_weights`.
        document_weights: float64 [n].
        source: its name.
        weights: of the stage; None for 1.

    Raises:
        BylineError: the token store has no such columns, or a product is above what a weight may be.
    """
    if not weighs_by_formatter(source, weights):
        return WeighedRanges.of_counts(*NO_RANGES[:2], np.zeros(documents.num_rows, np.int64))
    if WEIGHED.name not in documents.schema.names or RANGE_WEIGHTS.name not in documents.schema.names:
        raise BylineError(f"loss_weight.{source}: the token store of {source!r} has no weights of a formatter")
    counts = documents[WEIGHED.name].value_lengths().to_numpy().astype(np.int64)
    own = documents[RANGE_WEIGHTS.name].flatten().to_numpy()
    of_ranges = np.repeat(document_weights, counts // 2)
    products = of_ranges * own
    too_large = np.flatnonzero(products > LARGEST)
    if len(too_large):
        at = too_large[0]
        row = documents["row"][int(np.searchsorted(np.cumsum(counts // 2), at, side="right"))]
        raise BylineError(
            f"loss_weight.{source}: row {row} of one of its files has weight {of_ranges[at]:g} and a part of weight "
            f"{own[at]:g}, together more than {LARGEST}; make one of them smaller"
        )
    return WeighedRanges.of_counts(documents[WEIGHED.name].flatten().to_numpy(), products, counts)


def join_ranges(parts: Sequence[WeighedRanges], order: np.ndarray) -> WeighedRanges:
    """Those of the documents of all parts, which then are put in an order (int64 [n])."""
    ranges, weights, _, counts = (np.concatenate(arrays) for arrays in zip(NO_RANGES, *parts, strict=True))
    joined = WeighedRanges.of_counts(ranges, weights, counts)
    return joined._replace(starts=joined.starts[order], counts=counts[order])


def weigh_rows(
    weights: np.ndarray, first_row: int, segments: tuple[np.ndarray, ...], lead: np.ndarray, weighed: WeighedRanges
) -> None:
    """Writes the weights of ranges into rows that have those of their documents.

    Args:
        weights: float16 or float32 [rows, L], changed.
        first_row: row number of `weights[0]`.
        segments: row, document, start, take, head (int64), all of rows in `weights`.
        lead: int64 [documents], tokens before the document's own.
        weighed: of all documents.
    """
    bits = _BITS[str(weights.dtype)]
    rounded = weighed.weights.astype(weights.dtype).view(bits)
    _weigh(weights.view(bits), first_row, segments, lead, weighed._replace(weights=rounded))


@numba.njit(cache=True, nogil=True)
def _weigh(
    weights: np.ndarray,
    first_row: int,
    segments: tuple[np.ndarray, ...],
    lead: np.ndarray,
    weighed: WeighedRanges,
) -> None:
    row_of, document_of, start_of, take_of, head_of = segments
    row, position = -1, 0
    for n in range(len(row_of)):
        if row_of[n] - first_row != row:
            row, position = row_of[n] - first_row, 0
        d = document_of[n]
        # Where own token 0 would stand in the row, and which own tokens do.
        own = position + head_of[n] + lead[d] - start_of[n]
        low, high = start_of[n] - lead[d], start_of[n] + take_of[n] - lead[d]
        for m in range(weighed.starts[d], weighed.starts[d] + weighed.counts[d], 2):
            for k in range(max(weighed.ranges[m], low), min(weighed.ranges[m + 1], high)):
                weights[row, own + k] = weighed.weights[m // 2]
        position += head_of[n] + take_of[n]


@numba.njit(cache=True, nogil=True)
def weighed_between(
    document_of: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    weighed: WeighedRanges,
    masked: np.ndarray,
    masked_start: np.ndarray,
    masked_count: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How many trained own tokens of weighed ranges each segment holds, and the sum of their weights.

    Args:
        document_of: int64 [segments].
        low, high: int64 [segments], the document's own tokens [low, high) in the segment.
        weighed: of all documents.
        masked: int32, ranges of own tokens whose loss does not count, ascending and apart in each document.
        masked_start, masked_count: int64 [documents], each document's part of `masked`.

    Returns:
        int64 and float64 [segments].
    """
    tokens, sums = np.zeros(len(document_of), np.int64), np.zeros(len(document_of))
    for n in range(len(document_of)):
        d = document_of[n]
        first, last = masked_start[d], masked_start[d] + masked_count[d]
        for m in range(weighed.starts[d], weighed.starts[d] + weighed.counts[d], 2):
            begin, end = max(weighed.ranges[m], low[n]), min(weighed.ranges[m + 1], high[n])
            if begin >= end:
                continue
            trained = end - begin
            while first < last and masked[first + 1] <= begin:
                first += 2
            for k in range(first, last, 2):
                if masked[k] >= end:
                    break
                trained -= min(masked[k + 1], end) - max(masked[k], begin)
            tokens[n] += trained
            sums[n] += trained * weighed.weights[m // 2]
    return tokens, sums
