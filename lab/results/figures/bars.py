"""`bars`: final values, a row an arm and a panel an evaluation or source; each seed is a dot.

```
            none             host
standard    |======o|oo      |=====oo|o        bars of shares begin at nothing; a loss has none, as its differences
cooldown    |====oo|o        |===o|o           would not be seen: a tick is its mean
```
"""

from typing import ClassVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from byline.lab.results import numbers
from byline.lab.results.analysis import Spread, final
from byline.lab.results.figures.figure import ArmsFigure, Names, finals_in_words, jitter
from byline.lab.results.figures.style import (
    INK,
    PAPER,
    Style,
    grid,
    metric_label,
    style_of,
    ticks_at,
    value_axis,
)
from byline.lab.results.series import Measure, series_of, sources_of
from byline.lab.results.table import Results


class Bars(ArmsFigure):
    """Settings of the figure."""

    kind: ClassVar[str] = "bars"
    evaluation: Names
    metric: str = "loss"
    source: Names = Field(default=["all"])
    model: str | None = None

    def heading(self) -> str:
        return self.title or f"Final {metric_label(self.metric)}"

    def draw(self, results: Results) -> Figure:
        measures, arms = self._measures(results), self.arms_of(results)
        figure, panels = grid(len(measures), 3, 0.36 * len(arms) + 0.5, sharex=True, sharey=True)
        for axes, measure in zip(panels, measures, strict=True):
            for row, arm in enumerate(arms):
                self._draw_row(axes, row, final(series_of(results, arm, measure)), style_of(results, arm))
            axes.grid(visible=False, axis="y")
            axes.set_title(self._panel(measure))
            value_axis(axes, self.metric, vertical=False)
        if self._is_share:
            # Room for the numbers behind full bars.
            panels[0].set_xlim(0, 1.24)
            ticks_at(panels[0], [0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"], vertical=False)
        else:
            panels[0].margins(x=0.12)
        ticks_at(panels[0], [float(row) for row in range(len(arms))], arms, vertical=True)
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        figure.supxlabel(metric_label(self.metric), fontsize=9.5)
        return figure

    def describe(self, results: Results) -> str:
        arms = self.arms_of(results)
        panels = "; ".join(
            f"{self._panel(measure)}: {finals_in_words(results, arms, measure)}" for measure in self._measures(results)
        )
        return f"Final {numbers.metric_name(self.metric)} of each arm, each seed a dot. {panels}."

    @property
    def _is_share(self) -> bool:
        return self.metric in numbers.SHARES

    def _draw_row(self, axes: Axes, row: int, values: Spread, look: Style) -> None:
        offsets = row + jitter(len(values.values), 0.14)
        if self._is_share:
            axes.barh(row, values.mean, height=0.6, color=look.colour, alpha=0.4)
            shown = numbers.value(values.mean, self.metric)
            axes.annotate(
                shown, (max(values.mean, values.greatest), row), (6, 0), textcoords="offset points", va="center"
            )
        else:
            axes.plot([values.mean] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=1.6)
        axes.plot(
            values.values,
            offsets,
            linestyle="",
            marker=look.marker,
            color=look.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            markersize=6,
            zorder=3,
        )

    def _measures(self, results: Results) -> list[Measure]:
        return [
            Measure(evaluation=evaluation, metric=self.metric, source=source, model=self.model)
            for evaluation in self.evaluation
            for source in (sources_of(results, evaluation) if self.source == ["each"] else self.source)
        ]

    def _panel(self, measure: Measure) -> str:
        if self.source == ["all"]:
            return measure.evaluation
        return measure.source if len(self.evaluation) == 1 else f"{measure.evaluation}, {measure.source}"
