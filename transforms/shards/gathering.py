"""Gathering the documents of one shard from the runs of the token store, in the shard's order.

```
plan rows    slice 0  c4 0..99     scores below 0.5       runs of c4: 2     range reads of c4: 2, of 0..149
             slice 1  c4 0..149    scores from 0.5 on
documents    each in the slice of the row that takes it, then sorted by (slice, order, doc id)
```

Metadata is gathered into one batch a source, so that predicates are asked and prefixes made once for each distinct
value of a shard. Tokens are copied once, and of documents that no row takes an object store gives none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.loss_weights import LossWeights
from byline.schemas.planned_stage import FieldValues, StageStratum
from byline.schemas.predicates import Predicate
from byline.schemas.recipe import Condition
from byline.transforms.documents.shuffle_keys import orders
from byline.transforms.fields.conditioning import Prefixes, make_prefixes, store_columns
from byline.transforms.fields.loss_weights import document_weights, weight_columns
from byline.transforms.fields.selecting import holds, predicate_columns
from byline.transforms.shards.masking import masked_ranges
from byline.transforms.shards.replacing import Placeholders
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.shards.weighing import NO_RANGES, WeighedRanges, join_ranges, weighed_ranges
from byline.transforms.store.attribute_columns import AttributeFolders
from byline.transforms.store.run_pieces import Piece, TokenLists
from byline.transforms.store.run_reading import copy_tokens, read_pieces
from byline.transforms.store.token_ranges import with_replaced
from byline.transforms.tokens.text_tokenizer import TextTokenizer

# Of a document that was read with others but that no row of the plan takes.
_NO_SLICE = -1


@dataclass(frozen=True)
class GatherPhase:
    """What gathering must know of a phase.

    Attributes:
        condition: what it puts to its documents.
        values: what `top` and `bins` of the condition came to.
        predicates: the plan's list, which its rows number.
        attributes: where the columns of attributes are.
        mask: source -> columns whose ranges of tokens do not count in the loss.
        loss_weight: of its sources; None for 1.
        strata: of a phase whose mixture is by a label; each row's predicates begin with those of its stratum.
        replace: source -> columns whose ranges of tokens become one token each -> its id; none where the recipe
            replaces nothing.
    """

    condition: Condition | None
    values: FieldValues
    predicates: list[list[Predicate]]
    attributes: AttributeFolders = field(default_factory=dict)
    mask: Mapping[str, Sequence[str]] = field(default_factory=dict)
    loss_weight: LossWeights | None = None
    strata: Sequence[StageStratum] = ()
    replace: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @cached_property
    def labels(self) -> list[str]:
        """What its mixture is by, sorted."""
        return sorted({stratum.label for stratum in self.strata if stratum.label is not None})

    def label_of(self, source: str, predicates: int) -> int:
        """The number in `labels` of what a row takes; of a phase without labels 0."""
        for stratum in self.strata:
            own = stratum.predicates
            if stratum.source == source and self.predicates[predicates][: len(own)] == own:
                assert stratum.label is not None, stratum
                return self.labels.index(stratum.label)
        assert not self.strata, f"source {source}: a row of no stratum: {self.predicates[predicates]}"
        return 0


@dataclass(frozen=True)
class Documents:
    """The documents of a shard, in its order. All arrays are of n documents but for the values.

    Attributes:
        sources: names; `source` numbers into them.
        source, epoch, slice, doc_id: int64.
        shuffle_key: uint64.
        tokens: ids of all documents, one after another in the order they were read.
        token_start, token_count: int64, each document's part of `tokens`.
        prefix_values, prefix_start, prefix_count: the same for prefixes; count 0 for none.
        masked_prefix: int64, tokens of the prefix that stand before the document.
        too_long: bool.
        masked_ranges: int32, ranges of own tokens whose loss does not count: start, end, ... of all documents.
        masked_start, masked_count: int64, each document's part of `masked_ranges`.
        loss_weight: float64, of each token whose loss counts, but for those of weighed ranges.
        weighed: ranges of own tokens of another weight; `NO_RANGES` where no document has any.
        labels: that the phase's mixture is by; `label` numbers into them. None where it is between sources.
        label: int64.
        replaced: own tokens that placeholders stand for, int64; None where the recipe replaces nothing.
        placeholders: these, which are own tokens as all others; int64.
    """

    sources: list[str]
    source: np.ndarray
    epoch: np.ndarray
    slice: np.ndarray
    doc_id: np.ndarray
    shuffle_key: np.ndarray
    tokens: np.ndarray
    token_start: np.ndarray
    token_count: np.ndarray
    prefix_values: np.ndarray
    prefix_start: np.ndarray
    prefix_count: np.ndarray
    masked_prefix: np.ndarray
    too_long: np.ndarray
    masked_ranges: np.ndarray
    masked_start: np.ndarray
    masked_count: np.ndarray
    loss_weight: np.ndarray
    weighed: WeighedRanges = NO_RANGES
    labels: list[str] = field(default_factory=list)
    label: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    replaced: np.ndarray | None = None
    placeholders: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class _Part:
    """The documents of one source; `tokens` has lists, the numbers of the chosen ones, and how many ids those are.

    These are as in the token store, of `counts` ids each document; `masked` are ranges of what becomes of them.
    """

    source: str
    epoch: np.ndarray
    slice: np.ndarray
    label: np.ndarray
    doc_id: np.ndarray
    shuffle_key: np.ndarray
    order: np.ndarray
    counts: np.ndarray
    tokens: list[tuple[TokenLists, np.ndarray, int]]
    masked: np.ndarray
    masked_counts: np.ndarray
    placeholders: Placeholders
    prefixes: Prefixes
    loss_weight: np.ndarray
    weighed: WeighedRanges


def gather(
    rows: pa.RecordBatch, index: RunIndex, phase: GatherPhase, seed: int, length: int, tokenizer: TextTokenizer
) -> Documents:
    """Reads the documents of one shard.

    Args:
        rows: the plan's rows of the shard (`byline.schemas.plan.PLAN_SCHEMA`).
        index: the runs.
        phase: the shard's phase.
        seed: the recipe's seed.
        length: L, for the rule on long prefixes.
        tokenizer: for the prefixes.
    """
    names = sorted(set(rows["source"].to_pylist()))
    stages = [_gather_source(name, rows, index, phase, seed, length, tokenizer) for name in names]
    documents = _combine([stage for stage in stages if stage is not None], names, phase.labels, tokenizer)
    return documents if phase.replace else replace(documents, replaced=None)


def _gather_source(
    source: str,
    rows: pa.RecordBatch,
    index: RunIndex,
    phase: GatherPhase,
    seed: int,
    length: int,
    tokenizer: TextTokenizer,
) -> _Part | None:
    mine = rows.filter(pc.equal(rows["source"], source)).to_pylist()
    attributes, mask = phase.attributes.get(source, {}), phase.mask.get(source, ())
    replaced = phase.replace.get(source, {})
    columns = sorted({*_columns(mine, phase), *weight_columns(source, phase.loss_weight), *mask, *replaced})
    found = list(_read(mine, index.runs.get(source, []), columns, attributes))
    if not found:
        return None
    pieces, numbers, epochs = zip(*found, strict=True)
    sizes = [piece.index.num_rows for piece in pieces]
    table, epoch = _joined([piece.index for piece in pieces]), np.repeat(np.array(epochs, np.int64), sizes)
    counts = table["num_tokens"].to_numpy().astype(np.int64)
    # What is asked of a document's length, and what is said of it, is after replacing.
    table = with_replaced(table, list(replaced), f"source {source}")
    slices, labels = _slices(mine, phase, table, source, epoch)
    chosen = slices != _NO_SLICE
    metadata = table.filter(pa.array(chosen))
    shuffle_key = metadata["shuffle_key"].to_numpy()
    order = orders(shuffle_key, epoch[chosen], seed)
    placeholders = Placeholders.of(metadata, replaced)
    masked, masked_counts = placeholders.move(*masked_ranges(metadata, mask))
    weights = document_weights(metadata, source, phase.loss_weight)
    weighed = weighed_ranges(metadata, weights, source, phase.loss_weight)
    return _Part(
        source=source,
        epoch=epoch[chosen],
        slice=slices[chosen],
        label=labels[chosen],
        doc_id=(np.concatenate(numbers)[chosen] << 32) + metadata["row"].to_numpy(),
        shuffle_key=shuffle_key,
        order=order,
        counts=counts[chosen],
        tokens=_chosen_tokens(pieces, chosen, counts),
        masked=masked,
        masked_counts=masked_counts,
        placeholders=placeholders,
        prefixes=make_prefixes(metadata, source, phase.condition, phase.values, order, tokenizer, length),
        loss_weight=weights,
        weighed=placeholders.move_weighed(weighed),
    )


def _columns(rows: list[dict[str, Any]], phase: GatherPhase) -> set[str]:
    """What is read of the runs; `masked` only some have, and `file` only merged ones."""
    columns = {"shuffle_key", "row", "file", "num_tokens", "tokens", "masked"} | store_columns(phase.condition)
    for number in {row["predicates"] for row in rows}:
        columns |= predicate_columns(phase.predicates[number])
    return columns


def _read(
    rows: list[dict[str, Any]],
    runs: Sequence[tuple[str, list[int]]],
    columns: list[str],
    attributes: Mapping[str, str],
) -> Iterator[tuple[Piece, np.ndarray, int]]:
    """Pieces of the rows' ranges with the file numbers (int64 [rows]) and the epoch of their documents."""
    uris = [uri for uri, _ in runs]
    for epoch, low, high in merged_ranges(rows):
        for run, piece in read_pieces(uris, columns, low, high, attributes):
            yield piece, _file_numbers(piece.index, runs[run][1]), epoch


