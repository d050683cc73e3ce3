"""`byline prepare`: raw corpora -> token store."""

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


def prepare(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Read, score and tokenize the raw corpora into the token store."""
    with quick_imports():
        from byline.pipelines.jobs import prepare as job

    how_to_run = runner_settings(workers, verbose, runner, options)
    job.prepare(load_config(config, settings, how_to_run, dataflow.PREPARING), how_to_run, output_console())
