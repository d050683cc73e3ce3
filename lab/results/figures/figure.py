"""What every kind of figure is: typed settings that draw themselves from a study's results."""

from typing import Annotated, Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BeforeValidator, Field

from byline.lab.results import numbers
from byline.lab.results.analysis import final
from byline.lab.results.figures.style import Style
from byline.lab.results.series import Measure, Series, mean_series, series_of
from byline.lab.results.table import Results
from byline.schemas.model import Model, Name

# A name, or a list of them.
Names = Annotated[list[str], BeforeValidator(lambda names: [names] if isinstance(names, str) else names)]
# Marks on a line, which has many more evaluations.
_MARKS = 8


class FigureSettings(Model):
    """What all kinds take.

    Attributes:
        name: of the file.
        title: above the figure; None for one that says what is drawn.
        about: below it: what to see in it.
    """

    kind: ClassVar[str]
    name: Name | None = None
    title: str | None = None
    about: str = ""

    def draw(self, results: Results) -> Figure:
        """The figure, within `styled`. Raises: BylineError: what it shows was not measured."""
        raise NotImplementedError

    def describe(self, results: Results) -> str:
        """In words, for who does not see it."""
        raise NotImplementedError

    def heading(self) -> str:
        """The title, or what is drawn."""
        raise NotImplementedError


class ArmsFigure(FigureSettings):
    """A figure that compares arms: those of `arms`, or all without their branches."""

    arms: list[str] = Field(default_factory=list)

    def arms_of(self, results: Results) -> list[str]:
        return self.arms or results.arm_names


def draw_line(axes: Axes, series: dict[int, Series], look: Style, number: int, each_seed: bool = False) -> None:
    """The mean over seeds, with the range of the seeds as a band or each seed as a thin line.

    Args:
        axes: where.
        series: by seed.
        look: of the line.
        number: of the line among others, so that their marks are not above each other.
        each_seed: whether seeds are lines.
    """
    mean, least, greatest = mean_series(series)
    every = max(1, len(mean.x) // _MARKS)
    axes.plot(
        mean.x,
        mean.values,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markevery=(number % every, every),
        markeredgewidth=0,
        zorder=3,
    )
    if each_seed:
        for one in series.values():
            axes.plot(one.x, one.values, color=look.colour, linewidth=0.7, alpha=0.55)
    elif len(series) > 1:
        axes.fill_between(mean.x, least, greatest, color=look.colour, alpha=0.16, linewidth=0)


def finals_in_words(results: Results, arms: list[str], measure: Measure) -> str:
    """`standard 1.074 ± 0.012, conditioned ...`: what lines come to."""
    finals = {arm: final(series_of(results, arm, measure)) for arm in arms}
    return ", ".join(f"{arm} {numbers.spread(finals[arm], measure.metric)}" for arm in arms)


def jitter(count: int, width: float) -> Any:
    """Offsets for the dots of so many seeds, so that equal values are seen. float64[count]"""
    return np.linspace(-width, width, count) if count > 1 else np.zeros(1)
