"""`byline diff`: which keys of two configurations differ, and what it costs to go from one to the other."""

from pathlib import Path
from typing import Annotated

import typer

from byline.pipelines.commands.options import output_console


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.yaml", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B.yaml", show_default=False)],
) -> None:
    """Say which keys of two configurations differ, and what that costs: nothing, a plan, assembling, preparing."""
    from byline.pipelines.console.diff_lines import show_diff
    from byline.pipelines.recipes import load_recipe

    show_diff(load_recipe(before), load_recipe(after), output_console())
