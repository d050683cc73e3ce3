"""The open shard files of one process, mapped into memory or in an object store, and how a row is read from them.

```
shard     record batch 0   batch 1   batch 2           rows_per_batch = 4
rows      0 1 2 3          4 5 6 7   8 9               row 6 = row 2 of record batch 1
mapped    header           header    header            kept for each batch that was read; values stay in the map
object    -                all of it -                 kept: the last `MAX_HELD` batches, over all shards
```
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from byline import locations
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.object_stores import is_object_address
from byline.printable import one_line
from byline.rows import Row
from byline.shards import shard_metadata, shard_schema

# An open shard costs a file descriptor and some kB, and a build may have 30,000. Training order needs one at a time;
# reading many more shards than this in shuffled order reopens one for most rows, at half a millisecond each.
MAX_OPEN = 64
# Record batches from an object store that a process keeps, at most 32 MiB each: enough for the timeline and a branch,
# and for the shards that a shuffle buffer of rows spans.
MAX_HELD = 8


class Files:
    """A process's open shards, and the batches it keeps of those in an object store; least recently used first."""

    def __init__(self, directory: str, manifest: Manifest, entries: Sequence[tuple[PhaseEntry, ShardEntry]]) -> None:
        self.process = os.getpid()
        self._directory, self._manifest, self._entries = directory, manifest, entries
        same_phase = (group for _, group in groupby(entries, key=lambda entry: entry[0].name))
        self._numbers = [number for group in same_phase for number, _ in enumerate(group)]
        self._open: OrderedDict[int, ShardFile] = OrderedDict()
        self._cache = _BatchCache()
        self._lock = threading.Lock()

    def get(self, shard: int) -> "ShardFile":
        with self._lock:
            file = self._open.get(shard)
            if file is None:
                file = self._open[shard] = self._open_shard(shard)
                if len(self._open) > MAX_OPEN:
                    # Arrays that were handed out keep the map alive.
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
            return file

    def _open_shard(self, shard: int) -> "ShardFile":
        (phase, entry), number = self._entries[shard], self._numbers[shard]
        path = locations.join(self._directory, entry.path)
        if is_object_address(path):
            return _ObjectFile(path, self._manifest, phase, number, self._cache)
        return ShardFile(path, self._manifest, phase, number)


class Columns:
    """One record batch as arrays over the map: fixed lists as [rows, L], others as values and offsets [rows + 1]."""

    def __init__(self, batch: pa.RecordBatch, length: int) -> None:
        ids, mask, *lists = batch.columns
        self.input_ids = ids.values.to_numpy().reshape(-1, length)
        self.loss_mask = mask.values.to_numpy().reshape(-1, length)
        self.lists = [(column.values.to_numpy(), column.offsets.to_numpy()) for column in lists]

    def check(self, length: int) -> None:
        """Checks that the segments of each row cover it, since what a trainer makes of them stands on that.

        Raises:
            ValueError: those of a row do not.
        """
        (lengths, ends), *others = self.lists
        counts = np.diff(ends)
        if any(not np.array_equal(counts, np.diff(other)) for _, other in others) or not counts.all():
            raise ValueError("a row whose segments, doc ids and doc offsets are not as many")
        lengths = lengths[ends[0] : ends[-1]]
        sums = np.add.reduceat(lengths, ends[:-1] - ends[0], dtype=np.int64) if len(counts) else lengths
        if (lengths < 1).any() or (sums != length).any():
            raise ValueError(f"a row whose segments do not cover its {length} positions")

    def row(self, number: int, phase: str) -> Row:
        lengths, ids, offsets = (values[ends[number] : ends[number + 1]] for values, ends in self.lists)
        return {
            "input_ids": _as_int32(self.input_ids[number]),
            "loss_mask": self.loss_mask[number],
            "seq_lengths": lengths,
            "doc_ids": ids,
            "doc_offsets": offsets,
            "phase": phase,
        }


