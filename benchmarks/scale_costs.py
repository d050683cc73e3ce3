"""What a planned case costs on an object store: requests, money, bytes and time, step by step, under `Assumptions`.

```
step       requests             bytes                      workers' time
prepare    inputs, runs         read compressed, written   text at the speed of a process
compact    record batches       every run once, twice      transfer
plan       a scan, each file    index columns              counting
assemble   range reads               index and tokens           waiting or transfer, then packing, then upload
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
    """What is not simulated. Speeds are of one process, of which a machine runs one a core.

    Attributes:
        workers: processes.
        at_once: reads that a process has under way (`byline.transforms.files.object_store`).
        latency: seconds until an object store answers.
        bandwidth: bytes a second between a process and the object store.
        request_seconds: of the processor, in the client, for a request.
        store_rate: requests a second that the object store answers to all processes. S3 begins with 5,500 for each
            part of the names, and makes more parts where it is asked for more.
        get_dollars, put_dollars: for one GET or HEAD; for one PUT, part of an upload or LIST. S3 Standard, us-east-1,
            as of 2025; look them up.
        list_page: objects that one LIST names.
        part_bytes: of an upload; one of several stages has two requests more.
        prepare_speed: bytes of text a second (README: 96 MB with two processes).
        assemble_speed: positions a second (README: 201 M in 7.6 s with two processes).
        merge_speed: bytes of runs a second that compacting merges, besides reading and writing them.
        merge_at_once: reads that compacting has under way.
        position_bytes: of a shard: int32 ids and the mask.
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

    def dollars(self, given: Assumptions) -> float:
        """Price of the requests."""
        return self.gets * given.get_dollars + self.puts * given.put_dollars


def steps_of(planned: Planned, given: Assumptions) -> list[Step]:
    """Every step, in order; of them the driver's own are called so."""
    compacting = [_compact(planned, given)] if any(merged > 1 for merged in planned.merged.values()) else []
    return [
        _prepare(planned, given),
        *compacting,
        _look(planned, given),
        *_scans(planned, given),
        _assemble(planned, given),
        _finish(planned, given),
    ]


def upload_requests(count: float, size: float, given: Assumptions) -> float:
    """Requests to write so many files."""
    stages = math.ceil(size / given.part_bytes)
    return count * (1 if stages <= 1 else stages + 2)


def _reading(gets: float, read: float, workers: float, given: Assumptions, seconds: float = 0) -> float:
    """Hours of reading: whatever lasts longest of waiting for answers, the processor, the transfer and the store.

    Args:
        gets, read: requests and bytes.
        workers: processes.
        given: at what speeds.
        seconds: of the processor, besides the client's.
    """
    waiting, busy = gets * given.latency / given.at_once, gets * given.request_seconds + seconds
    return max(max(waiting, busy, read / given.bandwidth) / workers, gets / given.store_rate) / 3600


def _prepare(planned: Planned, given: Assumptions) -> Step:
    inputs = sum(of.files for of in planned.populations.values())
    compressed = sum(of.files * of.of.file_bytes for of in planned.populations.values())
    written = sum(of.runs * planned.small_bytes[name] for name, of in planned.populations.items())
    text = sum(of.text_bytes for of in planned.populations.values())
    # Besides reading: HEAD of the file, and HEAD and LIST to see that nobody has its first run.
    gets = inputs + compressed / RANGE_BYTES + 2 * inputs
    puts = (
        inputs
        + inputs / given.list_page
        + sum(upload_requests(of.runs, planned.small_bytes[name], given) for name, of in planned.populations.items())
    )
    seconds = text / given.prepare_speed / given.workers
    return Step("prepare", gets, puts, compressed, written, seconds / 3600)


def _compact(planned: Planned, given: Assumptions) -> Step:
    gets = puts = read = written = 0.0
    for name, of in planned.populations.items():
        files, size = planned.files(name), planned.run_costs[name].file_bytes
        # Before it the driver lists the store, after it what is new.
        looked = (of.runs + files) * planned.run_costs[name].opening.requests
        gets += of.runs * planned.merging[name].requests + looked
        puts += upload_requests(files, size, given) + of.runs / given.list_page
        read += of.runs * planned.merging[name].bytes
        written += files * size
    merging = read / given.merge_speed / given.workers / 3600
    reading = _reading(gets, read, given.workers, replace(given, at_once=given.merge_at_once))
    return Step(
        "compact", gets, puts, read, written, reading + merging + written / given.bandwidth / given.workers / 3600
    )


