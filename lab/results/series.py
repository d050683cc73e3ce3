"""What is asked of a study's measurements, and the values that answer it: a series for each seed.

```
{arm: conditioned, evaluation: none, metric: loss}      seed 0   tokens   0.1M  0.2M  0.3M
                                                                 values   3.1   2.7   2.4
                                                        seed 1   ...
```

The arm `conditioned/*` is one that ends at each point: the ends of the arm's branches and its own, in order of tokens.
Without `model` the largest is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from byline.errors import BylineError
from byline.lab.results.table import Measurement, Results
from byline.schemas.model import Model

Axis = Literal["tokens", "positions", "step"]
# Metrics of which less is better; of all others more is.
LOWER_IS_BETTER = ("loss",)
ENDS = "/*"


class Measure(Model):
    """Which numbers are meant, of whatever arm.

    Attributes:
        evaluation: the rows.
        metric: loss, accuracy or exact.
        source: of the rows' documents, or all.
        model: a size; None for the largest.
        x: what a training is measured by.
    """

    evaluation: str
    metric: str = "loss"
    source: str = "all"
    model: str | None = None
    x: Axis = Field(default="tokens")

    @property
    def is_lower_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER


@dataclass(frozen=True)
class Series:
    """A training's values in the order of its steps.

    Attributes:
        x: float64[n], tokens, positions or steps; ascending.
        values: float64[n].
    """

    x: np.ndarray
    values: np.ndarray

    @property
    def final(self) -> float:
        return float(self.values[-1])

    @property
    def end(self) -> float:
        return float(self.x[-1])


def series_of(results: Results, arm: str, measure: Measure) -> dict[int, Series]:
    """The series of an arm by seed. Raises: BylineError: nothing of this was measured."""
    model = model_of(results, measure)
    rows = [
        row
        for row in results.measurements
        if row.evaluation == measure.evaluation
        and row.metric == measure.metric
        and row.source == measure.source
        and row.model == model
        and _is_of(row, arm)
    ]
    if not rows:
        raise BylineError(
            f"nothing was measured of {arm!r}: {measure.metric} of {measure.source!r} on {measure.evaluation!r}, "
            f"in model {model!r}; {_near(results, arm, measure)}"
        )
    by_seed = {seed: [row for row in rows if row.seed == seed] for seed in sorted({row.seed for row in rows})}
    if arm.endswith(ENDS):
        by_seed = {seed: _last_of_each(seeds_rows) for seed, seeds_rows in by_seed.items()}
    return {seed: _series(seeds_rows, measure.x) for seed, seeds_rows in by_seed.items()}


def model_of(results: Results, measure: Measure) -> str:
    """The model that is meant."""
    return results.models[-1] if measure.model is None else measure.model


def sources_of(results: Results, evaluation: str) -> list[str]:
    """The sources that an evaluation tells apart, in order of their names."""
    return sorted({row.source for row in results.measurements if row.evaluation == evaluation} - {"all"})


def mean_series(series: dict[int, Series]) -> tuple[Series, np.ndarray, np.ndarray]:
    """The mean over seeds, and the least and the greatest value, at the points that all seeds have."""
    points = sorted(set.intersection(*(set(one.x.tolist()) for one in series.values())))
    values = np.array([one.values[np.isin(one.x, points)] for one in series.values()])
    return Series(np.array(points), values.mean(axis=0)), values.min(axis=0), values.max(axis=0)


def _is_of(row: Measurement, arm: str) -> bool:
    if not arm.endswith(ENDS):
        return row.arm == arm
    return row.arm == arm.removesuffix(ENDS) or row.arm.startswith(arm.removesuffix("*"))


def _last_of_each(rows: Sequence[Measurement]) -> list[Measurement]:
    last: dict[str, Measurement] = {}
    for row in rows:
        if row.arm not in last or row.step > last[row.arm].step:
            last[row.arm] = row
    return list(last.values())


def _series(rows: Sequence[Measurement], axis: Axis) -> Series:
    ordered = sorted(rows, key=lambda row: row.step)
    x = np.array([getattr(row, axis) for row in ordered], np.float64)
    return Series(x, np.array([row.value for row in ordered], np.float64))


def _near(results: Results, arm: str, measure: Measure) -> str:
    rows = [row for row in results.measurements if _is_of(row, arm)]
    if not rows:
        return f"there are the arms {', '.join(dict.fromkeys(row.arm for row in results.measurements))}"
    if all(row.evaluation != measure.evaluation for row in rows):
        return f"there are the evaluations {', '.join(sorted({row.evaluation for row in rows}))}"
    rows = [row for row in rows if row.evaluation == measure.evaluation]
    if all(row.metric != measure.metric for row in rows):
        return f"there are the metrics {', '.join(sorted({row.metric for row in rows}))}"
    if all(row.source != measure.source for row in rows):
        return f"there are the sources {', '.join(sorted({row.source for row in rows}))}"
    return f"there are the models {', '.join(sorted({row.model for row in rows}))}"
