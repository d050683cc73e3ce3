"""The job of `byline weights swarm draw`: token store -> recipes of a swarm's proxies, and their tables.

A domain is a source of the recipe; its size is what the planner counts of it: positions that one epoch fills, after
selections, with prefixes and special tokens. Nothing is read but the token store's index.
"""

import shlex
from pathlib import Path

import numpy as np
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs.plan import plan
from byline.pipelines.recipes import load_recipe
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.mixtures.by_size import Natural
from byline.schemas.recipe import Shortage
from byline.schemas.swarm_tables import RATIOS, token_count
from byline.transforms.files.storage import write_file
from byline.transforms.weights.drawing import draw_mixtures
from byline.transforms.weights.swarm_files import epoch_caps, swarm_texts


def draw_swarm(
    path: Path,
    folder: Path,
    count: int,
    seed: int,
    tokens: str | None,
    *,
    strengths: tuple[float, float],
    min_weight: float,
    max_epochs: float | None,
    workers: int | None,
    console: Console,
) -> str:
    """Draws a swarm and writes its files.

    Args:
        path: the recipe that the proxies' recipes extend.
        folder: where they go.
        count, seed, strengths, min_weight: as `byline.transforms.weights.drawing.draw_mixtures`.
        tokens: positions of each proxy's build; None for the recipe's.
        max_epochs: of each source in a build; None for one, or for any number where the recipe repeats.
        workers, console: of the planning.

    Returns:
        A line about what was written.

    Raises:
        BylineError: the recipe or an option does not work out, or another swarm lies there.
    """
    config = load_recipe(path, ["tokens=all", "mixture=natural"])
    _check_mixtures(config, path)
    positions = _positions(path, tokens)
    counts = plan(config, RunnerSettings(workers), console)[0].header.capacity
    counts = {name: counts[name] for name in sorted(counts)}
    if max_epochs is None and config.shortage != Shortage.REPEAT:
        max_epochs = 1
    caps = None
    if max_epochs is not None:
        most = epoch_caps(np.array([*counts.values()], np.float64), max_epochs, positions)
        caps = dict(zip(counts, most.tolist(), strict=True))
    mixtures = draw_mixtures(counts, count, seed, strengths=strengths, min_weight=min_weight, caps=caps)
    command = f"byline weights swarm draw {shlex.quote(str(path))} {shlex.quote(str(folder))} --count {count}"
    command += f" --seed {seed} --tokens {positions} --strength {strengths[0]:g} {strengths[1]:g}"
    command += f" --min-weight {min_weight:g}" + ("" if max_epochs is None else f" --max-epochs {max_epochs:g}")
    texts = swarm_texts(path, folder, command, positions, counts, mixtures)
    _check_folder(folder, texts)
    for name, text in texts.items():
        with write_file(str(folder / name)) as sink:
            sink.write(text.encode())
    return f"{folder}: {count} recipes of {positions:,} positions each, {', '.join(sorted(texts)[:2])}"


def _check_mixtures(config: Config, path: Path) -> None:
    for phase in config.phases:
        if phase.mixture is not None and not isinstance(phase.mixture, Natural):
            raise BylineError(
                f"{path}: phases.{phase.name}.mixture: a swarm has one mixture for all phases; remove this one"
            )


def _positions(path: Path, tokens: str | None) -> int:
    if tokens is not None:
        return token_count(tokens)
    configured = load_recipe(path).tokens
    if configured == "all":
        raise BylineError(f"{path}: tokens: proxies are compared on equally many; give --tokens, as in --tokens 20M")
    return configured


def _check_folder(folder: Path, texts: dict[str, str]) -> None:
    """Refuses a folder with another swarm, whose metrics would be taken for this one's."""
    ratios = folder / RATIOS
    if ratios.exists() and ratios.read_bytes() != texts[RATIOS].encode():
        raise BylineError(f"{ratios}: is of another swarm; give another DIR, or remove this one")
