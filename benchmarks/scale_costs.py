"""What a planned case costs on an object store: requests, money, bytes and time, step by step, under `Assumptions`.

```
step       requests             bytes                      workers' time
prepare    inputs, runs         read compressed, written   text at the speed of a process
compact    record batches       every run, in and out      transfer
plan       a scan, each file    index columns              counting
assemble   range reads          index and tokens           waiting or transfer, then packing, then upload
```

Counts and sizes come from the simulation (`benchmarks.scale_planning`), speeds and prices from here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.scale_planning import Planned
from byline.transforms.files.object_store import AT_ONCE, RANGE_BYTES
from byline.transforms.store.run_ranges import DIRECTORY_BYTES


@dataclass(frozen=True)
class Assumptions:
    """What is not simulated. Speeds are those of one process; a machine runs one for each core.

    Attributes:
        workers: processes.
        at_once: reads that a process has under way (`byline.transforms.files.object_store`).
        latency: seconds until an object store answers.
        bandwidth: bytes a second between a process and the object store.
        request_seconds: CPU seconds that the client takes for a request.
        store_rate: requests a second that the object store answers to all processes together. S3 starts with 5,500 for
            each prefix of names, and splits prefixes that get more.
        get_dollars, put_dollars: for one GET or HEAD; for one PUT, part of an upload or LIST. S3 Standard, us-east-1,
            as of 2025; look up the current ones.
        list_page: objects that one LIST names.
        part_bytes: of an upload; an upload in several parts takes two more requests.
        prepare_speed: bytes of text a second (README: 96 MB with two processes).
        assemble_speed: positions a second (README: 201 M in 7.6 s with two processes).
        merge_speed: bytes of runs a second that compacting merges, without reading and writing them.
        merge_at_once: reads that compacting has under way.
        position_bytes: bytes of a position in a shard: an int32 id and the mask.
    """

    workers: int = 100
    at_once: int = AT_ONCE
    latency: float = 0.03
    bandwidth: float = 100e6
    request_seconds: float = 0.0003
    store_rate: float = 50_000
    get_dollars: float = 0.0004 / 1000
    put_dollars: float = 0.005 / 1000
    list_page: int = 1000
    part_bytes: int = 10_000_000
    prepare_speed: float = 48e6
    assemble_speed: float = 13e6
    merge_speed: float = 200e6
    merge_at_once: int = 8
    position_bytes: int = 5


@dataclass(frozen=True)
class Step:
    """One step of a build.

    Attributes:
        name: of the step.
        gets: GET and HEAD.
        puts: PUT, parts of uploads, LIST.
        read, written: bytes.
        wall: hours from beginning to end.
    """

    name: str
    gets: float
    puts: float
    read: float
    written: float
    wall: float

    def dollars(self, assumptions: Assumptions) -> float:
        """Price of the requests."""
        return self.gets * assumptions.get_dollars + self.puts * assumptions.put_dollars


def steps_of(planned: Planned, assumptions: Assumptions) -> list[Step]:
    """Every step, in order; those of the driver have it in their name."""
    compacting = [_compact(planned, assumptions)] if any(merged > 1 for merged in planned.merged.values()) else []
    return [
        _prepare(planned, assumptions),
        *compacting,
        _look(planned, assumptions),
        *_scans(planned, assumptions),
        _assemble(planned, assumptions),
        _finish(planned, assumptions),
    ]


def upload_requests(count: float, size: float, assumptions: Assumptions) -> float:
    """Requests to write `count` files of `size` bytes."""
    parts = math.ceil(size / assumptions.part_bytes)
    return count * (1 if parts <= 1 else parts + 2)


def _reading(gets: float, read: float, workers: float, assumptions: Assumptions, seconds: float = 0) -> float:
    """Hours of reading: the longest of waiting for answers, the CPU's work, the transfer and the store's limit.

    Args:
        gets, read: requests and bytes.
        workers: processes.
        assumptions: the speeds.
        seconds: of CPU, without the client's.
    """
    waiting, busy = gets * assumptions.latency / assumptions.at_once, gets * assumptions.request_seconds + seconds
    return max(max(waiting, busy, read / assumptions.bandwidth) / workers, gets / assumptions.store_rate) / 3600


def _prepare(planned: Planned, assumptions: Assumptions) -> Step:
    inputs = sum(population.files for population in planned.populations.values())
    compressed = sum(population.files * population.corpus.file_bytes for population in planned.populations.values())
    written = sum(population.runs * planned.small_bytes[name] for name, population in planned.populations.items())
    text = sum(population.text_bytes for population in planned.populations.values())
    # Besides reading: HEAD of the file, and HEAD and LIST to check that its first run does not exist yet.
    gets = inputs + compressed / RANGE_BYTES + 2 * inputs
    puts = (
        inputs
        + inputs / assumptions.list_page
        + sum(
            upload_requests(population.runs, planned.small_bytes[name], assumptions)
            for name, population in planned.populations.items()
        )
    )
    seconds = text / assumptions.prepare_speed / assumptions.workers
    return Step("prepare", gets, puts, compressed, written, seconds / 3600)


def _compact(planned: Planned, assumptions: Assumptions) -> Step:
    gets = puts = read = written = 0.0
    for name, population in planned.populations.items():
        files, size = planned.files(name), planned.run_costs[name].file_bytes
        # The driver reads the footers of all runs before, and those of the new files after.
        footers = (population.runs + files) * planned.run_costs[name].opening.requests
        gets += population.runs * planned.merging[name].requests + footers
        puts += upload_requests(files, size, assumptions) + population.runs / assumptions.list_page
        read += population.runs * planned.merging[name].bytes
        written += files * size
    merging = read / assumptions.merge_speed / assumptions.workers / 3600
    reading = _reading(gets, read, assumptions.workers, replace(assumptions, at_once=assumptions.merge_at_once))
    return Step(
        "compact",
        gets,
        puts,
        read,
        written,
        reading + merging + written / assumptions.bandwidth / assumptions.workers / 3600,
    )


def _look(planned: Planned, assumptions: Assumptions) -> Step:
    """The driver lists the token store and reads every file's description."""
    files = {name: planned.files(name) for name in planned.populations}
    gets = sum(count * planned.run_costs[name].opening.requests for name, count in files.items())
    read = sum(count * planned.run_costs[name].opening.bytes for name, count in files.items())
    runs = sum(population.runs for population in planned.populations.values())
    hours = _reading(gets, read, 1, assumptions) + runs * planned.footer_seconds / 3600
    return Step("look (driver)", gets, sum(files.values()) / assumptions.list_page, read, 0, hours)


