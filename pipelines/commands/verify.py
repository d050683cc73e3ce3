"""`byline verify`: recounts a finished build from its files, and says what it could compare it with.

```
files        every shard: bytes, sha256, columns, what it says of itself
rows         every row: segments, doc ids, tokens, padding, loss mask
ledger       every sum, and every line from the rows
phases       no document twice in the timeline, nor in a branch and the timeline before it
token store  every shard assembled once more in memory, every value compared     where the store is there
raw corpus   sampled documents, token by token, tokenized by `tokenizers`        where the corpus is there
```

Shards are checked by workers, each shard by itself: `ListShards | CheckShards`. Sums and comparisons between shards are
made here, from one small report of each.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import apache_beam as beam
import numpy as np
from rich.console import Console
from rich.markup import escape

from byline import locations
from byline.errors import BylineError
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.reader import INPUTS_NAME
from byline.schemas.documents import InputFile
from byline.schemas.inputs import input_table
from byline.schemas.ledger import Ledger, SourceLedger
from byline.template import Template
from byline.transforms.checks.builds import Build, open_build
from byline.transforms.checks.disjoint import check_disjoint
from byline.transforms.checks.documents import DocumentChecker, SegmentSample
from byline.transforms.checks.ledger import check_phase, check_sources
from byline.transforms.checks.plan import check_drawn
from byline.transforms.checks.reports import ShardReport, read_documents, read_report
from byline.transforms.checks.shards import CheckJob, CheckShards, ShardChecker
from byline.transforms.checks.shuffle_keys import check_ranges
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.documents.work_lists import ListShards, write_lines
from byline.transforms.files import storage
from byline.transforms.files.refusals import scratch_folder
from byline.transforms.plans.plan_header import inputs_sha256
from byline.transforms.scores.scoring import open_scorer
from byline.transforms.shards.assembling import INDEX_NAME, WORK_FOLDER, planned_phases
from byline.transforms.shards.output import write_run_index
from byline.transforms.store import store_index
from byline.transforms.store.run_reading import forget_runs
from byline.transforms.store.state import StoreState, read_state
from byline.transforms.tokens.text_tokenizer import shared_tokenizer

_SHOWN = 20
_LIST_NAME = "shards.txt"


def verify(
    out: str,
    documents: int,
    tokenizer: str | None,
    settings: RunnerSettings,
    console: Console,
    *,
    with_store: bool = True,
) -> int:
    """Checks a build and prints one line for each kind of check.

    Args:
        out: its folder.
        documents: how many documents of the raw corpora to compare.
        tokenizer: where the tokenizer.json is now; None for where it was.
        settings: how to run.
        console: where to.
        with_store: whether every shard is assembled once more from the token store, if that is there.

    Returns:
        0, or 1 where anything was wrong.

    Raises:
        BylineError: there is no finished build of this version, or its lists are too damaged to check anything by.
    """
    forget_runs()
    build = open_build(out, tokenizer)
    store = _compare_with(build) if with_store else _Store(None, "not compared: --no-store", [])
    report = _Report(console)
    # Workers may run in another folder.
    location = locations.absolute(out)
    with _work_folder(location, settings) as work:
        job = CheckJob(location, tokenizer, work, _sample_below(build, documents), store.state is not None)
        shards = _check_shards(build, job, store, settings, console)
        _tell_output(build, shards, report)
        _tell_ledger(build, shards, report)
        _tell_disjoint(build, job, shards, report)
    _tell_store(store, shards, report)
    _check_raw(build, [sample for shard in shards for sample in shard.samples], documents, report)
    if report.failed:
        if any(shard.problems or shard.row_problems or shard.store_problems for shard in shards):
            console.print(
                "delete the shards that are wrong and run `byline build` again: they alone are written", highlight=False
            )
        console.print(f"[bold red]not verified[/]: {report.failed} problems in {escape(out)}", highlight=False)
        return 1
    console.print(f"[bold green]verified[/]: {escape(out)}", highlight=False)
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
        if len(problems) > _SHOWN:
            self.console.print(f"      and {len(problems) - _SHOWN} more", highlight=False)

    def skip(self, name: str, why: str) -> None:
        text = escape(why)
        self.console.print(f"[yellow]not[/]   {name:<12} {text}", highlight=False, soft_wrap=True)


# ------------------------------------------------------------------------------------------------------------- shards


@dataclass(frozen=True)
class _Store:
    """The token store that a build is compared with.

    Attributes:
        state: of it; None where no shard is compared.
        why_not: why nothing is compared with it.
        problems: of what it has, against the build's lists; doc ids are numbers of these, so then no shard is compared.
    """

    state: StoreState | None
    why_not: str | None
    problems: list[str]


def _compare_with(build: Build) -> _Store:
    try:
        state = read_state(build.config, reads_input=False)
    except BylineError as error:
        return _Store(None, f"not compared: {error}", [])
    if inputs_sha256(state.runs) != build.plan.header.inputs:
        why = f"not compared: {build.config.store} has other runs than the build was planned with"
        return _Store(None, why, [])
    problems = _check_totals(build, state)
    return _Store(None if problems else state, None, problems)


@contextmanager
def _work_folder(out: str, settings: RunnerSettings) -> Iterator[str]:
    """A folder that all workers can write to, for the block."""
    if settings.is_on_this_machine:
        # A build that may not be written to can be verified.
        with scratch_folder("verify") as folder:
            yield folder
        return
    folder = storage.join(out, WORK_FOLDER, storage.temporary_name("verify"))
    try:
        yield folder
    finally:
        storage.delete_folder(folder)


def _sample_below(build: Build, documents: int) -> int:
    """Of 2^32 segments so many are about this number of documents."""
    phases = Ledger.from_json(build.manifest.ledger).phases.values()
    segments = sum(counts.documents for phase in phases for counts in phase.sources.values())
    return min(2**32, documents * 2**32 // max(segments, 1))


def _check_shards(
    build: Build, job: CheckJob, store: _Store, settings: RunnerSettings, console: Console
) -> list[ShardReport]:
    """The reports of all shards, in the order of the manifest."""
    shards = [phase.shards[number] for phase, number in build.shards()]
    if store.state is not None:
        write_run_index(storage.join(job.work, INDEX_NAME), input_table(store.state.runs), store.state.runs)
    size = sum(shard.bytes for shard in shards) * (1 if store.state is None else 2)
    with progress_bar(console, "verify", len(shards), _follow(job), unit="shards"):
        if settings.is_on_this_machine and settings.workers_for(size) == 1:
            # As the pipeline would, without what it takes to begin.
            checker = ShardChecker(job)
            for number in range(len(shards)):
                checker.write_report(number)
        else:
            write_lines(storage.join(job.work, _LIST_NAME), map(str, range(len(shards))))
            run_pipeline(_wire(job), settings, size, job_shower(console, settings))
    return storage.side_by_side(read_report, map(job.report_uri, range(len(shards))))


def _wire(job: CheckJob) -> Callable[[beam.Pipeline], object]:
    list_uri = storage.join(job.work, _LIST_NAME)

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | "ListShards" >> ListShards(list_uri) | "CheckShards" >> CheckShards(job)

    return wire


def _follow(job: CheckJob) -> Callable[[], int]:
    beside = {INDEX_NAME, _LIST_NAME}
    return lambda: sum(info.base_name not in beside for info in storage.list_files(job.work))


# -------------------------------------------------------------------------------------------------------- between them


def _tell_output(build: Build, shards: list[ShardReport], report: _Report) -> None:
    files = [problem for shard in shards for problem in shard.problems]
    size = sum(entry.bytes for phase in build.manifest.phases for entry in phase.shards)
    report.tell("files", files, f"{len(shards)} shards, {size / 1e6:,.1f} MB: bytes, sha256, columns")
    rows = check_ranges(build.plan) + [problem for shard in shards for problem in shard.row_problems]
    counts = [shard.counts for shard in shards if shard.counts is not None]
    number = f"{sum(count.rows for count in counts):,} rows{_but_for(shards)}"
    report.tell("rows", rows, f"{number}: segments, doc ids, tokens, padding, loss mask")


def _tell_ledger(build: Build, shards: list[ShardReport], report: _Report) -> None:
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
        report.skip("ledger", f"not recounted: {', '.join(skipped)}")
    if problems or not skipped:
        tokens = sum(phase.tokens for phase in build.manifest.phases)
        report.tell("ledger", problems, f"closes to the token: {tokens:,} positions")


def _but_for(shards: list[ShardReport]) -> str:
    """Of how many shards a line is, where some could not be read."""
    read = sum(shard.counts is not None for shard in shards)
    return "" if read == len(shards) else f" of {read} of the {len(shards)} shards"


def _tell_disjoint(build: Build, job: CheckJob, shards: list[ShardReport], report: _Report) -> None:
    repeated = build.repeated
    compared = ~np.isin(build.inputs.sources, repeated)
    numbers = {(phase.name, number): index for index, (phase, number) in enumerate(build.shards())}

    def documents(phase: str, number: int) -> np.ndarray:
        found = read_documents(job.report_uri(numbers[phase, number]))
        return found[compared[found >> 32]]

    if compared.any():
        total, problems = check_disjoint(build.manifest, documents, build.rows)
        report.tell("phases", problems, f"{total:,} documents{_but_for(shards)}, none read twice")
    if repeated:
        report.skip("phases", f"not compared: {', '.join(repeated)}, drawn in several epochs, so phases may share some")


def _tell_store(store: _Store, shards: list[ShardReport], report: _Report) -> None:
    if store.why_not is not None:
        report.skip("token store", store.why_not)
        return
    problems = store.problems + [problem for shard in shards for problem in shard.store_problems]
    number = sum(shard.is_whole for shard in shards)
    report.tell("token store", problems, f"{number} shards assembled again: every value the same")


def _check_totals(build: Build, state: StoreState) -> list[str]:
    """The list of input files, and the ledger's first lines, against the runs."""
    problems = []
    listed = input_table(state.runs)
    names = list(zip(listed["source"].to_pylist(), listed["path"].to_pylist(), strict=True))
    if names != build.inputs.names or not np.array_equal(listed["rows"].to_numpy(), build.rows):
        problems.append(f"{INPUTS_NAME}: it does not list the input files of the token store")
    for source, said in Ledger.from_json(build.manifest.ledger).sources.items():
        stored = SourceLedger.of([run for run in state.runs if run.source == source], said.used, said.unused)
        for what, value in asdict(stored).items():
            if asdict(said)[what] != value:
                problems.append(f"ledger, source {source}: {what} {asdict(said)[what]}, the token store has {value}")
    return problems


