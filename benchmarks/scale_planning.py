"""What the driver does for a corpus that does not exist: the real planner on described runs and counted prototypes.

```
runs           250,542 descriptions, as footers give them            real code, made-up values
scans          the real counters over prototypes, multiplied         in another process (benchmarks.scale_corpus)
make_plan      all of it                                             real
_plan.ipc      all of it                                             real
range reads    documents of prototypes in the plan's intervals       real shuffle keys
```
"""

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from benchmarks.scale_corpus import (
    FINGERPRINT,
    PROTOTYPE_DOCUMENTS,
    Population,
    Prototypes,
    batch_shuffle_keys,
    columns_of,
    counted,
    write_prototypes,
    write_whole_run,
)
from benchmarks.scale_reading import Cost, RunCost, merge_cost, run_cost
from byline.manifest import ShardEntry
from byline.schemas.config_file import load_config
from byline.schemas.documents import InputFile
from byline.schemas.inputs import input_table
from byline.schemas.ledger import DrawCounts, PhaseLedger, ShardRecord
from byline.schemas.plan import Plan, read_plan
from byline.schemas.store import MERGED_PREFIX, RunFile, RunInfo
from byline.transforms.plans.planning import make_plan
from byline.transforms.scans.counting import RunCounter
from byline.transforms.shards.assembling import planned_phases
from byline.transforms.shards.output import write_run_index
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.store.compacting import MAX_OPEN
from byline.transforms.store.run_names import run_name
from byline.transforms.store.state import StoreState
from byline.transforms.store.store_index import choose_files, identities_of, runs_of
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info

Answer = TypeVar("Answer")

STORE = "s3://bucket/store"


@dataclass(frozen=True)
class Case:
    """A recipe over shares of published corpora.

    Attributes:
        name: of the case.
        about: a description, in one line.
        recipe: file name in `configs/`.
        settings: overrides of the recipe, `key=value`.
        shares: source -> share of the published corpus.
        merge_bytes: as in `byline compact --size`; 0 for runs that are not merged.
        prototypes: documents in prototypes.
    """

    name: str
    about: str
    recipe: str
    settings: tuple[str, ...]
    shares: dict[str, float]
    merge_bytes: int = 0
    prototypes: int = PROTOTYPE_DOCUMENTS


@dataclass
class Clock:
    """Seconds and memory of the driver's steps.

    Attributes:
        seconds: CPU seconds by step; the driver waits only for the scans.
        memory: step -> bytes of the process after it.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] = time.process_time() - started
        self.memory[name] = resident_bytes()


def resident_bytes() -> int:
    """Memory of this process now, or its peak if the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True)
