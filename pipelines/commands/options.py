"""Options that several commands have, and what they come to."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from byline.pipelines.console.safe_console import SafeConsole

if TYPE_CHECKING:
    from byline.pipelines.runners.settings import RunnerSettings
    from byline.schemas.config import Config

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="the YAML file of the recipe", show_default=False)]
OutPath = Annotated[
    str, typer.Argument(metavar="OUT", help="the folder or address of a finished build", show_default=False)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key, as in --set sequence.length=512")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="worker processes; 1 runs in this process  [default: one a core]")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="show Beam's log, and tracebacks of mistakes")]
RunnerName = Annotated[str, typer.Option("--runner", metavar="NAME", help="local, spark, flink, portable or dataflow")]
BeamOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="Beam's own, as in --option job_endpoint=localhost:8099"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace a finished build of another plan")]
TokenizerFile = Annotated[str | None, typer.Option("--tokenizer", help="the build's tokenizer.json, if it was moved")]


def output_console() -> Console:
    """Standard output; in a pipe, lines are not broken at 80 columns."""
    return SafeConsole(soft_wrap=not sys.stdout.isatty())


def error_console() -> Console:
    """Standard error."""
    return SafeConsole(stderr=True)


def beam_options(options: list[str] | None) -> tuple[str, ...]:
    """Options as Beam parses them: `job_endpoint=...` -> `--job_endpoint=...`."""
    return tuple(f"--{option.lstrip('-')}" for option in options or ())


def runner_settings(workers: int | None, verbose: bool, runner: str, options: list[str] | None) -> "RunnerSettings":
    """How a command runs its jobs.

    Raises:
        BylineError: there is no such runner, or it does not take one of the options.
    """
    from byline.pipelines.runners.settings import RunnerSettings

    settings = RunnerSettings(workers, verbose, runner, beam_options(options))
    # Before anything else: what comes next may list a store for minutes.
    settings.check()
    return settings


def load_config(
    path: Path, settings: list[str] | None, runner: "RunnerSettings", sections: tuple[str, ...]
) -> "Config":
    """A recipe, checked.

    Args:
        path: its file.
        settings: values of `--set`.
        runner: whose workers are to open what it names.
        sections: of the recipe, those that name what the workers open.

    Raises:
        BylineError: it is not valid, or names what the workers cannot open.
    """
    from byline.pipelines.recipes import load_recipe
    from byline.pipelines.runners import dataflow

    config = load_recipe(path, settings or ())
    runner.check_locations(dataflow.locations_of(config, sections))
    return config
