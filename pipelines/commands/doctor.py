"""`byline doctor`: what is installed, which runners can start, and whether a recipe works on some records."""

from pathlib import Path
from typing import Annotated

import typer

from byline.pipelines.commands.options import BeamOptions, Settings, beam_options, output_console
from byline.pipelines.quick_imports import quick_imports


def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", show_default=False)] = None,
    settings: Settings = None,
    runner: Annotated[
        str | None,
        typer.Option("--runner", metavar="NAME", help="check its job server, workers, image and credentials"),
    ] = None,
    options: BeamOptions = None,
) -> None:
    """Say what is installed, which runners can start, and try a recipe on some records of each source."""
    with quick_imports():
        from byline.pipelines.console.doctor_lines import show_checks
        from byline.pipelines.doctor.installation import check_all

    raise typer.Exit(show_checks(check_all(config, runner, beam_options(options), settings or ()), output_console()))
