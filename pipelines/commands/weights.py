"""`byline weights`: from a table of losses to the weights of a mixture, by a named method, as a mixture file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from byline.pipelines.commands.options import error_console

if TYPE_CHECKING:
    from byline.transforms.weights.computing import ComputedWeights

weights = typer.Typer(
    help="Compute mixture weights from a table of losses, and write a mixture file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TablePath = Annotated[
    Path, typer.Argument(metavar="TABLE", help="losses by step and domain: .csv or .jsonl", show_default=False)
]
MixtureFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="the mixture file  [default: standard output]")
]
Last = Annotated[bool, typer.Option("--last", help="only the weights after the last row: what the next step goes by")]


@weights.command()
def doremi(
    table: TablePath,
    eta: Annotated[float, typer.Option(help="step size of an update")] = 1.0,
    smoothing: Annotated[float, typer.Option(help="share of uniform weights in every update")] = 1e-3,
    initial: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a mixture file to begin from  [default: uniform]")
    ] = None,
    last: Last = False,
    output: MixtureFile = None,
) -> None:
    """DoReMi: weights from the excess loss of a proxy model over a reference model."""
    from byline.transforms.weights.computing import check_output, compute_doremi

    check_output(output, table, initial)
    computed = compute_doremi(table, eta=eta, smoothing=smoothing, initial=initial, last=last)
    write_weights(computed, output, error_console())


@weights.command()
def skillit(
    table: TablePath,
    graph: Annotated[
        Path | None, typer.Option(metavar="FILE", help="from,to,weight  [default: each skill helps itself alone]")
    ] = None,
    eta: Annotated[float, typer.Option(help="learning rate of the mixture")] = 0.5,
    window: Annotated[int, typer.Option(min=1, help="how many rounds an update looks back")] = 3,
    no_window: Annotated[bool, typer.Option("--no-window", help="look back over all rounds (equation 4)")] = False,
    last: Last = False,
    output: MixtureFile = None,
) -> None:
    """Skill-it: a mixture for each round from evaluation losses and a skills graph."""
    from byline.transforms.weights.computing import check_output, compute_skill_it

    check_output(output, table, graph)
    computed = compute_skill_it(table, graph, eta=eta, window=None if no_window else window, last=last)
    write_weights(computed, output, error_console())


def write_weights(computed: "ComputedWeights", output: Path | None, console: Console) -> None:
    """Shows the weights, and writes the mixture file; None is standard output."""
    from byline.pipelines.console.weights_table import show_weights
    from byline.transforms.files.storage import write_file

    show_weights(computed, console)
    if output is None:
        typer.echo(computed.text, nl=False)
        return
    with write_file(str(output)) as sink:
        sink.write(computed.text.encode())
