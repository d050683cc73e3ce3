"""Reads ranges of shuffle keys from runs in an object store, with few requests and few bytes.

```
first range read of a run       HEAD, GET of the footer      kept: each record batch's start and first shuffle key
range read from a batch         GET of its head: its message and the columns before its tokens, as far as needed
                                GET of the tokens of the documents that are taken
```

How long a batch's head is, only the head itself says. So the first GET asks for as much as the previous batch needed
and an eighth more; if that is too little, the rest takes one more request.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from byline import arrow_file
from byline.arrow_file import BatchLayout, Column
from byline.object_stores import TAIL_BYTES, ObjectFile
from byline.schemas.store import RunFile
from byline.transforms.documents.list_copying import copy_lists
from byline.transforms.files.object_store import in_order
from byline.transforms.files.sealed_files import check_end, sealed_size
from byline.transforms.files.storage import open_ranges
from byline.transforms.store.run_checks import check_batch, check_schema
from byline.transforms.store.run_pieces import NoTokens, Piece, as_one, batches_between, reading_run, rows_between

# Gaps up to this are cheaper to read than to skip: a request takes 30 ms, in which a connection moves 1 MB.
GAP_BYTES = 64 << 10
# The head that is asked for when no batch with these columns has been read before.
_FIRST_HEAD_BYTES = 24 << 10
# Divisor of the previous batch's head that gives the margin to ask for: batches differ in their number of documents.
HEAD_MARGIN = 8
# Memory for the directories that a process keeps, 16 bytes for each record batch of a run: 16,000 runs of 1 GiB.
DIRECTORY_BYTES = 256 << 20
# Handle, names and Python objects of a directory.
_DIRECTORY_OWN_BYTES = 2 << 10


@dataclass(frozen=True)
class Directory:
    """What is kept of a run's footer.

    Attributes:
        file: the run, open.
        uri: of the run.
        source: of its documents.
        schema: of its columns, without metadata.
        shuffle_keys: uint64 [batches], the first shuffle key of each batch.
        starts: int64 [batches], where each batch begins in the file.
        chunks: how many it holds.
    """

    file: ObjectFile
    uri: str
    source: str
    schema: pa.Schema
    shuffle_keys: np.ndarray
    starts: np.ndarray
    chunks: int

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.shuffle_keys.nbytes + self.starts.nbytes + _DIRECTORY_OWN_BYTES


def read_directory(uri: str) -> Directory:
    """Opens a run and reads its footer.

    Raises:
        BylineError: there is no such file, or it is not a run of this version.
    """
    file = open_ranges(uri)
    with reading_run(uri):
        end = file.read_at(max(file.size - TAIL_BYTES, 0), file.size)
        size = sealed_size(end)
        if size > len(end):
            end = file.read_at(max(file.size - size, 0), file.size - len(end)) + end
        check_end(end)
        schema, starts = arrow_file.read_footer(end)
        info = RunFile.from_schema(schema, uri)
        check_schema(schema)
        if len(info.batch_shuffle_keys) != len(starts):
            raise ValueError(f"{len(starts)} record batches and {len(info.batch_shuffle_keys)} first shuffle keys")
    shuffle_keys = np.array(info.batch_shuffle_keys, np.uint64)
    return Directory(file, uri, info.source, schema.remove_metadata(), shuffle_keys, starts, len(info.chunks))


class Directories:
    """The directories that a process keeps.

    Every shard reads all runs of its sources in turn. If the oldest directory were evicted, none would be left when its
    turn comes again; so the newest is.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0
        self._by_uri: dict[str, Directory] = {}
        self._lock = threading.Lock()

    def get(self, uri: str) -> Directory:
        """The directory of a run, kept or read now."""
        directory = self._by_uri.get(uri)
        if directory is None:
            directory = read_directory(uri)
            self._keep(directory)
        return directory

    def clear(self) -> None:
        """Forgets all directories."""
        with self._lock:
            self._by_uri.clear()
            self.used = 0

    def _keep(self, directory: Directory) -> None:
        with self._lock:
            if directory.uri in self._by_uri:
                return
            while self._by_uri and self.used + directory.nbytes > self.room:
                self.used -= self._by_uri.popitem()[1].nbytes
            self._by_uri[directory.uri] = directory
            self.used += directory.nbytes


