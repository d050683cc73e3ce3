"""The job of `byline assemble`: plan -> shards, and the manifest last. Writes only the shards that are missing."""

from functools import partial
from importlib.metadata import version

from rich.console import Console

from byline import manifest as manifests
from byline.pipelines.console.notes import show_kept, show_lost, show_removed, show_written_again
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.jobs.each_shard import count_records
from byline.pipelines.jobs.locking import locked, remove_locks
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.ledger import Ledger
from byline.schemas.plan import Plan
from byline.schemas.store import RunInfo
from byline.transforms.documents.counters import shard_counts, total
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_output
from byline.transforms.shards.assembling import AssembleJob
from byline.transforms.shards.manifest_writing import write_manifest
from byline.transforms.shards.output import is_whole, open_output, write_lists
from byline.transforms.shards.records import ShardMaker, kept_shards
from byline.transforms.store.run_reading import forget_runs


def assemble(
    config: Config,
    plan: Plan,
    runs: list[RunInfo],
    settings: RunnerSettings,
    console: Console,
    *,
    overwrite: bool = False,
) -> None:
    """Writes the shards of a plan and the manifest.

    Args:
        config: the recipe.
        plan: made from it.
        runs: of the token store that it was made with.
        settings: how to run.
        console: for progress.
        overwrite: whether a finished build of another plan may be replaced.

    Raises:
        BylineError: the output holds another build, or the token store is not the planned one.
    """
    if is_whole(config.output, plan):
        remove_locks("assemble", [config.output], console)
        show_removed("assemble", clean_output(config.output), console)
        console.print(f"assemble  nothing to do: {config.output} is finished", highlight=False, markup=False)
        return
    with locked("assemble", [config.output], console):
        _assemble(config, plan, runs, settings, console, overwrite=overwrite)


def _assemble(
    config: Config, plan: Plan, runs: list[RunInfo], settings: RunnerSettings, console: Console, *, overwrite: bool
) -> None:
    state = open_output(config.output, plan, overwrite=overwrite)
    show_lost("assemble", state, console)
    show_removed("assemble", clean_output(config.output), console)
    if state.is_finished:
        console.print(f"assemble  nothing to do: {config.output} is finished", highlight=False, markup=False)
        return
    forget_runs()
    maker = ShardMaker(plan.sha256, version("byline"))
    kept = kept_shards(config.output, plan.shards(), maker)
    show_kept("assemble", kept, len(plan.shards()), state.damaged, console)
    job = AssembleJob.of(config, plan.header.tokenizer, maker, kept.hashed_from)
    inputs = write_lists(config.output, plan, runs, maker)
    expected = sum(source.expected_positions for stage in plan.header.stages for source in stage.sources.values())
    # Here, where there is something to run (byline.pipelines.wiring).
    with quick_imports():
        from byline.pipelines.runners.engine import show_counts
        from byline.pipelines.wiring.assemble import run_assembling
    with progress_bar(console, "assemble", len(plan.shards()), partial(count_records, job.work), unit="shards"):
        result = run_assembling(job, 2 * expected, settings, console)
    show_written_again("assemble", kept, console)
    show_removed("assemble", clean_output(config.output, is_finished=True), console)
    records = write_manifest(config, plan, runs, job, inputs)
    show_counts(console, "assemble", settings, result, total(map(shard_counts, records)))


def show_result(output: str, console: Console) -> None:
    """Prints what each phase of a finished build came to: rows, trained tokens, mixture, what packing discarded."""
    uri = storage.join(output, manifests.FILE_NAME)
    manifest = manifests.parse_manifest(storage.read_bytes(uri), uri)
    ledger = Ledger.from_json(manifest.ledger)
    for phase in manifest.phases:
        console.print(
            f"{phase.name}: {phase.rows:,} sequences, {phase.tokens:,} tokens, "
            f"{phase.loss_tokens / max(phase.tokens, 1):.2%} of them trained",
            highlight=False,
        )
        for source, share in phase.mixture.items():
            counts = ledger.phases[phase.name].of(source)
            discarded = "".join(f", {count:,} tokens discarded ({why})" for why, count in counts.discarded.items())
            console.print(
                f"  {source}: {share['achieved']:.2%} (asked {share['requested']:.2%}), "
                f"{counts.documents:,} documents{discarded}",
                highlight=False,
                soft_wrap=True,
            )
