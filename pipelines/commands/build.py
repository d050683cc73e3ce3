"""`byline build`: prepare what is missing, plan, assemble what is missing."""

from byline.pipelines.commands.options import (
    BeamOptions,
    ConfigPath,
    Overwrite,
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


def build(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Prepare what is missing, plan, and assemble what is missing."""
    with quick_imports():
        from byline.pipelines.jobs import build as job

    how_to_run = runner_settings(workers, verbose, runner, options)
    recipe = load_config(config, settings, how_to_run, dataflow.BUILDING)
    job.build(recipe, how_to_run, output_console(), overwrite=overwrite)
