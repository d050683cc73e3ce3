"""Merging runs of a source into one: the same documents in one file, still sorted by shuffle key.

```
run a     shuffle key  2  5  9     merged run   shuffle key  2  3  5  7  9
          row          4  0  1                  row          4  0  0  1  1
run b     shuffle key  3  7                     file         0  1  0  1  0      (a is chunk 0, b is chunk 1)
          row          0  1
```

schemas/store.py describes both kinds of file. A group is merged in one pass: the columns that define the order are held
in memory, and everything else is copied record batch by record batch, one of each run at a time. The name and the bytes
of a merged run depend only on its chunks, so a group that is merged again gives the same file.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.addresses import is_object_address
from byline.schemas.store import FILE, RunFile, in_order
from byline.transforms.documents.list_copying import scatter_lists
from byline.transforms.files.sealed_files import SealedReader, write_sealed
from byline.transforms.files.storage import join, side_by_side
from byline.transforms.store.run_checks import check_batch, check_schema
from byline.transforms.store.run_names import merged_name
from byline.transforms.store.run_pieces import reading_run
from byline.transforms.store.run_ranges import RangedRun, read_directory
from byline.transforms.store.run_reading import Run
from byline.transforms.store.runs import batch_borders
from byline.transforms.store.store_index import order_of_run, runs_of

_INDEX = ("shuffle_key", "row", "file", "num_tokens")
# All runs of a group are open at once, and many systems let a process open 1024 files.
MAX_OPEN = 256
# Record batches that are fetched from an object store at the same time, while others are copied. On a disk they are
# read, not mapped.
_FETCHED = 8


def group_files(files: Iterable[RunFile], size: int) -> list[list[RunFile]]:
    """Cuts the files of a source, in order of their first chunk, into groups of at most `size` bytes.

    The cut is greedy, so no two neighbouring groups would fit together, and replacing a group by its merged run leaves
    the others as they are. Groups of one file are left out.
    """
    groups: list[list[RunFile]] = []
    total = 0
    for file in files:
        total += file.size
        if not groups or total > size or len(groups[-1]) == MAX_OPEN:
            groups.append([])
            total = file.size
        groups[-1].append(file)
    return [group for group in groups if len(group) > 1]


@dataclass(frozen=True)
class MergeGroup:
    """Files to merge, and the merged file."""

    uris: list[str]
    target: str

    @classmethod
    def of(cls, files: Sequence[RunFile], folder: str) -> "MergeGroup":
        """A group of files in one folder."""
        return cls([file.uri for file in files], join(folder, merged_name(runs_of(files))))

    def to_json(self) -> str:
        """The group as one line."""
        return json.dumps([self.uris, self.target])

    @classmethod
    def from_json(cls, line: str) -> "MergeGroup":
        """The group from the line that `to_json` made."""
        return cls(*json.loads(line))


def merge_runs(uris: Sequence[str], target: str) -> RunFile:
    """Merges runs into one; returns its description.

    Args:
        uris: of runs of one source, merged or not, that share no chunk.
        target: where to write the merged run.

    Raises:
        BylineError: a file cannot be opened, or is damaged.
    """
    inputs = _open_inputs(uris)
    order = _Order.of(inputs)
    merged = RunFile(
        runs_of([run.file for run in inputs]), order.batch_shuffle_keys, sum(run.file.size for run in inputs), ""
    )
    schema = _with_file(inputs[0].schema).with_metadata(merged.to_metadata())
    with (
        ThreadPoolExecutor(_FETCHED) as pool,
        write_sealed(target, schema) as writer,
    ):
        for run in inputs:
            run.start(pool)
        for input_numbers, starts in order.batches():
            writer.write_batch(_merged_batch(inputs, input_numbers, starts, schema))
        # Before the merged run gets its name.
        for run in inputs:
            run.finish()
    return RunFile.from_schema(schema, target)


class _Input:
    """One run of a group: the numbers that its chunks get, and how far it has been merged."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with reading_run(uri):
            self._reader = SealedReader(uri)
            self.schema = self._reader.schema
            self.file = RunFile.from_schema(self.schema, uri, self._reader.size)
            check_schema(self.schema)
        self.numbers = np.zeros(0, np.int32)
        self._batch: pa.RecordBatch | None = None
        self._row = 0

    def index(self) -> list[np.ndarray]:
        """Shuffle key, chunk, row and number of tokens of all documents."""
        whole = _open_alone(self.uri).whole()
        return [
            whole["shuffle_key"].to_numpy(),
            self._chunk_numbers(whole),
            *(whole[n].to_numpy() for n in ("row", "num_tokens")),
        ]

    def _chunk_numbers(self, batch: pa.RecordBatch) -> np.ndarray:
        """int32 [rows]: the chunk of each document, as numbered in the merged run."""
        if FILE.name in batch.schema.names:
            return self.numbers[batch[FILE.name].to_numpy()]
        return np.full(batch.num_rows, self.numbers[0], np.int32)

    def start(self, pool: Executor) -> None:
        """Called before `take`: makes `pool` read the first record batch, and from then on always one ahead."""
        self._pool, self._next = pool, 0
        self._fetch()

    def _fetch(self) -> None:
        if self._next < self._reader.num_record_batches:
            self._ahead: Future[pa.RecordBatch] = self._pool.submit(self._read, self._next)
            self._next += 1

    def _read(self, number: int) -> pa.RecordBatch:
        with reading_run(self.uri):
            batch = self._reader.read_next()
            check_batch(batch, self.file.batch_shuffle_keys[number], len(self.file.chunks))
            return batch

    def finish(self) -> None:
        """Called after the last `take`: checks that what was read is what was written."""
        with reading_run(self.uri):
            self._reader.finish()

    def take(self, count: int) -> Iterator[pa.RecordBatch]:
        """The next `count` documents, with the columns of a merged run in any order."""
        while count > 0:
            if self._batch is None or self._row == self._batch.num_rows:
                batch = self._ahead.result()
                self._fetch()
                names = [name for name in batch.schema.names if name != FILE.name]
                columns = [*(batch[name] for name in names), pa.array(self._chunk_numbers(batch))]
                self._batch = pa.RecordBatch.from_arrays(columns, [*names, FILE.name])
                self._row = 0
            documents = self._batch.slice(self._row, count)
            yield documents
            self._row += documents.num_rows
            count -= documents.num_rows


