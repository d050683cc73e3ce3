"""The command line. Every command is one call into a module of this folder; mistakes are one line on standard error.

```
byline sample DIR               byline verify OUT
byline build CONFIG             byline inspect OUT [--row N]
byline prepare CONFIG           byline prompt OUT host=example.org TEXT
byline plan CONFIG              byline doctor [CONFIG]
byline assemble CONFIG          byline weights doremi|skillit TABLE
byline diff A.yaml B.yaml       byline compact CONFIG
```
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from byline.errors import BylineError
from byline.pipelines.runners import dataflow, interrupts

if TYPE_CHECKING:
    from byline.pipelines.runners.runner import RunnerSettings
    from byline.schemas.config import Config

try:
    import typer
    from rich.console import Console
    from rich.progress import Progress, TaskID
except ModuleNotFoundError as missing:
    sys.exit(f"byline: {missing.name} is not installed; in a clone: pip install '.[build]'")

app = typer.Typer(
    help="Pre-tokenized training data for metadata-conditioned pre-training, exact to the token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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


def _console() -> Console:
    """Standard output; in a pipe, lines are not broken at 80 columns."""
    return Console(soft_wrap=not sys.stdout.isatty())


def _error_console() -> Console:
    return Console(stderr=True)


def _runner(workers: int | None, verbose: bool, name: str, options: list[str] | None) -> "RunnerSettings":
    from byline.pipelines.runners.runner import RunnerSettings

    # At once: what comes next may list a store for minutes.
    how = RunnerSettings(workers, verbose, name, _beam_options(options))
    how.check()
    return how


def _load(config: Path, settings: list[str] | None, how: "RunnerSettings", sections: tuple[str, ...]) -> "Config":
    """A recipe whose parts the runner's workers can open."""
    from byline.pipelines.recipes import load_recipe

    recipe = load_recipe(config, settings or ())
    how.check_locations(dataflow.locations_of(recipe, sections))
    return recipe


def _beam_options(options: list[str] | None) -> tuple[str, ...]:
    return tuple(f"--{option.lstrip('-')}" for option in options or ())


@app.command()
def sample(
    directory: Annotated[str, typer.Argument(metavar="DIR", show_default=False)],
    megabytes: Annotated[float | None, typer.Option(help="MB of text  [default: 12]")] = None,
) -> None:
    """Write a small corpus in the three published layouts, with a tokenizer and a quality classifier."""
    from byline import locations
    from byline.object_stores import is_object_address
    from byline.pipelines.commands.sample import write_sample

    locations.check(directory)
    if is_object_address(directory):
        raise BylineError(f"{directory}: a sample is written to a folder of this machine; give its path")
    with Progress(console=_error_console(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=done)

        report = write_sample(Path(directory), megabytes, show)
    for name, layout in report.layouts.items():
        typer.echo(
            f"{name}: {len(layout.files)} files, {layout.records} documents, {layout.text_bytes / 1e6:.1f} MB of text"
        )
    typer.echo(f"{report.tokenizer}, {report.classifier}; {report.hosts} hosts")


@app.command()
def build(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Prepare what is missing, plan, and assemble what is missing."""
    from byline.pipelines.commands import build as command

    how = _runner(workers, verbose, runner, options)
    command.build(_load(config, settings, how, dataflow.BUILDING), how, _console(), overwrite=overwrite)


@app.command()
def prepare(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Read, score and tokenize the raw corpora into the token store."""
    from byline.pipelines.commands import prepare as command

    how = _runner(workers, verbose, runner, options)
    command.prepare(_load(config, settings, how, dataflow.PREPARING), how, _console())


@app.command()
def plan(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
    as_json: Annotated[bool, typer.Option("--json", help="all of it as JSON on standard output")] = False,
) -> None:
    """Show which documents go where, and what they come to; writes nothing to the output."""
    from byline.pipelines.commands import plan as command
    from byline.pipelines.console import plan_report
    from byline.pipelines.console.funnel import funnels_of

    console = _error_console() if as_json else _console()
    how = _runner(workers, verbose, runner, options)
    recipe = _load(config, settings, how, dataflow.PLANNING)
    found, state = command.plan(recipe, how, console)
    funnels = funnels_of(recipe, state.runs)
    if as_json:
        typer.echo(plan_report.as_json(found, state, funnels))
    else:
        plan_report.show(found, state, console, funnels)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A.yaml", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B.yaml", show_default=False)],
) -> None:
    """Say which keys of two configurations differ, and what that costs: nothing, a plan, assembling, preparing."""
    from byline.pipelines.commands import diff as command

    command.diff(before, after, _console())


