"""Reads the token store: index columns of a whole run, or any columns of a range of shuffle keys, and no more.

```
run      batch 0: shuffle keys 0..9   batch 1: shuffle keys 10..19   batch 2: shuffle keys 20..29
range 8..12 reads             8 9                       10 11 12
```

A run on a local disk is memory-mapped, which makes all this free; one in an object store is read by
`byline.transforms.store.run_ranges`. Both give the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from byline.addresses import is_object_address
from byline.schemas.documents import NUM_TOKENS
from byline.schemas.store import RunFile
from byline.transforms.files.sealed_files import open_sealed
from byline.transforms.files.storage import open_random
from byline.transforms.store import run_ranges
from byline.transforms.store.attribute_columns import StoredRun, beside, by_folder, pieces_with, with_columns_of
from byline.transforms.store.run_checks import check_batch, check_schema
from byline.transforms.store.run_pieces import (
    MappedTokens,
    NoTokens,
    Piece,
    TokenLists,
    as_one,
    batches_between,
    reading_run,
    rows_between,
)
from byline.transforms.store.run_ranges import DIRECTORIES, RangedRun, RangedTokens
from byline.transforms.store.token_ranges import with_replaced

# Open runs that a worker keeps, each with its memory map.
_OPEN_RUNS = 256


class Run:
    """An open run on a disk, of which only some columns are ever read."""

    def __init__(self, uri: str, columns: tuple[str, ...]) -> None:
        self._uri = uri
        source = open_random(uri)
        with reading_run(uri):
            schema = open_sealed(source).schema
            self.info = RunFile.from_schema(schema, uri)
            check_schema(schema)
            self._starts = np.array(self.info.batch_shuffle_keys, np.uint64)
            wanted = [number for number, name in enumerate(schema.names) if name in columns]
            self._reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
            if self._reader.num_record_batches != len(self._starts):
                raise ValueError(f"{self._reader.num_record_batches} record batches, {len(self._starts)} shuffle keys")
        self._checked: set[int] = set()

    @property
    def source(self) -> str:
        """The source of its documents."""
        return self.info.source

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All record batches, in order of shuffle key."""
        for number in range(self._reader.num_record_batches):
            yield self._batch(number)

    def whole(self) -> pa.RecordBatch:
        """The columns of the whole run as one batch, columns of type `string` dictionary-encoded; not for tokens."""
        return as_one(self.batches(), self._reader.schema)

    def between(self, low: int, high: int) -> Iterator[Piece]:
        """The documents with low <= shuffle key <= high."""
        for number in batches_between(self._starts, low, high):
            batch = self._batch(number)
            start, end = rows_between(batch["shuffle_key"].to_numpy(), low, high)
            if start < end:
                documents = batch.slice(start, end - start)
                names = documents.schema.names
                tokens = MappedTokens(documents["tokens"]) if "tokens" in names else NoTokens()
                yield Piece(documents.select([name for name in names if name != "tokens"]), tokens)

    def _batch(self, number: int) -> pa.RecordBatch:
        with reading_run(self._uri):
            batch = self._reader.get_batch(number)
            if number not in self._checked:
                check_batch(batch, int(self._starts[number]), len(self.info.chunks))
                self._checked.add(number)
            return batch


@lru_cache(maxsize=_OPEN_RUNS)
def _open_mapped(uri: str, columns: tuple[str, ...]) -> Run:
    return Run(uri, columns)


