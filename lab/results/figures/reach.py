"""`reach`: when arms reach thresholds, a row an arm; each seed is a dot, and what was not reached an open arrow.

```
reverse   o oo  s ss  D DD             o 50 %   s 90 %   D 99 %
plain            o oo    s ss    > >   > not reached by the end of the training
          +----------------------- tokens
```
"""

from typing import ClassVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from pydantic import Field

from byline.lab.results import numbers
from byline.lab.results.analysis import Reach, reaches
from byline.lab.results.figures.figure import ArmsFigure
from byline.lab.results.figures.style import (
    MARKERS,
    MUTED,
    Style,
    axis_label,
    count_axis,
    legend,
    metric_label,
    new_figure,
    style_of,
    ticks_at,
)
from byline.lab.results.series import Measure, series_of
from byline.lab.results.table import Results


class ReachFigure(ArmsFigure, Measure):
    """Settings of the figure."""

    kind: ClassVar[str] = "reach"
    metric: str = "exact"
    thresholds: list[float] = Field(default=[0.5, 0.9, 0.99], min_length=1, max_length=len(MARKERS))
    log: bool = False

    def heading(self) -> str:
        return self.title or f"{axis_label(self.x)} until {metric_label(self.metric)} is reached"

    def draw(self, results: Results) -> Figure:
        arms = self.arms_of(results)
        figure = new_figure(0.36 * len(arms) * max(1, len(self.thresholds) / 2) + 1.3)
        axes = figure.subplots()
        for row, (arm, times) in enumerate(self._times(results).items()):
            for number, of_seeds in enumerate(times):
                height = row + (number - (len(times) - 1) / 2) * 0.7 / len(times)
                _draw_seeds(axes, height, of_seeds, style_of(results, arm), MARKERS[number])
        for between in range(1, len(arms)):
            axes.axhline(between - 0.5, color=MUTED, linewidth=0.4, alpha=0.5)
        axes.grid(visible=False, axis="y")
        ticks_at(axes, [float(row) for row in range(len(arms))], arms, vertical=True)
        axes.set_ylim(len(arms) - 0.5, -0.5)
        count_axis(axes, self.x)
        if self.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: numbers.amount(count)))
        else:
            axes.set_xlim(left=0)
        legend(figure, self._handles())
        return figure

    def describe(self, results: Results) -> str:
        rows = [f"{arm}: {self._in_words(times)}" for arm, times in self._times(results).items()]
        return f"When each seed reaches {numbers.metric_name(self.metric)}. {'; '.join(rows)}."

    def _in_words(self, times: list[list[Reach]]) -> str:
        return ", ".join(
            f"{numbers.threshold(threshold, self.metric)} {' / '.join(numbers.reached(one, self.x) for one in seeds)}"
            for threshold, seeds in zip(self.thresholds, times, strict=True)
        )

    def _times(self, results: Results) -> dict[str, list[list[Reach]]]:
        times = {}
        for arm in self.arms_of(results):
            series = series_of(results, arm, self)
            times[arm] = [
                list(reaches(series, threshold, self.is_lower_better).values()) for threshold in self.thresholds
            ]
        return times

    def _handles(self) -> list[Artist]:
        handles: list[Artist] = [
            Line2D([], [], linestyle="", marker=MARKERS[number], color=MUTED, label=numbers.threshold(one, self.metric))
            for number, one in enumerate(self.thresholds)
        ]
        never = Line2D([], [], linestyle="", marker=">", color=MUTED, fillstyle="none", label="not reached by the end")
        return [*handles, never]


def _draw_seeds(axes: Axes, height: float, times: list[Reach], look: Style, marker: str) -> None:
    """A dot a seed; a line joins them, with a tick at their mean where all have reached it."""
    at = [time.at if time.is_reached else time.earliest for time in times]
    axes.plot([min(at), max(at)], [height] * 2, color=look.colour, linewidth=1, alpha=0.6)
    if all(time.is_reached for time in times):
        axes.plot([np.mean(at)] * 2, [height - 0.1, height + 0.1], color=look.colour, linewidth=1.6)
    for time, x in zip(times, at, strict=True):
        never = not time.is_reached
        axes.plot(
            [x],
            [height],
            linestyle="",
            marker=">" if never else marker,
            color=look.colour,
            fillstyle="none" if never else "full",
            clip_on=False,
            zorder=3,
        )
