"""What a finished build is found to be: one finding for each kind of check, from the reports of its shards.

```
files        every shard: bytes, sha256, columns, what its metadata says
rows         every row: segments, doc ids, tokens, padding, loss mask
ledger       every sum, and every line from the rows
phases       no document twice in the timeline, nor in a branch and the timeline before it
runs         every byte by its checksum, every document counted and hashed again  where the store is there
raw files    their bytes are those that were prepared     asked for (`--raw`), where corpus and store are there
token store  every shard assembled once more in memory, every value compared     where the store is there
raw corpus   sampled documents, token by token, tokenized by `tokenizers`        where the corpus is there
```
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum

import numpy as np

from byline.errors import BylineError, DamagedFileError
from byline.manifest import Manifest
from byline.reader import INPUTS_NAME
from byline.schemas.documents import InputFile
from byline.schemas.inputs import input_table
from byline.schemas.ledger import Ledger, SourceLedger
from byline.schemas.loss_weights import FormatterWeight, NumberWeight
from byline.template import Template
from byline.transforms.checks.attribute_values import AttributeValues
from byline.transforms.checks.builds import Build
from byline.transforms.checks.disjoint import check_disjoint
from byline.transforms.checks.documents import LONGEST_BYTES, Compared, DocumentChecker, SegmentSample
from byline.transforms.checks.file_checks import FileToCheck, attributes_to_check
from byline.transforms.checks.ledger import check_phase, check_sources
from byline.transforms.checks.plan import check_drawn
from byline.transforms.checks.reports import ShardReport, read_documents
from byline.transforms.checks.shards import CheckJob
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.files import storage
from byline.transforms.plans.plan_header import inputs_sha256
from byline.transforms.scores.models_folder import models_folder
from byline.transforms.scores.scoring import open_scorer
from byline.transforms.shards.assembling import planned_phases
from byline.transforms.store import store_index
from byline.transforms.store.state import StoreState, read_state
from byline.transforms.tokens.text_tokenizer import shared_tokenizer

_STORE, _RAW = "token store", "raw corpus"


class Extent(Enum):
    """Whether a check was made."""

    COMPARED = "compared"
    # The user asked for that, or another check decides the same.
    LEFT_OUT = "left out"
    # What it is compared with is gone, or cannot be read.
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """What one kind of check found.

    Attributes:
        name: of the kind of check.
        summary: what was compared and is right, or why nothing was compared.
        problems: one line for each.
        extent: whether anything was compared.
    """

    name: str
    summary: str
    problems: list[str] = field(default_factory=list)
    extent: Extent = Extent.COMPARED


def _left_out(name: str, why: str) -> Finding:
    return Finding(name, why, extent=Extent.LEFT_OUT)


def _missing(name: str, why: str) -> Finding:
    return Finding(name, why, extent=Extent.MISSING)


@dataclass(frozen=True)
class ComparedStore:
    """The token store that a build is compared with.

    Attributes:
        state: of it; None where no shard is compared.
        why_not: the finding that says why nothing is compared with it.
        problems: where it differs from the build's lists. Doc ids are numbers of these, so then no shard is compared.
    """

    state: StoreState | None
    why_not: Finding | None = None
    problems: list[str] = field(default_factory=list)


def open_store(build: Build) -> ComparedStore:
    """The token store of a build, if it is there and holds what the build was planned with."""
    try:
        state = read_state(build.config, reads_input=False)
    except DamagedFileError as error:
        return ComparedStore(None, problems=[str(error)])
    except BylineError as error:
        return ComparedStore(None, _missing(_STORE, f"not compared: {error}"))
    if inputs_sha256(state.runs) != build.plan.header.inputs:
        why = f"not compared: {build.config.store} has other runs than the build was planned with"
        return ComparedStore(None, _missing(_STORE, why))
    _, gone = attributes_to_check(state.files, build.plan.header.attributes, 0)
    if gone:
        first = f"{len(gone)} files of attributes are gone (first: {gone[0]}); run `byline attribute`"
        return ComparedStore(None, _missing(_STORE, f"not compared: {first}"))
    problems = _check_totals(build, state)
    return ComparedStore(None if problems else state, None, problems)


def no_store() -> ComparedStore:
    """None, because the user asked for that."""
    return ComparedStore(None, _left_out(_STORE, "not compared: --no-store"))


def left_out_for(runs: Finding) -> Finding:
    """Why no shard is compared with runs that are wrong."""
    return _left_out(_STORE, f"not compared: {len(runs.problems)} of its runs are wrong")


def check_files(files: Sequence[FileToCheck], problems: Sequence[list[str]]) -> Finding:
    """Runs, or raw files, that were checked, and what is wrong with each."""
    is_raw = any(file.is_raw for file in files)
    size = f"{sum(file.size for file in files) / 1e6:,.1f} MB"
    attributes = sum(not file.expected for file in files)
    runs = f"{len(files) - attributes} runs"
    if attributes:
        runs += f" and {attributes} files of attributes"
    summary = f"{runs}, {size}: checksums, documents, shuffle keys"
    if is_raw:
        summary = f"{len(files)} raw files, {size}: the checksums of when they were read"
    return Finding("raw files" if is_raw else "runs", summary, [line for lines in problems for line in lines])


def raw_not_checked(store: ComparedStore, missing: list[str]) -> Iterator[Finding]:
    """Which raw files could not be checked, for which the user asked; `missing` are those of the store."""
    if store.state is None:
        yield _missing("raw files", "not compared: the token store, which has their checksums, is not compared")
    elif missing:
        yield _missing("raw files", f"not compared: {len(missing)} are gone or have no checksum (first: {missing[0]})")


def _check_totals(build: Build, state: StoreState) -> list[str]:
    """The list of input files, and the ledger's first lines, against the runs."""
    problems = []
    listed = input_table(state.runs)
    names = list(zip(listed["source"].to_pylist(), listed["path"].to_pylist(), strict=True))
    if names != build.inputs.names or not np.array_equal(listed["rows"].to_numpy(), build.rows):
        problems.append(f"{INPUTS_NAME}: it does not list the input files of the token store")
    for source, said in Ledger.from_json(build.manifest.ledger).sources.items():
        runs = [run for run in state.runs if run.source == source]
        stored = SourceLedger.of(runs, said.used, said.unused, said.replaced)
        in_ledger = asdict(said)
        for what, value in asdict(stored).items():
            if in_ledger[what] != value:
                problems.append(f"ledger, source {source}: {what} {in_ledger[what]}, the token store has {value}")
    return problems


