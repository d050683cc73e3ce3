"""Numbers over seeds, and when two arms are told apart.

```
seed        0      1      2        mean +- standard deviation (least to greatest)
final loss  2.41   2.44   2.38     2.410 +- 0.030 (2.380 to 2.440)

loss        3.1   2.7   2.4        a threshold of 2.5 is reached at 0.1M + 0.1M * (2.7 - 2.5) / (2.7 - 2.4) tokens
tokens      0.1M  0.2M  0.3M       more than 0.1M: linear between evaluations, the first time
```

One rule for every verdict: A is before B if every seed of A is before every seed of B; otherwise the two are *within
the spread*. If the arms did not differ, all orders of their n + m seeds would be equally likely, and one in
(n + m)! / (n! m!) has A's first: 1 in 20 for three against three. It is the exact rank test at its strictest, and
assumes no distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from byline.lab.results.series import Series


@dataclass(frozen=True)
class Spread:
    """Values of seeds: their mean, sample standard deviation (nan of one value), and range."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    @property
    def least(self) -> float:
        return float(np.min(self.values))

    @property
    def greatest(self) -> float:
        return float(np.max(self.values))


@dataclass(frozen=True)
class Reach:
    """When a training reached a threshold, in tokens, positions or steps.

    Attributes:
        earliest, latest: equal where it is known; from 0 to the first evaluation where that had reached it already;
            from the last evaluation to infinity where it was not reached.
    """

    earliest: float
    latest: float

    @property
    def is_reached(self) -> bool:
        return self.latest < math.inf

    @property
    def at(self) -> float:
        """The latest that it can have been; infinity where it was not reached."""
        return self.latest

    def is_before(self, other: "Reach") -> bool:
        """Whether it was certainly sooner; one that ends where another has not yet reached it is sooner."""
        if not self.is_reached:
            return False
        return self.latest < other.earliest or (not other.is_reached and self.latest == other.earliest)


def final(series: dict[int, Series]) -> Spread:
    """The last values."""
    return Spread(tuple(one.final for one in series.values()))


def reach(series: Series, threshold: float, is_lower_better: bool) -> Reach:
    """When a training first reached a threshold."""
    sign = -1.0 if is_lower_better else 1.0
    above = sign * (series.values - threshold)
    reached = np.flatnonzero(above >= 0)
    if len(reached) == 0:
        return Reach(series.end, math.inf)
    first = int(reached[0])
    if first == 0:
        return Reach(0.0, float(series.x[0]))
    x, before, after = series.x, above[first - 1], above[first]
    if math.isnan(before):
        return Reach(float(x[first - 1]), float(x[first]))
    at = float(x[first - 1] + (x[first] - x[first - 1]) * before / (before - after))
    return Reach(at, at)


def reaches(series: dict[int, Series], threshold: float, is_lower_better: bool) -> dict[int, Reach]:
    """When each seed reached a threshold."""
    return {seed: reach(one, threshold, is_lower_better) for seed, one in series.items()}


def all_before(first: Sequence[Reach], second: Sequence[Reach]) -> bool:
    """Whether every one of the first is before every one of the second."""
    return all(one.is_before(other) for one in first for other in second)


def is_better(first: Spread, second: Spread, is_lower_better: bool) -> bool:
    """Whether every value of the first is better than every value of the second."""
    return first.greatest < second.least if is_lower_better else first.least > second.greatest


def chance(first: int, second: int) -> int:
    """One in how many orders of so many seeds and so many has all of the first ones first."""
    return math.comb(first + second, first)


@dataclass(frozen=True)
class PairRatio:
    """What one training needs to reach another's final value, as a share of what the other needed.

    Attributes:
        seeds: of the one and the other.
        ratio: infinity where it was not reached.
        is_sooner: whether it is certainly below 1.
        least: it may not be less: where it was not reached, at its end.
    """

    seeds: tuple[int, int]
    ratio: float
    is_sooner: bool
    least: float


def ratios(one: dict[int, Series], other: dict[int, Series], is_lower_better: bool) -> list[PairRatio]:
    """Of every pair of seeds, what `one` needs to reach the final value of `other`, by what that needed itself.

    A training may have had its final value before its end, as one that is always right: then it needed that much.
    """
    pairs = []
    for seed, series in one.items():
        for other_seed, target in other.items():
            needed = reach(series, target.final, is_lower_better)
            base = reach(target, target.final, is_lower_better)
            pairs.append(
                PairRatio((seed, other_seed), needed.at / base.at, needed.is_before(base), needed.earliest / base.at)
            )
    return pairs
