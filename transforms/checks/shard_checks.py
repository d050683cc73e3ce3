"""What the checks of all outputs, builds and imports alike, do with one shard.

```
manifest entry   sha256, bytes, rows, loss tokens   = those of the file
schema           contract, plan, phase              = those of the manifest
rows             invariants of `rows`
```

What else is asked of the rows, and what they are compared with, a `Checker` of each kind of output says. Each shard is
checked on its own, by any worker, and fetched once.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.printable import one_line
from byline.schemas.ledger import PhaseLedger
from byline.shards import shard_metadata, shard_schema
from byline.transforms.checks.documents import SegmentSample
from byline.transforms.checks.ledger import shard_misfits
from byline.transforms.checks.reports import ShardCounts, ShardReport, write_report
from byline.transforms.checks.rows import RowCounts, RowRules, ShardCounter
from byline.transforms.files.local_copies import fetched
from byline.transforms.files.storage import exists, file_sha256, file_size, join, open_random

# What reading a damaged Arrow file, or damaged JSON in its footer, raises.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


class ShardCheckJob(ABC):
    """What every worker must know to check shards; a frozen dataclass.

    Attributes:
        out: the output's folder.
        work: folder for the reports, a new one for each job.
    """

    out: str
    work: str

    def report_uri(self, number: int) -> str:
        """The location of a shard's report; `number` counts the output's shards."""
        return join(self.work, f"{number}.arrow")

    @abstractmethod
    def open_checker(self) -> "Checker":
        """A checker for the job. Raises: BylineError: the output cannot be read."""


class Checker(ABC):
    """Checks the shards of one output; may be used by several threads.

    Args:
        job: which output, and where reports go.
        manifest: of the output.
        file_sources: str [files], the source of each input file.

    Attributes:
        again: the command that writes a shard that is gone, for messages: "build again".
        shards: every shard, in the order of the manifest: its phase, and its number in the phase.
    """

    again: str

    def __init__(self, job: ShardCheckJob, manifest: Manifest, file_sources: np.ndarray) -> None:
        self._job, self._manifest, self._file_sources = job, manifest, file_sources
        self.shards = [(phase, number) for phase in manifest.phases for number in range(len(phase.shards))]

    @abstractmethod
    def rules(self, phase: PhaseEntry, number: int) -> RowRules:
        """What the rows of a shard must keep."""

    def strays(self, phase: PhaseEntry, number: int, documents: np.ndarray) -> list[str]:
        """What is wrong with a shard having these documents (int64 doc ids, each once, sorted), one line each."""
        return []

    def misfits(self, reader: pa.RecordBatchFileReader, entry: ShardEntry, said: PhaseLedger) -> list[str]:
        """What the rows of a shard that is whole hold otherwise than it says of itself."""
        return []

    def samples(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, entry: ShardEntry) -> list[SegmentSample]:
        """Some segments of a shard that is whole."""
        return []

    @abstractmethod
    def differences(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, number: int) -> list[str]:
        """In what a shard that is whole differs from what it was made of."""

    def write_report(self, number: int) -> str:
        """Checks a shard, given its number in the output, and writes the report; returns the report's uri."""
        uri = self._job.report_uri(number)
        write_report(*self.check(*self.shards[number]), uri)
        return uri

    def check(self, phase: PhaseEntry, number: int) -> tuple[ShardReport, np.ndarray]:
        """The report on a shard, given its `number` in the phase, and its doc ids as `write_report` takes them."""
        entry = phase.shards[number]
        uri = join(self._job.out, entry.path)
        if not exists(uri):
            return _unreadable(entry, [f"{entry.path}: missing; {self.again} to write it"])
        rules = self.rules(phase, number)
        with fetched(uri) as path:
            problems = _check_file(path, entry)
            if problems:
                # Not opened: what a damaged file makes Arrow do cannot be foreseen.
                return _unreadable(entry, problems)
            try:
                with open_random(path) as source:
                    reader = pa.ipc.open_file(source)
                    metadata, counts = _read_shard(reader, self._manifest, phase, number, rules, problems)
                    said = PhaseLedger.of_shard(metadata)
            except _UNREADABLE as error:
                reason = one_line(error, 200)
                return _unreadable(entry, [*problems, f"{entry.path}: cannot be read ({reason})"])
            strays = self.strays(phase, number, counts.documents)
            samples: list[SegmentSample] = []
            differences: list[str] = []
            if counts.whole:
                # An error of what it is compared with is not the shard's.
                with open_random(path) as source:
                    reader = pa.ipc.open_file(source)
                    problems += self.misfits(reader, entry, said)
                    samples = self.samples(reader, phase, entry)
                    differences = self.differences(reader, phase, number)
        report = ShardReport(
            path=entry.path,
            counts=ShardCounts.of(counts, self._file_sources),
            is_whole=counts.whole,
            said=said,
            domains=metadata.get("domains", {}),
            problems=problems,
            row_problems=[f"{entry.path}: {problem}" for problem in (*counts.problems, *strays)],
            store_problems=differences,
            samples=samples,
        )
        return report, counts.documents


def _unreadable(entry: ShardEntry, problems: list[str]) -> tuple[ShardReport, np.ndarray]:
    """The report on a shard that cannot be read, and its doc ids."""
    return ShardReport(entry.path, None, False, PhaseLedger(), {}, problems, [], [], []), np.zeros(0, np.int64)


def _read_shard(
    reader: pa.RecordBatchFileReader,
    manifest: Manifest,
    phase: PhaseEntry,
    number: int,
    rules: RowRules,
    problems: list[str],
) -> tuple[dict[str, Any], RowCounts]:
    """What a shard says of itself, and the counts of its rows; adds what is wrong with the file to `problems`.

    Raises:
        ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError: the file is damaged.
    """
    entry = phase.shards[number]
    said = shard_metadata(reader.schema, entry.path)
    problems += _check_metadata(said, manifest, phase, number)
    _check_columns(reader.schema, manifest)
    for misfit in shard_misfits(said, manifest):
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
    return said, counts


def _check_file(path: str, entry: ShardEntry) -> list[str]:
    """What is wrong with the size and the sha256 of a shard's file."""
    problems = []
    size, sha256 = file_size(path) or 0, file_sha256(path)
    if size != entry.bytes:
        problems.append(f"{entry.path}: {size:,} bytes, the manifest says {entry.bytes:,}")
    if sha256 != entry.sha256:
        problems.append(f"{entry.path}: sha256 {sha256[:16]}..., the manifest says {entry.sha256[:16]}...")
    return problems


def _check_columns(schema: pa.Schema, manifest: Manifest) -> None:
    due = shard_schema(manifest.sequence_length, manifest.ids, loss_weight=manifest.loss_weight)
    if not schema.equals(due, check_metadata=False):
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


_OPENING = threading.Lock()


def open_checker(job: ShardCheckJob) -> Checker:
    """The process's only checker for a job."""
    # A worker's threads begin at the same time, and each would read the plan and the lists.
    with _OPENING:
        return _open_checker(job)


@lru_cache(maxsize=1)
def _open_checker(job: ShardCheckJob) -> Checker:
    return job.open_checker()


def check_shard(job: ShardCheckJob, number: str) -> None:
    """Checks a shard, given its number in the output as text, and writes the report on it."""
    open_checker(job).write_report(int(number))
