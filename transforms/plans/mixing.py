"""Mixtures: from what a recipe says to the share of a stage's tokens that each source has given by any point of it.

```
weights    a 0.6, b 0.4                                by 0.5: a 0.30, b 0.20        by 1: a 0.6, b 0.4
linear     0: a 1, b 0     1: a 0, b 1                 by 0.5: a 0.375, b 0.125      by 1: a 0.5, b 0.5
sequence   a before b, of weights a 0.6, b 0.4         by 0.5: a 0.50, b 0           by 1: a 0.6, b 0.4
capped     equal weights of 90; caps a 10, b -, c -    a 10, b 40, c 40              (UniMax, arXiv 2304.09151)
```

Shares are exact fractions, so that every machine cuts at the same shuffle key; powers and cosines are rounded to twelve
and more digits first.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from byline.schemas.recipe import Mixture

_DIGITS = 12
# Enough digits that a size to a power is the same on every machine.
_DECIMALS = Context(prec=40)


@dataclass(frozen=True)
class Blend:
    """The mixture of one stage.

    Attributes:
        points: (beginning, source -> weight), the first at 0.
        shape: how the weights go from one point to the next: `piecewise` (they stay), `linear` or `cosine`.
    """

    points: list[tuple[Fraction, dict[str, Fraction]]]
    shape: str = "piecewise"

    @classmethod
    def constant(cls, weights: Mapping[str, Fraction]) -> "Blend":
        """The same weights all along."""
        return cls([(Fraction(0), dict(weights))])

    @classmethod
    def in_sequence(cls, weights: Mapping[str, Fraction], sources: Iterable[str]) -> "Blend":
        """One source after the other, each for as long as its weight."""
        points, at = [], Fraction(0)
        for source in sources:
            if weights[source] > 0:
                points.append((at, {source: Fraction(1)}))
                at += weights[source]
        return cls(points)

    @property
    def sources(self) -> list[str]:
        """Every source that has a weight somewhere, sorted."""
        return sorted({name for _, weights in self.points for name, weight in weights.items() if weight > 0})

    @property
    def is_constant(self) -> bool:
        return len(self.points) == 1

    @property
    def jumps(self) -> list[Fraction]:
        """Where the weights jump, so that a slice must end there."""
        return [at for at, _ in self.points[1:]]

    @property
    def is_smooth(self) -> bool:
        """Whether the weights change all along, so that many slices are needed."""
        return self.shape != "piecewise" and not self.is_constant

    def given(self, source: str, until: Fraction) -> Fraction:
        """The share of the stage's tokens that a source has given by a point (0 to 1): the integral of its weight."""
        total = Fraction(0)
        for number, (start, weights) in enumerate(self.points):
            is_last = number + 1 == len(self.points)
            end = Fraction(1) if is_last else self.points[number + 1][0]
            if until <= start or start == end:
                break
            here = weights.get(source, Fraction(0))
            following = here if is_last else self.points[number + 1][1].get(source, Fraction(0))
            stage = (min(until, end) - start) / (end - start)
            total += (end - start) * (here * stage + (following - here) * _risen(self.shape, stage))
        return total

    def shares(self) -> dict[str, Fraction]:
        """Source -> its share of the whole part."""
        return {source: self.given(source, Fraction(1)) for source in self.sources}


def _risen(shape: str, stage: Fraction) -> Fraction:
    """The integral, from 0 to `stage`, of what goes from 0 to 1 in the given shape.

    linear: u^2 / 2.     cosine: the weight (1 - cos(pi u)) / 2 has the integral (u - sin(pi u) / pi) / 2.
    """
    if shape == "linear":
        return stage * stage / 2
    if shape == "cosine":
        sine = Fraction(str(round(math.sin(math.pi * float(stage)) / math.pi, _DIGITS)))
        return (stage - sine) / 2
    return Fraction(0)


def constant_weights(mixture: Mixture, sizes: Mapping[str, int]) -> dict[str, Fraction]:
    """The weights, which sum to one, of a mixture that does not change.

    Args:
        mixture: of any method that is no schedule.
        sizes: source -> positions that one epoch of it fills; only these sources get a weight.

    The methods: natural `size`; temperature `size ** alpha` (as in multilingual pre-training, arXiv 1901.07291, where
    alpha is 1 / T); unimax `1`, which caps then bound; epochs `epochs * size`; weights as given.
    """
    if mixture.method == "weights":
        raw = {source: mixture.weights.get(source, Fraction(0)) for source in sizes}
    elif mixture.method == "epochs":
        raw = {source: mixture.epochs.get(source, Fraction(0)) * size for source, size in sizes.items()}
    elif mixture.method == "temperature":
        assert mixture.alpha is not None
        raw = {source: _power(size, mixture.alpha) for source, size in sizes.items()}
    elif mixture.method == "unimax":
        raw = {source: Fraction(size > 0) for source, size in sizes.items()}
    else:
        raw = {source: Fraction(size) for source, size in sizes.items()}
    total = sum(raw.values(), Fraction(0))
    return {source: weight / total for source, weight in raw.items()} if total else raw


def _power(size: int, alpha: Fraction) -> Fraction:
    if size == 0:
        return Fraction(0)
    exponent = _DECIMALS.divide(Decimal(alpha.numerator), Decimal(alpha.denominator))
    return Fraction(round(_DECIMALS.power(Decimal(size), exponent), _DIGITS))


def cap_weights(weights: Mapping[str, Fraction], caps: Mapping[str, Fraction], total: int) -> dict[str, Fraction]:
    """Weights under caps; what a cap frees goes to the other sources in proportion to their weights.

    With equal weights this is UniMax (arXiv 2304.09151, algorithm 1): there the sources are taken by size, and each
    takes the smaller of its cap and an equal part of what is left.

    Args:
        weights: source -> weight.
        caps: source -> positions at most; sources without one have no cap.
        total: positions in all.

    Returns:
        Weights that sum to one. Where every source is at its cap before the total is reached, the caps in proportion.
    """
    capped: dict[str, Fraction] = {}
    free = {source: weight for source, weight in weights.items() if weight > 0}
    while free:
        scale = (total - sum(capped.values(), Fraction(0))) / sum(free.values(), Fraction(0))
        over = [source for source, weight in free.items() if source in caps and weight * scale > caps[source]]
        if not over:
            break
        for source in over:
            capped[source] = caps[source]
            del free[source]
    if not free:
        scale = Fraction(0)
    given = {source: capped.get(source, free.get(source, Fraction(0)) * scale) for source in weights}
    reached = sum(given.values(), Fraction(0))
    return {source: stage / reached for source, stage in given.items()} if reached else dict(weights)