def sample_threshold(build: Build, documents: int) -> int:
    """How many of 2^32 segments are about this number of documents."""
    phases = Ledger.from_json(build.manifest.ledger).phases.values()
    segments = sum(counts.documents for phase in phases for counts in phase.sources.values())
    return min(2**32, documents * 2**32 // max(segments, 1))


def check_output(
    manifest: Manifest, shards: Sequence[ShardReport], row_problems: Sequence[str] = ()
) -> Iterator[Finding]:
    """The files, and their rows; `row_problems` are those that no shard tells by itself."""
    files = [problem for shard in shards for problem in shard.problems]
    size = sum(entry.bytes for phase in manifest.phases for entry in phase.shards)
    yield Finding("files", f"{len(shards)} shards, {size / 1e6:,.1f} MB: bytes, sha256, columns", files)
    rows = [*row_problems, *(problem for shard in shards for problem in shard.row_problems)]
    counts = [shard.counts for shard in shards if shard.counts is not None]
    number = f"{sum(count.rows for count in counts):,} rows{_but_for(shards)}"
    yield Finding("rows", f"{number}: segments, doc ids, tokens, padding, loss mask", rows)


def check_ledger(build: Build, shards: list[ShardReport]) -> Iterator[Finding]:
    """Every sum of the ledger, and every line of it from the rows."""
    problems = check_drawn(build.manifest, build.plan)
    problems += check_sources(build.manifest, build.config, build.inputs.names, build.rows)
    by_phase: dict[str, list[ShardReport]] = {phase.name: [] for phase in build.manifest.phases}
    for (phase, _), shard in zip(build.shards(), shards, strict=True):
        by_phase[phase.name].append(shard)
    skipped = []
    for phase in build.manifest.phases:
        counts = [shard.counts for shard in by_phase[phase.name] if shard.counts is not None]
        said = [shard.said for shard in by_phase[phase.name]]
        if len(counts) == len(said):
            problems += check_phase(build.manifest, build.config, phase, counts, said)
        else:
            # Without one of its shards, the sums of a phase say nothing new.
            skipped.append(f"{phase.name} ({len(counts)} of its {len(said)} shards can be read)")
    if skipped:
        yield _missing("ledger", f"not recounted: {', '.join(skipped)}")
    if problems or not skipped:
        tokens = sum(phase.tokens for phase in build.manifest.phases)
        yield Finding("ledger", f"closes to the token: {tokens:,} positions", problems)


def _but_for(shards: Sequence[ShardReport]) -> str:
    """Of how many shards the counts are, where some could not be read."""
    read = sum(shard.counts is not None for shard in shards)
    return "" if read == len(shards) else f" of {read} of the {len(shards)} shards"


def check_phases(build: Build, job: CheckJob, shards: list[ShardReport]) -> Iterator[Finding]:
    """Whether a document is read twice; the reports of `job` must still be there."""
    repeated = build.repeated
    compared = ~np.isin(build.inputs.sources, repeated)
    numbers = {(phase.name, number): index for index, (phase, number) in enumerate(build.shards())}

    def documents(phase: str, number: int) -> np.ndarray:
        doc_ids = read_documents(job.report_uri(numbers[phase, number]))
        return doc_ids[compared[doc_ids >> 32]]

    if compared.any():
        total, problems = check_disjoint(build.manifest, documents, build.rows)
        yield Finding("phases", f"{total:,} documents{_but_for(shards)}, none read twice", problems)
    if repeated:
        # Each shuffle key lies in a range of its shard, and `check_ranges` compares the ranges.
        yield _left_out(
            "phases", f"not compared: {', '.join(repeated)}, drawn in several epochs, so phases may share some"
        )


def check_store(store: ComparedStore, shards: list[ShardReport]) -> Finding:
    """Whether the token store gives the same shards."""
    if store.why_not is not None:
        return store.why_not
    problems = store.problems + [problem for shard in shards for problem in shard.store_problems]
    number = sum(shard.is_whole for shard in shards)
    return Finding(_STORE, f"{number} shards assembled again: every value the same", problems)


def check_raw(build: Build, samples: list[SegmentSample], documents: int) -> Iterator[Finding]:
    """Whether sampled segments are what the raw corpora give; `documents` is how many were asked for."""
    if documents == 0:
        yield _left_out(_RAW, "not compared: --documents 0")
        return
    files: dict[tuple[str, str], InputFile] = {}
    for name, source in build.config.sources.items():
        try:
            files.update({(name, file.path): file for file in list_inputs(name, source)})
        except BylineError as error:
            yield _missing(_RAW, f"source {name} is not compared: {error}")
            continue
        gone = [path for source_name, path in build.inputs.names if source_name == name and (name, path) not in files]
        if gone:
            yield _missing(_RAW, f"not compared: {len(gone)} input files of source {name} are gone (first: {gone[0]})")
    located = [files.get(name) for name in build.inputs.names]
    segments = [
        sample
        for sample in samples
        # One that names no input file is a problem of its row.
        if sample.file < len(located) and located[sample.file] is not None
    ]
    if not samples:
        yield _left_out(_RAW, "not compared: no segment of a whole shard")
    if not segments:
        return
    try:
        checker = _document_checker(build, located)
    except BylineError as error:
        yield _missing(_RAW, f"not compared: {error}")
        return
    compared = checker.check(segments)
    yield from _raw_findings(compared, len(segments) - compared.by_bytes - compared.not_at_all)


def _raw_findings(compared: Compared, token_by_token: int) -> Iterator[Finding]:
    """What came of comparing sampled segments."""
    too_long = f"sampled segments of documents with over {LONGEST_BYTES >> 10} KiB of text, too long to compare"
    if token_by_token or compared.by_bytes or compared.problems:
        summary = f"{token_by_token} sampled segments: every token and mask the same"
        if compared.by_bytes:
            summary += f"; {compared.by_bytes} {too_long}: their bytes are in the text"
        yield Finding(_RAW, summary, compared.problems)
    if compared.not_at_all:
        why = f"{compared.not_at_all} {too_long}; nor do their tokens tell their bytes"
        is_sampled = token_by_token + compared.by_bytes > 0
        yield _left_out(_RAW, why) if is_sampled else _missing(_RAW, why)


def _document_checker(build: Build, files: list[InputFile | None]) -> DocumentChecker:
    config = build.config
    tokenizer = shared_tokenizer(config.tokenizer)
    if tokenizer.sha256 != build.manifest.tokenizer["sha256"]:
        raise BylineError(f"{config.tokenizer.file} is not the build's tokenizer any more; give it with --tokenizer")
    models = models_folder(config.store)
    used = {name for stage in config.stages if stage.condition for name in Template(stage.condition.template).fields}
    used |= {
        weight.document.by
        for stage in config.stages
        for weight in (config.weights_of(stage) or {}).values()
        if isinstance(weight, FormatterWeight) and isinstance(weight.document, NumberWeight)
    }
    scorers = [
        open_scorer(name, classifier, models)
        for name, classifier in config.classifiers.items()
        if used & {name, f"{name}_score"}
    ]
    info = build.plan.header.tokenizer
    attributes = _attribute_values(build)
    return DocumentChecker(config, planned_phases(build.plan), info, tokenizer, files, scorers, attributes)


def _attribute_values(build: Build) -> AttributeValues | None:
    """The attributes that a build names. Raises: BylineError where the token store has them no more."""
    header = build.plan.header
    if not header.attributes:
        return None
    run_folders = {
        source: store_index.source_folder(build.config.store, source, fingerprint)
        for source, fingerprint in header.fingerprints.items()
    }
    for source, columns in header.attributes.items():
        for column, folder in columns.items():
            if source in run_folders and not storage.list_files(storage.join(run_folders[source], folder)):
                raise BylineError(
                    f"the token store has no attribute {column!r} of source {source} as it was planned with"
                )
    return AttributeValues(header.attributes, run_folders)