def _file_numbers(batch: pa.RecordBatch, files: list[int]) -> np.ndarray:
    """int64 [rows]: the file number of each document; only merged runs have several."""
    if "file" in batch.schema.names:
        return np.array(files, np.int64)[batch["file"].to_numpy()]
    return np.full(batch.num_rows, files[0], np.int64)


def _chosen_tokens(
    pieces: Sequence[Piece], chosen: np.ndarray, num_tokens: np.ndarray
) -> list[tuple[TokenLists, np.ndarray, int]]:
    """As `_Part.tokens`; `chosen` (bool) and `num_tokens` are of the documents of all pieces."""
    ends = np.cumsum([piece.index.num_rows for piece in pieces])
    sizes = np.diff(np.cumsum(np.where(chosen, num_tokens, 0), dtype=np.int64)[ends - 1], prepend=0)
    return [
        (piece.tokens, np.flatnonzero(some), int(size))
        for piece, some, size in zip(pieces, np.split(chosen, ends[:-1]), sizes, strict=True)
    ]


def merged_ranges(rows: Iterable[Mapping[str, Any]]) -> list[tuple[int, int, int]]:
    """(epoch, first and last shuffle key) of the rows, those that overlap or touch as one: nothing is read twice."""
    merged: list[tuple[int, int, int]] = []
    for epoch, low, high in sorted((row["epoch"], row["shuffle_key_lo"], row["shuffle_key_hi"]) for row in rows):
        if merged and merged[-1][0] == epoch and low <= merged[-1][2] + 1:
            merged[-1] = (epoch, merged[-1][1], max(high, merged[-1][2]))
        else:
            merged.append((epoch, low, high))
    return merged


