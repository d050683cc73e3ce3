"""An open shard, mapped into memory, and how a row is read from it (in an object store: `byline.object_shards`).

```
shard     record batch 0   batch 1   batch 2           rows_per_batch = 4
rows      0 1 2 3          4 5 6 7   8 9               row 6 = row 2 of record batch 1
kept      header           header    header            of each batch that was read; values stay in the map
```
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from byline import locations
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry
from byline.printable import one_line
from byline.rows import Row
from byline.shards import shard_metadata, shard_schema

Opened = Callable[[str], pa.NativeFile]


class Columns:
    """One record batch as arrays over the map.

    Attributes:
        of_positions: the columns with a value for each position, [rows, L]: ids, mask, and weights where there are any.
        lists: the others, as values and offsets [rows + 1].
    """

    def __init__(self, of_positions: Sequence[np.ndarray], lists: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.of_positions, self.lists = of_positions, lists
        self.input_ids, self.loss_mask = of_positions[:2]
        self.loss_weight = of_positions[2] if len(of_positions) > 2 else None

    @classmethod
    def of(cls, batch: pa.RecordBatch, length: int) -> "Columns":
        count = position_columns(batch.schema)
        fixed, lists = batch.columns[:count], batch.columns[count:]
        return cls(
            [numbers_of(column.values).reshape(-1, length) for column in fixed],
            [(numbers_of(column.values), numbers_of(column.offsets)) for column in lists],
        )

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
        row: Row = {
            "input_ids": _as_int32(self.input_ids[number]),
            "loss_mask": self.loss_mask[number],
            "seq_lengths": lengths,
            "doc_ids": ids,
            "doc_offsets": offsets,
            "phase": phase,
        }
        if self.loss_weight is not None:
            row["loss_weight"] = self.loss_weight[number]
        return row


class ShardFile:
    """One open shard, checked to be the one that the manifest lists as shard `number` of a phase.

    The map is read only while the file still has all its bytes: a page behind the end of one that was cut ends the
    process (SIGBUS). Its size is compared when it is opened, and each time a record batch is read for the first time;
    rows of batches that were read before are not protected.
    """

    def __init__(
        self, path: str, manifest: Manifest, phase: PhaseEntry, number: int, opened: Opened = locations.open_file
    ) -> None:
        self._path, self._phase, self._entry = path, phase.name, phase.shards[number]
        self._length = manifest.sequence_length
        self._file, self._reader = open_arrow_file(path, opened)
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

    def columns(self, number: int, rows: np.ndarray) -> tuple[Columns, np.ndarray]:
        """Columns that have these rows of a record batch, and where in them; int64 [n] both."""
        return self.batch(number), rows

    def _read(self, number: int) -> Columns:
        with self._reading():
            batch = self._record_batch(number)
            # A damaged offset would be a read of foreign memory.
            batch.validate(full=True)
        self._expect("rows in record batch", batch.num_rows, self._rows_of(number))
        with self._reading():
            columns = Columns.of(batch, self._length)
            columns.check(self._length)
        return columns

    def _rows_of(self, number: int) -> int:
        """How many rows a record batch has if the shard is whole."""
        return min(self.rows_per_batch, self._entry.rows - number * self.rows_per_batch)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
            if isinstance(error, BylineError):
                raise
            reason = one_line(error, 200)
            raise BylineError(f"{self._path}: damaged ({reason}); copy it anew or build again") from None

    def _record_batch(self, number: int) -> pa.RecordBatch:
        self._expect("bytes", os.fstat(self._file.fileno()).st_size, self._entry.bytes)
        return self._reader.get_batch(number)

    def _check(self, manifest: Manifest, phase: PhaseEntry, number: int) -> int:
        """Compares the file with the manifest without reading tokens; returns the rows of a record batch."""
        schema = self._reader.schema
        metadata = shard_metadata(schema, self._path)
        self._expect("bytes", self._file.size(), self._entry.bytes)
        self._expect("schema", schema.remove_metadata(), _schema_of(manifest))
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
            found, expected = (one_line(value, 200) for value in (found, expected))
            raise BylineError(
                f"{self._path}: {what} {found}, the manifest says {expected}; the file is from another build or "
                "damaged: copy it anew or build again"
            )


def _schema_of(manifest: Manifest) -> pa.Schema:
    return shard_schema(manifest.sequence_length, manifest.ids, loss_weight=manifest.loss_weight)


def position_columns(schema: pa.Schema) -> int:
    """How many columns of a shard have a value for each position; they are its first."""
    return 3 if "loss_weight" in schema.names else 2


def numbers_of(array: pa.Array) -> np.ndarray:
    """Numbers without nulls, as they are in memory; `to_numpy` would first import pandas, where that is installed."""
    _, values = array.buffers()
    count, dtype = len(array), dtype_of(array.type)
    return np.frombuffer(values, dtype, count, array.offset * dtype.itemsize) if count else np.empty(0, dtype)


def dtype_of(kind: pa.DataType) -> np.dtype:
    """numpy's type of numbers; pyarrow writes float32 as `float`, and float16 as `halffloat`."""
    return np.dtype({"halffloat": "float16", "float": "float32"}.get(str(kind), str(kind)))


def open_arrow_file(
    path: str, opened: Opened = locations.open_file
) -> tuple[pa.NativeFile, pa.ipc.RecordBatchFileReader]:
    """An Arrow file and its reader."""
    try:
        file = opened(path)
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
