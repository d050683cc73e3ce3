"""Checks a finished shard against the manifest, its own rows, the plan and the token store.

```
manifest entry   sha256, bytes, rows, loss tokens   = those of the file
schema           contract, plan, phase              = those of the manifest
rows             invariants of `rows`, documents of `shuffle_keys`
token store      assembled again in memory          = every value of the file
```

Each shard is checked on its own, by any worker, and fetched once; `CheckShards` spreads the shards over the workers.
"""

import threading
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.printable import one_line
from byline.schemas.config import Config
from byline.schemas.ledger import PhaseLedger
from byline.shards import shard_metadata, shard_schema
from byline.transforms.checks.builds import open_build
from byline.transforms.checks.documents import SegmentSample, sample_segments
from byline.transforms.checks.ledger import shard_misfits
from byline.transforms.checks.plan import condition_of, sources_masking_own
from byline.transforms.checks.reports import ShardCounts, ShardReport, write_report
from byline.transforms.checks.rows import RowCounts, RowRules, ShardCounter
from byline.transforms.checks.shuffle_keys import InputNames, check_shuffle_keys
from byline.transforms.documents.counters import count_retries
from byline.transforms.files.local_copies import fetched
from byline.transforms.files.storage import exists, file_sha256, file_size, join, open_random
from byline.transforms.packing import policy_of
from byline.transforms.shards.assembling import INDEX_NAME, AssembleJob, PlannedPhase, planned_phases, shard_batches
from byline.transforms.shards.gathering import RunIndex
from byline.transforms.shards.records import ShardMaker

# What reading a damaged Arrow file, or damaged JSON in its footer, raises.
UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


def row_rules(
    manifest: Manifest,
    config: Config,
    phase: PhaseEntry,
    planned: pa.RecordBatch | None,
    inputs: InputNames,
    input_rows: np.ndarray,
) -> RowRules:
    """The rules that the rows of a shard must keep.

    Args:
        manifest: of the build.
        config: of the build.
        phase: the shard's phase.
        planned: the plan's rows for the shard; None if it has none.
        inputs: the input files.
        input_rows: int64 [files], records of each.
    """
    condition = condition_of(config, phase)
    masking, markers = sources_masking_own(config), manifest.tokenizer["markers"]
    return RowRules(
        length=manifest.sequence_length,
        packing=policy_of(phase.packing),
        position=None if condition is None else condition.position,
        bos_id=manifest.tokenizer["bos_id"],
        begin_id=None if condition is None or condition.begin is None else markers[condition.begin],
        end_id=None if condition is None or condition.end is None else markers[condition.end],
        repeats=planned is not None and _draws_again(planned),
        pad_id=manifest.tokenizer["pad_id"],
        vocab_size=manifest.tokenizer["vocab_size"],
        input_rows=input_rows,
        masks_own=np.array([source in masking for source in inputs.sources], bool),
    )


def _draws_again(planned: pa.RecordBatch) -> bool:
    """Whether a shard takes documents of one source in two epochs, so that it may contain a document twice."""
    pairs = set(zip(planned["source"].to_pylist(), planned["epoch"].to_pylist(), strict=True))
    return len({source for source, _ in pairs}) < len(pairs)


class Checker(Protocol):
    """What checks the shards of one output."""

    def write_report(self, number: int) -> str:
        """Checks a shard, given its number in the output, and writes the report; returns the report's uri."""


class ShardCheckJob(Hashable, Protocol):
    """What every worker must know to check shards."""

    @property
    def work(self) -> str:
        """Folder for the reports, a new one for each job."""

    def report_uri(self, number: int) -> str:
        """The location of a shard's report."""

    def open_checker(self) -> Checker:
        """A checker for the job. Raises: BylineError."""


@dataclass(frozen=True)
class CheckJob:
    """What every worker must know of a build.

    Attributes:
        out: the build's folder.
        tokenizer: where the tokenizer.json is now; None if it is where it was.
        work: folder for the reports, a new one for each job.
        sample_below: segments whose 32-bit hash is below this are reported, to be compared with the raw corpora.
        compares_store: whether `work` has an index of runs from which to assemble each shard again.
    """

    out: str
    tokenizer: str | None
    work: str
    sample_below: int
    compares_store: bool

    def report_uri(self, number: int) -> str:
        """The location of a shard's report; `number` counts the build's shards."""
        return join(self.work, f"{number}.arrow")

    def open_checker(self) -> "ShardChecker":
        """A checker for the job."""
        return ShardChecker(self)


