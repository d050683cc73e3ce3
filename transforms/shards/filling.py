"""Filling sequences: from segments and documents to the bytes of `input_ids` and `loss_mask`, and to counts.

```
framed document        BOS  prefix  tokens  [prefix]  EOS          a segment is a part [start, start + take) of it,
loss mask      0     0       1        1       1           after `head` tokens of the repeated prefix
               1                                 (BOS of a document without a masked prefix)
                           0 0                   (own tokens in a masked range of the document)
```
"""

from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from byline.schemas.ledger import DrawCounts, Replaced
from byline.transforms.packing import PackingPolicy, Segments
from byline.transforms.shards.gathering import Documents
from byline.transforms.shards.weighing import weighed_between


@dataclass(frozen=True)
class Layout:
    """Where the parts of each framed document begin: int64 [n] each.

    Attributes:
        lead: tokens before the document's own (BOS and masked prefix).
        own_end: end of the document's own tokens.
        framed: length of the whole framed document.
    """

    lead: np.ndarray
    own_end: np.ndarray
    framed_length: np.ndarray


def lay_out(documents: Documents, bos_id: int | None, eos_id: int | None) -> Layout:
    """The layout of every framed document."""
    lead = documents.masked_prefix + (bos_id is not None)
    own_end = lead + documents.token_count
    trailing = documents.prefix_count - documents.masked_prefix
    return Layout(lead, own_end, own_end + trailing + (eos_id is not None))


@numba.njit(cache=True, nogil=True)
def fill_rows(
    ids: np.ndarray,
    mask: np.ndarray,
    first_row: int,
    segments: tuple[np.ndarray, ...],
    tokens: np.ndarray,
    prefixes: np.ndarray,
    masked: np.ndarray,
    documents: tuple[np.ndarray, ...],
    bos: int,
    eos: int,
) -> None:
    """Writes segments into rows that were filled with padding.

    Args:
        ids: [rows, L], changed.
        mask: uint8 [rows, L], changed.
        first_row: row number of `ids[0]`.
        segments: row, document, start, take, head (int64), all of rows in `ids`.
        tokens, prefixes: ids.
        masked: int32, ranges of own tokens: start, end, ...
        documents: token_start, token_count, prefix_start, prefix_count, masked_prefix, masked_start, masked_count
            (int64).
        bos, eos: ids, or -1 for none.
    """
    row_of, document_of, start_of, take_of, head_of = segments
    token_start, token_count, prefix_start, prefix_count, masked_prefix, masked_start, masked_count = documents
    row, position = -1, 0
    for n in range(len(row_of)):
        if row_of[n] - first_row != row:
            row, position = row_of[n] - first_row, 0
        d = document_of[n]
        for k in range(head_of[n]):
            ids[row, position] = prefixes[prefix_start[d] + k]
            position += 1
        begin, end = start_of[n], start_of[n] + take_of[n]
        at = 0
        if bos >= 0:
            if begin == 0:
                ids[row, position] = bos
                mask[row, position] = 0 if masked_prefix[d] > 0 else 1
                position += 1
            at = 1
        for k in range(max(begin - at, 0), min(end - at, masked_prefix[d])):
            ids[row, position] = prefixes[prefix_start[d] + k]
            position += 1
        at += masked_prefix[d]
        low, high = max(begin - at, 0), min(end - at, token_count[d])
        for k in range(low, high):
            ids[row, position] = tokens[token_start[d] + k]
            mask[row, position] = 1
            position += 1
        for m in range(masked_start[d], masked_start[d] + masked_count[d], 2):
            for k in range(max(masked[m], low), min(masked[m + 1], high)):
                mask[row, position - high + k] = 0
        at += token_count[d]
        trailing = prefix_count[d] - masked_prefix[d]
        for k in range(max(begin - at, 0), min(end - at, trailing)):
            ids[row, position] = prefixes[prefix_start[d] + k]
            mask[row, position] = 1
            position += 1
        at += trailing
        if eos >= 0 and end > at:
            ids[row, position] = eos
            mask[row, position] = 1
            position += 1


