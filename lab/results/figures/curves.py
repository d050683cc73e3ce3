"""`curves`: a metric by what was trained on, a line an arm.

```
loss |\\                 the mean over seeds, and a band from the least to the greatest seed (`spread: band`),
     | \\\\___            or a thin line for each (`spread: seeds`)
     |  \\____ ___
     +------------- tokens
```

With several evaluations or sources there is a panel for each, which share their axes. `source: each` is every source.
`skip` leaves out a share of the training at its beginning, where a loss falls from so high that nothing else is seen.
"""

from typing import ClassVar, Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from pydantic import Field

from byline.lab.results import numbers
from byline.lab.results.figures.figure import ArmsFigure, Names, draw_line, finals_in_words
from byline.lab.results.figures.style import count_axis, grid, legend, log_axis, metric_label, style_of, value_axis
from byline.lab.results.series import Axis, Measure, Series, series_of, sources_of
from byline.lab.results.table import Results


class Curves(ArmsFigure):
    """Settings of the figure."""

    kind: ClassVar[str] = "curves"
    evaluation: Names
    metric: str = "loss"
    source: Names = Field(default=["all"])
    model: str | None = None
    x: Axis = "tokens"
    log: bool = False
    spread: Literal["band", "seeds"] = "band"
    skip: float = Field(default=0.0, ge=0, lt=1)

    def heading(self) -> str:
        return self.title or f"{metric_label(self.metric)} by {self.x} on {', '.join(self.evaluation)}"

    def draw(self, results: Results) -> Figure:
        measures = self._measures(results)
        arms = self.arms_of(results)
        height = 3.7 if len(measures) == 1 else 2.6
        figure, panels = grid(len(measures), 3, height, sharex=True, sharey=True)
        for axes, measure in zip(panels, measures, strict=True):
            for number, arm in enumerate(arms):
                series = {seed: self._shown(one) for seed, one in series_of(results, arm, measure).items()}
                draw_line(axes, series, style_of(results, arm), number, self.spread == "seeds")
            count_axis(axes, self.x, len(measures))
            if self.log:
                log_axis(axes)
            value_axis(axes, self.metric)
            axes.label_outer()
            if len(measures) > 1:
                axes.set_title(self._panel(measure))
        panels[0].set_ylabel(metric_label(self.metric))
        handles: list[Artist] = [style_of(results, arm).handle(arm) for arm in arms]
        legend(figure, handles)
        return figure

    def describe(self, results: Results) -> str:
        arms = self.arms_of(results)
        ends = "; ".join(
            f"{self._panel(measure)}: {finals_in_words(results, arms, measure)}" for measure in self._measures(results)
        )
        metric = numbers.metric_name(self.metric)
        return f"Lines of {metric} by {self.x}, one for each of {', '.join(arms)}. At the end, {ends}."

    def _measures(self, results: Results) -> list[Measure]:
        return [
            Measure(evaluation=evaluation, metric=self.metric, source=source, model=self.model, x=self.x)
            for evaluation in self.evaluation
            for source in (sources_of(results, evaluation) if self.source == ["each"] else self.source)
        ]

    def _panel(self, measure: Measure) -> str:
        if self.source == ["all"]:
            return measure.evaluation
        return measure.source if len(self.evaluation) == 1 else f"{measure.evaluation}, {measure.source}"

    def _shown(self, one: Series) -> Series:
        kept = one.x >= self.skip * one.end
        return Series(one.x[kept], one.values[kept])