class AttributedRun:
    """A run with columns of attributes, which stand in files beside it.

    Args:
        uri: of the run.
        run: the same, open.
        others: the files, by their addresses.
        replaced: columns whose ranges `num_tokens` count as one token each.
        left_out: columns that are read for that alone.
    """

    def __init__(
        self,
        uri: str,
        run: Run | RangedRun,
        others: dict[str, Run | RangedRun],
        replaced: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> None:
        self.source = run.source
        self._uri, self._run, self._others = uri, run, others
        self._replaced, self._left_out = replaced, left_out

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All record batches, in order of shuffle key."""
        names, others = list(self._others), [other.batches() for other in self._others.values()]
        for batch, *rest in zip(self._run.batches(), *others, strict=True):
            yield self._with(batch, zip(names, rest, strict=True))

    def whole(self) -> pa.RecordBatch:
        """As `Run.whole`."""
        return self._with(self._run.whole(), ((uri, other.whole()) for uri, other in self._others.items()))

    def _with(self, batch: pa.RecordBatch, others: Iterable[tuple[str, pa.RecordBatch]]) -> pa.RecordBatch:
        documents = with_replaced(with_columns_of(batch, others), self._replaced, self._uri)
        return documents.drop_columns(list(self._left_out)) if self._left_out else documents


def open_run(run: str | StoredRun, columns: Sequence[str]) -> Run | RangedRun | AttributedRun:
    """Opens a run for those of the named columns that it has, or returns one that is already open.

    Args:
        run: its address, or that and where the columns of attributes are.
        columns: to be read.
    """
    if isinstance(run, str):
        return _open(run, columns)
    opened = _open(run.uri, columns)
    replaced = run.replaced.get(opened.source, ()) if NUM_TOKENS.name in columns else ()
    grouped = by_folder({*columns, *replaced}, run.attributes.get(opened.source, {}))
    files = {beside(run.uri, folder): names for folder, names in grouped.items()}
    others = {uri: _open(uri, ["shuffle_key", *names]) for uri, names in files.items()}
    if not others:
        return opened
    return AttributedRun(run.uri, opened, others, replaced, [name for name in replaced if name not in columns])


def _open(uri: str, columns: Sequence[str]) -> Run | RangedRun:
    if is_object_address(uri):
        return RangedRun(DIRECTORIES.get(uri), columns)
    return _open_mapped(uri, tuple(sorted(columns)))


def forget_runs() -> None:
    """Closes all open runs; otherwise a run that has been replaced would be read as it was."""
    _open_mapped.cache_clear()
    DIRECTORIES.clear()


def read_pieces(
    uris: Sequence[str],
    columns: Sequence[str],
    low: int,
    high: int,
    attributes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[int, Piece]]:
    """The documents with low <= shuffle key <= high of many runs: pieces with the number of their run, in order.

    Args:
        uris: of runs, all on a disk or all in an object store.
        columns: `shuffle_key`, `num_tokens`, `tokens` and any others that the runs may have.
        low, high: shuffle keys.
        attributes: column -> folder, of the source that all the runs are of (`AttributeFolders`).
    """
    pieces = _read_pieces(uris, columns, low, high)
    grouped = by_folder(columns, attributes)
    if not grouped:
        yield from pieces
        return
    files = [[beside(uri, folder) for uri in uris] for folder in grouped]
    others = [
        _read_pieces(of_attribute, ["shuffle_key", *names], low, high)
        for of_attribute, names in zip(files, grouped.values(), strict=True)
    ]
    yield from pieces_with(pieces, others, files)


def _read_pieces(uris: Sequence[str], columns: Sequence[str], low: int, high: int) -> Iterator[tuple[int, Piece]]:
    if any(map(is_object_address, uris)):
        yield from run_ranges.read_pieces(uris, columns, low, high)
        return
    names = tuple(sorted(columns))
    for number, uri in enumerate(uris):
        for piece in _open_mapped(uri, names).between(low, high):
            yield number, piece


def copy_tokens(copies: Iterable[tuple[TokenLists, np.ndarray, np.ndarray]]) -> None:
    """`TokenLists.copy` of each (lists, numbers, into); those of an object store many at a time."""
    ranged = []
    for lists, numbers, into in copies:
        if isinstance(lists, RangedTokens):
            ranged.append((lists, numbers, into))
        else:
            lists.copy(numbers, into)
    run_ranges.copy_tokens(ranged)
