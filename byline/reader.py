"""Reads a finished build: any row in O(1), memory-mapped, with pyarrow and numpy alone.

```
                 conditioned            cooldown          branch cooldown-50, behind shard 0 of conditioned
shard            0          1           0                 0
rows             0 1 2 3    4 5 6 7     8 9               a b
shards[5]                     ^                    the second row of shard 1; len(shards) = 10, in training order
shards[-2:]                             ^ ^        a view
shards.phase("cooldown")[0]             ^
open(OUT, branch="cooldown-50")  0 1 2 3 a b       what a model reads that is trained on the branch
```

A row number gives its shard by bisection in the shards' first rows, and its record batch by division, as every record
batch of a shard but the last has the same number of rows. Arrays are read-only views of the mapped file. Files are
opened when a row of them is first asked for, and checked against the manifest then; at most `MAX_OPEN` stay open.

A `Shards` object pickles as its directory, branch and row numbers, and opens its files anew in another process (forked
ones too), so it may be handed to the workers of any data loader.
"""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, TypedDict, overload

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry, read_manifest
from byline.shards import PADDING_DOC_ID, shard_metadata, shard_schema

INPUTS_NAME = "inputs.arrow"
# An open shard costs a file descriptor and some kB, and a build may have 30,000. Training order needs one; shuffled
# reading of many more shards than this opens one anew for most rows, at half a millisecond each.
MAX_OPEN = 64


class Row(TypedDict):
    """One sequence. Arrays are read-only.

    Keys:
        input_ids: int32 [L].
        loss_mask: uint8 [L], 1 where the loss of predicting this token counts.
        seq_lengths: int32 [segments], they sum to L.
        doc_ids: int64 [segments], -1 for padding; see `Shards.origin`.
        doc_offsets: int32 [segments], first of the document's own tokens in the segment.
        phase: name of the row's phase.
    """

    input_ids: np.ndarray
    loss_mask: np.ndarray
    seq_lengths: np.ndarray
    doc_ids: np.ndarray
    doc_offsets: np.ndarray
    phase: str


def open_shards(directory: str | os.PathLike[str], branch: str | None = None) -> "Shards":
    """Opens the output directory of a build.

    Args:
        directory: of the build.
        branch: the main line up to where this branch leaves it, then the branch; None for all of the main line.

    Raises:
        BylineError: there is no manifest, or one of another version; or no such branch.
    """
    build = _Build(directory, branch)
    return Shards(build, range(build.starts[-1]))


