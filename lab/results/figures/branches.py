"""`branches`: what a training would have come to, had it ended sooner: the ends of its branches beside its timeline.

```
loss |\\                      ___   the timeline, which is still at a high rate or conditioned
     | \\____                 o--   ends of branches: each left the timeline and had its own cooldown
     |   o   \\____
     |    `--o   `-o
     +------------- tokens
```

Arms without branches are lines alone.
"""

from typing import ClassVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from byline.lab.results import numbers
from byline.lab.results.analysis import Spread
from byline.lab.results.figures.figure import ArmsFigure, draw_line, finals_in_words
from byline.lab.results.figures.style import (
    MUTED,
    PAPER,
    Style,
    count_axis,
    legend,
    log_axis,
    metric_label,
    new_figure,
    style_of,
    value_axis,
)
from byline.lab.results.series import ENDS, Measure, Series, mean_series, series_of
from byline.lab.results.table import Results


class Branches(ArmsFigure, Measure):
    """Settings of the figure."""

    kind: ClassVar[str] = "branches"
    skip: float = 0.0
    log: bool = False

    def heading(self) -> str:
        return self.title or f"{metric_label(self.metric)} with a cooldown at each checkpoint"

    def draw(self, results: Results) -> Figure:
        arms = self.arms_of(results)
        figure = new_figure(4.0)
        axes = figure.subplots()
        for number, arm in enumerate(arms):
            look = style_of(results, arm)
            series = series_of(results, arm, self)
            kept = {seed: one.x >= self.skip * one.end for seed, one in series.items()}
            shown = {seed: Series(one.x[kept[seed]], one.values[kept[seed]]) for seed, one in series.items()}
            draw_line(axes, shown, look, number)
            if _has_branches(results, arm):
                _draw_ends(axes, series_of(results, arm + ENDS, self), look)
        count_axis(axes, self.x)
        if self.log:
            log_axis(axes)
        value_axis(axes, self.metric)
        axes.set_ylabel(metric_label(self.metric))
        handles: list[Artist] = [style_of(results, arm).handle(arm) for arm in arms]
        ends = Line2D(
            [], [], color=MUTED, linewidth=1, marker="o", markersize=8, label="ends of branches", markeredgecolor=PAPER
        )
        legend(figure, [*handles, ends])
        return figure

    def describe(self, results: Results) -> str:
        arms = self.arms_of(results)
        branched = [self._ends_in_words(results, arm) for arm in arms if _has_branches(results, arm)]
        ends = finals_in_words(results, arms, self)
        lines = f"Lines of {numbers.metric_name(self.metric)} by {self.x}; at the end, {ends}."
        return " ".join([lines, *branched])

    def _ends_in_words(self, results: Results, arm: str) -> str:
        ends = series_of(results, arm + ENDS, self)
        spreads = [
            numbers.spread(Spread(values), self.metric)
            for values in zip(*(one.values.tolist() for one in ends.values()), strict=True)
        ]
        points = (f"{numbers.amount(x)} {one}" for x, one in zip(mean_series(ends)[0].x, spreads, strict=True))
        return f"Ends of the branches of {arm} by {self.x}: {', '.join(points)}."


def _has_branches(results: Results, arm: str) -> bool:
    return any(one.arm.startswith(f"{arm}/") for one in results.arms)


def _draw_ends(axes: Axes, ends: dict[int, Series], look: Style) -> None:
    mean, _, _ = mean_series(ends)
    axes.plot(mean.x, mean.values, color=look.colour, linewidth=1)
    for one in ends.values():
        axes.plot(
            one.x,
            one.values,
            linestyle="",
            marker=look.marker,
            markersize=8,
            color=look.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.8,
            zorder=4,
        )
