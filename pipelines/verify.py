"""`byline verify`: recounts a finished build from its files, and says what it could compare it with.

```
files        every shard: bytes, sha256, columns, what it says of itself
rows         every row: segments, doc ids, tokens, padding, loss mask
ledger       every sum, and every line from the rows
phases       no document in two phases
token store  every shard assembled once more in memory, every value compared     where the store is there
raw corpus   sampled documents, token by token, tokenized by `tokenizers`        where the corpus is there
```
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress

from byline.errors import BylineError
from byline.manifest import Manifest, read_manifest
from pipelines.assemble import INPUTS_NAME
from pipelines.prepare import MODELS_FOLDER, StoreState, look_at_store
from schemas import plan as plans
from schemas.config import Config
from schemas.config_file import merge, parse_config
from schemas.documents import InputFile
from transforms import storage
from transforms.assembling import AssembleJob
from transforms.checking_documents import DocumentChecker, SegmentSample, locate, sample_segments
from transforms.checking_ledger import check_disjoint, check_documents, check_phase, check_sources
from transforms.checking_rows import RowCounts
from transforms.checking_shards import check_shard, compare_with_store
from transforms.gathering import RunIndex
from transforms.listing import list_inputs
from transforms.planning import inputs_sha256
from transforms.scoring import open_scorer
from transforms.tokenizing import TokenizerInfo, shared_tokenizer

_SHOWN = 20


@dataclass
class _Build:
    """A finished build, read once."""

    out: str
    manifest: Manifest
    config: Config
    plan: plans.Plan
    names: list[tuple[str, str]]
    rows: np.ndarray

    @property
    def file_sources(self) -> np.ndarray:
        return np.array([source for source, _ in self.names], object)


def verify(out: str, documents: int, tokenizer: str | None, console: Console) -> int:
    """Checks a build and prints one line for each kind of check.

    Args:
        out: its folder.
        documents: how many documents of the raw corpora to compare.
        tokenizer: where the tokenizer.json is now; None for where it was.
        console: where to.

    Returns:
        0, or 1 where anything was wrong.

    Raises:
        BylineError: there is no finished build of this version.
    """
    build = _open_build(out, tokenizer)
    report = _Report(console)
    counts = _check_output(build, report, console)
    if counts is not None:
        _check_ledger(build, counts, report)
    _check_store(build, report, console)
    _check_raw(build, documents, report)
    if report.failed:
        console.print(f"[bold red]not verified[/]: {report.failed} problems in {out}", highlight=False)
        return 1
    console.print(f"[bold green]verified[/]: {out}", highlight=False)
    return 0


class _Report:
    """One line for each check, and the first problems below it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.failed = 0

    def tell(self, name: str, problems: list[str], fine: str) -> None:
        self.failed += len(problems)
        mark = "[red]wrong[/]" if problems else "[green]ok[/]   "
        summary = f"{len(problems)} problems" if problems else fine
        self.console.print(f"{mark} {name:<12} {summary}", highlight=False, soft_wrap=True)
        for problem in problems[:_SHOWN]:
            self.console.print(f"      {problem}", highlight=False, markup=False, soft_wrap=True)

    def skip(self, name: str, why: str) -> None:
        self.console.print(f"[yellow]not[/]   {name:<12} {why}", highlight=False, soft_wrap=True)


def _open_build(out: str, tokenizer: str | None) -> _Build:
    manifest = read_manifest(out)
    values = manifest.config
    if tokenizer is not None:
        values = merge(values, {"tokenizer": {"file": tokenizer}})
    config = parse_config(values, str(Path(out) / "manifest.json"))
    plan = plans.read_plan(storage.read_bytes(storage.join(out, plans.FILE_NAME)), storage.join(out, plans.FILE_NAME))
    if plan.sha256 != manifest.plan_sha256:
        raise BylineError(f"{out}: plan.arrow has another sha256 than the manifest says; copy it anew or build again")
    with storage.open_random(storage.join(out, INPUTS_NAME)) as source:
        table = pa.ipc.open_file(source).read_all()
    names = list(zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True))
    return _Build(out, manifest, config, plan, names, table["rows"].to_numpy())


def _check_output(build: _Build, report: _Report, console: Console) -> dict[str, list[RowCounts]] | None:
    """Files and rows; None where a shard could not be counted."""
    files: list[str] = []
    rows: list[str] = []
    counts: dict[str, list[RowCounts]] = {}
    conditions = {phase.name: phase.condition for phase in build.config.phases}
    total = sum(len(phase.shards) for phase in build.manifest.phases)
    missing = False
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("shards", total=total)
        for phase in build.manifest.phases:
            counts[phase.name] = []
            for number in range(len(phase.shards)):
                found = check_shard(build.out, build.manifest, phase, number, conditions[phase.name], build.rows)
                own = [] if found.counts is None else [f"{found.entry.path}: {p}" for p in found.counts.problems]
                rows += own
                files += [problem for problem in found.problems if problem not in own]
                if found.counts is None:
                    missing = True
                else:
                    counts[phase.name].append(found.counts)
                bars.advance(task)
    size = sum(shard.bytes for phase in build.manifest.phases for shard in phase.shards)
    report.tell("files", files, f"{total} shards, {size / 1e6:,.1f} MB: bytes, sha256, columns")
    number = sum(phase.rows for phase in build.manifest.phases)
    report.tell("rows", rows, f"{number:,} rows: segments, doc ids, tokens, padding, loss mask")
    return None if missing else counts


