"""`byline rejects`: the records that were dropped because they are no documents."""

import itertools
import json
from typing import Annotated

import typer

from byline.errors import BylineError
from byline.pipelines.commands.options import ConfigPath, Settings, output_console
from byline.pipelines.quick_imports import quick_imports
from byline.printable import shown


def rejects(
    config: ConfigPath,
    settings: Settings = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="of this source alone")] = None,
    reason: Annotated[str | None, typer.Option(metavar="NAME", help="for this reason alone, as `malformed`")] = None,
    limit: Annotated[int, typer.Option(min=0, help="how many records to show")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="all of it as JSON on standard output")] = False,
) -> None:
    """Show the records that were dropped because they are no documents."""
    with quick_imports():
        from byline.pipelines.console.reject_lines import reject_lines, reject_values
        from byline.pipelines.recipes import load_recipe
        from byline.schemas.reasons import REJECT_REASONS
        from byline.transforms.store.rejects import count_rejects, first_rejects
        from byline.transforms.store.state import read_state

    recipe = load_recipe(config, settings or ())
    for option, value, known in (("--source", source, recipe.sources), ("--reason", reason, REJECT_REASONS)):
        if value is not None and value not in known:
            raise BylineError(f"{option}: expected {', '.join(known)}; found {shown(value)}")
    state = read_state(recipe, reads_input=False)
    runs = [run for run in state.runs if source is None or run.source == source]
    counts = count_rejects(runs)
    records = list(itertools.islice(first_rejects(state.folders, runs, reason), limit))
    if as_json:
        typer.echo(json.dumps(reject_values(counts, records)))
        return
    console = output_console()
    for line in reject_lines(counts, records):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
