"""What `byline verify` does with an import: recounts it, and compares it with the folders that it was made of."""

from rich.console import Console

from byline import locations
from byline.pipelines.console.verify_lines import show_findings, show_outcome
from byline.pipelines.jobs.verify import check_shards, work_folder
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.imports.checking import ImportCheckJob, findings_of, missing_folders
from byline.transforms.imports.import_builds import open_import


def verify_import(out: str, settings: RunnerSettings, console: Console, *, allow_missing: bool = False) -> int:
    """Checks an import and prints one line for each kind of check.

    Args:
        out: its folder.
        settings: how to run.
        console: where to.
        allow_missing: whether what cannot be compared, because it is gone, counts as verified.

    Returns:
        0; 1 where anything is wrong; 2 where nothing is, but not all could be compared.

    Raises:
        BylineError: there is no finished import of this version, or its lists are too damaged to check anything by.
    """
    # Workers may run in another folder.
    location = locations.absolute(out)
    build = open_import(location)
    missing = missing_folders(build)
    compared = tuple(phase.name for phase in build.plan.phases if phase.name not in missing)
    entries = [phase.shards[number] for phase, number in build.shards()]
    with work_folder(location, settings) as work:
        job = ImportCheckJob(location, work, compared)
        shards = check_shards(entries, job, settings, console, reads=3 if compared else 1)
    findings = show_findings(findings_of(build, shards, missing), console)
    wrong = any(shard.problems or shard.row_problems or shard.store_problems for shard in shards)
    return show_outcome(out, findings, wrong, console, allow_missing=allow_missing, command="byline import")
