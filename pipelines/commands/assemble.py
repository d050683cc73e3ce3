"""`byline assemble`: token store -> plan -> shards."""

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


def assemble(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Plan, and write the shards that are missing."""
    with quick_imports():
        from byline.pipelines.jobs import assemble as job
        from byline.pipelines.jobs.plan import plan

    console, how_to_run = output_console(), runner_settings(workers, verbose, runner, options)
    recipe = load_config(config, settings, how_to_run, dataflow.ASSEMBLING)
    made, state = plan(recipe, how_to_run, console)
    job.assemble(recipe, made, state.runs, how_to_run, console, overwrite=overwrite)
    job.show_result(recipe.output, console)
