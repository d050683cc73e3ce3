"""Gathering the documents of one shard from the runs of the token store, in the shard's order.

```
plan rows    c4 0..99   dclm 50..149        runs of c4: 2     runs of dclm: 3
documents    at most 2 + 3 range reads, then sorted by (slice, order, doc id)
```

Metadata is gathered into one batch a source, so that prefixes are made once for each distinct value of a shard;
tokens are copied once.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.recipe import Phase
from transforms.conditioning import Prefixes, make_prefixes, store_columns
from transforms.placing import orders
from transforms.run_reading import open_run
from transforms.selecting import holds, predicate_fields
from transforms.storage import open_random
from transforms.tokenizing import TextTokenizer

INDEX_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("file", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
    ]
)


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
class Documents:
    """The documents of a shard, in its order. All arrays are of n documents but for the values.

    Attributes:
        sources: names; `source` numbers into them.
        source, epoch, doc_id: int64.
        place: uint64.
        tokens: ids of all documents, one after another in the order they were read.
        token_start, token_count: int64, each document's part of `tokens`.
        prefix_values, prefix_start, prefix_count: the same for prefixes; count 0 for none.
        masked_prefix: int64, tokens of the prefix that stand before the document.
        too_long: bool.
    """

    sources: list[str]
    source: np.ndarray
    epoch: np.ndarray
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


@dataclass(frozen=True)
class _Part:
    """The documents of one source."""

    source: str
    epoch: np.ndarray
    slice: np.ndarray
    doc_id: np.ndarray
    place: np.ndarray
    order: np.ndarray
    counts: np.ndarray
    tokens: list[np.ndarray]
    prefixes: Prefixes


def gather(
    rows: pa.RecordBatch, index: RunIndex, phase: Phase, seed: int, length: int, tokenizer: TextTokenizer
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
    source: str, rows: pa.RecordBatch, index: RunIndex, phase: Phase, seed: int, length: int, tokenizer: TextTokenizer
) -> _Part | None:
    mine = rows.filter(pc.equal(rows["source"], source)).to_pylist()
    fields = {name for row in mine for name in predicate_fields(row["predicates"])}
    columns = ["place", "row", "num_tokens", "tokens", *sorted(fields | store_columns(phase.condition))]
    batches, files, epochs, slices = [], [], [], []
    predicates = {row["predicates"] for row in mine}
    assert len(predicates) == 1, f"source {source}: one shard has the predicates {predicates}"
    for row in mine:
        for uri, file in index.runs.get(source, ()):
            for batch in open_run(uri, columns).between(row["place_lo"], row["place_hi"]):
                batches.append(batch)
                files.append(file)
                epochs.append(row["epoch"])
                slices.append(row["slice"])
    if not batches:
        return None
    table = _joined(batches)
    sizes = [batch.num_rows for batch in batches]
    place = table["place"].to_numpy()
    chosen = holds(predicates.pop(), {name: table[name] for name in fields}, place)
    tokens = [
        _tokens(batch, some) for batch, some in zip(batches, np.split(chosen, np.cumsum(sizes)[:-1]), strict=True)
    ]
    metadata = table.filter(pa.array(chosen))
    epoch, doc_file = np.repeat(epochs, sizes)[chosen], np.repeat(files, sizes)[chosen]
    order = orders(place[chosen], epoch, seed)
    return _Part(
        source=source,
        epoch=epoch.astype(np.int64),
        slice=np.repeat(slices, sizes)[chosen],
        doc_id=(doc_file.astype(np.int64) << 32) + metadata["row"].to_numpy(),
        place=place[chosen],
        order=order,
        counts=metadata["num_tokens"].to_numpy().astype(np.int64),
        tokens=tokens,
        prefixes=make_prefixes(metadata, source, phase.condition, order, tokenizer, length),
    )


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
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


def _tokens(batch: pa.RecordBatch, chosen: np.ndarray) -> np.ndarray:
    """Ids of the chosen documents of a batch; a view of the memory map where all are chosen."""
    tokens = batch["tokens"] if chosen.all() else batch["tokens"].filter(pa.array(chosen))
    return tokens.flatten().to_numpy()


def _combine(parts: list[_Part], names: list[str], tokenizer: TextTokenizer) -> Documents:
    """The parts as one, in the order (slice, order, doc id)."""

    def joined(arrays: list[np.ndarray], dtype: npt.DTypeLike) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)

    doc_id = joined([part.doc_id for part in parts], np.int64)
    place = joined([part.place for part in parts], np.uint64)
    counts = joined([part.counts for part in parts], np.int64)
    order = np.lexsort(
        (doc_id, joined([p.order for p in parts], np.uint64), joined([p.slice for p in parts], np.int64))
    )
    prefix_ends = np.cumsum([0, *(len(part.prefixes.values) for part in parts)])
    prefix_starts = [p.prefixes.starts + base for p, base in zip(parts, prefix_ends[:-1], strict=True)]
    id_type = tokenizer.id_dtype
    return Documents(
        sources=names,
        source=np.repeat([names.index(part.source) for part in parts], [len(part.doc_id) for part in parts]).astype(
            np.int64
        )[order],
        epoch=joined([part.epoch for part in parts], np.int64)[order],
        doc_id=doc_id[order],
        place=place[order],
        tokens=joined([tokens for part in parts for tokens in part.tokens], id_type),
        token_start=(np.cumsum(counts) - counts)[order],
        token_count=counts[order],
        prefix_values=joined([part.prefixes.values for part in parts], id_type),
        prefix_start=joined(prefix_starts, np.int64)[order],
        prefix_count=joined([part.prefixes.lengths for part in parts], np.int64)[order],
        masked_prefix=joined([part.prefixes.masked_lengths for part in parts], np.int64)[order],
        too_long=joined([part.prefixes.too_long for part in parts], np.bool_)[order],
    )


def write_index(index: list[tuple[str, int, str]], sink: pa.NativeFile) -> None:
    """Writes (source, file number, uri) of every run."""
    columns = list(zip(*index, strict=True)) if index else [(), (), ()]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, INDEX_SCHEMA, strict=True)], INDEX_SCHEMA)
    with pa.ipc.new_file(sink, INDEX_SCHEMA) as writer:
        writer.write_table(table)