class Planned:
    """The results of a case.

    Attributes:
        populations: by source.
        merged: source -> how many runs of 64 MiB of text are in one file of the token store.
        scans: kinds of counters, in order.
        run_costs: source -> what a file of the token store costs its readers.
        small_bytes: source -> bytes of a run of 64 MiB of text.
        merging: source -> the requests and bytes of reading such a run to merge it with others.
        seconds, memory: of the driver's steps; memory after each.
        scan_seconds: CPU seconds of the scans over prototypes, which are not the driver's.
        peak: the driver's peak memory.
        worker_bytes: memory of the lists in each worker: the plan, and where runs are.
        footer_seconds: CPU seconds to read the description of a run.
        plan_rows, plan_bytes: of `_plan.ipc`.
        index_bytes: of `runs.arrow`, which says where runs are.
        shards: number of shards in all phases.
        positions: number of planned positions.
        documents: that shards take, counted once for each use.
    """

    populations: dict[str, Population]
    merged: dict[str, int]
    scans: list[str]
    run_costs: dict[str, RunCost]
    small_bytes: dict[str, int]
    merging: dict[str, Cost]
    seconds: dict[str, float]
    memory: dict[str, int]
    scan_seconds: float
    peak: int
    worker_bytes: int
    footer_seconds: float
    plan_rows: int
    plan_bytes: int
    index_bytes: int
    shards: int
    positions: int
    documents: int

    def files(self, source: str) -> int:
        """Number of a source's files in the token store."""
        return -(-self.populations[source].runs // self.merged[source])


class _Corpus:
    """The token store of a case, made and read in another process, so that it does not count as the driver's.

    Attributes:
        scans: (kind of the counter, its columns), in order.
        seconds: CPU seconds of all scans.
    """

    def __init__(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> None:
        self.populations = {name: Population.make(name, share, case.prototypes) for name, share in case.shares.items()}
        self.scans: list[tuple[str, list[str]]] = []
        self.seconds = 0.0
        self._folder, self._pool = folder, pool
        self._prototypes = {
            name: Prototypes(tuple(pool.submit(write_prototypes, population, folder).result()), population.weight)
            for name, population in self.populations.items()
        }
        self.small_bytes: dict[str, int] = {}
        self.merging: dict[str, Cost] = {}
        for name in self.populations:
            run = self._write(name, 1)
            self.small_bytes[name] = run.stat().st_size
            self.merging[name] = pool.submit(merge_cost, str(run), str(folder / "merged.arrow")).result()
        self.merged = {
            name: min(max(case.merge_bytes // self.small_bytes[name], 1), MAX_OPEN, population.runs)
            for name, population in self.populations.items()
        }

    def scan(self, counter: RunCounter) -> pa.RecordBatch:
        """Runs a scan, in the other process."""
        counts, seconds = self._pool.submit(_timed, counter, self._prototypes, str(self._folder)).result()
        self.seconds += seconds
        self.scans.append((type(counter).__name__, columns_of(counter)))
        return counts

    def run_cost(self, source: str, plan: Plan) -> RunCost:
        """What a file of the token store costs its readers."""
        columns = [names for _, names in self.scans]
        return self._pool.submit(
            run_cost, str(self._write(source, self.merged[source])), source, plan, columns
        ).result()

    def _write(self, source: str, merged: int) -> Path:
        population, path = self.populations[source], self._folder / "whole.arrow"
        self._pool.submit(
            write_whole_run, population, population.documents * merged // population.runs, merged, str(path)
        ).result()
        return path


def _timed(counter: RunCounter, prototypes: dict[str, Prototypes], folder: str) -> tuple[pa.RecordBatch, float]:
    started = time.process_time()
    return counted(counter, prototypes, folder), time.process_time() - started


def plan_case(case: Case, configs: Path, tokenizer: str, folder: Path) -> Planned:
    """Plans a case in this process, which should be a fresh one, because its memory is a result."""
    config = load_config(configs / case.recipe, [*case.settings, f"tokenizer.file={tokenizer}"])
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    clock = Clock()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        corpus = _Corpus(case, folder, pool)
        with clock.step("start"):
            pass
        with clock.step("runs"):
            state = _state(corpus.populations, corpus.merged)
        with clock.step("pending"):
            assert not state.pending(), "the described runs are not whole"
        with clock.step("plan"):
            plan = make_plan(config, info, state.runs, corpus.scan)
        with clock.step("lists"):
            plan_bytes = _write_lists(plan, state, folder)
        with clock.step("finish"):
            _records(plan)
        peak = peak_bytes()
        return Planned(
            populations=corpus.populations,
            merged=corpus.merged,
            scans=[kind for kind, _ in corpus.scans],
            run_costs={source: corpus.run_cost(source, plan) for source in corpus.populations},
            small_bytes=corpus.small_bytes,
            merging=corpus.merging,
            seconds=clock.seconds,
            memory=clock.memory,
            scan_seconds=corpus.seconds,
            peak=peak,
            worker_bytes=in_fresh_process(_worker_bytes, folder),
            footer_seconds=_footer_seconds(state.runs),
            plan_rows=plan.table.num_rows,
            plan_bytes=plan_bytes,
            index_bytes=(folder / "runs.arrow").stat().st_size,
            shards=len(plan.shards()),
            positions=sum(stage.expected_rows for stage in plan.header.stages) * config.sequence.length,
            documents=_documents(plan),
        )


def _state(populations: dict[str, Population], merged: dict[str, int]) -> StoreState:
    """Every input file and every run of the corpus, parsed from JSON as from footers."""
    state = StoreState({}, {}, [])
    for source, population in populations.items():
        inputs = [
            InputFile(
                source,
                population.path(file),
                f"s3://bucket/raw/{source}/{population.path(file)}",
                population.corpus.file_bytes,
            )
            for file in range(population.files)
        ]
        files = choose_files(list(_store_files(population, merged[source])), identities_of(inputs))
        state.inputs.extend(inputs)
        state.files.extend(files)
        state.runs.extend(runs_of(files))
    return state


def _store_files(population: Population, merged: int) -> Iterator[RunFile]:
    """The files of a source in the token store, `merged` runs in each, read from their descriptions."""
    folder, rows = f"{STORE}/{population.source}/{FINGERPRINT[:16]}", population.rows_of_runs().tolist()
    for first in range(0, population.runs, merged):
        chunks = [
            _described(population, *divmod(number, population.chunks), rows[number])
            for number in range(first, min(first + merged, population.runs))
        ]
        starts = batch_shuffle_keys(population, sum(chunk.rows for chunk in chunks))
        name = run_name(population.source, chunks[0].path, chunks[0].chunk)
        if merged > 1:
            metadata = RunFile(chunks, starts, 10**9, "").to_metadata()
            name = MERGED_PREFIX + name
        else:
            metadata = replace(chunks[0], batch_shuffle_keys=starts).to_metadata()
        yield RunFile.from_schema(pa.schema([], metadata), f"{folder}/{name}")


def _described(population: Population, file: int, chunk: int, rows: int) -> RunInfo:
    text_bytes = int(rows * population.corpus.tokens * population.corpus.token_bytes)
    return RunInfo(
        fingerprint=FINGERPRINT,
        source=population.source,
        path=population.path(file),
        chunk=chunk,
        last=chunk + 1 == population.chunks,
        input_size=population.corpus.file_bytes,
        rows_read=rows + 3,
        bytes_read=text_bytes,
        dropped={"empty": 1, "invalid": 2},
        special_text=rows // 1000,
        rows=rows,
        text_bytes=text_bytes,
        tokens=rows * population.corpus.tokens,
        batch_shuffle_keys=[],
    )


def _footer_seconds(runs: list[RunInfo]) -> float:
    """CPU seconds to parse a run's description."""
    schemas = [pa.schema([], replace(run, batch_shuffle_keys=list(range(30))).to_metadata()) for run in runs[:1000]]
    started = time.process_time()
    for schema in schemas:
        RunFile.from_schema(schema, "")
    return (time.process_time() - started) / len(schemas)


def _write_lists(plan: Plan, state: StoreState, folder: Path) -> int:
    """Writes _plan.ipc and runs.arrow as `assemble` does; returns the plan's bytes."""
    content = plan.to_bytes()
    (folder / "_plan.ipc").write_bytes(content)
    write_run_index(str(folder / "runs.arrow"), input_table(state.runs), state.runs)
    return len(content)


def _records(plan: Plan) -> None:
    """Reads as many shard records as the driver does for the manifest, each from its text."""
    many = 10**9
    contents = PhaseLedger({source: DrawCounts(many, many) for source in plan.header.capacity}, many)
    entry = ShardEntry("conditioned/00000-of-30000.arrow", many, many, many, many, many, "0" * 64)
    text = json.dumps(ShardRecord("0" * 64, "1.0", "conditioned", many, entry, contents).to_json())
    records = [ShardRecord.from_json(json.loads(text)) for _ in plan.shards()]
    sum((record.contents for record in records), PhaseLedger())


def _worker_bytes(folder: Path) -> int:
    """How much a worker's process grows when it reads the lists."""
    before = resident_bytes()
    index = RunIndex.read(str(folder / "runs.arrow"))
    phases = planned_phases(read_plan((folder / "_plan.ipc").read_bytes(), "_plan.ipc"))
    assert index.runs, "no run"
    assert phases, "no phase"
    return resident_bytes() - before


def _documents(plan: Plan) -> int:
    stages = plan.header.drawn.stages.values()
    return sum(amount.documents for sources in stages for epochs in sources.values() for amount in epochs.values())


def in_fresh_process(work: Callable[..., Answer], *arguments: object) -> Answer:
    """Calls `work` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