def _open_alone(uri: str) -> Run | RangedRun:
    """A run for its index, not cached: a worker that lives on would keep a deleted file on its disk."""
    return RangedRun(read_directory(uri), _INDEX) if is_object_address(uri) else Run(uri, _INDEX)


def _open_inputs(uris: Sequence[str]) -> list[_Input]:
    inputs = side_by_side(_Input, uris)
    chunks = runs_of([run.file for run in inputs])
    numbers = {order_of_run(chunk): number for number, chunk in enumerate(chunks)}
    assert len(numbers) == len(chunks), (
        f"{uris[0]} and others share chunks: {len(chunks)} chunks, {len(numbers)} different ones"
    )
    for run in inputs:
        run.numbers = np.array([numbers[order_of_run(chunk)] for chunk in run.file.chunks], np.int32)
    return inputs


@dataclass(frozen=True)
class _Order:
    """The order in which the documents of the inputs are merged, and where they are cut into batches.

    Attributes:
        inputs: int16 [n], the input of each document; those of one input keep their order.
        num_tokens: int32 [n].
        borders: first rows of the batches, and n.
        batch_shuffle_keys: the first shuffle key of each batch of the merged run.
    """

    inputs: np.ndarray
    num_tokens: np.ndarray
    borders: list[int]
    batch_shuffle_keys: list[int]

    @classmethod
    def of(cls, inputs: Sequence[_Input]) -> "_Order":
        indexes = side_by_side(_Input.index, inputs)
        number = np.repeat(np.arange(len(inputs), dtype=np.int16), [len(index[0]) for index in indexes])
        shuffle_key, chunk, row, num_tokens = (np.concatenate(columns) for columns in zip(*indexes, strict=True))
        # A stable sort is quick for sorted pieces in a row; equal shuffle keys are rare.
        order = np.argsort(shuffle_key, kind="stable")
        if not np.diff(shuffle_key[order]).all():
            order = np.lexsort((row, chunk, shuffle_key))
        shuffle_key, num_tokens = shuffle_key[order], num_tokens[order]
        width = inputs[0].schema.field("tokens").type.value_type.byte_width
        borders = batch_borders(num_tokens, width)
        return cls(number[order], num_tokens, borders, shuffle_key[borders[:-1]].tolist())

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each batch: the input of each document, and where its tokens begin in the batch, int64 [rows + 1]."""
        for low, high in zip(self.borders[:-1], self.borders[1:], strict=True):
            yield self.inputs[low:high], np.concatenate([[0], np.cumsum(self.num_tokens[low:high], dtype=np.int64)])


def _merged_batch(
    inputs: Sequence[_Input], input_numbers: np.ndarray, starts: np.ndarray, schema: pa.Schema
) -> pa.RecordBatch:
    """The next batch of the merged run; `input_numbers` and `starts` from `_Order.batches`."""
    counts = np.bincount(input_numbers, minlength=len(inputs))
    pieces = [piece for run, count in zip(inputs, counts.tolist(), strict=True) for piece in run.take(count)]
    # The batch row of each document in order of input, and the inverse.
    rows = np.argsort(input_numbers, kind="stable")
    inverse = np.empty_like(rows)
    inverse[rows] = np.arange(len(rows))
    names = [name for name in pieces[0].schema.names if name != "tokens"]
    table = pa.Table.from_batches([piece.select(names) for piece in pieces]).combine_chunks().take(pa.array(inverse))
    columns = {name: table[name].combine_chunks() for name in names}
    columns["tokens"] = _tokens([piece["tokens"] for piece in pieces], rows, starts)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _tokens(pieces: Sequence[pa.LargeListArray], rows: np.ndarray, starts: np.ndarray) -> pa.LargeListArray:
    """The lists of all pieces, each copied to its row."""
    into = np.empty(starts[-1], pieces[0].values.to_numpy().dtype)
    first = 0
    for piece in pieces:
        scatter_lists(piece.values.to_numpy(), piece.offsets.to_numpy(), into, starts[rows[first : first + len(piece)]])
        first += len(piece)
    return pa.LargeListArray.from_arrays(pa.array(starts), pa.array(into), type=pieces[0].type)


def _with_file(schema: pa.Schema) -> pa.Schema:
    """The columns of a merged run, from those of any run."""
    fields = [field for field in schema if field.name != FILE.name]
    return in_order(pa.RecordBatch.from_pylist([], schema=pa.schema([*fields, FILE]))).schema
