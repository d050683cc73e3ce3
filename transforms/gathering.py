"""Gathering the documents of one shard from the runs of the token store, in the shard's order.

```
plan rows    slice 0  c4 0..99     scores below 0.5       runs of c4: 2     range reads of c4: 2, of 0..149
             slice 1  c4 0..149    scores from 0.5 on
documents    each in the slice of the row that takes it, then sorted by (slice, order, doc id)
```

Metadata is gathered into one batch a source, so that predicates are asked and prefixes made once for each distinct
value of a shard; tokens are copied once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.recipe import Condition
from transforms.conditioning import Prefixes, make_prefixes, store_columns
from transforms.field_values import FieldValues
from transforms.list_copying import copy_lists
from transforms.placing import orders
from transforms.run_reading import open_run
from transforms.selecting import Predicate, holds, predicate_columns
from transforms.storage import open_random
from transforms.tokenizing import TextTokenizer

INDEX_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
    ]
)

# Of a document that was read with others but that no row of the plan takes.
_NO_SLICE = -1


@dataclass(frozen=True)
class RunIndex:
    """Where the runs of each source are: source -> (uri, file number)."""

    runs: dict[str, list[tuple[str, int]]]

    @classmethod
    def read(cls, uri: str) -> "RunIndex":
        """Reads an Arrow IPC file of `INDEX_SCHEMA`."""
        with open_random(uri) as source:
            table = pa.ipc.open_file(source).read_all()
        return cls.of(zip(*(table[name].to_pylist() for name in INDEX_SCHEMA.names), strict=True))

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str]]) -> "RunIndex":
        """From (source, file number, uri)."""
        runs: dict[str, list[tuple[str, int]]] = {}
        for source, file, uri in rows:
            runs.setdefault(source, []).append((uri, file))
        return cls(runs)


@dataclass(frozen=True)
class GatherPhase:
    """What gathering must know of a phase.

    Attributes:
        condition: what it puts to its documents.
        values: what `top` and `bins` of the condition came to.
        predicates: the plan's list, which its rows number.
    """

    condition: Condition | None
    values: FieldValues
    predicates: list[list[Predicate]]


@dataclass(frozen=True)
class Documents:
    """The documents of a shard, in its order. All arrays are of n documents but for the values.

    Attributes:
        sources: names; `source` numbers into them.
        source, epoch, slice, doc_id: int64.
        place: uint64.
        tokens: ids of all documents, one after another in the order they were read.
        token_start, token_count: int64, each document's part of `tokens`.
        prefix_values, prefix_start, prefix_count: the same for prefixes; count 0 for none.
        masked_prefix: int64, tokens of the prefix that stand before the document.
        too_long: bool.
        masked_ranges: int32, ranges of own tokens whose loss does not count: start, end, ... of all documents.
        masked_start, masked_count: int64, each document's part of `masked_ranges`.
    """

    sources: list[str]
    source: np.ndarray
    epoch: np.ndarray
    slice: np.ndarray
    doc_id: np.ndarray
    place: np.ndarray
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


@dataclass(frozen=True)
class _Part:
    """The documents of one source; `tokens` has the lists of each batch and the numbers of the chosen ones."""

    source: str
    epoch: np.ndarray
    slice: np.ndarray
    doc_id: np.ndarray
    place: np.ndarray
    order: np.ndarray
    counts: np.ndarray
    tokens: list[tuple[pa.LargeListArray, np.ndarray]]
    masked: np.ndarray
    masked_counts: np.ndarray
    prefixes: Prefixes


def gather(
    rows: pa.RecordBatch, index: RunIndex, phase: GatherPhase, seed: int, length: int, tokenizer: TextTokenizer
) -> Documents:
    """Reads the documents of one shard.

    Args:
        rows: the plan's rows of the shard (`schemas.plan.PLAN_SCHEMA`).
        index: the runs.
        phase: the shard's phase.
        seed: the recipe's seed.
        length: L, for the rule on long prefixes.
        tokenizer: for the prefixes.
    """
    names = sorted(set(rows["source"].to_pylist()))
    parts = [_gather_source(name, rows, index, phase, seed, length, tokenizer) for name in names]
    return _combine([part for part in parts if part is not None], names, tokenizer)


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
    found = list(_read(mine, index.runs.get(source, ()), _columns(mine, phase)))
    if not found:
        return None
    batches, files, epochs = zip(*found, strict=True)
    sizes = [batch.num_rows for batch in batches]
    table, epoch = _joined(batches), np.repeat(np.array(epochs, np.int64), sizes)
    slices = _slices(mine, phase.predicates, table, source, epoch)
    chosen = slices != _NO_SLICE
    metadata = table.filter(pa.array(chosen))
    place = metadata["place"].to_numpy()
    order = orders(place, epoch[chosen], seed)
    masked, masked_counts = _masked(metadata)
    return _Part(
        source=source,
        epoch=epoch[chosen],
        slice=slices[chosen],
        doc_id=(np.repeat(np.array(files, np.int64), sizes)[chosen] << 32) + metadata["row"].to_numpy(),
        place=place,
        order=order,
        counts=metadata["num_tokens"].to_numpy().astype(np.int64),
        tokens=[
            (batch["tokens"], np.flatnonzero(some))
            for batch, some in zip(batches, np.split(chosen, np.cumsum(sizes)[:-1]), strict=True)
        ],
        masked=masked,
        masked_counts=masked_counts,
        prefixes=make_prefixes(metadata, source, phase.condition, phase.values, order, tokenizer, length),
    )


def _columns(rows: list[dict[str, Any]], phase: GatherPhase) -> list[str]:
    """What is read of the runs; `masked` only some have."""
    columns = {"place", "row", "num_tokens", "tokens", "masked"} | store_columns(phase.condition)
    for number in {row["predicates"] for row in rows}:
        columns |= predicate_columns(phase.predicates[number])
    return sorted(columns)


def _read(
    rows: list[dict[str, Any]], runs: Iterable[tuple[str, int]], columns: list[str]
) -> Iterator[tuple[pa.RecordBatch, int, int]]:
    """Batches of the rows' ranges with their file number and epoch."""
    for epoch, low, high in _merged(rows):
        for uri, file in runs:
            for batch in open_run(uri, columns).between(low, high):
                yield batch, file, epoch


