"""Checks a finished import: each shard by itself, against the manifest, its own rows and the files it was made of.

```
manifest entry   sha256, bytes, rows, loss tokens    = those of the file
rows             segments, doc ids, tokens, padding, loss mask
ledger           what a shard says it holds          = counted from its rows; summed = the manifest's ledger
folders          read and made into rows once more   = every value of the file
```
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.manifest import PhaseEntry, ShardEntry
from byline.schemas.ledger import DrawCounts, Ledger, PhaseLedger
from byline.shards import shard_metadata, shard_schema
from byline.transforms.checks.findings import Extent, Finding, check_output
from byline.transforms.checks.reports import ShardReport
from byline.transforms.checks.rows import RowRules
from byline.transforms.checks.shard_checks import Checker, ShardCheckJob, compare_batches
from byline.transforms.imports.finishing import ledger_of
from byline.transforms.imports.import_builds import ImportBuild, open_import
from byline.transforms.imports.imported_rows import segment_counts, summed_domains
from byline.transforms.imports.importing import ShardSource
from byline.transforms.packing import PackingPolicy, Segments, ShardSegments

_FOLDERS = "folders"


class _Imported(PackingPolicy):
    """What packed the rows is not known; each segment is a document of its own."""

    pads_any_row = True

    def pack(
        self, framed: np.ndarray, prefixes: np.ndarray, bos: int, length: int, slices: np.ndarray | None = None
    ) -> Segments:
        raise AssertionError("rows that are imported are not packed")

    def follows(self, segments: ShardSegments, drawn_twice: bool) -> np.ndarray | None:
        return None


@dataclass(frozen=True)
class ImportCheckJob(ShardCheckJob):
    """What every worker must know.

    Attributes:
        out: the import's folder.
        work: folder for the reports, a new one for each job.
        compares: the phases whose folders are read once more.
    """

    out: str
    work: str
    compares: tuple[str, ...]

    def open_checker(self) -> "ImportChecker":
        """A checker for the job."""
        return ImportChecker(self)


class ImportChecker(Checker):
    """Checks shards of one import; may be used by several threads.

    Raises:
        BylineError: the import cannot be read.
    """

    again = "import again"

    def __init__(self, job: ImportCheckJob) -> None:
        self.build = open_import(job.out)
        sources = self.build.plan.inputs["source"].to_numpy(zero_copy_only=False).astype(str)
        super().__init__(job, self.build.manifest, sources)
        self._compares = job.compares
        self._source = ShardSource(self.build.plan)
        tokenizer = self.build.plan.tokenizer
        files = len(self.build.input_rows)
        self._rules = RowRules(
            length=self.build.plan.sequence_length,
            packing=_Imported(),
            position=None,
            bos_id=tokenizer.bos_id,
            begin_id=None,
            end_id=None,
            repeats=False,
            pad_id=tokenizer.pad_id,
            vocab_size=tokenizer.vocab_size,
            input_rows=self.build.input_rows,
            # Which tokens of a segment count is what the folder says, and nothing else.
            masks_own=np.ones(files, bool),
        )

    def rules(self, phase: PhaseEntry, number: int) -> RowRules:
        return self._rules

    def misfits(self, reader: pa.RecordBatchFileReader, entry: ShardEntry, said: PhaseLedger) -> list[str]:
        counted = DrawCounts()
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            ids, mask, lengths, doc_ids = (
                batch[name].flatten().to_numpy() for name in ("input_ids", "loss_mask", "seq_lengths", "doc_ids")
            )
            counted += segment_counts(ids, mask, lengths, doc_ids, self.build.plan.tokenizer)
        total = sum(said.sources.values(), DrawCounts())
        if replace(counted, discarded={}) != replace(total, discarded={}):
            return [f"{entry.path}: it says that it holds {total}, its rows hold {counted}"]
        return []

    def differences(self, reader: pa.RecordBatchFileReader, phase: PhaseEntry, number: int) -> list[str]:
        if phase.name not in self._compares:
            return []
        entry, plan = phase.shards[number], self.build.plan
        try:
            rows = self._source.rows(phase.name, number)
        except BylineError as error:
            # A damaged file of the folder must not fail the other checks.
            return [f"{entry.path}: not compared: {error}"]
        problems = compare_batches(
            reader, entry, rows.batches(shard_schema(plan.sequence_length, plan.ids)), "its folder gives"
        )
        if shard_metadata(reader.schema, entry.path).get("domains") != rows.domains:
            problems.append(f"{entry.path}: its domains are not those that its folder gives for it")
        return problems


def missing_folders(build: ImportBuild) -> dict[str, str]:
    """The phases that cannot be compared with the folders that they were made of -> why."""
    source, missing = ShardSource(build.plan), {}
    for phase in build.plan.phases:
        try:
            source.folder(phase.name)
        except BylineError as error:
            missing[phase.name] = str(error)
    return missing


def findings_of(build: ImportBuild, shards: Sequence[ShardReport], missing: Mapping[str, str]) -> Iterator[Finding]:
    """What the reports of all shards come to; `missing` as `missing_folders` gives it."""
    yield from check_output(build.manifest, shards)
    yield _ledger(build, shards)
    compared = [phase for phase in build.manifest.phases if phase.name not in missing]
    if compared:
        problems = [problem for shard in shards for problem in shard.store_problems]
        rows, names = sum(phase.rows for phase in compared), ", ".join(phase.name for phase in compared)
        yield Finding(_FOLDERS, f"{rows:,} rows of {names} made once more: every value the same", problems)
    for name, why in missing.items():
        yield Finding(_FOLDERS, f"{name} is not compared: {why}", extent=Extent.MISSING)


def _ledger(build: ImportBuild, shards: Sequence[ShardReport]) -> Finding:
    """The manifest's sums, from what the shards say of themselves."""
    if any(shard.counts is None for shard in shards):
        return Finding("ledger", "not recounted: not all shards can be read", extent=Extent.MISSING)
    manifest, by_phase = build.manifest, dict[str, list[ShardReport]]()
    for (phase, _), shard in zip(build.shards(), shards, strict=True):
        by_phase.setdefault(phase.name, []).append(shard)
    contents = {
        phase.name: sum((shard.said for shard in by_phase.get(phase.name, [])), PhaseLedger())
        for phase in manifest.phases
    }
    problems = []
    if Ledger.from_json(manifest.ledger) != ledger_of(build.plan, contents):
        problems.append("_manifest.json: its ledger is not the sum of what the shards say")
    for phase in manifest.phases:
        sums = {name: sum(vars(shard)[name] for shard in phase.shards) for name in ("rows", *_LOSSES)}
        sums["tokens"] = sums["rows"] * manifest.sequence_length
        if build.domains[phase.name] != summed_domains(shard.domains for shard in by_phase.get(phase.name, [])):
            problems.append(f"phase {phase.name}: the manifest's domains are not the sum of what its shards say")
        problems += [
            f"phase {phase.name}: the manifest says {vars(phase)[name]:,} {name}, its shards have {total:,}"
            for name, total in sums.items()
            if vars(phase)[name] != total
        ]
    tokens = sum(phase.tokens for phase in manifest.phases)
    return Finding("ledger", f"closes to the token: {tokens:,} positions", problems)


_LOSSES = ("loss_tokens", "loss_tokens_in_rows", "loss_tokens_in_segments")