def _check_ledger(build: _Build, counts: dict[str, list[RowCounts]], report: _Report) -> None:
    problems = check_sources(build.manifest)
    documents = {}
    for phase in build.manifest.phases:
        problems += check_phase(build.manifest, phase, counts[phase.name], build.file_sources)
        ids = [shard.documents for shard in counts[phase.name]]
        documents[phase.name] = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]))
    epochs = {
        epoch
        for phase in build.plan.header["intervals"].values()
        for ranges in phase.values()
        for epoch, _, _ in ranges
    }
    tokens = sum(phase.tokens for phase in build.manifest.phases)
    if epochs <= {0}:
        for phase in build.manifest.phases:
            problems += check_documents(build.manifest, phase, documents[phase.name], build.file_sources)
        report.tell("ledger", problems, f"closes to the token: {tokens:,} positions")
        number = sum(len(ids) for ids in documents.values())
        report.tell("phases", check_disjoint(documents), f"{number:,} documents, none in two phases")
    else:
        report.tell("ledger", problems, f"closes to the token: {tokens:,} positions")
        report.skip("phases", f"the plan repeats documents ({max(epochs) + 1} epochs), so phases may share some")


def _check_store(build: _Build, report: _Report, console: Console) -> None:
    """Assembles every shard once more, where the token store is the one that was planned with."""
    try:
        state = look_at_store(build.config, Console(quiet=True), reads_input=False)
    except BylineError as error:
        report.skip("token store", f"not compared: {error}")
        return
    if inputs_sha256(state.runs) != build.plan.header["inputs"]:
        report.skip("token store", f"not compared: {build.config.store} has other runs than the build was planned with")
        return
    job = AssembleJob(
        config=build.config,
        tokenizer=TokenizerInfo(**build.plan.header["tokenizer"]),
        plan_sha256=build.plan.sha256,
        code_version=build.manifest.code_version,
        shards={phase["name"]: phase["shards"] for phase in build.plan.header["phases"]},
    )
    numbers = {name: number for number, name in enumerate(build.names)}
    index = RunIndex.of((run.source, numbers[run.source, run.path], run.uri) for run in state.runs)
    entries = [entry for phase in build.manifest.phases for entry in phase.shards]
    problems: list[str] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("store", total=len(entries))
        for entry, rows in zip(entries, plans.rows_by_shard(build.plan.table), strict=True):
            if storage.exists(storage.join(build.out, entry.path)):
                problems += compare_with_store(build.out, entry, rows, job, index)
            bars.advance(task)
    problems += _check_totals(build, state)
    report.tell("token store", problems, f"{len(entries)} shards assembled again: every value the same")


def _check_totals(build: _Build, state: StoreState) -> list[str]:
    """The ledger's first lines against the runs."""
    problems = []
    for source, ledger in build.manifest.ledger["sources"].items():
        runs = [run for run in state.runs if run.source == source]
        for what, said, found in (
            ("documents read", ledger["read"]["documents"], sum(run.rows_read for run in runs)),
            ("documents kept", ledger["kept"]["documents"], sum(run.rows for run in runs)),
            ("tokens kept", ledger["kept"]["tokens"], sum(run.tokens for run in runs)),
        ):
            if said != found:
                problems.append(f"ledger, source {source}: {said:,} {what}, the token store has {found:,}")
    return problems


def _check_raw(build: _Build, documents: int, report: _Report) -> None:
    if documents == 0:
        report.skip("raw corpus", "not compared: --documents 0")
        return
    try:
        files = [file for name, source in build.config.sources.items() for file in list_inputs(name, source)]
        located = locate(files, build.names)
        checker = _document_checker(build, located)
    except BylineError as error:
        report.skip("raw corpus", f"not compared: {error}")
        return
    segments = list(_sample(build, documents))
    report.tell(
        "raw corpus", checker.check(segments), f"{len(segments)} sampled segments: every token and mask the same"
    )


def _document_checker(build: _Build, files: list[InputFile]) -> DocumentChecker:
    config = build.config
    models = storage.join(config.store, MODELS_FOLDER)
    scorers = [open_scorer(name, classifier, models) for name, classifier in config.classifiers.items()]
    info = TokenizerInfo(**build.plan.header["tokenizer"])
    return DocumentChecker(config, info, shared_tokenizer(config.tokenizer), files, scorers)


def _sample(build: _Build, documents: int) -> Iterator[SegmentSample]:
    """About so many segments of all shards, spread evenly."""
    segments = sum(
        counts["documents"]
        for phase in build.manifest.ledger["phases"].values()
        for counts in phase["sources"].values()
    )
    threshold = min(2**32, documents * 2**32 // max(segments, 1))
    for phase in build.manifest.phases:
        for entry in phase.shards:
            uri = storage.join(build.out, entry.path)
            if not storage.exists(uri):
                continue
            with storage.open_random(uri) as source:
                reader = pa.ipc.open_file(source)
                first = 0
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    yield from sample_segments(phase.name, entry.path, batch, first, threshold)
                    first += batch.num_rows