def _merged(rows: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """(epoch, first place, last place) of the rows, those that overlap or touch as one: nothing is read twice."""
    merged: list[tuple[int, int, int]] = []
    for epoch, low, high in sorted((row["epoch"], row["place_lo"], row["place_hi"]) for row in rows):
        if merged and merged[-1][0] == epoch and low <= merged[-1][2] + 1:
            merged[-1] = (epoch, merged[-1][1], max(high, merged[-1][2]))
        else:
            merged.append((epoch, low, high))
    return merged


def _slices(
    rows: list[dict[str, Any]],
    predicates: list[list[Predicate]],
    table: pa.RecordBatch,
    source: str,
    epoch: np.ndarray,
) -> np.ndarray:
    """int64 [n]: the slice of the row that takes each document, or `_NO_SLICE`."""
    place = table["place"].to_numpy()
    held = {number: holds(predicates[number], table, source) for number in {row["predicates"] for row in rows}}
    slices = np.full(len(place), _NO_SLICE, np.int64)
    for row in rows:
        # As uint64: numpy compares places with a plain int below 2^63 as float64, which has 53 bits.
        low, high = np.uint64(row["place_lo"]), np.uint64(row["place_hi"])
        taken = held[row["predicates"]] & (epoch == row["epoch"]) & (place >= low) & (place <= high)
        assert (slices[taken] == _NO_SLICE).all(), f"source {source}: two rows of the plan draw one document: {row}"
        slices[taken] = row["slice"]
    return slices


def _masked(metadata: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Masked ranges of all documents (int32), and how many numbers each has (int64 [n])."""
    if "masked" not in metadata.schema.names:
        return np.zeros(0, np.int32), np.zeros(metadata.num_rows, np.int64)
    masked = metadata["masked"]
    return masked.flatten().to_numpy(), np.diff(masked.offsets.to_numpy()).astype(np.int64)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All columns but the tokens, as one batch, text columns encoded over all of it.

    Each run has a dictionary of its own, of all its hosts: joining those would cost more than reading the few rows.
    """
    names = [name for name in batches[0].schema.names if name != "tokens"]
    arrays = []
    for name in names:
        parts = [batch[name] for batch in batches]
        if pa.types.is_dictionary(parts[0].type):
            parts = [part.dictionary_decode() for part in parts]
        joined = pa.concat_arrays(parts)
        arrays.append(joined.dictionary_encode() if pa.types.is_string(joined.type) else joined)
    return pa.RecordBatch.from_arrays(arrays, names)


def _copied(parts: list[_Part], total: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Ids of the chosen documents of all parts, one after another; the only copy of them outside the rows."""
    ids, end = np.empty(total, dtype), 0
    for lists, numbers in (batch for part in parts for batch in part.tokens):
        end = copy_lists(lists.values.to_numpy(), lists.offsets.to_numpy(), numbers, ids, end)
    assert end == total, f"{end} tokens in lists that say {total}"
    return ids


def _combine(parts: list[_Part], names: list[str], tokenizer: TextTokenizer) -> Documents:
    """The parts as one, in the order (slice, order, doc id)."""

    def joined(arrays: list[np.ndarray], dtype: npt.DTypeLike) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)

    doc_id = joined([part.doc_id for part in parts], np.int64)
    place = joined([part.place for part in parts], np.uint64)
    counts = joined([part.counts for part in parts], np.int64)
    slices = joined([part.slice for part in parts], np.int64)
    masked_counts = joined([part.masked_counts for part in parts], np.int64)
    order = np.lexsort((doc_id, joined([part.order for part in parts], np.uint64), slices))
    prefix_ends = np.cumsum([0, *(len(part.prefixes.values) for part in parts)])
    prefix_starts = [p.prefixes.starts + base for p, base in zip(parts, prefix_ends[:-1], strict=True)]
    return Documents(
        sources=names,
        source=np.repeat([names.index(part.source) for part in parts], [len(part.doc_id) for part in parts]).astype(
            np.int64
        )[order],
        epoch=joined([part.epoch for part in parts], np.int64)[order],
        slice=slices[order],
        doc_id=doc_id[order],
        place=place[order],
        tokens=_copied(parts, int(counts.sum()), tokenizer.id_dtype),
        token_start=(np.cumsum(counts) - counts)[order],
        token_count=counts[order],
        prefix_values=joined([part.prefixes.values for part in parts], tokenizer.id_dtype),
        prefix_start=joined(prefix_starts, np.int64)[order],
        prefix_count=joined([part.prefixes.lengths for part in parts], np.int64)[order],
        masked_prefix=joined([part.prefixes.masked_lengths for part in parts], np.int64)[order],
        too_long=joined([part.prefixes.too_long for part in parts], np.bool_)[order],
        masked_ranges=joined([part.masked for part in parts], np.int32),
        masked_start=(np.cumsum(masked_counts) - masked_counts)[order],
        masked_count=masked_counts[order],
    )


def write_index(index: list[tuple[str, int, str]], sink: pa.NativeFile) -> None:
    """Writes (source, file number, uri) of every run."""
    columns = list(zip(*index, strict=True)) if index else [(), (), ()]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, INDEX_SCHEMA, strict=True)], INDEX_SCHEMA)
    with pa.ipc.new_file(sink, INDEX_SCHEMA) as writer:
        writer.write_table(table)
