"""`byline weights`: from a table of losses to the weights of a mixture, by a named method, as a mixture file.

```
$ byline weights doremi losses.csv --output weights.yaml
domain   first    last  average         # byline weights doremi losses.csv --eta 1.0 --smoothing 0.001
c4      0.5000  0.4379   0.4689         # DoReMi (arXiv 2305.10429, Algorithm 1): the mean of the weights after each ...
dclm    0.5000  0.5621   0.5311         weights: {c4: 0.468943, dclm: 0.531057}
```

A schedule of Skill-it is a piecewise mixture, its rounds equally long. Weights have 6 places and sum to exactly 1.
"""

import hashlib
import sys
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from byline.errors import BylineError
from byline.schemas.loss_table import LossTable, SkillGraph, identity_graph, read_graph, read_losses
from byline.transforms.files.storage import write_file
from byline.transforms.weights import skill_it as skill_it_method
from byline.transforms.weights.doremi import ETA, SMOOTHING, clipped_excess, replay

Array = NDArray[np.float64]

PLACES = 6
_UNITS = 10**PLACES
# How far the sum of weights that were written with fewer places may be from 1.
_SUM_TOLERANCE = 1e-3


def doremi(
    table: Path,
    *,
    eta: float = ETA,
    smoothing: float = SMOOTHING,
    initial: Path | None = None,
    last: bool = False,
    output: Path | None = None,
    console: Console,
) -> None:
    """Replays DoReMi's updates over a log, and writes the mean of the weights.

    Args:
        table: losses with the columns `step`, `domain`, and `excess_loss` or `loss` and `reference_loss`.
        eta, smoothing: as `byline.transforms.weights.doremi.next_weights`.
        initial: a mixture file with the weights before the first step; None for uniform.
        last: write the weights after the last update instead of the mean: what a trainer's next step goes by.
        output: the mixture file; None for standard output.
        console: for the table of weights, which is not part of the output.

    Raises:
        BylineError: the table, the initial weights or an option is not usable; one line.
    """
    _check_output(output, table, initial)
    losses = read_losses(table, [("excess_loss",), ("loss", "reference_loss")])
    excess, origin = _excess(losses)
    start = None if initial is None else read_weights(initial, losses.domains)
    path = replay(excess, eta, smoothing, start)
    chosen = "the weights after the last" if last else "the mean of the weights after each"
    header = [
        _command(f"doremi {table} --eta {eta} --smoothing {smoothing}", "initial", initial, last),
        f"DoReMi (arXiv 2305.10429, Algorithm 1): {chosen} of {len(path)} updates, steps {_span(losses)}",
        f"excess losses {origin}; {_digests(table, initial)}",
    ]
    _show(console, losses.domains, path, f"{table}: {len(path)} steps ({_span(losses)}), excess losses {origin}")
    _write(mixture_text(header, losses.domains, path[-1] if last else path.mean(axis=0)), output)


def skill_it(
    table: Path,
    graph: Path | None = None,
    *,
    eta: float = skill_it_method.ETA,
    window: int | None = skill_it_method.WINDOW,
    last: bool = False,
    output: Path | None = None,
    console: Console,
) -> None:
    """Computes Skill-it's mixture for every round, and writes them as a schedule.

    Args:
        table: losses at the start of each round, with the columns `round` (or `step`), `domain`, `loss`.
        graph: a table with the columns `from`, `to`, `weight`; None for the identity, each skill for itself.
        eta, window: as `byline.transforms.weights.skill_it.schedule`.
        last: write the mixture of the round to come alone, for a trainer that asks before each round.
        output: the mixture file; None for standard output.
        console: for the table of weights, which is not part of the output.

    Raises:
        BylineError: a table or an option is not usable; one line.
    """
    _check_output(output, table, graph)
    losses = read_losses(table, [("loss",)], step_names=("round", "step"))
    skills = identity_graph(losses.domains) if graph is None else read_graph(graph, losses.domains)
    path = skill_it_method.schedule(skills.weights, losses.losses["loss"], eta, window)
    edges = _edges(skills, graph)
    look_back = "--no-window" if window is None else f"--window {window}"
    rule = "equation 4" if window is None else "Algorithm 1"
    chosen = f"the mixture of round {len(path)}" if last else f"the mixtures of {len(path)} rounds, equally long"
    header = [
        _command(f"skillit {table} --eta {eta} {look_back}", "graph", graph, last),
        f"Skill-it (arXiv 2307.14430, {rule}): {chosen}, from the losses of rounds {_span(losses)}",
        f"{edges}; {_digests(table, graph)}",
    ]
    _show(console, skills.trained, path, f"{table}: losses of {len(path) - 1} rounds ({_span(losses)}); {edges}")
    text = mixture_text(header, skills.trained, path[-1]) if last else schedule_text(header, skills.trained, path)
    _write(text, output)


