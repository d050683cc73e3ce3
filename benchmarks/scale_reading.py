"""What readers ask of an object store for one run: requests and bytes, counted.

The real readers (`transforms/store/run_ranges.py`) read a real run on this disk; the one function that opens an
object is replaced by one that counts. So nothing here knows how a run is read.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa

from byline.object_stores import RangeFile
from byline.schemas.plan import Plan
from byline.schemas.predicates import Predicate
from byline.transforms.fields.conditioning import store_columns
from byline.transforms.fields.selecting import holds, predicate_columns
from byline.transforms.shards.assembling import planned_phases
from byline.transforms.store import compacting, run_ranges
from byline.transforms.store.run_ranges import Directory, RangedRun

# Makes an address of an object store of a path of this disk.
_BUCKET = "s3://counted"
# So many range reads are made; their documents are counted for all.
_SAMPLED_RANGE_READS = 1000


class CountedFile:
    """A file of this disk, opened and read as an object, that counts what an object store would be asked for."""

    def __init__(self, uri: str) -> None:
        self._file = pa.memory_map(uri.removeprefix(_BUCKET))
        self.size = self._file.size()
        # Opening asks for the size.
        self.requests, self.bytes = 1, 0

    def read_at(self, start: int, end: int) -> bytes:
        self.requests += 1
        self.bytes += end - start
        return self._file.read_at(end - start, start)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Cost:
    """Requests and bytes."""

    requests: float
    bytes: float


@dataclass(frozen=True)
class RangeReads:
    """The reads of all ranges that shards take of one source, in one of its runs.

    Attributes:
        ranges: how many there are.
        documents: (least, 5 %, median, mean, 95 %, most) found by one.
        empty: share of them that find none.
        cost: of one, mean.
        bytes: (least, 5 %, median, mean, 95 %, most) that one reads.
        seconds: of the processor, for one, the client's work for its requests left out.
    """

    ranges: int
    documents: tuple[float, ...]
    empty: float
    cost: Cost
    bytes: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class RunCost:
    """What one run costs its readers.

    Attributes:
        file_bytes: of the run.
        batches: its record batches.
        opening: what a process asks for when it meets the run first.
        kept_bytes: memory of what it keeps of that.
        scans: of each scan of the planner.
        range reads: of the shards.
    """

    file_bytes: int
    batches: int
    opening: Cost
    kept_bytes: int
    scans: list[Cost]
    range_reads: RangeReads


def run_cost(uri: str, source: str, plan: Plan, scans: Iterable[Sequence[str]]) -> RunCost:
    """Reads a run as the scans, by their columns, and the shards of a plan do."""
    with mock.patch.object(run_ranges, "open_ranges", CountedFile):
        directory = run_ranges.read_directory(uri)
    opening = _taken(directory)
    found = RunCost(
        file_bytes=Path(uri).stat().st_size,
        batches=len(directory.starts),
        opening=opening,
        kept_bytes=directory.nbytes,
        scans=[_scan_cost(directory, columns) for columns in scans],
        range_reads=_range_reads(directory, source, plan),
    )
    directory.file.close()
    return found


def merge_cost(uri: str, target: str) -> Cost:
    """What a run is asked for when it is merged with others."""
    opened: list[CountedFile] = []

    def open_ranges(uri: str) -> CountedFile:
        opened.append(CountedFile(uri))
        return opened[-1]

    def open_random(uri: str) -> pa.PythonFile:
        return pa.PythonFile(RangeFile(open_ranges(uri)), mode="r")

    with (
        mock.patch.object(compacting, "open_random", open_random),
        mock.patch.object(run_ranges, "open_ranges", open_ranges),
    ):
        compacting.merge_runs([_BUCKET + uri], target)
    return Cost(sum(file.requests for file in opened), sum(file.bytes for file in opened))


def _taken(directory: Directory) -> Cost:
    """What was asked for since this was last called."""
    file = directory.file
    cost = Cost(file.requests, file.bytes)
    file.requests = file.bytes = 0
    return cost


def _scan_cost(directory: Directory, columns: Sequence[str]) -> Cost:
    # The second time, since a process learns from the first batch how much to ask for.
    for _ in range(2):
        _taken(directory)
        RangedRun(directory, columns).whole()
    return _taken(directory)


@dataclass(frozen=True)
class Range:
    """A range of shuffle keys that a shard reads; `predicates` is the number of a list in the plan."""

    phase: str
    low: int
    high: int
    predicates: int


def ranges_of(table: pa.Table, source: str) -> list[Range]:
    """What shards read of a source: rows of one shard that touch or overlap are one range."""
    mine = table.filter(pa.array([name == source for name in table["source"].to_pylist()]))
    names = ("phase", "shard", "epoch", "shuffle_key_lo", "shuffle_key_hi", "predicates")
    rows = sorted(zip(*(mine[name].to_pylist() for name in names), strict=True))
    found: list[Range] = []
    before: tuple[object, ...] = ()
    for phase, shard, epoch, low, high, predicates in rows:
        if (phase, shard, epoch) == before and low <= found[-1].high + 1:
            found[-1] = Range(phase, found[-1].low, max(high, found[-1].high), predicates)
        else:
            found.append(Range(phase, low, high, predicates))
            before = (phase, shard, epoch)
    return found


def _range_reads(directory: Directory, source: str, plan: Plan) -> RangeReads:
    ranges = ranges_of(plan.table, source)
    shuffle_keys = RangedRun(directory, ["shuffle_key"]).whole()["shuffle_key"].to_numpy()
    low, high = (np.array([getattr(one, name) for one in ranges], np.uint64) for name in ("low", "high"))
    documents = shuffle_keys.searchsorted(high, "right") - shuffle_keys.searchsorted(low, "left")
    step = -(-len(ranges) // _SAMPLED_RANGE_READS)
    conditions = {name: store_columns(phase.gathering.condition) for name, phase in planned_phases(plan).items()}
    predicates = plan.predicates
    sampled = ranges[::step]

    def read_all() -> list[Cost]:
        return [_range_read(directory, source, r, predicates[r.predicates], conditions[r.phase]) for r in sampled]

    # The first time it is learnt how much to ask for, and read from the disk.
    read_all()
    started = time.process_time()
    costs = read_all()
    seconds = (time.process_time() - started) / len(costs)
    read = np.array([cost.bytes for cost in costs])
    return RangeReads(
        ranges=len(ranges),
        documents=_spread(documents),
        empty=float((documents == 0).mean()),
        cost=Cost(float(np.mean([cost.requests for cost in costs])), float(read.mean())),
        bytes=_spread(read),
        seconds=seconds,
    )


def _spread(values: np.ndarray) -> tuple[float, ...]:
    points = np.quantile(values, [0, 0.05, 0.5, 0.95, 1]).tolist()
    return (*points[:3], float(values.mean()), *points[3:])


def _range_read(
    directory: Directory, source: str, one: Range, predicates: Sequence[Predicate], condition: set[str]
) -> Cost:
    """Reads one range: its index, and the tokens of those that are taken."""
    columns = (
        {"shuffle_key", "row", "file", "num_tokens", "tokens", "masked"} | predicate_columns(predicates) | condition
    )
    run = RangedRun(directory, columns)
    _taken(directory)
    for number in run.numbers(one.low, one.high):
        piece = run.piece(number, one.low, one.high)
        if piece is not None:
            taken = np.flatnonzero(holds(predicates, piece.index, source))
            into = np.empty(int(piece.index["num_tokens"].to_numpy()[taken].sum()), np.uint16)
            piece.tokens.copy(taken, into)
    return _taken(directory)