def _slices(
    rows: list[dict[str, Any]],
    phase: GatherPhase,
    table: pa.RecordBatch,
    source: str,
    epoch: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] each: the slice of the row that takes each document, or `_NO_SLICE`, and the number of its label."""
    shuffle_key = table["shuffle_key"].to_numpy()
    numbers = {row["predicates"] for row in rows}
    held = _held({number: phase.predicates[number] for number in numbers}, table, source)
    label_of = {number: phase.label_of(source, number) for number in numbers}
    slices, labels = np.full(len(shuffle_key), _NO_SLICE, np.int64), np.zeros(len(shuffle_key), np.int64)
    for row in rows:
        # As uint64: numpy compares shuffle keys with a plain int below 2^63 as float64, which has 53 bits.
        low, high = np.uint64(row["shuffle_key_lo"]), np.uint64(row["shuffle_key_hi"])
        taken = held[row["predicates"]] & (epoch == row["epoch"]) & (shuffle_key >= low) & (shuffle_key <= high)
        assert (slices[taken] == _NO_SLICE).all(), f"source {source}: two rows of the plan draw one document: {row}"
        slices[taken] = row["slice"]
        labels[taken] = label_of[row["predicates"]]
    return slices, labels


def _held(conjunctions: dict[int, list[Predicate]], table: pa.RecordBatch, source: str) -> dict[int, np.ndarray]:
    """bool [n] for each number: the documents for which all its predicates hold.

    Strata of a source share most of their predicates, and a list of hosts costs the most, so each is asked once.
    """
    asked: dict[Predicate, np.ndarray] = {}
    held = {}
    for number, predicates in conjunctions.items():
        held[number] = np.ones(table.num_rows, bool)
        for predicate in predicates:
            if predicate not in asked:
                asked[predicate] = holds([predicate], table, source)
            held[number] &= asked[predicate]
    return held


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All columns of all runs as one batch, texts encoded over all of it; `file` numbers the stages of one run only."""
    names = [name for name in batches[0].schema.names if name != "file"]
    arrays = []
    for name in names:
        joined = pa.concat_arrays([batch[name] for batch in batches])
        arrays.append(joined.dictionary_encode() if pa.types.is_string(joined.type) else joined)
    return pa.RecordBatch.from_arrays(arrays, names)


