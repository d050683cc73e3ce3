"""The job of `byline export`: each shard of a build -> files of another format, and the export's manifest last.

The pipeline is `ListShards | ExportShards`; a worker exports a shard by itself. `verify_export` is what `byline verify`
does with the folder of an export.
"""

from functools import partial
from importlib.metadata import version

from rich.console import Console
from rich.filesize import decimal

from byline import locations
from byline.errors import BylineError
from byline.pipelines.console.notes import show_removed
from byline.pipelines.console.verify_lines import show_findings, show_outcome
from byline.pipelines.jobs.each_shard import work_on_shards
from byline.pipelines.jobs.locking import locked
from byline.pipelines.runners.settings import RunnerSettings
from byline.reader import open_shards
from byline.transforms.checks.findings import Finding
from byline.transforms.exports import FORMATS, ExportFormat, format_named
from byline.transforms.exports.export_folder import finish_export, open_export
from byline.transforms.exports.export_manifest import ExportMaker, ExportManifest, export_problems, read_export
from byline.transforms.exports.exporting import export_numbered, export_shard
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_output


def export(
    out: str,
    to: str,
    folder: str,
    settings: RunnerSettings,
    console: Console,
    *,
    branch: str | None = None,
    drop_mask: bool = False,
    drop_weights: bool = False,
    overwrite: bool = False,
) -> None:
    """Exports the rows of a finished build.

    Args:
        out: the build.
        to: name of the format.
        folder: where the files go; none of the build's.
        settings: how to run.
        console: for progress.
        branch: export what a model reads that ends on this branch; None for the timeline.
        drop_mask: whether the loss mask may be lost, if what reads the format has none.
        drop_weights: the same of the loss weights of a build that has any.
        overwrite: whether another export there may be replaced.

    Raises:
        BylineError: there is no such build, branch or format, the loss mask or weights would be lost, the folder holds
            something else, or a shard is damaged.
    """
    form = format_named(to)
    shards = ShardsToExport(open_shards(out, branch))
    _check_mask(form, shards, drop_mask)
    _check_weights(form, shards, drop_weights)
    manifest = shards.shards.manifest
    maker = ExportMaker(manifest.sha256, branch, form.name, form.version, version("byline"))
    job = ExportJob(shards.shards.directory, locations.absolute(folder), maker)
    if f"{job.folder}/".startswith(f"{job.out}/"):
        raise BylineError(f"{folder}: lies in the build, whose readers would take it for shards; choose another folder")
    storage.check_writable(job.folder)
    with locked("export", [job.folder], console):
        exported = _export(job, shards, settings, console, overwrite=overwrite)
    if exported is not None:
        size = sum(file.bytes for file in exported.files())
        line = f"export    {exported.rows:,} rows, {len(list(exported.files())):,} files, {decimal(size)}: {folder}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        otherwise = sum(shard.otherwise for shard in exported.shards)
        if otherwise:
            line = (
                "note a reader that is not told where segments begin takes them to begin elsewhere in "
                f"{otherwise:,} of {exported.rows:,} rows"
            )
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if form.note:
            console.print(f"note {form.note} (docs/exports.md)", highlight=False, markup=False, soft_wrap=True)


def _check_mask(form: ExportFormat, shards: ShardsToExport, drop_mask: bool) -> None:
    """Refuses a format that has no loss mask, where some of what it would train is masked."""
    entries = [shards.entry(number) for number in range(len(shards))]
    tokens = sum(entry.rows for entry in entries) * shards.shards.sequence_length
    masked = tokens - sum(entry.loss_tokens for entry in entries)
    if masked and not form.keeps_mask and not drop_mask:
        raise BylineError(
            f"--to {form.name}: has no loss mask, so its trainer would train {masked:,} of {tokens:,} tokens that the "
            "build masks; choose another format, or give --drop-mask"
        )


def _check_weights(form: ExportFormat, shards: ShardsToExport, drop_weights: bool) -> None:
    """Refuses a format that has no loss weights, where the build has any."""
    if shards.shards.manifest.loss_weight is not None and not form.keeps_weights and not drop_weights:
        keeping = ", ".join(name for name, made in FORMATS.items() if made.keeps_weights)
        raise BylineError(
            f"--to {form.name}: has no loss weights, so its trainer would train alike what the build weighs; choose "
            f"another format ({keeping}), or give --drop-weights"
        )


def _export(
    job: ExportJob, shards: ShardsToExport, settings: RunnerSettings, console: Console, *, overwrite: bool
) -> ExportManifest | None:
    lost = open_export(job, shards, overwrite=overwrite)
    if lost is None:
        console.print(f"export    nothing to do: {job.folder} is finished", highlight=False, markup=False)
        return None
    if lost:
        line = f"export    missing or of another size: {len(lost):,} files (first: {lost[0]}); written again"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    show_removed("export", clean_output(job.folder), console)

    def export_here(numbers: range) -> None:
        for number in numbers:
            export_shard(number, job, shards)

    size = sum(shards.entry(number).bytes for number in range(len(shards)))
    do = partial(export_numbered, job)
    work_on_shards("export", len(shards), export_here, do, job.work, size, settings, console)
    show_removed("export", clean_output(job.folder, is_finished=True), console)
    return finish_export(job, shards)


def verify_export(folder: str, console: Console) -> int:
    """Checks every byte of an export against its manifest.

    Returns:
        0, or 1 where something is wrong.

    Raises:
        BylineError: its manifest cannot be read.
    """
    location = locations.absolute(folder)
    manifest = read_export(location)
    files = list(manifest.files())
    size = sum(file.bytes for file in files)
    summary = f"{len(files):,} files, {decimal(size)}, of {manifest.rows:,} rows as {manifest.maker.to}: bytes, sha256"
    problems = export_problems(location, manifest)
    findings = show_findings([Finding("files", summary, problems.lines())], console)
    if problems.files:
        console.print(
            "delete the files that are wrong and run `byline export` again: they alone are written", highlight=False
        )
    return show_outcome(folder, findings, False, console, allow_missing=False)