def _scans(planned: Planned, assumptions: Assumptions) -> Iterator[Step]:
    prototypes = sum(population.prototypes * population.rows for population in planned.populations.values())
    documents = sum(population.documents for population in planned.populations.values())
    counting = planned.scan_seconds / len(planned.scans) * documents / prototypes / assumptions.workers / 3600
    for number, name in enumerate(planned.scans):
        gets = read = 0.0
        for source, cost in planned.run_costs.items():
            files, columns = planned.files(source), cost.scans[number]
            gets += files * (cost.opening.requests + columns.requests)
            read += files * (cost.opening.bytes + columns.bytes)
        yield Step(
            f"scan {number + 1} {name}",
            gets,
            0,
            read,
            0,
            _reading(gets, read, assumptions.workers, assumptions) + counting,
        )


def _assemble(planned: Planned, assumptions: Assumptions) -> Step:
    busy = min(assumptions.workers, planned.shards)
    gets, read = first_range_reads(planned, busy)
    again_gets, again_read = reopened(planned)
    # One more request a shard, to check whether it exists.
    gets, read, seconds = gets + again_gets + planned.shards, read + again_read, 0.0
    for name, cost in planned.run_costs.items():
        range_reads = cost.range_reads.ranges * planned.files(name)
        gets += range_reads * cost.range_reads.cost.requests
        read += range_reads * cost.range_reads.cost.bytes
        seconds += range_reads * cost.range_reads.seconds
    shard = planned.positions * assumptions.position_bytes / planned.shards
    written = shard * planned.shards
    puts = upload_requests(planned.shards, shard, assumptions) + planned.shards
    rounds = math.ceil(planned.shards / busy) / (planned.shards / busy)
    packing = planned.positions / assumptions.assemble_speed / busy / 3600
    reading = _reading(gets, read, busy, replace(assumptions, store_rate=math.inf), seconds)
    own = (reading + packing + written / assumptions.bandwidth / busy / 3600) * rounds
    hours = max(own, gets / assumptions.store_rate / 3600)
    return Step("assemble", gets, puts, read, written, hours)


def first_range_reads(planned: Planned, busy: int) -> tuple[float, float]:
    """Requests and bytes of opening every file once in every process."""
    gets = sum(planned.files(name) * cost.opening.requests for name, cost in planned.run_costs.items())
    read = sum(planned.files(name) * cost.opening.bytes for name, cost in planned.run_costs.items())
    return busy * gets, busy * read


def reopened(planned: Planned) -> tuple[float, float]:
    """Requests and bytes of reopening files for every shard, as a process has no memory to keep all their footers."""
    kept = sum(planned.files(name) * cost.kept_bytes for name, cost in planned.run_costs.items())
    share = max(1 - DIRECTORY_BYTES / kept, 0)
    gets = read = 0.0
    for name, cost in planned.run_costs.items():
        times = share * cost.range_reads.ranges * planned.files(name)
        gets, read = gets + times * cost.opening.requests, read + times * cost.opening.bytes
    return gets, read


def _finish(planned: Planned, assumptions: Assumptions) -> Step:
    """The driver reads the shards' records and writes the manifest."""
    gets = 2.0 * planned.shards
    hours = _reading(gets, 0, 1, assumptions) + planned.seconds["finish"] / 3600
    return Step("finish (driver)", gets, planned.shards / assumptions.list_page + 1, planned.shards * 1e3, 0, hours)