DIRECTORIES = Directories(DIRECTORY_BYTES)


@dataclass
class _Wanted:
    """Columns to read from runs of one schema: all but the tokens, with their schema, and the tokens.

    `head` is how much of a batch to ask for first, in bytes.
    """

    columns: list[Column]
    schema: pa.Schema
    tokens: Column | None
    head: int


@lru_cache(maxsize=256)
def _wanted(schema: pa.Schema, names: frozenset[str]) -> _Wanted:
    wanted = [column for column in arrow_file.columns_of(schema) if column.name in names]
    tokens = next((column for column in wanted if column.name == "tokens"), None)
    columns = [column for column in wanted if column is not tokens]
    return _Wanted(columns, pa.schema([schema.field(column.name) for column in columns]), tokens, _FIRST_HEAD_BYTES)


@dataclass(frozen=True)
class RangedTokens:
    """The tokens of n documents, in a file in an object store.

    Attributes:
        file: the file.
        start: where the values of the lists begin in it.
        offsets: int64 [n + 1], of each document's ids in the values.
        dtype: of the values.
    """

    file: ObjectFile
    start: int
    offsets: np.ndarray
    dtype: np.dtype

    def copy(self, numbers: np.ndarray, into: np.ndarray) -> None:
        """Fills `into` with the lists of these ascending numbers, in order."""
        end = 0
        for group in self._groups(numbers):
            first, last = self.offsets[group[0]], self.offsets[group[-1] + 1]
            width = self.dtype.itemsize
            content = self.file.read_at(self.start + int(first) * width, self.start + int(last) * width)
            end = copy_lists(np.frombuffer(content, self.dtype), self.offsets - first, group, into, end)
        assert end == len(into), f"{end} tokens in lists, {len(into)} by num_tokens"

    def _groups(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Lists to read in one request, because the lists between them cost less than another request."""
        non_empty = numbers[self.offsets[numbers + 1] > self.offsets[numbers]]
        gaps = (self.offsets[non_empty[1:]] - self.offsets[non_empty[:-1] + 1]) * self.dtype.itemsize
        return [group for group in np.split(non_empty, np.flatnonzero(gaps > GAP_BYTES) + 1) if len(group)]


class RangedRun:
    """A run in an object store, of which only some columns are ever read."""

    def __init__(self, directory: Directory, columns: Iterable[str]) -> None:
        self.source = directory.source
        self._directory = directory
        with reading_run(directory.uri):
            self._wanted = _wanted(directory.schema, frozenset(columns))

    def numbers(self, low: int, high: int) -> range:
        """The record batches that may hold documents with low <= shuffle key <= high."""
        return batches_between(self._directory.shuffle_keys, low, high)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All record batches without tokens, in order of shuffle key, many read at a time."""
        return in_order(lambda number: self._read(number)[0], range(len(self._directory.starts)))

    def whole(self) -> pa.RecordBatch:
        """As `Run.whole`."""
        return as_one(self.batches(), self._wanted.schema)

    def piece(self, number: int, low: int, high: int) -> Piece | None:
        """The documents of one record batch with low <= shuffle key <= high; None if it has none."""
        index, tokens = self._read(number)
        start, end = rows_between(index["shuffle_key"].to_numpy(), low, high)
        if start >= end:
            return None
        # Copies, because slices would keep all columns of the batch in memory.
        own = NoTokens() if tokens is None else replace(tokens, offsets=tokens.offsets[start : end + 1].copy())
        return Piece(index.take(pa.array(np.arange(start, end))), own)

    def _read(self, number: int) -> tuple[pa.RecordBatch, RangedTokens | None]:
        with reading_run(self._directory.uri):
            head = _Head(self._directory.file, int(self._directory.starts[number]), self._wanted.head)
            layout = head.layout()
            index = self._index(number, head, layout)
            return index, self._tokens(head.start, layout, index)

    def _index(self, number: int, head: "_Head", layout: BatchLayout) -> pa.RecordBatch:
        columns = self._wanted.columns
        spans = merge_spans([layout.extent(column) for column in columns])
        contents = [head.read(layout.body + start, layout.body + end) for start, end in spans]

        def read(start: int, end: int) -> pa.Buffer:
            for span, content in zip(spans, contents, strict=True):
                if span[0] <= start <= end <= span[1]:
                    return pa.py_buffer(content).slice(start - span[0], end - start)
            raise ValueError(f"a buffer from byte {start} to {end} of a record batch, outside its column")

        index = pa.RecordBatch.from_arrays(
            [layout.array(column, read) for column in columns], schema=self._wanted.schema
        )
        # Before the size of its head is taken for that of the next.
        check_batch(index, int(self._directory.shuffle_keys[number]), self._directory.chunks)
        # Up to the end of the first span; columns further on take a request of their own.
        needed = layout.body + (spans[0][1] if spans else 0)
        self._wanted.head = needed + needed // HEAD_MARGIN
        return index

    def _tokens(self, start: int, layout: BatchLayout, index: pa.RecordBatch) -> RangedTokens | None:
        column = self._wanted.tokens
        if column is None:
            return None
        dtype = np.dtype(str(column.type.value_type))
        # The lists' own offsets say the same, but would take 8 more bytes for each document.
        offsets = np.concatenate([[0], np.cumsum(index["num_tokens"].to_numpy(), dtype=np.int64)])
        offset, size = layout.buffers[column.buffer + 3].tolist()
        # Buffers are padded to a multiple of 8 or 64 bytes.
        if not 0 <= size - offsets[-1] * dtype.itemsize < 64:
            raise ValueError(f"{size} bytes of tokens, but its column num_tokens says {offsets[-1]} tokens")
        return RangedTokens(self._directory.file, start + layout.body + offset, offsets, dtype)


class _Head:
    """The first bytes of a record batch: one request, and more if it was too short.

    Args:
        file: that contains the batch.
        start: where the batch begins.
        size: bytes to ask for first.
    """

    def __init__(self, file: ObjectFile, start: int, size: int) -> None:
        self.start = start
        self._file = file
        self._bytes = file.read_at(start, min(start + size, file.size))

    def layout(self) -> BatchLayout:
        """What the batch's message says."""
        self._reach(arrow_file.message_size(self._bytes))
        return arrow_file.read_batch_layout(self._bytes)

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of the batch."""
        if start > len(self._bytes) + GAP_BYTES:
            return self._file.read_at(self.start + start, self.start + end)
        self._reach(end)
        return self._bytes[start:end]

    def _reach(self, end: int) -> None:
        if end > len(self._bytes):
            self._bytes += self._file.read_at(self.start + len(self._bytes), self.start + end)


def merge_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of bytes in ascending order, merged where at most `GAP_BYTES` lie between them."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] <= GAP_BYTES:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def read_pieces(
    uris: Sequence[str], columns: Sequence[str], low: int, high: int, directories: Directories = DIRECTORIES
) -> Iterator[tuple[int, Piece]]:
    """The documents with low <= shuffle key <= high of many runs, many read at a time.

    Returns:
        Each piece with the number of its run, in order of run and shuffle key.
    """
    run_directories = in_order(directories.get, uris)
    runs = ((number, RangedRun(directory, columns)) for number, directory in enumerate(run_directories))
    # Generators, so that only the runs that are being read are held.
    range_reads = ((number, run, batch) for number, run in runs for batch in run.numbers(low, high))

    def range_read(item: tuple[int, RangedRun, int]) -> tuple[int, Piece | None]:
        number, run, batch = item
        return number, run.piece(batch, low, high)

    for number, piece in in_order(range_read, range_reads):
        if piece is not None:
            yield number, piece


def copy_tokens(copies: Iterable[tuple[RangedTokens, np.ndarray, np.ndarray]]) -> None:
    """`RangedTokens.copy` of each (tokens, numbers, into), many at a time."""
    for _ in in_order(lambda copy: copy[0].copy(copy[1], copy[2]), copies):
        pass
