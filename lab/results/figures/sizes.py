"""`sizes`: the same measure by the size of the model, a line an arm; each seed is a dot.

```
loss |  A--_                          tokens |  A   >      open arrows: some seed did not reach the threshold,
     |  B--_ `--_                            |   `--_      and the line ends
     |      `--_ `                           |  B----`--
     +-------------- parameters              +-------------- parameters
```

Without `threshold` the values are final ones; with it, what is needed to reach it.
"""

from typing import ClassVar, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from byline.lab.results import numbers
from byline.lab.results.analysis import final, reaches
from byline.lab.results.figures.figure import ArmsFigure
from byline.lab.results.figures.style import (
    Style,
    axis_label,
    legend,
    log_axis,
    metric_label,
    new_figure,
    style_of,
    ticks_at,
    value_axis,
)
from byline.lab.results.series import Axis, Measure, series_of
from byline.lab.results.table import Results


class Sizes(ArmsFigure):
    """Settings of the figure."""

    kind: ClassVar[str] = "sizes"
    evaluation: str
    metric: str = "loss"
    source: str = "all"
    x: Axis = "tokens"
    threshold: float | None = None
    log: bool = False

    def heading(self) -> str:
        return self.title or f"{self._label} by size of the model"

    def draw(self, results: Results) -> Figure:
        arms = self.arms_of(results)
        figure = new_figure(4.0)
        axes = figure.subplots()
        for arm in arms:
            self._draw_arm(axes, results, arm)
        axes.set_xscale("log")
        sizes = self._sizes(results)
        ticks_at(axes, [float(count) for count in sizes.values()], list(sizes), vertical=False)
        axes.set_xlabel("model (parameters without embeddings)")
        axes.set_ylabel(self._label.replace(" until", "\nuntil"))
        axes.margins(x=0.08)
        if self.log:
            log_axis(axes)
        if self.threshold is None:
            value_axis(axes, self.metric)
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: numbers.amount(count)))
            if not self.log:
                axes.set_ylim(bottom=0)
        handles: list[Artist] = [style_of(results, arm).handle(arm) for arm in arms]
        legend(figure, handles)
        return figure

    def describe(self, results: Results) -> str:
        rows = "; ".join(
            f"{arm}: " + ", ".join(f"{model} {self._in_words(results, arm, model)}" for model in self._sizes(results))
            for arm in self.arms_of(results)
        )
        return f"{self._label} by model, a line for each arm. {rows}."

    @property
    def _label(self) -> str:
        if self.threshold is None:
            return f"final {metric_label(self.metric)}"
        threshold = numbers.threshold(self.threshold, self.metric)
        return f"{axis_label(self.x)} until {numbers.metric_name(self.metric)} is {threshold}"

    def _sizes(self, results: Results) -> dict[str, int]:
        return {model: next(one.parameters for one in results.arms if one.model == model) for model in results.models}

    def _measure(self, model: str) -> Measure:
        return Measure(evaluation=self.evaluation, metric=self.metric, source=self.source, model=model, x=self.x)

    def _draw_arm(self, axes: Axes, results: Results, arm: str) -> None:
        look, means = style_of(results, arm), []
        for model, count in self._sizes(results).items():
            values, never = self._values(results, arm, model)
            means.append(float(np.mean(values)) if not never else np.nan)
            _draw_dots(axes, count, values, look, "full")
            _draw_dots(axes, count, never, look, "none")
        axes.plot(list(self._sizes(results).values()), means, color=look.colour, linestyle=look.line)

    def _values(self, results: Results, arm: str, model: str) -> tuple[list[float], list[float]]:
        """Of the seeds; and where those ended that did not reach the threshold."""
        measure = self._measure(model)
        series = series_of(results, arm, measure)
        if self.threshold is None:
            return list(final(series).values), []
        times = reaches(series, self.threshold, measure.is_lower_better).values()
        return [one.at for one in times if one.is_reached], [one.earliest for one in times if not one.is_reached]

    def _in_words(self, results: Results, arm: str, model: str) -> str:
        measure = self._measure(model)
        series = series_of(results, arm, measure)
        if self.threshold is None:
            return numbers.spread(final(series), self.metric)
        times = reaches(series, self.threshold, measure.is_lower_better).values()
        return " / ".join(numbers.reached(one, self.x) for one in times)


def _draw_dots(axes: Axes, count: int, values: list[float], look: Style, fill: Literal["full", "none"]) -> None:
    marker = look.marker if fill == "full" else "^"
    axes.plot(
        [count] * len(values),
        values,
        linestyle="",
        marker=marker,
        color=look.colour,
        fillstyle=fill,
        alpha=0.8,
        zorder=3,
    )
