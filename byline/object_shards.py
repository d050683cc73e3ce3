"""A shard in an object store: whole record batches where rows follow each other, else the ranges of single rows.

```
body of a record batch     ids of 1,600 rows   mask   lists of all rows       13 MB, 3 MB and 0.1 MB at L = 2048
rows 0 1 2 3, then 4 5 6   whole                                              one request, 16 MB, kept
rows 17, 1203              2 rows              2 rows lists of all, kept      a few requests of 8, 2 and 100 kB at once
```

A record batch is fetched whole if a quarter of its rows are asked for at once, if it was asked for rows here and there
more than `MAX_RUNS` times lately, as in a shuffled window, or if rows follow the last ones: then the next record batch
is begun, too. Single rows need the record batch's metadata and its lists (the segments of all rows), which are kept for
the batches that were used last. Where all that lies follows from how many rows the record batch has, so it is asked for
at once, and the metadata say whether it was right.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from byline.arrow_file import END_BYTES, BatchLayout, batch_ranges, columns_of, footer_size, read_batch_layout
from byline.gathering import numbers_in_ranges
from byline.kept import Kept
from byline.manifest import Manifest, PhaseEntry
from byline.object_stores import RangeFile, object_file
from byline.rows import Row
from byline.shard_files import Columns, ShardFile, dtype_of, numbers_of, position_columns

# Record batches that a process keeps, at most 32 MiB each: enough for the timeline and a branch, and for the windows of
# a shuffle.
MAX_HELD = 8
# Record batches whose lists are kept, about 100 kB each.
MAX_LISTS = 256
# Rows of a record batch that do not follow each other are fetched alone up to about this many.
MAX_RUNS = 16
# More of them make it worth being fetched whole if they are among this many of all record batches: fewer would be asked
# of it while it is held.
LATELY = MAX_HELD * (MAX_RUNS + 2)
# Requests side by side: as many as pyarrow's clients keep connections.
REQUESTS = 24

# Bytes to which pyarrow aligns each buffer.
_ALIGNMENT = 8

Lists = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Head:
    """What is needed of a record batch to read single rows of it.

    Attributes:
        starts: where the values of ids, mask and, if it has them, weights begin in its body.
        lists: the segments of all its rows.
        runs: how many runs of rows were read with it, since that many (`since`) were read of all record batches.
    """

    starts: tuple[int, ...]
    lists: Lists
    runs: int = 0
    since: int = 0


@dataclass
class Fetched:
    """What a process keeps of shards in an object store, by their paths and numbers of record batches.

    `runs` counts the runs of rows that were asked for here and there.
    """

    whole: Kept[Columns] = field(default_factory=lambda: Kept(MAX_HELD))
    heads: Kept[Head] = field(default_factory=lambda: Kept(MAX_LISTS))
    runs: int = 0
    ahead: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "byline-read-ahead"))
    # Its calls wait for no others, so threads that wait for them cannot wait for ever.
    requests: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(REQUESTS, "byline-request"))


class ObjectShard(ShardFile):
    """One open shard in an object store; any number of threads may read it."""

    def __init__(self, path: str, manifest: Manifest, phase: PhaseEntry, number: int, fetched: Fetched) -> None:
        self._fetched = fetched
        super().__init__(path, manifest, phase, number, self._open)
        self._schema = self._reader.schema
        columns, fixed = columns_of(self._schema), position_columns(self._schema)
        self._of_positions, self._of_segments = columns[:fixed], columns[fixed:]
        self._dtypes = [dtype_of(column.type.value_type) for column in self._of_positions]
        with self._reading():
            footer = _end(self._file, footer_size(_end(self._file, END_BYTES)))
            self._ranges: list[list[int]] = batch_ranges(footer).tolist()
        # They hold the end of the object.
        del self._file, self._reader
        self._next_rows: dict[int, int] = {}

    def _open(self, path: str) -> pa.PythonFile:
        self._object = object_file(path)
        return pa.PythonFile(RangeFile(self._object), mode="r")

    def _check_rows(self, rows_per_batch: int) -> None:
        # Those of the last record batch are known only once its metadata are fetched; they are checked then.
        self._expect("record batches", self._reader.num_record_batches, -(-self._entry.rows // rows_per_batch))

    def row(self, row_in_shard: int) -> Row:
        number, row = divmod(row_in_shard, self.rows_per_batch)
        columns, rows = self.columns(number, np.array([row]))
        return columns.row(int(rows[0]), self._phase)

    def batch(self, number: int) -> Columns:
        return self._fetched.whole.get((self._path, number), lambda: self._read(number))

    def columns(self, number: int, rows: np.ndarray) -> tuple[Columns, np.ndarray]:
        follows = self._follows(number, rows)
        # If that fails, whoever asks for it gets the error of another try.
        if follows and number + 1 < len(self._ranges) and (self._path, number + 1) not in self._fetched.whole:
            self._fetched.ahead.submit(self.batch, number + 1)
        if follows or (self._path, number) in self._fetched.whole or 4 * len(rows) >= self._rows_of(number):
            return self.batch(number), rows
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        if len(runs) > MAX_RUNS:
            return self.batch(number), rows
        columns = self._read_runs(number, runs)
        return (self.batch(number), rows) if columns is None else (columns, np.arange(len(rows)))

    def _follows(self, number: int, rows: np.ndarray) -> bool:
        """Whether rows follow those that were asked for last of their record batch, or begin after the one before."""
        first, following = int(rows[0]), int(rows[-1]) + 1
        expected = self._next_rows.get(number)
        if expected is None and self._next_rows.get(number - 1) == self.rows_per_batch:
            expected = 0
        self._next_rows[number] = following
        return first == expected

    def _record_batch(self, number: int) -> pa.RecordBatch:
        start, _, end = self._ranges[number]
        content = self._object.read_at(start, end)
        return pa.ipc.read_record_batch(pa.py_buffer(content), self._schema)

    def _is_worth_all(self, head: Head, runs: int) -> bool:
        """Whether a record batch of which so many more runs are asked for should be fetched whole."""
        self._fetched.runs += runs
        head.runs += runs
        if head.runs <= MAX_RUNS:
            return False
        is_recent = self._fetched.runs - head.since <= LATELY
        head.runs, head.since = 0, self._fetched.runs
        return is_recent

    def _read_runs(self, number: int, runs: list[np.ndarray]) -> Columns | None:
        """Columns of these rows alone, each run a range of each column; None if all rows should be fetched instead."""
        key, usual = (self._path, number), self._usual_starts(number)[:-1]
        is_kept = key in self._fetched.heads
        asked = None if is_kept else self._ask(number, usual, runs)
        head = self._fetched.heads.get(key, lambda: self._read_head(number))
        if self._is_worth_all(head, len(runs)):
            return None
        if asked is None or head.starts != usual:
            asked = self._ask(number, head.starts, runs)
        of_positions = [
            np.frombuffer(b"".join(request.result() for request in requests), dtype).reshape(-1, self._length)
            for requests, dtype in zip(asked, self._dtypes, strict=True)
        ]
        rows = np.concatenate(runs)
        return Columns(of_positions, [_lists_of(values, ends, rows) for values, ends in head.lists])

    def _usual_starts(self, number: int) -> tuple[int, ...]:
        """Where the columns of positions begin in the body of a record batch as pyarrow writes it, without nulls.

        Behind the last of them the lists begin.
        """
        starts = [0]
        for dtype in self._dtypes:
            size = self._rows_of(number) * self._length * dtype.itemsize
            starts.append(starts[-1] + -(-size // _ALIGNMENT) * _ALIGNMENT)
        return tuple(starts)

    def _ask(self, number: int, starts: tuple[int, ...], runs: list[np.ndarray]) -> list[list[Future[bytes]]]:
        """Requests for the ids of each run, for its mask, and for its weights."""
        body = self._ranges[number][1]
        return [
            [
                self._request(body + start + int(run[0]) * row_bytes, body + start + (int(run[-1]) + 1) * row_bytes)
                for run in runs
            ]
            for start, row_bytes in zip(starts, (self._length * dtype.itemsize for dtype in self._dtypes), strict=True)
        ]

    def _request(self, start: int, end: int) -> Future[bytes]:
        return self._fetched.requests.submit(self._object.read_at, start, end)

    def _read_head(self, number: int) -> Head:
        start, body, end = self._ranges[number]
        with self._reading():
            lists_start = self._usual_starts(number)[-1]
            requests = self._request(start, body), self._request(min(body + lists_start, end), end)
            layout = read_batch_layout(requests[0].result())
            lists = self._lists(number, layout, lists_start, requests[1].result())
            self._expect("rows in record batch", layout.rows, self._rows_of(number))
            no_rows = np.empty((0, self._length), np.int32)
            Columns([no_rows] * len(self._dtypes), lists).check(self._length)
            # The numbers of a list's values are its third buffer.
            starts = tuple(int(layout.buffers[column.buffer + 2, 0]) for column in self._of_positions)
        return Head(starts, lists, since=self._fetched.runs)

    def _lists(self, number: int, layout: BatchLayout, start: int, content: bytes) -> Lists:
        """The lists of all rows, which stand at the end of the body; its bytes from `start` on are here already."""
        columns = self._of_segments
        first = min(layout.extent(column)[0] for column in columns)
        if first < start:
            _, body, end = self._ranges[number]
            start, content = first, self._object.read_at(body + first, end)
        buffer = pa.py_buffer(content)
        arrays = [layout.array(column, lambda first, end: buffer[first - start : end - start]) for column in columns]
        for array in arrays:
            # A damaged offset would be a read of foreign memory.
            array.validate(full=True)
        return [(numbers_of(array.values), numbers_of(array.offsets)) for array in arrays]


def _end(file: pa.NativeFile, size: int) -> bytes:
    """The last bytes of a file."""
    return file.read_at(size, file.size() - size)


def _lists_of(values: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists of some rows, as values and offsets."""
    counts = ends[rows + 1] - ends[rows]
    gathered = values[numbers_in_ranges(ends[rows], counts)]
    gathered.flags.writeable = False
    return gathered, np.cumsum(np.append(0, counts), dtype=ends.dtype)