def _look(planned: Planned, given: Assumptions) -> Step:
    """The driver lists the store and reads what every file says of itself."""
    files = {name: planned.files(name) for name in planned.populations}
    gets = sum(count * planned.run_costs[name].opening.requests for name, count in files.items())
    read = sum(count * planned.run_costs[name].opening.bytes for name, count in files.items())
    runs = sum(of.runs for of in planned.populations.values())
    hours = _reading(gets, read, 1, given) + runs * planned.footer_seconds / 3600
    return Step("list (driver)", gets, sum(files.values()) / given.list_page, read, 0, hours)


def _scans(planned: Planned, given: Assumptions) -> Iterator[Step]:
    prototypes = sum(of.prototypes * of.rows for of in planned.populations.values())
    documents = sum(of.documents for of in planned.populations.values())
    counting = planned.scan_seconds / len(planned.scans) * documents / prototypes / given.workers / 3600
    for number, name in enumerate(planned.scans):
        gets = read = 0.0
        for source, cost in planned.run_costs.items():
            files, columns = planned.files(source), cost.scans[number]
            gets += files * (cost.opening.requests + columns.requests)
            read += files * (cost.opening.bytes + columns.bytes)
        yield Step(f"scan {number + 1} {name}", gets, 0, read, 0, _reading(gets, read, given.workers, given) + counting)


def _assemble(planned: Planned, given: Assumptions) -> Step:
    busy = min(given.workers, planned.shards)
    gets, read = first_range_reads(planned, busy)
    again_gets, again_read = reopened(planned)
    # Whether the shard is there.
    gets, read, seconds = gets + again_gets + planned.shards, read + again_read, 0.0
    for name, cost in planned.run_costs.items():
        range_reads = cost.range_reads.ranges * planned.files(name)
        gets += range_reads * cost.range_reads.cost.requests
        read += range_reads * cost.range_reads.cost.bytes
        seconds += range_reads * cost.range_reads.seconds
    shard = planned.positions * given.position_bytes / planned.shards
    written = shard * planned.shards
    puts = upload_requests(planned.shards, shard, given) + planned.shards
    rounds = math.ceil(planned.shards / busy) / (planned.shards / busy)
    packing = planned.positions / given.assemble_speed / busy / 3600
    reading = _reading(gets, read, busy, replace(given, store_rate=math.inf), seconds)
    own = (reading + packing + written / given.bandwidth / busy / 3600) * rounds
    hours = max(own, gets / given.store_rate / 3600)
    return Step("assemble", gets, puts, read, written, hours)


def first_range_reads(planned: Planned, busy: int) -> tuple[float, float]:
    """Requests and bytes of opening every file once in every process."""
    gets = sum(planned.files(name) * cost.opening.requests for name, cost in planned.run_costs.items())
    read = sum(planned.files(name) * cost.opening.bytes for name, cost in planned.run_costs.items())
    return busy * gets, busy * read


def reopened(planned: Planned) -> tuple[float, float]:
    """The same of opening files again for every shard, since a process has no room to keep all it was told of them."""
    kept = sum(planned.files(name) * cost.kept_bytes for name, cost in planned.run_costs.items())
    share = max(1 - DIRECTORY_BYTES / kept, 0)
    gets = read = 0.0
    for name, cost in planned.run_costs.items():
        times = share * cost.range_reads.ranges * planned.files(name)
        gets, read = gets + times * cost.opening.requests, read + times * cost.opening.bytes
    return gets, read


def _finish(planned: Planned, given: Assumptions) -> Step:
    """The driver reads the shards' records and writes the manifest."""
    gets = 2.0 * planned.shards
    hours = _reading(gets, 0, 1, given) + planned.seconds["finish"] / 3600
    return Step("finish (driver)", gets, planned.shards / given.list_page + 1, planned.shards * 1e3, 0, hours)