class ShardChecker:
    """Checks shards of one build; may be used by several threads.

    Raises:
        BylineError: the build cannot be read.
    """

    def __init__(self, job: CheckJob) -> None:
        self.job = job
        self.build = open_build(job.out, job.tokenizer)
        self.shards = list(self.build.shards())
        self.phases = planned_phases(self.build.plan)
        self.index = RunIndex.read(join(job.work, INDEX_NAME)) if job.compares_store else None

    def write_report(self, number: int) -> str:
        """Checks a shard, given its number in the build, and writes the report; returns the report's uri."""
        uri = self.job.report_uri(number)
        write_report(*self.check(*self.shards[number]), uri)
        return uri

    def check(self, phase: PhaseEntry, number: int) -> tuple[ShardReport, np.ndarray]:
        """The report on a shard, given its `number` in the phase, and its doc ids as `write_report` takes them."""
        entry, build = phase.shards[number], self.build
        uri = join(build.out, entry.path)
        if not exists(uri):
            return unreadable(entry, [f"{entry.path}: missing; build again to write it"])
        planned = build.plan_rows.get((phase.name, number))
        rules = row_rules(build.manifest, build.config, phase, planned, build.inputs, build.rows)
        with fetched(uri) as path:
            problems = check_file(path, entry)
            if problems:
                # Not opened: what a damaged file makes Arrow do cannot be foreseen.
                return unreadable(entry, problems)
            try:
                with open_random(path) as source:
                    said, counts = read_shard(pa.ipc.open_file(source), build.manifest, phase, number, rules, problems)
            except UNREADABLE as error:
                reason = one_line(error, 200)
                return unreadable(entry, [*problems, f"{entry.path}: cannot be read ({reason})"])
            strays = check_shuffle_keys(counts.documents, build.inputs, planned)
            with open_random(path) as source:
                reader = pa.ipc.open_file(source)
                samples = self._samples(reader, phase, entry) if counts.whole else []
                differences = self._compare(reader, phase, entry, planned) if counts.whole else []
        report = ShardReport(
            path=entry.path,
            counts=ShardCounts.of(counts, build.inputs.sources),
            is_whole=counts.whole,
            said=said,
            problems=problems,
            row_problems=[f"{entry.path}: {problem}" for problem in (*counts.problems, *strays)],
            store_problems=differences,
            samples=samples,
        )
        return report, counts.documents

    def _samples(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, entry: ShardEntry) -> list[SegmentSample]:
        samples: list[SegmentSample] = []
        first = 0
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            samples += sample_segments(phase.name, entry.path, batch, first, self.job.sample_below)
            first += batch.num_rows
        return samples

    def _compare(
        self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, entry: ShardEntry, planned: pa.RecordBatch | None
    ) -> list[str]:
        if self.index is None or planned is None:
            return []
        manifest, tokenizer = self.build.manifest, self.build.plan.header.tokenizer
        job = AssembleJob.of(self.build.config, tokenizer, ShardMaker(manifest.plan_sha256, manifest.code_version))
        try:
            return compare_with_store(reader, entry, planned, job, self.phases[phase.name], self.index)
        except BylineError as error:
            # A damaged run must not fail the other checks.
            return [f"{entry.path}: not compared: {error}"]


def unreadable(entry: ShardEntry, problems: list[str]) -> tuple[ShardReport, np.ndarray]:
    """The report on a shard that cannot be read, and its doc ids."""
    return ShardReport(entry.path, None, False, PhaseLedger(), problems, [], [], []), np.zeros(0, np.int64)


def read_shard(
    reader: pa.RecordBatchFileReader,
    manifest: Manifest,
    phase: PhaseEntry,
    number: int,
    rules: RowRules,
    problems: list[str],
) -> tuple[PhaseLedger, RowCounts]:
    """What a shard says of its contents, and the counts of its rows; adds what is wrong with the file to `problems`.

    Raises:
        ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError: the file is damaged.
    """
    entry = phase.shards[number]
    said = shard_metadata(reader.schema, entry.path)
    problems += _check_metadata(said, manifest, phase, number)
    _check_columns(reader.schema, manifest)
    for misfit in shard_misfits(said):
        raise ValueError(misfit)
    counts, rows = _count(reader, rules)
    problems += [f"{entry.path}: {problem}" for problem in _check_batches(rows, said["rows_per_batch"])]
    for name, counted, expected in (
        ("rows", counts.rows, entry.rows),
        ("loss tokens", counts.loss_tokens, entry.loss_tokens),
        ("loss tokens in rows", counts.loss_tokens_in_rows, entry.loss_tokens_in_rows),
        ("loss tokens in segments", counts.loss_tokens_in_segments, entry.loss_tokens_in_segments),
    ):
        if counted != expected:
            problems.append(f"{entry.path}: {counted:,} {name}, the manifest says {expected:,}")
    return PhaseLedger.of_shard(said), counts