# --------------------------------------------------------------------------------------------------------- raw corpora


def _check_raw(build: Build, samples: list[SegmentSample], documents: int, report: _Report) -> None:
    if documents == 0:
        report.skip("raw corpus", "not compared: --documents 0")
        return
    files: dict[tuple[str, str], InputFile] = {}
    for name, source in build.config.sources.items():
        try:
            files.update({(name, file.path): file for file in list_inputs(name, source)})
        except BylineError as error:
            report.skip("raw corpus", f"source {name} is not compared: {error}")
    located = [files.get(name) for name in build.inputs.names]
    segments = [
        sample
        for sample in samples
        # One that names no input file is told of with the rows.
        if sample.file < len(located) and located[sample.file] is not None
    ]
    if not segments:
        return
    try:
        checker = _document_checker(build, located)
    except BylineError as error:
        report.skip("raw corpus", f"not compared: {error}")
        return
    problems = checker.check(segments)
    report.tell("raw corpus", problems, f"{len(segments)} sampled segments: every token and mask the same")


def _document_checker(build: Build, files: list[InputFile | None]) -> DocumentChecker:
    config = build.config
    tokenizer = shared_tokenizer(config.tokenizer)
    if tokenizer.sha256 != build.manifest.tokenizer["sha256"]:
        raise BylineError(f"{config.tokenizer.file} is not the build's tokenizer any more; give it with --tokenizer")
    models = store_index.models_folder(config.store)
    used = {name for stage in config.stages if stage.condition for name in Template(stage.condition.template).fields}
    scorers = [
        open_scorer(name, classifier, models)
        for name, classifier in config.classifiers.items()
        if used & {name, f"{name}_score"}
    ]
    info = build.plan.header.tokenizer
    return DocumentChecker(config, planned_phases(build.plan), info, tokenizer, files, scorers)
