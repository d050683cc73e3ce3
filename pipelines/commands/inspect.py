"""`byline inspect`: one sequence of a build as a person reads it."""

from typing import Annotated

import typer

from byline.pipelines.commands.options import OutPath, TokenizerFile
from byline.pipelines.console.safe_console import SafeConsole


def inspect(
    out: OutPath,
    row: Annotated[int, typer.Option(help="number of the sequence, negative from the end")] = 0,
    phase: Annotated[str | None, typer.Option(help="count within this phase")] = None,
    tokenizer: TokenizerFile = None,
    color: Annotated[bool, typer.Option("--color", help="in colour in a pipe, too")] = False,
    full: Annotated[bool, typer.Option("--full", help="leave nothing out")] = False,
) -> None:
    """Show one sequence: masked, trained and padding tokens, and where each document came from."""
    from byline.pipelines.console.sequence_view import show_sequence

    console = SafeConsole(force_terminal=True, color_system="256") if color else SafeConsole()
    show_sequence(out, row, phase, tokenizer, console, full)
