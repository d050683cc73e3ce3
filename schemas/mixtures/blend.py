"""Weights along a stage, and the share of its tokens that each source has given by any point of it.

```
weights    a 0.6, b 0.4                                by 0.5: a 0.30, b 0.20        by 1: a 0.6, b 0.4
linear     0: a 1, b 0     1: a 0, b 1                 by 0.5: a 0.375, b 0.125      by 1: a 0.5, b 0.5
sequence   a before b, of weights a 0.6, b 0.4         by 0.5: a 0.50, b 0           by 1: a 0.6, b 0.4
```

Shares are exact fractions, so that every machine cuts at the same shuffle key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction


@dataclass(frozen=True)
class Blend:
    """The mixture of one stage.

    Attributes:
        points: (beginning, source -> weight), the first at 0.
        rise: the integral from 0 to u (0 to 1) of how the weights go from one point to the next, where 0 is the one's
            weight and 1 the other's; None where they stay.
    """

    points: list[tuple[Fraction, dict[str, Fraction]]]
    rise: Callable[[Fraction], Fraction] | None = None

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
        return self.rise is not None and not self.is_constant

    def divided(self, parts: Mapping[str, Mapping[str, Fraction]]) -> "Blend":
        """The same with the weight of each name divided between its parts; `parts`: name -> part -> its share."""
        return replace(self, points=[(at, _divided(weights, parts)) for at, weights in self.points])

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
            progress = (min(until, end) - start) / (end - start)
            risen = Fraction(0) if self.rise is None else self.rise(progress)
            total += (end - start) * (here * progress + (following - here) * risen)
        return total

    def shares(self) -> dict[str, Fraction]:
        """Source -> its share of the whole stage."""
        return {source: self.given(source, Fraction(1)) for source in self.sources}


def _divided(weights: Mapping[str, Fraction], parts: Mapping[str, Mapping[str, Fraction]]) -> dict[str, Fraction]:
    return {part: weight * share for name, weight in weights.items() for part, share in parts.get(name, {}).items()}