class ShardFile:
    """One open shard, checked to be the one that the manifest lists as shard `number` of a phase.

    The map is read only while the file still has all its bytes: a page behind the end of one that was cut ends the
    process (SIGBUS). Its size is compared when it is opened, and each time a record batch is read for the first time;
    rows of batches that were read before are not protected.
    """

    def __init__(self, path: str, manifest: Manifest, phase: PhaseEntry, number: int) -> None:
        self._path, self._phase, self._entry = path, phase.name, phase.shards[number]
        self._length = manifest.sequence_length
        self._file, self._reader = open_arrow_file(path)
        self._batches: dict[int, Columns] = {}
        self.rows_per_batch = self._check(manifest, phase, number)

    def row(self, row_in_shard: int) -> Row:
        number, row = divmod(row_in_shard, self.rows_per_batch)
        return self.batch(number).row(row, self._phase)

    def batch(self, number: int) -> Columns:
        """A record batch; only its array headers are kept, its values stay in the map."""
        columns = self._batches.get(number)
        if columns is None:
            columns = self._batches[number] = self._read(number)
        return columns

    def _read(self, number: int) -> Columns:
        with self._reading():
            self._expect("bytes", self._current_size(), self._entry.bytes)
            batch = self._reader.get_batch(number)
            # A damaged offset would be a read of foreign memory.
            batch.validate(full=True)
        expected_rows = min(self.rows_per_batch, self._entry.rows - number * self.rows_per_batch)
        self._expect("rows in record batch", batch.num_rows, expected_rows)
        with self._reading():
            columns = Columns(batch, self._length)
            columns.check(self._length)
        return columns

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
            if isinstance(error, BylineError):
                raise
            reason = one_line(error, 200)
            raise BylineError(f"{self._path}: damaged ({reason}); copy it anew or build again") from None

    def _current_size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _check(self, manifest: Manifest, phase: PhaseEntry, number: int) -> int:
        """Compares the file with the manifest without reading tokens; returns the rows of a record batch."""
        schema = self._reader.schema
        metadata = shard_metadata(schema, self._path)
        self._expect("bytes", self._file.size(), self._entry.bytes)
        self._expect("schema", schema.remove_metadata(), shard_schema(self._length, manifest.ids))
        for key, expected in manifest.shard_metadata(phase, number).items():
            self._expect(key, metadata.get(key), expected)
        rows_per_batch = metadata.get("rows_per_batch")
        if type(rows_per_batch) is not int or rows_per_batch < 1:
            raise BylineError(f"{self._path}: rows_per_batch {rows_per_batch!r}; copy it anew or build again")
        self._check_rows(rows_per_batch)
        return rows_per_batch

    def _check_rows(self, rows_per_batch: int) -> None:
        batches = self._reader.num_record_batches
        full_batches = max(batches - 1, 0)
        with self._reading():
            last_rows = self._reader.get_batch(full_batches).num_rows if batches else 0
        self._expect("rows", full_batches * rows_per_batch + last_rows, self._entry.rows)

    def _expect(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            found, expected = (" ".join(str(value).split()) for value in (found, expected))
            raise BylineError(
                f"{self._path}: {what} {found}, the manifest says {expected}; the file is from another build or "
                "damaged: copy it anew or build again"
            )


class _ObjectFile(ShardFile):
    """One open shard in an object store."""

    def __init__(self, path: str, manifest: Manifest, phase: PhaseEntry, number: int, cache: "_BatchCache") -> None:
        super().__init__(path, manifest, phase, number)
        self._cache = cache

    def batch(self, number: int) -> Columns:
        return self._cache.get((self._path, number), lambda: self._read(number))

    def _current_size(self) -> int:
        # Nothing is mapped, and a request that gets fewer bytes than it asked for is an error.
        return self._file.size()

    def _check_rows(self, rows_per_batch: int) -> None:
        # The last record batch's rows are known only once all of it is fetched; `_read` checks them then.
        self._expect("record batches", self._reader.num_record_batches, -(-self._entry.rows // rows_per_batch))


class _BatchCache:
    """The record batches that are kept, of all shards, least recently used first."""

    def __init__(self) -> None:
        self._columns: OrderedDict[tuple[str, int], Columns] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int], read: Callable[[], Columns]) -> Columns:
        with self._lock:
            columns = self._columns.pop(key, None)
            if columns is None:
                # Under the lock, so that two threads that ask for the same batch do not fetch it twice.
                columns = read()
            self._columns[key] = columns
            if len(self._columns) > MAX_HELD:
                self._columns.popitem(last=False)
            return columns


def open_arrow_file(path: str) -> tuple[pa.NativeFile, pa.ipc.RecordBatchFileReader]:
    """An Arrow file and its reader."""
    try:
        file = locations.open_file(path)
        return file, pa.ipc.open_file(file)
    except FileNotFoundError:
        raise BylineError(f"{path}: missing, though the build is finished; copy it anew or build again") from None
    except (OSError, pa.ArrowException) as error:
        reason = one_line(error, 200)
        raise BylineError(f"{path}: cannot be read as an Arrow file ({reason}); copy it anew or build again") from None


def read_arrow_file(path: str, sha256: str) -> pa.Table:
    """All of a small Arrow file.

    Raises:
        BylineError: it is missing, or has another sha256 (hex).
    """
    try:
        content = locations.read_bytes(path)
    except FileNotFoundError:
        raise BylineError(f"{path}: missing, though the build is finished; copy it anew or build again") from None
    except OSError as error:
        raise BylineError(f"{path}: cannot be read ({error}); copy it anew or build again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BylineError(f"{path}: has another sha256 than the manifest says; copy it anew or build again")
    return pa.ipc.open_file(content).read_all()


def _as_int32(ids: np.ndarray) -> np.ndarray:
    """The ids themselves, or a copy where they are stored as uint16; read-only either way."""
    if ids.dtype == np.int32:
        return ids
    converted = ids.astype(np.int32)
    converted.flags.writeable = False
    return converted
