"""`skills`: how well each skill is learnt, above the loss over all of them, which hides when.

```
       arm A            arm B
exact  |  _/‾ _/‾       |    ____/‾       a line a source: skills come one after another, each at once
       |_/__ /__        |___/
loss   |‾‾\\___          |‾‾‾\\__           the mean over all tokens falls smoothly
       +--------- tokens
```
"""

from typing import ClassVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from byline.lab.results import numbers
from byline.lab.results.figures.figure import ArmsFigure, draw_line, finals_in_words
from byline.lab.results.figures.style import (
    count_axis,
    legend,
    metric_label,
    new_figure,
    style,
    style_of,
    value_axis,
)
from byline.lab.results.series import Axis, Measure, series_of, sources_of
from byline.lab.results.table import Results


class Skills(ArmsFigure):
    """Settings of the figure; without `sources` all but `all`."""

    kind: ClassVar[str] = "skills"
    evaluation: str
    metric: str = "exact"
    sources: list[str] = Field(default_factory=list)
    model: str | None = None
    x: Axis = "tokens"

    def heading(self) -> str:
        return self.title or f"{metric_label(self.metric)} of each source, and the loss of all"

    def draw(self, results: Results) -> Figure:
        arms, sources = self.arms_of(results), self._sources(results)
        figure = new_figure(4.6)
        grid = figure.subplots(
            2, len(arms), squeeze=False, sharex="col", sharey="row", gridspec_kw={"height_ratios": [3, 2]}
        )
        for column, arm in enumerate(arms):
            above, below = grid[:, column]
            self._draw_arm(above, below, results, arm, sources)
            above.set_title(arm)
            count_axis(below, self.x, len(arms))
            value_axis(above, self.metric)
        grid[0, 0].set_ylabel(metric_label(self.metric))
        grid[1, 0].set_ylabel("loss of all")
        handles: list[Artist] = [style(number).handle(source) for number, source in enumerate(sources)]
        legend(figure, handles)
        return figure

    def describe(self, results: Results) -> str:
        ends = "; ".join(
            f"{source}: {finals_in_words(results, self.arms_of(results), self._measure(source, self.metric))}"
            for source in self._sources(results)
        )
        above = f"Above, a line of {numbers.metric_name(self.metric)} for each source; below, the loss of all."
        return f"{above} At the end, {ends}."

    def _draw_arm(self, above: Axes, below: Axes, results: Results, arm: str, sources: list[str]) -> None:
        for number, source in enumerate(sources):
            draw_line(above, series_of(results, arm, self._measure(source, self.metric)), style(number), number)
        draw_line(below, series_of(results, arm, self._measure("all", "loss")), style_of(results, arm), 0)

    def _measure(self, source: str, metric: str) -> Measure:
        return Measure(evaluation=self.evaluation, metric=metric, source=source, model=self.model, x=self.x)

    def _sources(self, results: Results) -> list[str]:
        return self.sources or sources_of(results, self.evaluation)