class Shards:
    """A sequence of rows: the main line or that of a branch, one phase, or any slice of them. Made by `byline.open`."""

    def __init__(self, build: "_Build", rows: range) -> None:
        self._build = build
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> "Shards": ...
    def __getitem__(self, index: int | slice) -> "Row | Shards":
        """One row, or a view of a slice of them.

        Raises:
            IndexError: there is no such row.
            BylineError: its shard is not what the manifest says.
        """
        if isinstance(index, slice):
            return Shards(self._build, self._rows[index])
        return self._build.row(self._number(index))

    def __iter__(self) -> Iterator[Row]:
        return map(self._build.row, self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._build.directory, self._build.branch, self._rows)

    def __repr__(self) -> str:
        return (
            f"<byline.Shards {self._build.directory}: {len(self):,} rows of {self.sequence_length:,} tokens, "
            f"phases {', '.join(self.phases)}>"
        )

    @property
    def directory(self) -> str:
        """Absolute path of the build."""
        return self._build.directory

    @property
    def manifest(self) -> Manifest:
        return self._build.manifest

    @property
    def sequence_length(self) -> int:
        """L, tokens in a row."""
        return self.manifest.sequence_length

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases in training order; where a branch was opened, it is the last."""
        return tuple(self._build.phase_rows)

    @property
    def branch(self) -> str | None:
        """The branch that was opened."""
        return self._build.branch

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the build's branches; `byline.open` takes one."""
        return self.manifest.branches

    def branch_row(self, name: str) -> int:
        """How many rows of the main line come before a branch, whatever was opened: its checkpoint is the one there.

        Raises:
            BylineError: there is no branch of this name.
        """
        before = self._build.line(name)[:-1]
        return sum(shard.rows for phase, shards in before for shard in phase.shards[:shards])

    @property
    def inputs(self) -> dict[int, tuple[str, str]]:
        """File number -> (source, path) of every input file."""
        return self._build.inputs

    def phase(self, name: str) -> "Shards":
        """All rows of one of `phases`.

        Raises:
            BylineError: there is no phase of this name.
        """
        if name not in self._build.phase_rows:
            known = ", ".join(self.phases)
            if self.branches:
                known += f", and its branches, each opened with branch=NAME, {', '.join(self.branches)}"
            raise BylineError(f"{self.directory}: no phase {name!r}; its phases are {known}")
        return Shards(self._build, self._build.phase_rows[name])

    def batch(self, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """Several rows at once, in the order asked for.

        Returns:
            `input_ids` int32 [n, L] and `loss_mask` uint8 [n, L], new arrays.

        Raises:
            IndexError: there is no such row.
        """
        asked = np.asarray(indices if len(indices) else np.empty(0, np.int64))
        if asked.dtype.kind not in "iu" or asked.ndim != 1:
            raise IndexError(f"expected row numbers [n], found an array of {asked.dtype} {list(asked.shape)}")
        asked = asked.astype(np.int64)
        wrong = (asked < -len(self)) | (asked >= len(self))
        if wrong.any():
            raise IndexError(f"row {asked[wrong][0]} of {len(self)}")
        asked = np.where(asked < 0, asked + len(self), asked)
        return self._build.gather(self._rows.start + self._rows.step * asked)

    def origin(self, doc_id: int) -> tuple[str, str, int]:
        """The (source, path, row) of a document.

        Raises:
            BylineError: the id is padding's, or of a file that the build does not list.
        """
        if doc_id == PADDING_DOC_ID:
            raise BylineError(f"doc id {doc_id} is padding's, which comes from no document")
        file, row = int(doc_id) >> 32, int(doc_id) & 0xFFFFFFFF
        if file not in self.inputs:
            raise BylineError(f"{self.directory}: doc id {doc_id} is of file {file}, which is not in {INPUTS_NAME}")
        return (*self.inputs[file], row)

    def shard_of(self, index: int) -> tuple[ShardEntry, int]:
        """The shard that holds a row, and the row's number in it."""
        shard, inside = self._build.locate(self._number(index))
        return self._build.entries[shard][1], inside

    def _number(self, index: int) -> int:
        try:
            return self._rows[index]
        except IndexError:
            raise IndexError(f"row {index} of {len(self)}") from None


def _reopen(directory: str, branch: str | None, rows: range) -> Shards:
    return Shards(_Build(directory, branch), rows)


class _Build:
    """What all views of one opened directory share. Rows are numbered along its line here."""

    def __init__(self, directory: str | os.PathLike[str], branch: str | None) -> None:
        self.directory = os.path.abspath(directory)
        self.branch = branch
        self.manifest = read_manifest(self.directory)
        self.phases = self.line(branch)
        self.entries = [(phase, shard) for phase, shards in self.phases for shard in phase.shards[:shards]]
        self.starts = list(accumulate((shard.rows for _, shard in self.entries), initial=0))
        self._start_array = np.array(self.starts, np.int64)
        self._files = _Files(self)

    def line(self, branch: str | None) -> list[tuple[PhaseEntry, int]]:
        """The phases of a line, each with how many of its shards."""
        try:
            return self.manifest.line(branch)
        except BylineError as error:
            raise BylineError(f"{self.directory}: {error}") from None

    @cached_property
    def phase_rows(self) -> dict[str, range]:
        ends = list(accumulate((shards for _, shards in self.phases), initial=0))
        return {
            phase.name: range(self.starts[first], self.starts[end])
            for (phase, _), first, end in zip(self.phases, ends, ends[1:], strict=False)
        }

    @cached_property
    def inputs(self) -> dict[int, tuple[str, str]]:
        path = os.path.join(self.directory, INPUTS_NAME)
        table = _open_file(path).read_all()
        if table.num_rows != self.manifest.inputs:
            raise BylineError(f"{path}: {table.num_rows} files, the manifest says {self.manifest.inputs}; copy it anew")
        pairs = zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True)
        return dict(zip(table["file"].to_pylist(), pairs, strict=True))

    def locate(self, number: int) -> tuple[int, int]:
        """The shard of a row, and the row's number in it."""
        shard = bisect_right(self.starts, number) - 1
        return shard, number - self.starts[shard]

    def row(self, number: int) -> Row:
        shard, inside = self.locate(number)
        return self.file(shard).row(inside)

    def gather(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Stacks rows, reading each record batch once. numbers: int64 [n]."""
        shape = (len(numbers), self.manifest.sequence_length)
        ids, mask = np.empty(shape, np.int32), np.empty(shape, np.uint8)
        shards = np.searchsorted(self._start_array, numbers, side="right") - 1
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            file = self.file(int(shard))
            inside = numbers[places] - self.starts[shard]
            batches = inside // file.rows_per_batch
            for number in np.unique(batches):
                of_batch = batches == number
                columns, rows = file.batch(int(number)), inside[of_batch] - number * file.rows_per_batch
                ids[places[of_batch]] = columns.input_ids[rows]
                mask[places[of_batch]] = columns.loss_mask[rows]
        return {"input_ids": ids, "loss_mask": mask}

    def file(self, shard: int) -> "_File":
        # A forked process takes over neither the open files nor a lock that another thread of its parent may hold.
        if self._files.process != os.getpid():
            self._files = _Files(self)
        return self._files.get(shard)


class _Files:
    """The open shards of one process, the last used last."""

    def __init__(self, build: _Build) -> None:
        self.process = os.getpid()
        self._build = build
        self._open: OrderedDict[int, _File] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, shard: int) -> "_File":
        with self._lock:
            file = self._open.get(shard)
            if file is None:
                phase, entry = self._build.entries[shard]
                file = _File(Path(self._build.directory, entry.path), self._build.manifest, phase, entry)
                self._open[shard] = file
                if len(self._open) > MAX_OPEN:
                    # Arrays that were handed out keep their own hold on the map.
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
            return file


class _Columns:
    """One record batch as arrays over the map: fixed lists as [rows, L], others as values and offsets [rows + 1]."""

    def __init__(self, batch: pa.RecordBatch, length: int) -> None:
        ids, mask, *lists = batch.columns
        self.input_ids = ids.values.to_numpy().reshape(-1, length)
        self.loss_mask = mask.values.to_numpy().reshape(-1, length)
        self.lists = [(column.values.to_numpy(), column.offsets.to_numpy()) for column in lists]

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


class _File:
    """One open shard, found to be the one that the manifest lists."""

    def __init__(self, path: Path, manifest: Manifest, phase: PhaseEntry, entry: ShardEntry) -> None:
        self._path, self._phase, self._rows = path, phase.name, entry.rows
        self._length = manifest.sequence_length
        self._reader = _open_file(path)
        self._batches: dict[int, _Columns] = {}
        self.rows_per_batch = self._check(manifest, entry)

    def row(self, inside: int) -> Row:
        number, row = divmod(inside, self.rows_per_batch)
        return self.batch(number).row(row, self._phase)

    def batch(self, number: int) -> _Columns:
        """A record batch; only its array headers are kept, the values stay in the map."""
        columns = self._batches.get(number)
        if columns is None:
            batch = self._reader.get_batch(number)
            self._expect("rows in record batch", batch.num_rows, min(self.rows_per_batch, self._rows_from(number)))
            columns = self._batches[number] = _Columns(batch, self._length)
        return columns

    def _rows_from(self, number: int) -> int:
        return self._rows - number * self.rows_per_batch

    def _check(self, manifest: Manifest, entry: ShardEntry) -> int:
        """Holds the file against the manifest without reading tokens; returns the rows of a record batch."""
        schema = self._reader.schema
        metadata = shard_metadata(schema, str(self._path))
        self._expect("bytes", self._path.stat().st_size, entry.bytes)
        self._expect("schema", schema.remove_metadata(), shard_schema(self._length, manifest.ids))
        self._expect("plan_sha256", metadata.get("plan_sha256"), manifest.plan_sha256)
        self._expect("phase", metadata.get("phase"), self._phase)
        rows_per_batch = int(metadata["rows_per_batch"])
        batches = self._reader.num_record_batches
        full = max(batches - 1, 0)
        last = self._reader.get_batch(full).num_rows if batches else 0
        self._expect("rows", full * rows_per_batch + last, entry.rows)
        return rows_per_batch

    def _expect(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            found, expected = (" ".join(str(value).split()) for value in (found, expected))
            raise BylineError(
                f"{self._path}: {what} {found}, the manifest says {expected}; the file is of another build or damaged: "
                "copy it anew or build again"
            )


def _open_file(path: str | Path) -> pa.ipc.RecordBatchFileReader:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except FileNotFoundError:
        raise BylineError(f"{path}: missing, though the build is finished; copy it anew or build again") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise BylineError(f"{path}: cannot be read as an Arrow file ({error}); copy it anew or build again") from None


def _as_int32(ids: np.ndarray) -> np.ndarray:
    """The ids themselves, or a copy where they are stored as uint16; read-only either way."""
    if ids.dtype == np.int32:
        return ids
    wide = ids.astype(np.int32)
    wide.flags.writeable = False
    return wide
