"""A swarm's files: the recipes of its proxies, and from their metrics a mixture file.

```
DIR/run-0000.yaml    extends: ../recipe.yaml    DIR/ratios.csv     run,name,index,code,web
                     tokens: 2000000                               run-0000,run-0000,0,0.300000,0.700000
                     mixture: {...}             DIR/priors.yaml    priors: {relative_sizes: ..., token_counts: ...}
                     output: DIR/run-0000       DIR/metrics.csv    written by whoever trains and evaluates the proxies
```
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from byline.errors import BylineError
from byline.printable import printable
from byline.schemas.swarm_tables import (
    METRICS,
    PRIORS,
    RATIOS,
    Swarm,
    priors_text,
    read_swarm,
    read_token_counts,
    runs_text,
)
from byline.transforms.weights.computing import digests
from byline.transforms.weights.drawing import written_caps
from byline.transforms.weights.mixture_file import decimals, flow, mixture_text, named
from byline.transforms.weights.swarm import SwarmFit, fit_swarm

Array = NDArray[np.float64]

# Below it, runs that were left out are in hardly more than a random order.
_LOW_CORRELATION = 0.5


@dataclass(frozen=True)
class SwarmWeights:
    """A mixture from a swarm.

    Attributes:
        swarm: what was read.
        fit: what it came to.
        natural: float64 (k,), where the search began.
        notes: lines about it, warnings behind them.
        command: that writes the file again.
        text: of the mixture file.
    """

    swarm: Swarm
    fit: SwarmFit
    natural: Array
    notes: list[str]
    command: str
    text: str


def swarm_texts(
    config: Path, folder: Path, command: str, tokens: int, counts: Mapping[str, int], mixtures: Array
) -> dict[str, str]:
    """The files of a swarm to be trained, by name.

    Args:
        config: the recipe that the proxies' recipes extend.
        folder: where they will lie, and the builds beside them.
        command: what makes them, for their comments.
        tokens: of each build.
        counts: domain -> its tokens.
        mixtures: float64 (N, k), in the order of `counts`.
    """
    domains, runs = list(counts), [f"run-{number:04}" for number in range(len(mixtures))]
    # Of the real folders, since `..` behind a link leads from where the link leads to.
    base = os.path.relpath(os.path.realpath(config), os.path.realpath(folder))
    texts = {
        RATIOS: runs_text(domains, runs, map(decimals, mixtures)),
        PRIORS: priors_text([command, f"positions that one epoch of each source of {config} fills"], counts),
    }
    for run, weights in zip(runs, mixtures, strict=True):
        first = yaml.safe_dump({"extends": base, "tokens": tokens}, sort_keys=False, allow_unicode=True)
        mixture = flow({"method": "weights", "weights": named(domains, weights)})
        output = yaml.safe_dump({"output": str(folder / run)}, allow_unicode=True)
        texts[f"{run}.yaml"] = f"# {printable(command)}\n{first}mixture: {mixture}\n{output}"
    return texts


def compute_swarm(
    ratios: Path,
    metrics: Path | None = None,
    *,
    priors: Path | None = None,
    targets: Sequence[str] = (),
    regression: str = "log_linear",
    max_epochs: float | None = None,
    tokens: int | None = None,
    kl: float = 0.0,
    seed: int = 0,
) -> SwarmWeights:
    """Reads a swarm, and searches the mixture of the least mean predicted loss.

    Args:
        ratios: `ratios.csv`, or a folder with it, `metrics.csv` and, if there is one, `priors.yaml`.
        metrics: `metrics.csv`; None for the one beside `ratios.csv`.
        priors: a file with `token_counts`; None for the one in the folder.
        targets: metrics to lower; none for all.
        regression, kl, seed: as `byline.transforms.weights.swarm.fit_swarm`.
        max_epochs, tokens: the most epochs of each domain in a training on so many tokens; both or none.

    Raises:
        BylineError: a file or an option is not usable; one line.
    """
    table, measured, priors = files_of_swarm(ratios, metrics, priors)
    swarm = read_swarm(table, measured, targets)
    counts = None if priors is None else read_token_counts(priors, swarm.domains)
    caps = _caps(max_epochs, tokens, counts, swarm.domains)
    natural = swarm.ratios.mean(axis=0) if counts is None else counts / counts.sum()
    fit = fit_swarm(swarm.ratios, swarm.losses, regression=regression, natural=natural, caps=caps, kl=kl, seed=seed)
    options = [f"--regression {regression}", *(f"--target {name}" for name in targets)]
    options += [f"--priors {priors}"] if priors else []
    options += [f"--max-epochs {max_epochs:g} --tokens {tokens}"] if caps is not None else []
    options += [f"--kl {kl:g}"] if kl else []
    notes = _notes(swarm, fit, regression, "the mean of the runs" if counts is None else str(priors))
    command = f"byline weights swarm fit {table} {measured} {' '.join(options)} --seed {seed}"
    header = [
        command,
        f"RegMix (arXiv 2407.01492) and Olmix (arXiv 2602.12237): {notes[0]}",
        f"rank correlation, {fit.folds}-fold: {_correlations(swarm, fit)}",
        digests(table, measured, priors),
        *notes[1:],
    ]
    text = mixture_text(header, swarm.domains, fit.weights)
    return SwarmWeights(swarm, fit, natural, notes, command, text)


def files_of_swarm(ratios: Path, metrics: Path | None, priors: Path | None) -> tuple[Path, Path, Path | None]:
    """`ratios.csv`, `metrics.csv` and, if there is one, `priors.yaml`, of arguments as `compute_swarm` takes them."""
    table = ratios / RATIOS if ratios.is_dir() else ratios
    beside = table.with_name(PRIORS)
    if priors is None and beside.is_file():
        priors = beside
    return table, table.with_name(METRICS) if metrics is None else metrics, priors


def epoch_caps(counts: Array, max_epochs: float, tokens: int) -> Array:
    """float64 (k,): the largest share of each domain in a training on `tokens`.

    Raises:
        BylineError: `max_epochs` or `tokens` is not above 0.
    """
    if not (0 < max_epochs < float("inf") and tokens > 0):
        raise BylineError(f"max_epochs, tokens: expected numbers above 0, found {max_epochs} and {tokens}")
    return written_caps(counts * max_epochs / tokens)


def _caps(max_epochs: float | None, tokens: int | None, counts: Array | None, domains: Sequence[str]) -> Array | None:
    if max_epochs is None and tokens is None:
        return None
    if max_epochs is None or tokens is None:
        raise BylineError("max_epochs: epochs are of a training on so many tokens; give --max-epochs and --tokens")
    if counts is None:
        raise BylineError(
            f"max_epochs: needs the tokens of {', '.join(domains)}; give --priors, which `swarm draw` writes"
        )
    return epoch_caps(counts, max_epochs, tokens)


def _notes(swarm: Swarm, fit: SwarmFit, regression: str, natural: str) -> list[str]:
    runs, metrics = len(swarm.runs), len(swarm.metrics)
    notes = [f"{runs} runs, the mean of {metrics} metric{'s' * (metrics > 1)} by {regression}; searched from {natural}"]
    if runs < fit.needed:
        notes.append(
            f"warning: {runs} runs are fewer than the {fit.needed} that {regression} needs for {len(swarm.domains)} "
            "domains; what is predicted is not to be relied on"
        )
    for metric, correlation in zip(swarm.metrics, fit.correlations, strict=True):
        # NaN, where there is no order, is not above it either.
        if not correlation >= _LOW_CORRELATION:
            notes.append(f"warning: {metric}: runs left out are not ranked (rank correlation {correlation:.2f})")
    for domain, shares, weight in zip(swarm.domains, swarm.ratios.T, fit.weights, strict=True):
        if not shares.min() - 0.01 <= weight <= shares.max() + 0.01:
            notes.append(
                f"warning: {domain}: {weight:.3f} is outside the runs' {shares.min():.3f} to {shares.max():.3f}"
            )
    return notes


def _correlations(swarm: Swarm, fit: SwarmFit) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(swarm.metrics, fit.correlations, strict=True))