def check_file(path: str, entry: ShardEntry) -> list[str]:
    """What is wrong with the size and the sha256 of a shard's file."""
    problems = []
    size, sha256 = file_size(path) or 0, file_sha256(path)
    if size != entry.bytes:
        problems.append(f"{entry.path}: {size:,} bytes, the manifest says {entry.bytes:,}")
    if sha256 != entry.sha256:
        problems.append(f"{entry.path}: sha256 {sha256[:16]}..., the manifest says {entry.sha256[:16]}...")
    return problems


def _check_columns(schema: pa.Schema, manifest: Manifest) -> None:
    if not schema.equals(shard_schema(manifest.sequence_length, manifest.ids), check_metadata=False):
        raise ValueError("its columns are not those of the contract (docs/formats.md)")


def _count(reader: pa.RecordBatchFileReader, rules: RowRules) -> tuple[RowCounts, list[int]]:
    """The counts of all rows, and the number of rows in each record batch; reads every batch once."""
    counter, batch_rows = ShardCounter(rules), []
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        counter.add(batch)
        batch_rows.append(batch.num_rows)
    return counter.finish(), batch_rows


def _check_batches(batch_rows: list[int], rows_per_batch: int) -> Iterator[str]:
    """A reader looks for row r in batch r // rows_per_batch, so every batch but the last must be full."""
    last = len(batch_rows) - 1
    for index, rows in enumerate(batch_rows):
        if rows > rows_per_batch or rows == 0 or (index < last and rows != rows_per_batch):
            yield f"record batch {index} has {rows} rows, where {rows_per_batch} make a batch"


def _check_metadata(said: dict[str, Any], manifest: Manifest, phase: PhaseEntry, number: int) -> Iterator[str]:
    for key, value in manifest.shard_metadata(phase, number).items():
        if said.get(key) != value:
            yield f"{phase.shards[number].path}: it says {key} {said.get(key)!r}, the manifest {value!r}"


def compare_with_store(
    reader: pa.RecordBatchFileReader,
    entry: ShardEntry,
    rows: pa.RecordBatch,
    job: AssembleJob,
    phase: PlannedPhase,
    index: RunIndex,
) -> list[str]:
    """Assembles a shard again in memory and compares every value.

    Args:
        reader: of the shard, all of whose batches can be read.
        entry: the shard.
        rows: the plan's rows for it.
        job: with which it was assembled.
        phase: the shard's, from the plan.
        index: where the runs are.
    """
    return compare_batches(reader, entry, shard_batches(rows, job, phase, index), "the token store gives")


def compare_batches(
    reader: pa.RecordBatchFileReader, entry: ShardEntry, batches: Iterable[pa.RecordBatch], giver: str
) -> list[str]:
    """Compares every value of a shard with what it should have.

    Args:
        reader: of the shard, all of whose batches can be read.
        entry: the shard.
        batches: what it should have.
        giver: what they are of and its verb, for messages: "the token store gives".
    """
    first = number = 0
    for expected in batches:
        if number == reader.num_record_batches:
            return [f"{entry.path}: fewer rows than {giver} for it"]
        batch = reader.get_batch(number)
        for name in expected.schema.names:
            if not batch[name].equals(expected[name]):
                row = _first_difference(batch[name], expected[name])
                return [f"{entry.path}: row {first + row}: {name} is not what {giver} for it"]
        first += expected.num_rows
        number += 1
    if number < reader.num_record_batches:
        return [f"{entry.path}: more rows than the {first} that {giver} for it"]
    return []


def _first_difference(values: pa.Array, expected: pa.Array) -> int:
    common = min(len(values), len(expected))
    return next((row for row in range(common) if values[row] != expected[row]), common)


# ---------------------------------------------------------------------------------------------------------------- Beam

_OPENING = threading.Lock()


def open_checker(job: ShardCheckJob) -> Checker:
    """The process's only checker for a job."""
    # A worker sets up all its threads at the same time, and each would read the plan and the lists.
    with _OPENING:
        return _open_checker(job)


@lru_cache(maxsize=1)
def _open_checker(job: ShardCheckJob) -> Checker:
    return job.open_checker()


class _CheckShardFn(beam.DoFn):
    def __init__(self, job: ShardCheckJob) -> None:
        self.job = job

    def setup(self) -> None:
        self.checker = open_checker(self.job)

    def process(self, number: str) -> Iterator[str]:
        yield self.checker.write_report(int(number))
        count_retries()


class CheckShards(beam.PTransform):
    """Numbers of shards, in the order of the manifest -> paths of the reports written."""

    def __init__(self, job: ShardCheckJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | "CheckShard" >> beam.ParDo(_CheckShardFn(self.job))
