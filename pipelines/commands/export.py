"""`byline export`: the rows of a build in the files of another format."""

from typing import Annotated

import typer

from byline.pipelines.commands.options import (
    BeamOptions,
    OutPath,
    RunnerName,
    Verbose,
    Workers,
    output_console,
    runner_settings,
)
from byline.pipelines.quick_imports import quick_imports


def export(
    out: OutPath,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a folder or address for it", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="parquet, hf, mds, mds-meco, megatron, olmo or litdata")
    ],
    branch: Annotated[str | None, typer.Option("--branch", help="what a model on this branch reads")] = None,
    drop_mask: Annotated[
        bool, typer.Option("--drop-mask", help="lose the loss mask, to a format that has none")
    ] = False,
    drop_weights: Annotated[
        bool, typer.Option("--drop-weights", help="lose the loss weights, to a format that has none")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace another export")] = False,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Write the rows of a finished build as files that a trainer reads by itself."""
    with quick_imports():
        from byline.pipelines.jobs import export as job

    how_to_run = runner_settings(workers, verbose, runner, options)
    how_to_run.check_locations([("OUT", out), ("DIR", folder)])
    job.export(
        out,
        to,
        folder,
        how_to_run,
        output_console(),
        branch=branch,
        drop_mask=drop_mask,
        drop_weights=drop_weights,
        overwrite=overwrite,
    )
