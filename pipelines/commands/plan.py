"""`byline plan`: what a recipe draws from a token store; writes nothing to the output."""

from typing import Annotated

import typer

from byline.pipelines.commands.options import (
    BeamOptions,
    ConfigPath,
    RunnerName,
    Settings,
    Verbose,
    Workers,
    error_console,
    load_config,
    output_console,
    runner_settings,
)
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners import dataflow


def plan(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
    as_json: Annotated[bool, typer.Option("--json", help="all of it as JSON on standard output")] = False,
) -> None:
    """Show which documents go where, and what they come to; writes nothing to the output."""
    with quick_imports():
        from byline.pipelines.console import plan_report
        from byline.pipelines.console.funnel import funnels_of
        from byline.pipelines.jobs import plan as job
        from byline.transforms.fields.held_out_additions import held_out_warnings
        from byline.transforms.fields.known_fields import known_warnings
        from byline.transforms.store.field_counting import fields_of_sources

    console = error_console() if as_json else output_console()
    how_to_run = runner_settings(workers, verbose, runner, options)
    recipe = load_config(config, settings, how_to_run, dataflow.PLANNING)
    made, state = job.plan(recipe, how_to_run, console)
    fields = fields_of_sources(state.runs)
    warnings = [*held_out_warnings(recipe), *known_warnings(recipe, fields)]
    report = plan_report.report(made, state, funnels_of(recipe, state.runs), fields, warnings)
    if as_json:
        typer.echo(plan_report.as_json(report))
    else:
        plan_report.show(report, console)
