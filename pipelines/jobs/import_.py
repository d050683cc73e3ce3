"""The job of `byline import`: folders that something else packed -> shards, and the manifest last.

The pipeline is `ListShards | ImportShards`; a worker imports a shard by itself.
"""

from functools import partial
from importlib.metadata import version

from rich.console import Console

from byline import locations
from byline.errors import BylineError
from byline.pipelines.console.notes import show_kept, show_lost, show_notes, show_removed, show_written_again
from byline.pipelines.jobs.each_shard import work_on_shards
from byline.pipelines.jobs.locking import locked
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.imports import ImportPlan
from byline.schemas.ledger import DrawCounts, ShardRecord
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_output
from byline.transforms.imports import kind_named
from byline.transforms.imports.finishing import write_manifest
from byline.transforms.imports.importing import ImportJob, ShardSource, import_numbered, import_shard
from byline.transforms.imports.planning import AskedImport, plan_import
from byline.transforms.shards.output import open_output, write_plan
from byline.transforms.shards.records import ShardMaker, kept_shards


def import_folders(
    asked: AskedImport, kind: str, output: str, settings: RunnerSettings, console: Console, *, overwrite: bool = False
) -> None:
    """Imports folders.

    Args:
        asked: which, as which phases, and by which tokenizer.
        kind: what they hold, a name of `KINDS`.
        output: where the shards go.
        settings: how to run.
        console: for progress.
        overwrite: whether another finished build there may be replaced.

    Raises:
        BylineError: a folder or a file is wrong, or the output holds something else.
    """
    plan = plan_import(kind_named(kind), asked)
    # Workers may run in another folder.
    output = locations.absolute(output)
    for phase in plan.phases:
        if f"{phase.folder}/".startswith(f"{output}/") or f"{output}/".startswith(f"{phase.folder}/"):
            raise BylineError(
                f"{output}: is in {phase.folder}, which is imported, or the reverse; choose another folder"
            )
    storage.check_writable(output)
    with locked("import", [output], console):
        records = _import(plan, output, settings, console, overwrite=overwrite)
    if records is not None:
        _show_result(plan, records, console)


def _import(
    plan: ImportPlan, output: str, settings: RunnerSettings, console: Console, *, overwrite: bool
) -> list[ShardRecord] | None:
    state = open_output(output, plan, overwrite=overwrite)
    show_lost("import", state, console)
    show_removed("import", clean_output(output), console)
    if state.is_finished:
        console.print(f"import    nothing to do: {output} is finished", highlight=False, markup=False)
        return None
    maker, shards = ShardMaker(plan.sha256, version("byline")), len(plan.shards())
    kept = kept_shards(output, plan.shards(), maker)
    show_kept("import", kept, shards, state.damaged, console)
    job = ImportJob(output, maker, kept.hashed_from)
    inputs = write_plan(output, plan, plan.inputs, maker)
    size = sum(file.bytes for phase in plan.phases for file in phase.files)

    def import_here(numbers: range) -> None:
        source = ShardSource(plan)
        for number in numbers:
            import_shard(number, job, source)

    do = partial(import_numbered, job)
    work_on_shards("import", shards, import_here, do, job.work, size, settings, console)
    show_written_again("import", kept, console)
    show_removed("import", clean_output(output, is_finished=True), console)
    return write_manifest(plan, job, inputs)


def _show_result(plan: ImportPlan, records: list[ShardRecord], console: Console) -> None:
    """A line for each phase, and notes on what a user may not expect."""
    for phase in plan.phases:
        own = [record for record in records if record.phase == phase.name]
        counts = sum((record.contents.of(phase.source) for record in own), DrawCounts())
        rows = sum(record.entry.rows for record in own)
        tokens = max(rows * plan.sequence_length, 1)
        console.print(
            f"{phase.name}: {rows:,} sequences, {counts.documents:,} segments ({counts.conditioned:,} begin masked), "
            f"{counts.loss_tokens / tokens:.2%} of the tokens trained",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    show_notes(_notes(plan, records), console)


def _notes(plan: ImportPlan, records: list[ShardRecord]) -> list[str]:
    notes = []
    for phase in plan.phases:
        counts = sum(
            (record.contents.of(phase.source) for record in records if record.phase == phase.name), DrawCounts()
        )
        if phase.left_out:
            notes.append(f"{phase.name}: columns that are not imported: {', '.join(phase.left_out)}")
        named = [name for name in ("bos", "eos") if getattr(plan.named, name) is not None]
        if named and not counts.special_tokens:
            notes.append(
                f"{phase.name}: no segment begins or ends with the {' or '.join(named)} that was named; is this its "
                "tokenizer?"
            )
    unknown = [name for name in ("bos", "eos", "pad") if getattr(plan.named, name) is None]
    if unknown:
        notes.append(f"of the tokenizer, {', '.join(unknown)} is unknown: name it to have it counted (docs/imports.md)")
    return notes
