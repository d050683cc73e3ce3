"""Counts the requests and bytes that readers of one run ask of an object store.

The real readers (`transforms/store/run_ranges.py`) read a real run on this disk; the only function that opens an object
is replaced by one that counts. So nothing here depends on how a run is read.
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
from byline.transforms.files import storage
from byline.transforms.shards.assembling import planned_phases
from byline.transforms.store import compacting, run_ranges
from byline.transforms.store.run_ranges import Directory, RangedRun

# Turns a path on this disk into an address in an object store.
_BUCKET = "s3://counted"
# About this many range reads are made; documents are counted for all of them.
_SAMPLED_READS = 1000


class CountedFile:
    """A file on this disk, read like an object, that counts the requests that an object store would get."""

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
class RangeReadCosts:
    """The range reads that shards make in one run of a source.

    Attributes:
        ranges: number of ranges.
        documents: (least, 5 %, median, mean, 95 %, most) that a range read finds.
        empty: share of range reads that find none.
        cost: mean cost of a range read.
        bytes: (least, 5 %, median, mean, 95 %, most) that a range read reads.
        seconds: CPU seconds of a range read, without the client's work for its requests.
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
        batches: number of its record batches.
        opening: cost of opening the run for the first time in a process.
        kept_bytes: memory of what the process keeps of that.
        scans: cost of each scan of the planner.
        range_reads: of the shards.
    """

    file_bytes: int
    batches: int
    opening: Cost
    kept_bytes: int
    scans: list[Cost]
    range_reads: RangeReadCosts


def run_cost(uri: str, source: str, plan: Plan, scans: Iterable[Sequence[str]]) -> RunCost:
    """Reads a run as the scans, by their columns, and the shards of a plan do."""
    with mock.patch.object(run_ranges, "open_ranges", CountedFile):
        directory = run_ranges.read_directory(uri)
    opening = _taken(directory)
    cost = RunCost(
        file_bytes=Path(uri).stat().st_size,
        batches=len(directory.starts),
        opening=opening,
        kept_bytes=directory.nbytes,
        scans=[_scan_cost(directory, columns) for columns in scans],
        range_reads=_range_reads(directory, source, plan),
    )
    directory.file.close()
    return cost


def merge_cost(uri: str, target: str) -> Cost:
    """The cost of reading a run to merge it with others."""
    opened: list[CountedFile] = []

    def open_ranges(uri: str) -> CountedFile:
        opened.append(CountedFile(uri))
        return opened[-1]

    def open_unmapped(uri: str) -> pa.PythonFile:
        return pa.PythonFile(RangeFile(open_ranges(uri)), mode="r")

    with (
        mock.patch.object(storage, "open_unmapped", open_unmapped),
        mock.patch.object(run_ranges, "open_ranges", open_ranges),
    ):
        compacting.merge_runs([_BUCKET + uri], target)
    return Cost(sum(file.requests for file in opened), sum(file.bytes for file in opened))


def _taken(directory: Directory) -> Cost:
    """The cost since this was last called."""
    file = directory.file
    cost = Cost(file.requests, file.bytes)
    file.requests = file.bytes = 0
    return cost


def _scan_cost(directory: Directory, columns: Sequence[str]) -> Cost:
    # The second time counts, since a process learns from the first batch how much to ask for.
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
    """The ranges that shards read of a source; rows of one shard that touch or overlap are one range."""
    of_source = table.filter(pa.array([name == source for name in table["source"].to_pylist()]))
    names = ("phase", "shard", "epoch", "shuffle_key_lo", "shuffle_key_hi", "predicates")
    rows = sorted(zip(*(of_source[name].to_pylist() for name in names), strict=True))
    ranges: list[Range] = []
    before: tuple[object, ...] = ()
    for phase, shard, epoch, low, high, predicates in rows:
        if (phase, shard, epoch) == before and low <= ranges[-1].high + 1:
            ranges[-1] = Range(phase, ranges[-1].low, max(high, ranges[-1].high), predicates)
        else:
            ranges.append(Range(phase, low, high, predicates))
            before = (phase, shard, epoch)
    return ranges


def _range_reads(directory: Directory, source: str, plan: Plan) -> RangeReadCosts:
    ranges = ranges_of(plan.table, source)
    shuffle_keys = RangedRun(directory, ["shuffle_key"]).whole()["shuffle_key"].to_numpy()
    low, high = (np.array([getattr(item, name) for item in ranges], np.uint64) for name in ("low", "high"))
    documents = shuffle_keys.searchsorted(high, "right") - shuffle_keys.searchsorted(low, "left")
    step = -(-len(ranges) // _SAMPLED_READS)
    conditions = {name: store_columns(phase.gathering.condition) for name, phase in planned_phases(plan).items()}
    predicates = plan.predicates
    sampled = ranges[::step]

    def read_all() -> list[Cost]:
        return [_range_read(directory, source, r, predicates[r.predicates], conditions[r.phase]) for r in sampled]

    # The first time warms up: it learns how much to ask for, and reads from the disk.
    read_all()
    started = time.process_time()
    costs = read_all()
    seconds = (time.process_time() - started) / len(costs)
    read = np.array([cost.bytes for cost in costs])
    return RangeReadCosts(
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
    directory: Directory, source: str, wanted: Range, predicates: Sequence[Predicate], condition: set[str]
) -> Cost:
    """Reads one range: its index, and the tokens of the documents that are taken."""
    columns = (
        {"shuffle_key", "row", "file", "num_tokens", "tokens", "masked"} | predicate_columns(predicates) | condition
    )
    run = RangedRun(directory, columns)
    _taken(directory)
    for number in run.numbers(wanted.low, wanted.high):
        piece = run.piece(number, wanted.low, wanted.high)
        if piece is not None:
            taken = np.flatnonzero(holds(predicates, piece.index, source))
            into = np.empty(int(piece.index["num_tokens"].to_numpy()[taken].sum()), np.uint16)
            piece.tokens.copy(taken, into)
    return _taken(directory)
