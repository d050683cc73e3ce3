"""`byline verify`: recounts a finished build from its files, and says what it could compare it with.

```
files        every shard: bytes, sha256, columns, what it says of itself
rows         every row: segments, doc ids, tokens, padding, loss mask
ledger       every sum, and every line from the rows
phases       no document twice in the main line, nor in a branch and the main line before it
token store  every shard assembled once more in memory, every value compared     where the store is there
raw corpus   sampled documents, token by token, tokenized by `tokenizers`        where the corpus is there
```
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, read_manifest
from byline.template import Template
from pipelines.assemble import INPUTS_NAME
from pipelines.prepare import MODELS_FOLDER, StoreState, look_at_store
from schemas import plan as plans
from schemas.config import Config
from schemas.config_file import merge, parse_config
from schemas.documents import InputFile
from schemas.inputs import INPUTS_SCHEMA, input_table
from transforms.checks.documents import DocumentChecker, SegmentSample, sample_segments
from transforms.checks.ledger import check_disjoint, check_phase, check_sources, misfits, source_totals
from transforms.checks.places import InputNames, check_places, check_ranges
from transforms.checks.plan import check_drawn, check_plan
from transforms.checks.shards import ShardReport, check_shard, compare_with_store, row_rules
from transforms.corpora.listing import list_inputs
from transforms.files import storage
from transforms.plans.planning import inputs_sha256
from transforms.scores.scoring import open_scorer
from transforms.shards.assembling import AssembleJob, planned_phases
from transforms.shards.gathering import RunIndex
from transforms.tokens.text_tokenizer import TokenizerInfo, shared_tokenizer

_SHOWN = 20


@dataclass
class _Build:
    """A finished build, read once.

    Attributes:
        plan_rows: (phase, number of the shard) -> the plan's rows of it; a shard without documents has none.
        inputs: the input files.
        rows: int64 [files], records of each.
    """

    out: str
    manifest: Manifest
    config: Config
    plan: plans.Plan
    plan_rows: dict[tuple[str, int], pa.RecordBatch]
    inputs: InputNames
    rows: np.ndarray

    @property
    def repeated(self) -> list[str]:
        """The sources that the plan draws from in several epochs."""
        sources = self.plan.table.group_by(["source", "epoch"]).aggregate([])["source"].to_pylist()
        return sorted({source for source in sources if sources.count(source) > 1})

    def shards(self) -> Iterator[tuple[PhaseEntry, int]]:
        """Every shard: its phase, and its number in it."""
        return ((phase, number) for phase in self.manifest.phases for number in range(len(phase.shards)))


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
        BylineError: there is no finished build of this version, or its lists are too damaged to check anything by.
    """
    build = _open_build(out, tokenizer)
    report = _Report(console)
    shards = _check_output(build, report, console)
    _check_ledger(build, shards, report)
    readable = {shard.entry.path for shard in shards if shard.counts is not None and shard.counts.whole}
    _check_store(build, readable, report, console)
    _check_raw(build, readable, documents, report)
    if report.failed:
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


def _open_build(out: str, tokenizer: str | None) -> _Build:
    manifest = read_manifest(out)
    damaged = misfits(manifest)
    if damaged:
        raise BylineError(f"{out}: {damaged[0]}; copy the manifest anew or build again")
    values = manifest.config
    if tokenizer is not None:
        values = merge(values, {"tokenizer": {"file": tokenizer}})
    config = parse_config(values, storage.join(out, manifests.FILE_NAME))
    uri = storage.join(out, plans.FILE_NAME)
    content = storage.read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != manifest.plan_sha256:
        raise BylineError(f"{uri}: has another sha256 than the manifest says; copy it anew or build again")
    plan = plans.read_plan(content, uri)
    mixed = check_plan(manifest, config, plan)
    if mixed:
        raise BylineError(f"{out}: {mixed[0]}; copy it anew or build again")
    rows = {(batch["phase"][0].as_py(), batch["shard"][0].as_py()): batch for batch in plans.rows_by_shard(plan.table)}
    return _Build(out, manifest, config, plan, rows, *_read_inputs(storage.join(out, INPUTS_NAME)))


