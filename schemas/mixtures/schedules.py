"""Weights that change along a stage: given at points of it, and on the way from one to the next in a certain shape.

```
between points a and b, u from 0 to 1        piecewise   w(a)
                                             linear      w(a) + (w(b) - w(a)) u
                                             cosine      w(a) + (w(b) - w(a)) (1 - cos(pi u)) / 2
```

The planner asks what a source has given by a point, so each shape is there as its integral; cosines are rounded to
twelve digits, so that every machine cuts at the same shuffle key.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from byline.schemas.mixtures.blend import Blend
from byline.schemas.mixtures.mixture import ByLabel, Mixture, above_zero, check_sum
from byline.schemas.model import Exact, Model

_DIGITS = 12


class MixturePoint(Model):
    """Weights from one point of a stage on; `at` runs from 0 to 1."""

    at: Annotated[Exact, Field(ge=0, le=1)]
    weights: ByLabel[Annotated[Exact, Field(ge=0)]]


class Piecewise(Mixture):
    """Weights that stay until the next point.

    Attributes:
        points: ascending, the first at 0; each point's weights sum to one.
    """

    kind: ClassVar[str] = "piecewise"
    line: ClassVar[str] = "that of the point before ([schedules](#schedules))"
    is_schedule: ClassVar[bool] = True

    points: list[MixturePoint]

    @property
    def named(self) -> set[str]:
        return {source for point in self.points for source in above_zero(point.weights)}

    @property
    def mentioned(self) -> set[str]:
        return super().mentioned | {source for point in self.points for source in point.weights}

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend([(point.at, dict(point.weights)) for point in self.points])

    @model_validator(mode="after")
    def _points_of_a_stage(self) -> "Piecewise":
        points = [point.at for point in self.points]
        if points != sorted(set(points)):
            raise ValueError("points: `at` must ascend from one point to the next")
        if points[0] != 0:
            raise ValueError(f"points: the first point is at {float(points[0]):g}; the phase begins at 0")
        for point in self.points:
            check_sum(f"points at {float(point.at):g}: ", point.weights)
        return self


class Linear(Piecewise):
    """Weights that go straight from one point to the next; the last is at 1."""

    kind: ClassVar[str] = "linear"
    line: ClassVar[str] = "changes straight from one point to the next"

    @staticmethod
    def rise(progress: Fraction) -> Fraction:
        """The integral of u from 0 to `progress`."""
        return progress * progress / 2

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend([(point.at, dict(point.weights)) for point in self.points], self.rise)

    @model_validator(mode="after")
    def _reaches_the_end(self) -> Any:
        if self.points[-1].at != 1:
            raise ValueError(f"points: the last point is at {float(self.points[-1].at):g}; the phase ends at 1")
        return self


class Cosine(Linear):
    """Weights that go from one point to the next with flat ends."""

    kind: ClassVar[str] = "cosine"
    line: ClassVar[str] = "changes from one point to the next with flat ends"

    @staticmethod
    def rise(progress: Fraction) -> Fraction:
        """The integral of (1 - cos(pi u)) / 2 from 0 to `progress`: (u - sin(pi u) / pi) / 2."""
        sine = Fraction(str(round(math.sin(math.pi * float(progress)) / math.pi, _DIGITS)))
        return (progress - sine) / 2
