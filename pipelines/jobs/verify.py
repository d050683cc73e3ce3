"""The job of `byline verify`: recounts a finished build from its files, and says what it could compare it with.

Shards are checked by workers, each shard by itself: `ListShards | CheckShards`. Sums and comparisons between shards are
made here, from one small report of each (transforms/checks/findings.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apache_beam as beam
from rich.console import Console

from byline import locations
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.console.verify_lines import show_findings, show_outcome
from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.schemas.inputs import input_table
from byline.transforms.checks.builds import Build, open_build
from byline.transforms.checks.findings import (
    ComparedStore,
    check_ledger,
    check_output,
    check_phases,
    check_raw,
    check_store,
    open_store,
    sample_threshold,
)
from byline.transforms.checks.reports import ShardReport, read_report
from byline.transforms.checks.shards import CheckJob, CheckShards, ShardChecker
from byline.transforms.documents.work_lists import ListShards, write_lines
from byline.transforms.files import storage
from byline.transforms.files.refusals import scratch_folder
from byline.transforms.shards.assembling import INDEX_NAME
from byline.transforms.shards.output import write_run_index
from byline.transforms.shards.records import WORK_FOLDER
from byline.transforms.store.run_reading import forget_runs

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
    store = open_store(build) if with_store else ComparedStore(None, "not compared: --no-store")
    # Workers may run in another folder.
    location = locations.absolute(out)
    with _work_folder(location, settings) as work:
        job = CheckJob(location, tokenizer, work, sample_threshold(build, documents), store.state is not None)
        shards = _check_shards(build, job, store, settings, console)
        problems = show_findings(check_output(build, shards), console)
        problems += show_findings(check_ledger(build, shards), console)
        problems += show_findings(check_phases(build, job, shards), console)
    problems += show_findings([check_store(store, shards)], console)
    samples = [sample for shard in shards for sample in shard.samples]
    problems += show_findings(check_raw(build, samples, documents), console)
    has_wrong_shards = any(shard.problems or shard.row_problems or shard.store_problems for shard in shards)
    show_outcome(out, problems, has_wrong_shards, console)
    return 1 if problems else 0


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


def _check_shards(
    build: Build, job: CheckJob, store: ComparedStore, settings: RunnerSettings, console: Console
) -> list[ShardReport]:
    """The reports of all shards, in the order of the manifest."""
    shards = [phase.shards[number] for phase, number in build.shards()]
    if store.state is not None:
        write_run_index(storage.join(job.work, INDEX_NAME), input_table(store.state.runs), store.state.runs)
    size = sum(shard.bytes for shard in shards) * (1 if store.state is None else 2)
    with progress_bar(console, "verify", len(shards), _follow(job), unit="shards"):
        if settings.is_on_this_machine and settings.workers_for(size) == 1:
            # What the pipeline would do, without the time that it takes to start.
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
