"""`byline doctor`: what is installed, which runners can start, and whether all that a recipe names can be opened."""

from pathlib import Path
from typing import Annotated

import typer

from byline.pipelines.commands.options import BeamOptions, beam_options, output_console


def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", show_default=False)] = None,
    runner: Annotated[
        str | None,
        typer.Option("--runner", metavar="NAME", help="check its job server, workers, image and credentials"),
    ] = None,
    options: BeamOptions = None,
) -> None:
    """Say what is installed, which runners can start, and whether inputs and models can be opened."""
    from byline.pipelines.console.doctor_lines import show_checks
    from byline.pipelines.runners.installation import check_all

    raise typer.Exit(show_checks(check_all(config, runner, beam_options(options)), output_console()))