def _read_inputs(uri: str) -> tuple[InputNames, np.ndarray]:
    """Names and records of the input files."""
    content = storage.read_bytes(uri)
    try:
        with pa.BufferReader(content) as source:
            table = pa.ipc.open_file(source).read_all()
            table.validate(full=True)
        if not table.schema.equals(INPUTS_SCHEMA, check_metadata=False):
            raise ValueError("its columns are not those of the contract")
        if table["file"].to_pylist() != list(range(table.num_rows)):
            raise ValueError("its files are not numbered one after another")
        names = list(zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BylineError(
            f"{uri}: cannot be read ({' '.join(str(error).split())}); copy it anew or build again"
        ) from None
    return InputNames.of(names), table["rows"].to_numpy()


def _check_output(build: _Build, report: _Report, console: Console) -> list[ShardReport]:
    """Files and rows, each shard once."""
    shards = []
    files, rows = [], check_ranges(build.plan)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("shards", total=sum(len(phase.shards) for phase in build.manifest.phases))
        for phase, number in build.shards():
            planned = build.plan_rows.get((phase.name, number))
            rules = row_rules(build.manifest, build.config, phase, planned, build.inputs, build.rows)
            found = check_shard(build.out, build.manifest, build.config.seed, phase, number, rules)
            shards.append(found)
            files += found.problems
            if found.counts is not None:
                strays = check_places(found.counts.documents, build.inputs, planned)
                rows += [f"{found.entry.path}: {problem}" for problem in (*found.counts.problems, *strays)]
            bars.advance(task)
    size = sum(shard.entry.bytes for shard in shards)
    report.tell("files", files, f"{len(shards)} shards, {size / 1e6:,.1f} MB: bytes, sha256, columns")
    number = sum(phase.rows for phase in build.manifest.phases)
    report.tell("rows", rows, f"{number:,} rows: segments, doc ids, tokens, padding, loss mask")
    return shards


def _check_ledger(build: _Build, shards: list[ShardReport], report: _Report) -> None:
    problems = check_drawn(build.manifest, build.plan)
    problems += check_sources(build.manifest, build.inputs.names, build.rows)
    by_phase: dict[str, list[ShardReport]] = {phase.name: [] for phase in build.manifest.phases}
    for (phase, _), shard in zip(build.shards(), shards, strict=True):
        by_phase[phase.name].append(shard)
    for phase in build.manifest.phases:
        counts = [shard.counts for shard in by_phase[phase.name] if shard.counts is not None]
        said = [shard.said for shard in by_phase[phase.name]]
        # Without one of its shards, the sums of a phase say nothing new.
        if len(counts) == len(said):
            problems += check_phase(build.manifest, build.config, phase, counts, said, build.inputs.sources)
    tokens = sum(phase.tokens for phase in build.manifest.phases)
    report.tell("ledger", problems, f"closes to the token: {tokens:,} positions")
    _check_disjoint(build, by_phase, report)


def _check_disjoint(build: _Build, shards: dict[str, list[ShardReport]], report: _Report) -> None:
    repeated = build.repeated
    compared = ~np.isin(build.inputs.sources, repeated)
    documents = {
        name: [_of_files(None if shard.counts is None else shard.counts.documents, compared) for shard in found]
        for name, found in shards.items()
    }
    if compared.any():
        number = sum(len(ids) for found in documents.values() for ids in found)
        report.tell("phases", check_disjoint(build.manifest, documents), f"{number:,} documents, none read twice")
    if repeated:
        report.skip("phases", f"not compared: {', '.join(repeated)}, drawn in several epochs, so phases may share some")


def _of_files(documents: np.ndarray | None, chosen: np.ndarray) -> np.ndarray:
    """The doc ids that are of these files (bool [files]); none of a shard that could not be read."""
    return np.zeros(0, np.int64) if documents is None else documents[chosen[documents >> 32]]


def _check_store(build: _Build, readable: set[str], report: _Report, console: Console) -> None:
    """Assembles every shard once more, where the token store is the one that was planned with."""
    try:
        state = look_at_store(build.config, Console(quiet=True), reads_input=False)
    except BylineError as error:
        report.skip("token store", f"not compared: {error}")
        return
    if inputs_sha256(state.runs) != build.plan.header["inputs"]:
        report.skip("token store", f"not compared: {build.config.store} has other runs than the build was planned with")
        return
    problems = _check_totals(build, state)
    # Doc ids are numbers of this list, so without it nothing is the same.
    if not problems:
        problems += _assemble_again(build, state, readable, console)
    report.tell("token store", problems, f"{len(readable)} shards assembled again: every value the same")


def _assemble_again(build: _Build, state: StoreState, readable: set[str], console: Console) -> list[str]:
    tokenizer = TokenizerInfo(**build.plan.header["tokenizer"])
    job = AssembleJob.of(build.config, tokenizer, build.manifest.plan_sha256, build.manifest.code_version)
    planned = planned_phases(build.plan)
    numbers = {name: number for number, name in enumerate(build.inputs.names)}
    index = RunIndex.of((run.source, numbers[run.source, run.path], run.uri) for run in state.runs)
    problems: list[str] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("store", total=len(readable))
        for phase, number in build.shards():
            entry, rows = phase.shards[number], build.plan_rows.get((phase.name, number))
            if entry.path in readable and rows is not None:
                problems += compare_with_store(build.out, entry, rows, job, planned[phase.name], index)
                bars.advance(task)
    return problems


def _check_totals(build: _Build, state: StoreState) -> list[str]:
    """The list of input files, and the ledger's first lines, against the runs."""
    problems = []
    listed = input_table(state.runs)
    names = list(zip(listed["source"].to_pylist(), listed["path"].to_pylist(), strict=True))
    if names != build.inputs.names or not np.array_equal(listed["rows"].to_numpy(), build.rows):
        problems.append(f"{INPUTS_NAME}: it does not list the input files of the token store")
    for source, said in build.manifest.ledger["sources"].items():
        found = source_totals([run for run in state.runs if run.source == source])
        for what, value in found.items():
            if said[what] != value:
                problems.append(f"ledger, source {source}: {what} {said[what]}, the token store has {value}")
    return problems


def _check_raw(build: _Build, readable: set[str], documents: int, report: _Report) -> None:
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
        for sample in _sample(build, readable, documents)
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


def _document_checker(build: _Build, files: list[InputFile | None]) -> DocumentChecker:
    config = build.config
    tokenizer = shared_tokenizer(config.tokenizer)
    if tokenizer.sha256 != build.manifest.tokenizer["sha256"]:
        raise BylineError(f"{config.tokenizer.file} is not the build's tokenizer any more; give it with --tokenizer")
    models = storage.join(config.store, MODELS_FOLDER)
    used = {name for part in config.parts if part.condition for name in Template(part.condition.template).fields}
    scorers = [
        open_scorer(name, classifier, models)
        for name, classifier in config.classifiers.items()
        if used & {name, f"{name}_score"}
    ]
    info = TokenizerInfo(**build.plan.header["tokenizer"])
    return DocumentChecker(config, planned_phases(build.plan), info, tokenizer, files, scorers)


def _sample(build: _Build, readable: set[str], documents: int) -> Iterator[SegmentSample]:
    """About so many segments of all shards, spread evenly."""
    segments = sum(
        counts["documents"]
        for phase in build.manifest.ledger["phases"].values()
        for counts in phase["sources"].values()
    )
    threshold = min(2**32, documents * 2**32 // max(segments, 1))
    for phase, index in build.shards():
        path = phase.shards[index].path
        if path not in readable:
            continue
        with storage.open_random(storage.join(build.out, path)) as source:
            reader = pa.ipc.open_file(source)
            first = 0
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield from sample_segments(phase.name, path, batch, first, threshold)
                first += batch.num_rows
