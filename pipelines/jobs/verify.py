"""The job of `byline verify`: recounts a finished build from its files, and says what it could compare it with.

Runs are checked by workers, each by itself (`ListFiles | CheckFiles`), and then shards (`ListShards | VerifyShards`).
Sums and comparisons between shards are made here, from one small report of each (transforms/checks/findings.py).
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from rich.console import Console

from byline import locations
from byline.manifest import ShardEntry
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.console.verify_lines import show_findings, show_outcome
from byline.pipelines.jobs.each_shard import LIST_NAME, work_on_shards
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.inputs import input_table
from byline.transforms.checks.builds import open_build
from byline.transforms.checks.file_checks import (
    FileToCheck,
    attributes_to_check,
    check_file,
    problems_of,
    raw_files_to_check,
    read_problems,
    runs_to_check,
)
from byline.transforms.checks.findings import (
    ComparedStore,
    Finding,
    check_files,
    check_ledger,
    check_output,
    check_phases,
    check_raw,
    check_store,
    left_out_for,
    no_store,
    open_store,
    raw_not_checked,
    sample_threshold,
)
from byline.transforms.checks.replaced import check_replaced
from byline.transforms.checks.reports import ShardReport, read_report
from byline.transforms.checks.shard_checks import ShardCheckJob, check_shard
from byline.transforms.checks.shards import CheckJob
from byline.transforms.checks.shuffle_keys import check_ranges
from byline.transforms.files import storage
from byline.transforms.files.checksums import nothing_kept
from byline.transforms.files.refusals import scratch_folder
from byline.transforms.shards.assembling import INDEX_NAME
from byline.transforms.shards.output import write_run_index
from byline.transforms.shards.records import WORK_FOLDER
from byline.transforms.store.run_reading import forget_runs

_FILES_NAME = "files.jsonl"
# Of an object store each is copied to a disk, and may have 16 GiB.
_FILES_AT_ONCE = min(4, os.cpu_count() or 1)


def verify(
    out: str,
    documents: int,
    tokenizer: str | None,
    settings: RunnerSettings,
    console: Console,
    *,
    with_store: bool = True,
    raw: bool = False,
    allow_missing: bool = False,
) -> int:
    """Checks a build and prints one line for each kind of check.

    Args:
        out: its folder.
        documents: how many documents of the raw corpora to compare.
        tokenizer: where the tokenizer.json is now; None for where it was.
        settings: how to run.
        console: where to.
        with_store: whether the token store, if it is there, is checked and every shard assembled once more from it.
        raw: whether the raw files are compared with the checksums that the token store has of them.
        allow_missing: whether what cannot be compared, because it is gone, counts as verified.

    Returns:
        0; 1 where anything is wrong; 2 where nothing is, but not all could be compared.

    Raises:
        BylineError: there is no finished build of this version, or its lists are too damaged to check anything by.
    """
    forget_runs()
    build = open_build(out, tokenizer)
    with nothing_kept():
        store = open_store(build) if with_store else no_store()
    # Workers may run in another folder.
    location = locations.absolute(out)
    findings: list[Finding] = []
    with work_folder(location, settings) as work:
        state = store.state
        if state is not None:
            files = runs_to_check(state.files, state.fingerprints)
            files += attributes_to_check(state.files, build.plan.header.attributes, len(files))[0]
            runs = _check_files(files, work, settings, console)
            findings += show_findings([runs], console)
            if raw:
                made = {name for name, source in build.config.sources.items() if source.is_made}
                raw_files, missing = raw_files_to_check(state, len(files), made)
                if raw_files:
                    findings += show_findings([_check_files(raw_files, work, settings, console)], console)
                findings += show_findings(raw_not_checked(store, missing), console)
            if runs.problems:
                # What is assembled from them would only tell the same again.
                store = ComparedStore(None, left_out_for(runs))
            else:
                store = replace(store, problems=check_replaced(build, state))
        elif raw:
            findings += show_findings(raw_not_checked(store, []), console)
        job = CheckJob(location, tokenizer, work, sample_threshold(build, documents), store.state is not None)
        if store.state is not None:
            write_run_index(storage.join(job.work, INDEX_NAME), input_table(store.state.runs), store.state.runs)
        entries = [phase.shards[number] for phase, number in build.shards()]
        shards = check_shards(entries, job, settings, console, reads=1 if store.state is None else 2)
        findings += show_findings(check_output(build.manifest, shards, check_ranges(build.plan)), console)
        findings += show_findings(check_ledger(build, shards), console)
        findings += show_findings(check_phases(build, job, shards), console)
    findings += show_findings([check_store(store, shards)], console)
    samples = [sample for shard in shards for sample in shard.samples]
    findings += show_findings(check_raw(build, samples, documents), console)
    has_wrong_shards = any(shard.problems or shard.row_problems or shard.store_problems for shard in shards)
    return show_outcome(out, findings, has_wrong_shards, console, allow_missing=allow_missing)


@contextmanager
def work_folder(out: str, settings: RunnerSettings) -> Iterator[str]:
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


def _check_files(files: list[FileToCheck], work: str, settings: RunnerSettings, console: Console) -> Finding:
    """Checks runs, or raw files."""
    done: list[int] = []

    def check(file: FileToCheck) -> list[str]:
        problems = problems_of(file)
        done.append(file.number)
        return problems

    if settings.is_on_this_machine:
        # Threads: most of it is reading and hashing.
        threads = ThreadPoolExecutor(_FILES_AT_ONCE)
        with progress_bar(console, "verify", len(files), lambda: len(done), unit="files"), threads:
            return check_files(files, list(threads.map(check, files)))
    # Here, where there is something to run (byline.pipelines.wiring).
    with quick_imports():
        from byline.pipelines.wiring.lines import run_over_lines
        from byline.transforms.documents.run_lines_transform import RunLines
    list_uri, size = storage.join(work, _FILES_NAME), sum(file.size for file in files)
    with progress_bar(console, "verify", len(files), lambda: len(storage.list_files(work)) - 1, unit="files"):
        lines = (file.to_json() for file in files)
        step = "CheckFiles" >> RunLines(partial(check_file, work))
        run_over_lines("Files", list_uri, lines, step, size, settings, console)
    found = check_files(files, read_problems(work, files))
    storage.delete_folder(storage.join(work, "files"))
    storage.delete_file(list_uri)
    return found


def check_shards(
    shards: Sequence[ShardEntry], job: ShardCheckJob, settings: RunnerSettings, console: Console, *, reads: int
) -> list[ShardReport]:
    """The reports of all shards, in the order of the manifest.

    Args:
        shards: all of an output.
        job: what workers must know.
        settings: how to run.
        console: for progress.
        reads: how many times their bytes are read, of themselves and of what they are compared with.
    """

    def check_here(numbers: range) -> None:
        checker = job.open_checker()
        for number in numbers:
            checker.write_report(number)

    size = sum(shard.bytes for shard in shards) * reads
    do = partial(check_shard, job)
    work_on_shards("verify", len(shards), check_here, do, job.work, size, settings, console, _count_reports)
    return storage.side_by_side(read_report, map(job.report_uri, range(len(shards))))


def _count_reports(work: str) -> int:
    beside = {INDEX_NAME, LIST_NAME}
    return sum(info.base_name not in beside for info in storage.list_files(work))
