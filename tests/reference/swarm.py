"""A slow search of the best mixture, and ranks by their definition."""

import itertools
from collections.abc import Callable, Sequence


def best_on_a_grid(
    objective: Callable[[Sequence[float]], float], domains: int, steps: int, caps: Sequence[float]
) -> tuple[float, tuple[float, ...]]:
    """The least value, and where, of all mixtures of whole 1 / steps under the caps."""
    parts = itertools.product(range(steps + 1), repeat=domains - 1)
    grid = [(*part, steps - sum(part)) for part in parts if sum(part) <= steps]
    mixtures = [tuple(part / steps for part in parts) for parts in grid]
    allowed = [mixture for mixture in mixtures if all(map(float.__le__, mixture, map(float, caps)))]
    return min((objective(mixture), mixture) for mixture in allowed)


def ranks(values: Sequence[float]) -> list[float]:
    """How many are smaller, and half of the others that are equal."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2 for value in values
    ]
