"""`byline attribute`: columns about prepared documents, beside the runs of the token store."""

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


def attribute(
    config: ConfigPath,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="of attributes; all of the configuration without")
    ] = None,
    shows: Annotated[bool, typer.Option("--list", help="what the token store has of them, and change nothing")] = False,
    removes: Annotated[
        bool, typer.Option("--remove", help="delete them from the token store, as any configuration has made them")
    ] = False,
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Make attributes of prepared documents: labels, joined tables, duplicates, contamination."""
    with quick_imports():
        from byline.pipelines.jobs import attribute as job
        from byline.pipelines.jobs import attribute_list

    how_to_run = runner_settings(workers, verbose, runner, options)
    recipe = load_config(config, settings, how_to_run, dataflow.PLANNING)
    console = output_console()
    if shows:
        attribute_list.show_attributes(recipe, names or [], console)
    elif removes:
        attribute_list.remove_attributes(recipe, names or [], console)
    else:
        job.make_named(recipe, names or [], how_to_run, console)
