"""Checks a finished shard of a build against the plan and the token store, beside what `shard_checks` asks of any.

```
rows          what the condition and the packing of the phase allow; documents of `shuffle_keys`
token store   assembled again in memory   = every value of the file
```
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts, PhaseLedger
from byline.shards import shard_metadata
from byline.transforms.checks.builds import open_build
from byline.transforms.checks.documents import SegmentSample, sample_segments
from byline.transforms.checks.plan import condition_of, section_of, sources_masking_own
from byline.transforms.checks.rows import RowRules
from byline.transforms.checks.shard_checks import Checker, ShardCheckJob, compare_batches
from byline.transforms.checks.shuffle_keys import InputNames, check_shuffle_keys
from byline.transforms.checks.weights import WeightRules
from byline.transforms.files.storage import join
from byline.transforms.packing import policy_of
from byline.transforms.shards.assembling import (
    INDEX_NAME,
    AssembleJob,
    PackedShard,
    PlannedPhase,
    pack_shard,
    planned_phases,
)
from byline.transforms.shards.records import ShardMaker
from byline.transforms.shards.run_index import RunIndex


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
    condition, section = condition_of(config, phase), section_of(config, phase)
    weights = None if section is None else config.weights_of(section)
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
        weights=None if weights is None else WeightRules.of(weights, config.shard.loss_weight, list(inputs.sources)),
        placeholders=np.array(sorted(manifest.tokenizer.get("placeholders", {}).values()), np.int64),
    )


def _draws_again(planned: pa.RecordBatch) -> bool:
    """Whether a shard takes documents of one source in two epochs, so that it may contain a document twice."""
    pairs = set(zip(planned["source"].to_pylist(), planned["epoch"].to_pylist(), strict=True))
    return len({source for source, _ in pairs}) < len(pairs)


@dataclass(frozen=True)
class CheckJob(ShardCheckJob):
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

    def open_checker(self) -> "ShardChecker":
        """A checker for the job."""
        return ShardChecker(self)


class ShardChecker(Checker):
    """Checks shards of one build; may be used by several threads.

    Raises:
        BylineError: the build cannot be read.
    """

    again = "build again"

    def __init__(self, job: CheckJob) -> None:
        self.build = open_build(job.out, job.tokenizer)
        super().__init__(job, self.build.manifest, self.build.inputs.sources)
        self._sample_below = job.sample_below
        self._phases = planned_phases(self.build.plan)
        self._index = RunIndex.read(join(job.work, INDEX_NAME)) if job.compares_store else None

    def rules(self, phase: PhaseEntry, number: int) -> RowRules:
        build = self.build
        planned = build.plan_rows.get((phase.name, number))
        return row_rules(build.manifest, build.config, phase, planned, build.inputs, build.rows)

    def strays(self, phase: PhaseEntry, number: int, documents: np.ndarray) -> list[str]:
        return list(check_shuffle_keys(documents, self.build.inputs, self.build.plan_rows.get((phase.name, number))))

    def samples(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, entry: ShardEntry) -> list[SegmentSample]:
        samples: list[SegmentSample] = []
        first = 0
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            samples += sample_segments(phase.name, entry.path, batch, first, self._sample_below)
            first += batch.num_rows
        return samples

    def differences(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, number: int) -> list[str]:
        entry, planned = phase.shards[number], self.build.plan_rows.get((phase.name, number))
        if self._index is None or planned is None:
            return []
        manifest, tokenizer = self.build.manifest, self.build.plan.header.tokenizer
        job = AssembleJob.of(self.build.config, tokenizer, ShardMaker(manifest.plan_sha256, manifest.code_version))
        try:
            return compare_with_store(reader, entry, planned, job, self._phases[phase.name], self._index)
        except BylineError as error:
            # A damaged run must not fail the other checks.
            return [f"{entry.path}: not compared: {error}"]


def compare_with_store(
    reader: pa.RecordBatchFileReader,
    entry: ShardEntry,
    rows: pa.RecordBatch,
    job: AssembleJob,
    phase: PlannedPhase,
    index: RunIndex,
) -> list[str]:
    """Assembles a shard again in memory and compares every value, the counts of labels, and what is replaced.

    Args:
        reader: of the shard, all of whose batches can be read.
        entry: the shard.
        rows: the plan's rows for it.
        job: with which it was assembled.
        phase: the shard's, from the plan.
        index: where the runs are.
    """
    packed = pack_shard(rows, job, phase, index)
    problems = compare_batches(reader, entry, packed.batches(job, job.schema()), "the token store gives")
    said = shard_metadata(reader.schema, entry.path)
    return problems or [f"{entry.path}: {line}" for line in _other_counts(PhaseLedger.of_shard(said), packed, job)]


def _other_counts(said: PhaseLedger, packed: PackedShard, job: AssembleJob) -> Iterator[str]:
    """What a shard says of its labels and of what is replaced, where the token store gives other counts."""
    counted = packed.label_counts(job)
    for label in sorted({*said.labels, *counted}):
        if said.labels.get(label) != counted.get(label):
            yield f"label {label}: it says {said.labels.get(label)}, the token store gives {counted.get(label)}"
    of_sources = packed.counts(job)
    for source in sorted({*said.sources, *of_sources}):
        ours, theirs = said.of(source).replaced, of_sources.get(source, DrawCounts()).replaced
        if ours != theirs:
            yield f"source {source}: it says replaced {ours}, the token store gives {theirs}"
