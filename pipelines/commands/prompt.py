"""`byline prompt`: the conditioned prompt of a build, as text and ids."""

from typing import Annotated

import typer

from byline.errors import BylineError
from byline.pipelines.commands.options import OutPath, TokenizerFile


def prompt(
    out: OutPath,
    words: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE... TEXT", show_default=False)],
    phase: Annotated[str | None, typer.Option(help="the conditioned phase  [default: the first]")] = None,
    tokenizer: TokenizerFile = None,
) -> None:
    """Show the conditioned prompt for a text exactly as trained, as text and ids."""
    from byline.pipelines.console.prompt_lines import show_prompt

    *pairs, text = words
    values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(values) != len(pairs):
        raise BylineError("prompt: expected FIELD=VALUE, each field once, and then one TEXT in quotes")
    show_prompt(out, values, text, phase, tokenizer)
