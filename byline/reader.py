"""Reads a finished build: any row in O(1), memory-mapped or from an object store, with only pyarrow and numpy.

```
                 conditioned            cooldown          branch cooldown-50, after shard 0 of conditioned
shard            0          1           0                 0
rows             0 1 2 3    4 5 6 7     8 9               a b
shards[5]                     ^                    the second row of shard 1; len(shards) = 10, in training order
shards[-2:]                             ^ ^        a view
shards.phase("cooldown")[0]             ^
open(OUT, branch="cooldown-50")  0 1 2 3 a b       what a model trained on the branch reads
```

A row's shard is found by bisection over the shards' first rows, and its record batch by division, since all record
batches of a shard but the last have the same number of rows. Arrays are read-only views of the mapped file. A file is
opened, and checked against the manifest, when one of its rows is first asked for; at most
`byline.open_files.MAX_OPEN` stay open.

On an object store (`byline.open("s3://bucket/out")`) whole record batches are fetched, 8 to 32 MiB each, where rows are
read in order, and the next one meanwhile; a process keeps the last few. Rows from here and there are fetched alone,
those of one `batch` side by side (`byline.object_shards`).

A `Shards` object pickles as its directory, branch and row numbers, and reopens its files in another process (a forked
one too), so it can be handed to the workers of any data loader.
"""

import os
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, overload

import numpy as np

from byline import locations
from byline.errors import BylineError
from byline.gathering import Piece, gather_pieces, groups
from byline.loader import Loader
from byline.manifest import Manifest, PhaseEntry, ShardEntry, read_manifest
from byline.open_files import Files
from byline.row_order import RowOrder, last_named, plain_integer
from byline.rows import Row, Rows
from byline.shard_files import ShardFile, read_arrow_file
from byline.shards import PADDING_DOC_ID
from byline.whole_files import Verify, check_files

INPUTS_NAME = "_inputs.ipc"


def open_shards(
    directory: str | os.PathLike[str], branch: str | None = None, *, verify: Verify | None = None
) -> "Shards":
    """Opens the output directory of a build.

    Args:
        directory: of the build; a path, or an address in an object store (docs/object_stores.md).
        branch: read the timeline up to where this branch leaves it, then the branch, or what is held out, by its name;
            None for the whole timeline.
        verify: check the files that are opened before anything is read: `sizes`, that each is there with the size that
            the manifest lists, or `sha256`, every byte. None checks a file when its first row is read.

    Raises:
        BylineError: there is no manifest, or one of another version; no such branch; or files are not what the
            manifest lists.
    """
    build = _Build(directory, branch)
    if verify is not None:
        others = {INPUTS_NAME: build.manifest.inputs_sha256}
        check_files(build.directory, [shard for _, shard in build.entries], others, verify)
    return Shards(build, range(build.starts[-1]))


