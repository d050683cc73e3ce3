"""Exports of small builds, and what is in their folders."""

import hashlib
import io
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

import byline
from byline.pipelines.jobs.export import export, verify_export
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.exports.export_manifest import ExportMaker
from byline.transforms.exports.shards_to_export import ExportJob
from tests.support.shards import numbered_build

EXPORTED = {"conditioned": (5, 4), "cooldown": (3,)}


def build(folder: Path) -> Path:
    """A build of `EXPORTED` with a branch, `cooldown-50`."""
    branches = {"cooldown-50": ("conditioned", 1)}
    numbered_build(folder, {**EXPORTED, "cooldown-50": (2,)}, branches=branches)
    return folder


def run(
    out: Path | str,
    folder: Path | str,
    to: str = "parquet",
    workers: int = 1,
    *,
    branch: str | None = None,
    drop_mask: bool = False,
    drop_weights: bool = False,
    overwrite: bool = False,
) -> str:
    """Exports; returns what is printed."""
    text = io.StringIO()
    console = Console(file=text, soft_wrap=True)
    settings = RunnerSettings(workers=workers)
    dropped = {"drop_mask": drop_mask, "drop_weights": drop_weights}
    export(str(out), to, str(folder), settings, console, branch=branch, overwrite=overwrite, **dropped)
    return text.getvalue()


def verified(folder: Path) -> tuple[int, str]:
    """The exit status of the check of an export, and what is printed."""
    text = io.StringIO()
    return verify_export(str(folder), Console(file=text, soft_wrap=True)), text.getvalue()


def contents(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def times(folder: Path) -> dict[str, int]:
    """Path -> time of the last change (ns) of every Parquet file."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def job_of(out: Path, folder: Path, to: str = "parquet") -> ExportJob:
    """The job of exporting the timeline of a build."""
    sha256 = byline.open(out).manifest.sha256
    return ExportJob(str(out), str(folder), ExportMaker(sha256, None, to, 1, version("byline")))