def trained_heads(batch: pa.RecordBatch) -> np.ndarray:
    """How many loss tokens of some rows are the first of a row, and how many the first of a segment; int64 [2].

    Args:
        batch: of a shard's schema; one row or more.
    """
    mask, lengths = (batch[name].flatten().to_numpy() for name in ("loss_mask", "seq_lengths"))
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    return np.array([mask[:: len(mask) // batch.num_rows].sum(), mask[starts].sum()], np.int64)


@numba.njit(cache=True, nogil=True)
def masked_between(
    document_of: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    masked: np.ndarray,
    masked_start: np.ndarray,
    masked_count: np.ndarray,
) -> np.ndarray:
    """How many own tokens of masked ranges each segment holds.

    Args:
        document_of: int64 [segments].
        low, high: int64 [segments], the document's own tokens [low, high) in the segment.
        masked: int32, ranges of all documents.
        masked_start, masked_count: int64 [documents], each document's part of `masked`.

    Returns:
        int64 [segments].
    """
    masked_tokens = np.zeros(len(document_of), np.int64)
    for n in range(len(document_of)):
        first = masked_start[document_of[n]]
        for m in range(first, first + masked_count[document_of[n]], 2):
            masked_tokens[n] += max(min(masked[m + 1], high[n]) - max(masked[m], low[n]), 0)
    return masked_tokens


def _masked_own(documents: Documents, layout: Layout, segments: Segments) -> np.ndarray:
    """int64 [segments]: own tokens whose loss does not count."""
    if len(documents.masked_ranges) == 0:
        return np.zeros(len(segments.document), np.int64)
    low = segments.start - layout.lead[segments.document]
    return masked_between(
        segments.document,
        low,
        low + segments.take,
        documents.masked_ranges,
        documents.masked_start,
        documents.masked_count,
    )


def _weights(
    documents: Documents, layout: Layout, segments: Segments, trained: np.ndarray, loss_weight: str
) -> np.ndarray:
    """float64 [segments]: the sum of the weights of `trained` (int64 [segments]) tokens, as shards have them."""
    d = segments.document
    of_documents = documents.loss_weight.astype(loss_weight)[d]
    if len(documents.weighed.ranges) == 0:
        return of_documents * trained.astype(np.float64)
    low = segments.start - layout.lead[d]
    rounded = documents.weighed.weights.astype(loss_weight).astype(np.float64)
    weighed, sums = weighed_between(
        d,
        low,
        low + segments.take,
        documents.weighed._replace(weights=rounded),
        documents.masked_ranges,
        documents.masked_start,
        documents.masked_count,
    )
    return of_documents * (trained - weighed).astype(np.float64) + sums


def _overlap(start: np.ndarray, end: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(end, high) - np.maximum(start, low), 0)


def count_draws(
    documents: Documents,
    layout: Layout,
    segments: Segments,
    has_bos: bool,
    packing: PackingPolicy,
    loss_weight: str | None = None,
) -> dict[str, DrawCounts]:
    """What the shard takes from each source; every count is checked to close.

    Args:
        documents: of the shard.
        layout: of their framed documents.
        segments: how they were packed.
        has_bos: whether framed documents begin with BOS.
        packing: the policy; what one that discards left out is counted by its reason.
        loss_weight: type of the weights in the shard; None where it has none.
    """
    owners = _Owners(documents.sources, documents.source)
    return _count_by(owners, documents, layout, segments, has_bos, packing, loss_weight)


def count_labels(
    documents: Documents,
    layout: Layout,
    segments: Segments,
    has_bos: bool,
    packing: PackingPolicy,
    loss_weight: str | None = None,
) -> dict[str, DrawCounts]:
    """The same by the labels of the phase's mixture; of one between sources none."""
    owners = _Owners(documents.labels, documents.label)
    return _count_by(owners, documents, layout, segments, has_bos, packing, loss_weight) if documents.labels else {}


@dataclass(frozen=True)
class _Owners:
    """What is counted by: names, and the number of each document's one (int64 [n])."""

    names: list[str]
    of_documents: np.ndarray


def _count_by(
    owners: _Owners,
    documents: Documents,
    layout: Layout,
    segments: Segments,
    has_bos: bool,
    packing: PackingPolicy,
    loss_weight: str | None,
) -> dict[str, DrawCounts]:
    """Counts of each owner.

    Args:
        owners: what is counted by.
        documents, layout, segments, has_bos, packing, loss_weight: as of `count_draws`.
    """
    d = segments.document
    start, end = segments.start, segments.start + segments.take
    lead, own_end, framed_length = layout.lead[d], layout.own_end[d], layout.framed_length[d]
    masked = documents.masked_prefix[d]
    bos = _overlap(start, end, np.zeros_like(start), np.full_like(start, int(has_bos)))
    before = _overlap(start, end, lead - masked, lead) + segments.head
    trailing = documents.prefix_count[d] - masked
    after = _overlap(start, end, own_end, own_end + trailing)
    masked_positions = before + np.where(masked > 0, bos, 0) + _masked_own(documents, layout, segments)

    def summed(values: np.ndarray, owner: np.ndarray) -> list[int]:
        sums = np.bincount(owner, weights=values, minlength=len(owners.names))
        return [int(value) for value in sums]

    each, owner = owners.of_documents, owners.of_documents[d]
    positions = summed(segments.lengths, owner)
    trained = segments.lengths - masked_positions
    loss = summed(trained, owner)
    weights = None
    if loss_weight is not None:
        weighed = _weights(documents, layout, segments, trained, loss_weight)
        weights = np.bincount(owner, weighed, len(owners.names)).tolist()
    placed_prefix = summed(before + after, owner)
    heads = summed(segments.head, owner)
    ends = summed(_overlap(start, end, own_end + trailing, framed_length), owner)
    begins = summed(bos, owner)
    drawn = summed(np.ones(len(each)), each)
    tokens = summed(documents.token_count, each)
    framed = summed(layout.framed_length, each)
    prefixes = summed(documents.prefix_count, each)
    conditioned = summed(documents.prefix_count > 0, each)
    too_long = summed(documents.too_long, each)
    replaced = None
    if documents.replaced is not None:
        amounts = (documents.placeholders > 0, documents.replaced, documents.placeholders)
        replaced = [Replaced(*amount) for amount in zip(*(summed(values, each) for values in amounts), strict=True)]
    counts = {}
    for number, name in enumerate(owners.names):
        prefix, special, discarded = placed_prefix[number], begins[number] + ends[number], {}
        if packing.discards is not None:
            # Every token of a framed document counts, in a row or not.
            prefix = prefixes[number] + heads[number]
            special = framed[number] - tokens[number] - prefixes[number]
            left_out = framed[number] + heads[number] - positions[number]
            discarded = {packing.discards.name: left_out} if left_out else {}
        counts[name] = DrawCounts(
            documents=drawn[number],
            tokens=tokens[number],
            prefix_tokens=prefix,
            special_tokens=special,
            positions=positions[number],
            loss_tokens=loss[number],
            discarded=discarded,
            conditioned=conditioned[number],
            prefix_too_long=too_long[number],
            loss_weight=None if weights is None else float(weights[number]),
            replaced=None if replaced is None else replaced[number],
        )
        assert counts[name].closes(), f"{name}: {counts[name]} does not close"
    return counts