class Shards:
    """A sequence of rows: the timeline, what a branch reads, one phase, or a slice of these. Made by `byline.open`."""

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

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        """Several rows; how a DataLoader of PyTorch asks for the rows of a batch.

        Raises:
            BylineError: it is going to stack them, which rows with lists of different lengths cannot be.
        """
        loader = sys._getframe(1).f_locals.get("self")
        if getattr(getattr(loader, "collate_fn", None), "__name__", "") == "default_collate":
            raise BylineError(
                f"{self.directory}: rows have lists of different lengths, which a DataLoader cannot stack; give it "
                "byline.adapters.torch.ShardDataset(shards), or a collate_fn of its own"
            )
        return [self[index] for index in indices]

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
        """The build's absolute path, or its address."""
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
        """Names of the phases in training order; if a branch was opened, it is the last."""
        return tuple(self._build.phase_rows)

    @property
    def branch(self) -> str | None:
        """The branch that was opened."""
        return self._build.branch

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the build's branches; `byline.open` takes one."""
        return self.manifest.branches

    @property
    def holdout(self) -> str | None:
        """Name of what is held out, if anything is; `byline.open(OUT, branch=shards.holdout)` reads it alone."""
        return self.manifest.holdout

    def branch_row(self, name: str) -> int:
        """How many rows of the timeline come before a branch, whatever was opened; it starts from the checkpoint there.

        Raises:
            BylineError: there is no branch of this name.
        """
        before = self._build.training_order(name)[:-1]
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

    def batch(self, indices: Sequence[int] | np.ndarray) -> Rows:
        """Several rows at once, in the order asked for, each record batch read once.

        Raises:
            IndexError: there is no such row.
            BylineError: a shard is not what the manifest says.
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

    def loader(
        self,
        batch: int,
        *,
        rank: int = 0,
        world: int = 1,
        shuffle: int | str | None = None,
        seed: int = 0,
        epochs: int = 1,
        align_phases: bool = False,
        last: str = "pad",
        prefetch: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> Loader:
        """An iterator over batches of this view for one of several ranks, with a state to resume from (docs/loader.md).

        Args:
            batch: rows of a global batch, all ranks together; a multiple of `world`.
            rank: which part of each batch this loader yields, from 0 on.
            world: how many ranks there are. Batch k has the same rows for any number of them.
            shuffle: None for training order; a number of rows to shuffle each window of so many rows among themselves;
                `"phase"` to shuffle all of each phase. Rows never change their phase.
            seed: of the shuffle.
            epochs: how often all rows are read, each time in another order if they are shuffled.
            align_phases: whether every batch has rows of one phase and one epoch alone.
            last: what becomes of rows too few for a batch, at the end or where aligned at the end of each phase:
                `"pad"` (rows of padding, whose loss mask is 0, make it full), `"keep"` (a short batch), `"drop"`.
            prefetch: batches to make ahead, in as many threads; worth it where shards are in an object store.
            state: what `Loader.state_dict` of any rank returned; the loader goes on from there.

        Raises:
            BylineError: a setting cannot be, or the state is of another build, view or setting.
        """
        # numpy's integers overflow, and JSON does not know them.
        counts = (batch, rank, world, shuffle, seed, epochs, prefetch)
        batch, rank, world, shuffle, seed, epochs, prefetch = map(plain_integer, counts)
        order = RowOrder(self._phase_lengths(), batch, epochs, shuffle, seed, align_phases, last_named(last))
        loader = Loader(self, order, rank, world, prefetch)
        if state is not None:
            loader.load_state_dict(state)
        return loader

    @property
    def described_rows(self) -> list[int]:
        """Which rows of what was opened the view has: the first, the step, how many."""
        rows = self._rows
        return [rows[0], rows.step if len(rows) > 1 else 1, len(rows)] if rows else [0, 1, 0]

    def _phase_lengths(self) -> tuple[tuple[str, int], ...]:
        """The phases in the view's order, and how many rows of each it has."""
        ascending = self._rows if self._rows.step > 0 else self._rows[::-1]

        def below(row: int) -> int:
            return len(range(ascending.start, min(row, ascending.stop), ascending.step))

        lengths = [(name, below(rows.stop) - below(rows.start)) for name, rows in self._build.phase_rows.items()]
        return tuple(lengths if self._rows.step > 0 else reversed(lengths))

    def origin(self, doc_id: int) -> tuple[str, str, int]:
        """The (source, path, row) of a document.

        Raises:
            BylineError: the id marks padding, or its file is not listed in the build.
        """
        if doc_id == PADDING_DOC_ID:
            raise BylineError(f"doc id {doc_id} marks padding, which comes from no document")
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
    """What all views of one opened directory share. Rows are numbered in training order here."""

    def __init__(self, directory: str | os.PathLike[str], branch: str | None) -> None:
        self.directory = locations.absolute(directory)
        self.branch = branch
        self.manifest = read_manifest(self.directory)
        self.phases = self.training_order(branch)
        self.entries = [(phase, shard) for phase, shards in self.phases for shard in phase.shards[:shards]]
        self.starts = list(accumulate((shard.rows for _, shard in self.entries), initial=0))
        self._start_array = np.array(self.starts, np.int64)
        names = np.array([phase.name for phase, _ in self.phases], np.str_)
        self._phase_of_shard = np.repeat(names, np.array([shards for _, shards in self.phases], np.int64))
        self._files = self._new_files()

    def training_order(self, branch: str | None) -> list[tuple[PhaseEntry, int]]:
        """As `Manifest.training_order`; errors name the directory."""
        try:
            return self.manifest.training_order(branch)
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
        path = locations.join(self.directory, INPUTS_NAME)
        table = read_arrow_file(path, self.manifest.inputs_sha256)
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

    def gather(self, numbers: np.ndarray) -> Rows:
        """Stacks rows, reading each record batch once. numbers: int64 [n]."""
        shards = np.searchsorted(self._start_array, numbers, side="right") - 1
        by_shard = list(groups(shards)) if len(shards) else []
        files = self.files.side_by_side(self.files.get, [shard for shard, _ in by_shard])
        wanted: list[tuple[ShardFile, int, np.ndarray, np.ndarray]] = []
        for (shard, targets), file in zip(by_shard, files, strict=True):
            batches, rows = np.divmod(numbers[targets] - self.starts[shard], file.rows_per_batch)
            wanted += [(file, number, rows[in_batch], targets[in_batch]) for number, in_batch in groups(batches)]
        pieces = self.files.side_by_side(_piece, wanted)
        manifest, phases = self.manifest, self._phase_of_shard[shards]
        return gather_pieces(pieces, manifest.sequence_length, phases, manifest.loss_weight)

    def file(self, shard: int) -> ShardFile:
        return self.files.get(shard)

    @property
    def files(self) -> Files:
        # A forked process must take over neither the open files nor a lock that a thread of its parent may hold.
        if self._files.process != os.getpid():
            self._files = self._new_files()
        return self._files

    def _new_files(self) -> Files:
        return Files(self.directory, self.manifest, self.entries)


def _piece(wanted: tuple[ShardFile, int, np.ndarray, np.ndarray]) -> Piece:
    file, number, rows, targets = wanted
    columns, rows_there = file.columns(number, rows)
    return Piece(columns, rows_there, targets)
