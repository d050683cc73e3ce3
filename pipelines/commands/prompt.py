"""`byline prompt`: the conditioned prompt of a build, as text and ids, and the one without metadata."""

from typing import Annotated

import typer

from byline.errors import BylineError
from byline.pipelines.commands.options import OutPath, TokenizerFile


def prompt(
    out: OutPath,
    words: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE... TEXT", show_default=False)],
    phase: Annotated[
        str | None, typer.Option(help="the phase or branch  [default: the first with a condition]")
    ] = None,
    pair: Annotated[
        bool, typer.Option("--pair", help="also the prompt without metadata, for classifier-free guidance")
    ] = False,
    way: Annotated[
        str | None,
        typer.Option(help="what --pair has for no metadata: empty, none or unknown  [default: what training had]"),
    ] = None,
    tokenizer: TokenizerFile = None,
) -> None:
    """Show the conditioned prompt for a text exactly as trained, as text and ids."""
    from byline.pipelines.console.prompt_lines import show_pair, show_prompt

    *given, text = words
    values = dict(word.split("=", 1) for word in given if "=" in word)
    if len(values) != len(given):
        raise BylineError("prompt: expected FIELD=VALUE, each field once, and then one TEXT in quotes")
    if way is not None and not pair:
        raise BylineError("prompt: --way says what --pair has for no metadata; give --pair, too")
    if pair:
        show_pair(out, values, text, phase, way, tokenizer)
    else:
        show_prompt(out, values, text, phase, tokenizer)
