"""From a table of losses to the weights of a mixture, by a named method, as the text of a mixture file.

```
losses.csv   step  domain  excess_loss         weights after each step       text of the mixture file
             1     c4      0.10           ->   c4      0.5000  0.4379   ->   weights: {c4: 0.468943, dclm: 0.531057}
             ...                               dclm    0.5000  0.5621
```
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from byline.errors import BylineError
from byline.schemas.loss_table import LossTable, SkillGraph, identity_graph, read_graph, read_losses
from byline.transforms.weights import skill_it
from byline.transforms.weights.doremi import ETA, SMOOTHING, clipped_excess, replay
from byline.transforms.weights.mixture_file import Array, mixture_text, read_weights, schedule_text


@dataclass(frozen=True)
class ComputedWeights:
    """What a method made of a table.

    Attributes:
        domains: the trained ones.
        path: float64 (T, k), the weights after each update, or of each round.
        note: one line about what was read.
        text: of the mixture file.
    """

    domains: Sequence[str]
    path: Array
    note: str
    text: str


def compute_doremi(
    table: Path, *, eta: float = ETA, smoothing: float = SMOOTHING, initial: Path | None = None, last: bool = False
) -> ComputedWeights:
    """Replays DoReMi's updates over a log; the mixture is the mean of the weights.

    Args:
        table: losses with the columns `step`, `domain`, and `excess_loss` or `loss` and `reference_loss`.
        eta, smoothing: as `byline.transforms.weights.doremi.next_weights`.
        initial: a mixture file with the weights before the first step; None for uniform.
        last: take the weights after the last update instead of the mean: what a trainer's next step goes by.

    Raises:
        BylineError: the table, the initial weights or an option is not usable; one line.
    """
    losses = read_losses(table, [("excess_loss",), ("loss", "reference_loss")])
    excess, origin = _excess(losses)
    start = None if initial is None else read_weights(initial, losses.domains)
    path = replay(excess, eta, smoothing, start)
    chosen = "the weights after the last" if last else "the mean of the weights after each"
    header = [
        _command(f"doremi {table} --eta {eta} --smoothing {smoothing}", "initial", initial, last),
        f"DoReMi (arXiv 2305.10429, Algorithm 1): {chosen} of {len(path)} updates, steps {_span(losses)}",
        f"excess losses {origin}; {digests(table, initial)}",
    ]
    text = mixture_text(header, losses.domains, path[-1] if last else path.mean(axis=0))
    note = f"{table}: {len(path)} steps ({_span(losses)}), excess losses {origin}"
    return ComputedWeights(losses.domains, path, note, text)


def compute_skill_it(
    table: Path,
    graph: Path | None = None,
    *,
    eta: float = skill_it.ETA,
    window: int | None = skill_it.WINDOW,
    last: bool = False,
) -> ComputedWeights:
    """Computes Skill-it's mixture for every round; they make a schedule.

    Args:
        table: losses at the start of each round, with the columns `round` (or `step`), `domain`, `loss`.
        graph: a table with the columns `from`, `to`, `weight`; None for the identity, each skill for itself.
        eta, window: as `byline.transforms.weights.skill_it.schedule`.
        last: take the mixture of the next round alone, for a trainer that asks before each round.

    Raises:
        BylineError: a table or an option is not usable; one line.
    """
    losses = read_losses(table, [("loss",)], step_names=("round", "step"))
    skills = identity_graph(losses.domains) if graph is None else read_graph(graph, losses.domains)
    path = skill_it.schedule(skills.weights, losses.losses["loss"], eta, window)
    edges = _edges(skills, graph)
    look_back = "--no-window" if window is None else f"--window {window}"
    rule = "equation 4" if window is None else "Algorithm 1"
    chosen = f"the mixture of round {len(path)}" if last else f"the mixtures of {len(path)} rounds, equally long"
    header = [
        _command(f"skillit {table} --eta {eta} {look_back}", "graph", graph, last),
        f"Skill-it (arXiv 2307.14430, {rule}): {chosen}, from the losses of rounds {_span(losses)}",
        f"{edges}; {digests(table, graph)}",
    ]
    text = mixture_text(header, skills.trained, path[-1]) if last else schedule_text(header, skills.trained, path)
    note = f"{table}: losses of {len(path) - 1} rounds ({_span(losses)}); {edges}"
    return ComputedWeights(skills.trained, path, note, text)


def check_output(output: Path | None, *inputs: Path | None) -> None:
    """Refuses to replace a file that is read.

    Raises:
        BylineError: `output` is one of the inputs.
    """
    if output is not None and any(file is not None and file.resolve() == output.resolve() for file in inputs):
        raise BylineError(f"{output}: is read by this command, and would be replaced; give another --output")


def _command(method: str, option: str, file: Path | None, last: bool) -> str:
    """The command that makes the same file again; `option` is the name of the one that gives `file`."""
    return f"byline weights {method}{f' --{option} {file}' if file else ''}{' --last' if last else ''}"


def digests(*files: Path | None) -> str:
    """The beginning of the SHA-256 of each file, for a comment."""
    return ", ".join(
        f"sha256 of {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
        for file in files
        if file is not None
    )


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