def read_weights(path: Path, domains: Sequence[str]) -> Array:
    """Weights of a mixture file with the key `weights`, in the order of `domains`.

    Returns:
        float64 (k,), sums to one; weights that were written with few places are divided by their sum.

    Raises:
        BylineError: no such file, no such key, other domains, or weights that do not sum to one.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "not YAML text"
        raise BylineError(f"{path}: cannot be read ({reason}); expected `weights: {{NAME: SHARE, ...}}`") from None
    weights = values.get("weights") if isinstance(values, dict) else None
    if not isinstance(weights, dict) or {*weights} != {*domains}:
        raise BylineError(f"{path}: expected `weights:` with one share for each of {', '.join(domains)}")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            raise BylineError(f"{path}: weights.{name}: expected a share from 0 to 1, found {weight!r}")
    found = np.array([weights[name] for name in domains], np.float64)
    if abs(found.sum() - 1) > _SUM_TOLERANCE:
        raise BylineError(f"{path}: the weights sum to {found.sum():g}; expected 1, so change one")
    return found / found.sum()


def decimals(weights: Array) -> list[Decimal]:
    """Weights as decimals of 6 places that sum to exactly 1: the largest remainders are rounded up.

    ```
    2/3, 1/6, 1/6   ->   666666 + 0.67   166666 + 0.67   166666 + 0.67   ->   0.666667  0.166667  0.166666
    ```

    Args:
        weights: float64 (k,), sums to one. Of equal remainders the first ones are rounded up.
    """
    units = weights / weights.sum() * _UNITS
    whole = np.floor(units).astype(np.int64)
    # Compared as numbers of 3 places, for equal weights' remainders differ by the rounding of the division.
    order = np.argsort(-np.round(units - whole, 3), kind="stable")
    whole[order[: _UNITS - int(whole.sum())]] += 1
    return [Decimal(int(unit)).scaleb(-PLACES) for unit in whole]


def mixture_text(header: Sequence[str], domains: Sequence[str], weights: Array) -> str:
    """A mixture file of constant weights; `header` lines become comments."""
    return f"{_comments(header)}weights: {_flow(_named(domains, weights))}\n"


def schedule_text(header: Sequence[str], domains: Sequence[str], path: Array) -> str:
    """A mixture file of T pieces, equally long.

    Args:
        path: float64 (T, k), the weights of each piece.
    """
    starts = [Fraction(piece, len(path)) for piece in range(len(path))]
    points = [{"at": at, "weights": _named(domains, row)} for at, row in zip(starts, path, strict=True)]
    lines = "".join(f"  - {_flow(point)}\n" for point in points)
    return f"{_comments(header)}method: piecewise\npoints:\n{lines}"


class _Dumper(yaml.SafeDumper):
    """YAML with decimals as they are, and shares as decimals or, where these would go on for long, as `n/d`."""


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:f}")


def _share(dumper: yaml.SafeDumper, value: Fraction) -> yaml.ScalarNode:
    if value.denominator == 1:
        return dumper.represent_int(value.numerator)
    text = f"{float(value):.{PLACES}f}".rstrip("0")
    if Fraction(text) == value:
        return dumper.represent_scalar("tag:yaml.org,2002:float", text)
    return dumper.represent_str(str(value))


_Dumper.add_representer(Decimal, _decimal)
_Dumper.add_representer(Fraction, _share)


def _flow(value: dict[str, Any]) -> str:
    """One line of YAML."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=sys.maxsize, allow_unicode=True
    )
    return text.rstrip("\n")


def _named(domains: Sequence[str], weights: Array) -> dict[str, Decimal]:
    return dict(zip(domains, decimals(weights), strict=True))


def _comments(lines: Sequence[str]) -> str:
    return "".join(f"# {_printable(line)}\n" for line in lines)


def _printable(text: str) -> str:
    """A file may be called anything; a line break or a control character would end the comment or the file."""
    return text if text.isprintable() else ascii(text)


def _command(method: str, option: str, file: Path | None, last: bool) -> str:
    """The command that makes the same file again; `option` is the name of the one that gives `file`."""
    return f"byline weights {method}{f' --{option} {file}' if file else ''}{' --last' if last else ''}"


def _digests(*files: Path | None) -> str:
    read = [file for file in files if file is not None]
    return ", ".join(f"sha256 of {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" for file in read)


def _excess(losses: LossTable) -> tuple[Array, str]:
    """Excess losses, float64 (T, k), and where they come from."""
    columns = losses.losses
    if "excess_loss" in columns:
        return columns["excess_loss"], "as given in excess_loss"
    clipped = clipped_excess(columns["loss"], columns["reference_loss"])
    return clipped, "clipped by domain: max(loss - reference_loss, 0)"


def _edges(skills: SkillGraph, graph: Path | None) -> str:
    if graph is None:
        return "no graph, so each skill helps itself alone"
    edges, pairs = np.count_nonzero(skills.weights), skills.weights.size
    return f"graph {graph} with {edges} edges of {pairs} pairs"


def _span(losses: LossTable) -> str:
    first, last = losses.steps[0], losses.steps[-1]
    return f"{first}" if first == last else f"{first} to {last}"


def _show(console: Console, domains: Sequence[str], path: Array, note: str) -> None:
    console.print(escape(_printable(note)), highlight=False, soft_wrap=True)
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("domain", no_wrap=True)
    for name in ("first", "last", "average"):
        shown.add_column(name, justify="right", no_wrap=True)
    for domain, *weights in zip(domains, path[0], path[-1], path.mean(axis=0), strict=True):
        shown.add_row(escape(_printable(domain)), *(f"{weight:.4f}" for weight in weights))
    console.print(shown)


def _check_output(output: Path | None, *inputs: Path | None) -> None:
    if output is not None and any(file is not None and file.resolve() == output.resolve() for file in inputs):
        raise BylineError(f"{output}: is read by this command, and would be replaced; give another --output")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    with write_file(str(output)) as sink:
        sink.write(text.encode())
