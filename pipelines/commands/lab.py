"""`byline lab`: trains small models on what a recipe makes, and shows what came of it."""

import importlib
from typing import Annotated

import typer

from byline.errors import BylineError
from byline.pipelines.commands.options import Settings, output_console
from byline.pipelines.quick_imports import quick_imports

# What `byline.lab` needs beside the rest.
_NEEDED = ("torch", "matplotlib", "jinja2")


def lab(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="its name, or the path of a file", show_default=False)
    ],
    small: Annotated[bool, typer.Option("--small", help="a smaller form of the study, to begin with")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="the smallest form: whether it runs, nothing else")] = False,
    output: Annotated[str | None, typer.Option(metavar="DIR", help="its folder  [default: out/lab/RECIPE]")] = None,
    settings: Settings = None,
    workers: Annotated[int | None, typer.Option(min=1, help="trainings at a time  [default: one a core]")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda  [default: cuda where there is one]")] = None,
) -> None:
    """Train small models on each arm of a study, several seeds each; write a table, plots and a page."""
    if small and smoke:
        raise BylineError("--small and --smoke are two forms; give one")
    scale = "small" if small else "smoke" if smoke else None
    with quick_imports():
        # By name: nothing that is installed without the extra imports the laboratory.
        try:
            running = importlib.import_module("byline.lab.running")
        except ModuleNotFoundError as missing:
            if missing.name not in _NEEDED:
                raise
            raise BylineError(
                f"byline lab: {missing.name} is not installed; in a clone: make setup-lab, or pip install '.[lab]'"
            ) from None
    running.run(recipe, output_console(), scale, output, settings or (), workers, device)
