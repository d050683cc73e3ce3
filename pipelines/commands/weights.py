"""`byline weights`: from tables of losses to the weights of a mixture, by a named method, as a mixture file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from byline.pipelines.commands.options import ConfigPath, Workers, error_console

if TYPE_CHECKING:
    from byline.transforms.weights.computing import ComputedWeights

weights = typer.Typer(
    help="Compute mixture weights from a table of losses, and write a mixture file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
swarm = typer.Typer(
    help="RegMix and Olmix: mixtures for many small proxy runs, and a mixture from their metrics.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
weights.add_typer(swarm, name="swarm")

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


@swarm.command()
def draw(
    config: ConfigPath,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="for recipes and tables", show_default=False)],
    count: Annotated[int, typer.Option(min=1, help="how many mixtures")],
    seed: Annotated[int, typer.Option(min=0, help="decides them")] = 0,
    tokens: Annotated[
        str | None, typer.Option(metavar="N", help="positions of each proxy's build, as 20M  [default: CONFIG's]")
    ] = None,
    strength: Annotated[
        tuple[float, float], typer.Option(help="least and largest concentration around the natural mixture")
    ] = (0.1, 5.0),
    min_weight: Annotated[float, typer.Option(help="a smaller share becomes zero")] = 0.002,
    max_epochs: Annotated[
        float | None,
        typer.Option(help="of each source in a build  [default: 1, or none if CONFIG's shortage is repeat]"),
    ] = None,
    workers: Workers = None,
) -> None:
    """Draw mixtures around the natural one, a recipe for each, from a prepared token store."""
    from byline.pipelines.jobs.swarm import draw_swarm

    written = draw_swarm(
        config,
        folder,
        count,
        seed,
        tokens,
        strengths=strength,
        min_weight=min_weight,
        max_epochs=max_epochs,
        workers=workers,
        console=error_console(),
    )
    typer.echo(written)


@swarm.command()
def fit(
    ratios: Annotated[
        Path, typer.Argument(metavar="RATIOS", help="ratios.csv, or the folder that has it", show_default=False)
    ],
    metrics: Annotated[
        Path | None, typer.Argument(metavar="[METRICS]", help="metrics.csv  [default: beside it]", show_default=False)
    ] = None,
    priors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="token_counts  [default: priors.yaml beside it, if any]")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help="to lower  [default: every metric]")
    ] = None,
    regression: Annotated[str, typer.Option(help="log_linear or lightgbm")] = "log_linear",
    max_epochs: Annotated[float | None, typer.Option(help="the most epochs of each domain; with --tokens")] = None,
    tokens: Annotated[str | None, typer.Option(metavar="N", help="of the training that is meant, as 20B")] = None,
    kl: Annotated[float, typer.Option(help="weight of the divergence from the natural mixture")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the search")] = 0,
    output: MixtureFile = None,
) -> None:
    """Search the mixture of the least mean predicted loss."""
    from byline.pipelines.console.weights_table import show_swarm
    from byline.schemas.swarm_tables import token_count
    from byline.transforms.weights.computing import check_output
    from byline.transforms.weights.swarm_files import compute_swarm, files_of_swarm

    check_output(output, *files_of_swarm(ratios, metrics, priors))
    computed = compute_swarm(
        ratios,
        metrics,
        priors=priors,
        targets=target or (),
        regression=regression,
        max_epochs=max_epochs,
        tokens=None if tokens is None else token_count(tokens),
        kl=kl,
        seed=seed,
    )
    show_swarm(computed, error_console())
    write_mixture(computed.text, output)


def write_weights(computed: "ComputedWeights", output: Path | None, console: Console) -> None:
    """Shows the weights, and writes the mixture file; None is standard output."""
    from byline.pipelines.console.weights_table import show_weights

    show_weights(computed, console)
    write_mixture(computed.text, output)


def write_mixture(text: str, output: Path | None) -> None:
    """Writes a mixture file; None is standard output."""
    from byline.transforms.files.storage import write_file

    if output is None:
        typer.echo(text, nl=False)
        return
    with write_file(str(output)) as sink:
        sink.write(text.encode())