@app.command()
def assemble(
    config: ConfigPath,
    settings: Settings = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Plan, and write the shards that are missing."""
    from byline.pipelines.commands import assemble as command
    from byline.pipelines.commands import plan as planning

    console, how = _console(), _runner(workers, verbose, runner, options)
    recipe = _load(config, settings, how, dataflow.ASSEMBLING)
    found, state = planning.plan(recipe, how, console)
    command.assemble(recipe, found, state.runs, how, console, overwrite=overwrite)
    command.show_result(recipe.output, console)


@app.command()
def compact(
    config: ConfigPath,
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="of a merged run at most, as in 64MiB or 1GiB")
    ] = "1GiB",
    settings: Settings = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Merge small runs of the token store, so that shards are read in fewer and longer ranges."""
    from byline.pipelines.commands import compact as command

    how = _runner(workers, verbose, runner, options)
    recipe = _load(config, settings, how, dataflow.PLANNING)
    command.compact(recipe, command.parse_size(size), how, _console())


@app.command()
def verify(
    out: OutPath,
    documents: Annotated[int, typer.Option(min=0, help="documents of the raw corpora to compare token by token")] = 64,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="do not assemble every shard again from the token store")
    ] = False,
    tokenizer: TokenizerFile = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Recount every invariant, checksum and line of the ledger from the files."""
    from byline.pipelines.commands import verify as command

    how = _runner(workers, verbose, runner, options)
    how.check_locations([("OUT", out), *([("--tokenizer", tokenizer)] if tokenizer else [])])
    raise typer.Exit(command.verify(out, documents, tokenizer, how, _console(), with_store=not no_store))


@app.command()
def inspect(
    out: OutPath,
    row: Annotated[int, typer.Option(help="number of the sequence, negative from the end")] = 0,
    phase: Annotated[str | None, typer.Option(help="count within this phase")] = None,
    tokenizer: TokenizerFile = None,
    color: Annotated[bool, typer.Option("--color", help="in colour in a pipe, too")] = False,
    full: Annotated[bool, typer.Option("--full", help="leave nothing out")] = False,
) -> None:
    """Show one sequence: masked, trained and padding tokens, and where each document came from."""
    from byline.pipelines.commands import inspect_rows as command

    console = Console(force_terminal=True, color_system="256") if color else Console()
    command.inspect(out, row, phase, tokenizer, console, full)


@app.command()
def prompt(
    out: OutPath,
    words: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE... TEXT", show_default=False)],
    phase: Annotated[str | None, typer.Option(help="the conditioned phase  [default: the first]")] = None,
    tokenizer: TokenizerFile = None,
) -> None:
    """Show the conditioned prompt for a text exactly as trained, as text and ids."""
    from byline.pipelines.commands import prompt as command

    *pairs, text = words
    values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(values) != len(pairs):
        raise BylineError("prompt: expected FIELD=VALUE, each field once, and then one TEXT in quotes")
    command.show_prompt(out, values, text, phase, tokenizer)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", show_default=False)] = None,
    runner: Annotated[
        str | None,
        typer.Option("--runner", metavar="NAME", help="look at its job server, workers, image and credentials"),
    ] = None,
    options: BeamOptions = None,
) -> None:
    """Say what is installed, which runners can start, and whether inputs and models can be opened."""
    from byline.pipelines.commands import doctor as command

    raise typer.Exit(command.doctor(config, _console(), runner, _beam_options(options)))


weights_app = typer.Typer(
    help="Compute mixture weights from a table of losses, and write a mixture file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(weights_app, name="weights")

TablePath = Annotated[
    Path, typer.Argument(metavar="TABLE", help="losses by step and domain: .csv or .jsonl", show_default=False)
]
MixtureFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="the mixture file  [default: standard output]")
]
Last = Annotated[bool, typer.Option("--last", help="only the weights after the last row: what the next step goes by")]


@weights_app.command()
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
    from byline.pipelines.commands import weights as command

    command.doremi(
        table, eta=eta, smoothing=smoothing, initial=initial, last=last, output=output, console=_error_console()
    )


@weights_app.command()
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
    from byline.pipelines.commands import weights as command

    command.skill_it(
        table, graph, eta=eta, window=None if no_window else window, last=last, output=output, console=_error_console()
    )


def main() -> None:
    """Runs a command; a user's mistake ends it with one line and exit status 1."""
    # Beam warns, when it is imported, about parts that only other runners need.
    logging.getLogger().setLevel(logging.INFO if "--verbose" in sys.argv else logging.CRITICAL)
    interrupts.watch()
    try:
        app()
    except BaseException as error:
        # First of all: an interrupt comes out of Beam as an error, and of typer as an exit.
        if interrupts.is_stopped():
            if "--verbose" in sys.argv:
                traceback.print_exc()
            interrupts.end_process()
        if not isinstance(error, BylineError) or "--verbose" in sys.argv:
            raise
        _error_console().print(f"[bold red]error[/] {_plain(error)}", soft_wrap=True, highlight=False)
        sys.exit(1)


def _plain(error: BylineError) -> str:
    """The message without anything that rich would take for markup."""
    from rich.markup import escape

    return escape(str(error))


if __name__ == "__main__":
    main()
