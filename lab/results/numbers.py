"""Numbers as they are shown.

```
amount(1234567)          1.23M             tokens, positions, steps, parameters
amount(940)              940
value(0.99512, "exact")  99.5 %            a share
value(1.0743, "loss")    1.074
threshold(0.5, "exact")  50 %              as it was written
spread(...)              1.074 ± 0.012
times(0.7043)            0.70
```
"""

import math

from byline.lab.results.analysis import Reach, Spread
from byline.lab.results.series import Axis

SHARES = ("accuracy", "exact")
# A metric in a sentence, where its name is none.
_NAMES = {"exact": "exact match"}
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def amount(count: float) -> str:
    """A count with three digits."""
    for size, unit in _UNITS:
        # 999,600 is 1M: rounding may reach the next unit.
        if count >= size * 0.9995:
            return f"{_three_digits(count / size)}{unit}"
    return f"{count:.0f}"


def metric_name(metric: str) -> str:
    """A metric in a sentence."""
    return _NAMES.get(metric, metric)


def value(number: float, metric: str) -> str:
    """A metric's value; shares in per cent."""
    if math.isnan(number):
        return "not a number"
    return f"{100 * number:.1f} %" if metric in SHARES else f"{number:.3f}"


def threshold(number: float, metric: str) -> str:
    """A threshold as it was written, shares in per cent."""
    return f"{100 * number:.6g} %" if metric in SHARES else f"{number:g}"


def spread(values: Spread, metric: str) -> str:
    """Mean and standard deviation; of one seed the value alone."""
    if math.isnan(values.deviation):
        return value(values.mean, metric)
    if metric in SHARES:
        return f"{100 * values.mean:.1f} ± {100 * values.deviation:.1f} %"
    return f"{values.mean:.3f} ± {values.deviation:.3f}"


def least_to_greatest(values: Spread, metric: str) -> str:
    """The range of the seeds: `1.061 to 1.085`."""
    return f"{value(values.least, metric).removesuffix(' %')} to {value(values.greatest, metric)}"


def reached(when: Reach, axis: Axis) -> str:
    """When a threshold was reached: `1.2M tokens`, `at most 50k tokens`, `not within 3M tokens`."""
    unit = "steps" if axis == "step" else axis
    if not when.is_reached:
        return f"not within {amount(when.earliest)} {unit}"
    bound = "" if when.earliest == when.latest else "at most "
    return f"{bound}{amount(when.latest)} {unit}"


def _three_digits(number: float) -> str:
    decimals = max(0, 2 - math.floor(math.log10(max(number, 1)) + 1e-9))
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
