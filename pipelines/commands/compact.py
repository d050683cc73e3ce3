"""`byline compact`: many runs of the token store -> fewer, larger ones."""

from typing import Annotated

import typer

from byline.pipelines.commands.options import (
    BeamOptions,
    ConfigPath,
    RunnerName,
    Settings,
    Verbose,
    Workers,
    load_config,
    output_console,
    runner_settings,
)
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners import dataflow


def compact(
    config: ConfigPath,
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="of a merged run at most, as in 64MiB or 1GiB")
    ] = "1GiB",
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Merge small runs of the token store, so that shards are read in fewer and longer ranges."""
    with quick_imports():
        from byline.pipelines.jobs import compact as job

    how_to_run = runner_settings(workers, verbose, runner, options)
    recipe = load_config(config, settings, how_to_run, dataflow.PLANNING)
    job.compact(recipe, job.parse_size(size), how_to_run, output_console())