def _copied(stages: list[_Part], total: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Ids of the chosen documents of all stages, one after another; the only copy of them outside the rows."""
    ids, end, copies = np.empty(total, dtype), 0, []
    for lists, numbers, size in (some for stage in stages for some in stage.tokens):
        copies.append((lists, numbers, ids[end : end + size]))
        end += size
    assert end == total, f"{end} tokens of documents that say {total}"
    copy_tokens(copies)
    return ids


def _combine(stages: list[_Part], names: list[str], labels: list[str], tokenizer: TextTokenizer) -> Documents:
    """The parts as one, in the order (slice, order, doc id)."""

    def joined(arrays: list[np.ndarray], dtype: npt.DTypeLike) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)

    doc_id = joined([stage.doc_id for stage in stages], np.int64)
    shuffle_key = joined([stage.shuffle_key for stage in stages], np.uint64)
    stored = joined([stage.counts for stage in stages], np.int64)
    placeholders = Placeholders.joined([stage.placeholders for stage in stages])
    counts = stored - placeholders.tokens + placeholders.counts
    slices = joined([stage.slice for stage in stages], np.int64)
    masked_counts = joined([stage.masked_counts for stage in stages], np.int64)
    order = np.lexsort((doc_id, joined([stage.order for stage in stages], np.uint64), slices))
    prefix_ends = np.cumsum([0, *(len(stage.prefixes.values) for stage in stages)])
    prefix_starts = [p.prefixes.starts + base for p, base in zip(stages, prefix_ends[:-1], strict=True)]
    return Documents(
        sources=names,
        source=np.repeat(
            [names.index(stage.source) for stage in stages], [len(stage.doc_id) for stage in stages]
        ).astype(np.int64)[order],
        epoch=joined([stage.epoch for stage in stages], np.int64)[order],
        slice=slices[order],
        doc_id=doc_id[order],
        shuffle_key=shuffle_key[order],
        tokens=placeholders.put(_copied(stages, int(stored.sum()), tokenizer.id_dtype), stored),
        token_start=(np.cumsum(counts) - counts)[order],
        token_count=counts[order],
        prefix_values=joined([stage.prefixes.values for stage in stages], tokenizer.id_dtype),
        prefix_start=joined(prefix_starts, np.int64)[order],
        prefix_count=joined([stage.prefixes.lengths for stage in stages], np.int64)[order],
        masked_prefix=joined([stage.prefixes.masked_lengths for stage in stages], np.int64)[order],
        too_long=joined([stage.prefixes.too_long for stage in stages], np.bool_)[order],
        masked_ranges=joined([stage.masked for stage in stages], np.int32),
        masked_start=(np.cumsum(masked_counts) - masked_counts)[order],
        masked_count=masked_counts[order],
        loss_weight=joined([stage.loss_weight for stage in stages], np.float64)[order],
        weighed=join_ranges([stage.weighed for stage in stages], order),
        labels=labels,
        label=joined([stage.label for stage in stages], np.int64)[order],
        replaced=placeholders.tokens[order],
        placeholders=placeholders.counts[order],
    )
