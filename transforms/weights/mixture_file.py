"""Mixture files that are made from computed weights, and weights that are read back from one.

```
# byline weights doremi losses.csv --eta 1.0 --smoothing 0.001
weights: {c4: 0.468943, dclm: 0.531057}

method: piecewise
points:
  - {at: 0, weights: {c4: 0.500000, dclm: 0.500000}}
  - {at: 1/3, weights: {c4: 0.437900, dclm: 0.562100}}
```

Weights have 6 places and sum to exactly 1. The pieces of a schedule are equally long.
"""

import sys
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from byline.errors import BylineError
from byline.printable import printable, shown
from byline.schemas.yaml_text import load_yaml

Array = NDArray[np.float64]

PLACES = 6
_UNITS = 10**PLACES
# How far the sum of weights that were written with fewer decimals may be from 1.
_SUM_TOLERANCE = 1e-3


def read_weights(path: Path, domains: Sequence[str]) -> Array:
    """Weights of a mixture file with the key `weights`, in the order of `domains`.

    Returns:
        float64 (k,), sums to one; weights that were written with few decimals are divided by their sum.

    Raises:
        BylineError: no such file, no such key, other domains, or weights that do not sum to one.
    """
    try:
        values = load_yaml(path)
    except BylineError as error:
        raise BylineError(f"{error}; expected `weights: {{NAME: SHARE, ...}}`") from None
    weights = values.get("weights") if isinstance(values, dict) else None
    if not isinstance(weights, dict) or {*weights} != {*domains}:
        raise BylineError(f"{path}: expected `weights:` with one share for each of {', '.join(domains)}")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            raise BylineError(f"{path}: weights.{name}: expected a share from 0 to 1, found {shown(weight)}")
    shares = np.array([weights[name] for name in domains], np.float64)
    if abs(shares.sum() - 1) > _SUM_TOLERANCE:
        raise BylineError(f"{path}: the weights sum to {shares.sum():g}; expected 1, so change one")
    return shares / shares.sum()


def decimals(weights: Array) -> list[Decimal]:
    """Weights as decimals of 6 places that sum to exactly 1: the largest remainders are rounded up.

    ```
    2/3, 1/6, 1/6   ->   666666 + 0.67   166666 + 0.67   166666 + 0.67   ->   0.666667  0.166667  0.166666
    ```

    Args:
        weights: float64 (k,), sums to one. Of equal remainders the first ones are rounded up.
    """
    units = weights / weights.sum() * _UNITS
    whole = np.floor(units).astype(np.int64)
    # Compared as numbers of 3 places, for equal weights' remainders differ by the rounding of the division.
    order = np.argsort(-np.round(units - whole, 3), kind="stable")
    whole[order[: _UNITS - int(whole.sum())]] += 1
    return [Decimal(int(unit)).scaleb(-PLACES) for unit in whole]


def mixture_text(header: Sequence[str], domains: Sequence[str], weights: Array) -> str:
    """A mixture file of constant weights; `header` lines become comments."""
    return f"{_comments(header)}weights: {flow(named(domains, weights))}\n"


def schedule_text(header: Sequence[str], domains: Sequence[str], path: Array) -> str:
    """A mixture file of T pieces, equally long.

    Args:
        path: float64 (T, k), the weights of each piece.
    """
    starts = [Fraction(piece, len(path)) for piece in range(len(path))]
    points = [{"at": at, "weights": named(domains, row)} for at, row in zip(starts, path, strict=True)]
    lines = "".join(f"  - {flow(point)}\n" for point in points)
    return f"{_comments(header)}method: piecewise\npoints:\n{lines}"


class _Dumper(yaml.SafeDumper):
    """YAML with decimals as they are, and shares as decimals or, where these would be too long, as `n/d`."""


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:f}")


def _share(dumper: yaml.SafeDumper, value: Fraction) -> yaml.ScalarNode:
    if value.denominator == 1:
        return dumper.represent_int(value.numerator)
    text = f"{float(value):.{PLACES}f}".rstrip("0")
    if Fraction(text) == value:
        return dumper.represent_scalar("tag:yaml.org,2002:float", text)
    return dumper.represent_str(str(value))


_Dumper.add_representer(Decimal, _decimal)
_Dumper.add_representer(Fraction, _share)


def flow(value: dict[str, Any]) -> str:
    """One line of YAML."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=sys.maxsize, allow_unicode=True
    )
    return text.rstrip("\n")


def named(domains: Sequence[str], weights: Array) -> dict[str, Decimal]:
    """Domain -> its weight, in 6 places."""
    return dict(zip(domains, decimals(weights), strict=True))


def _comments(lines: Sequence[str]) -> str:
    return "".join(f"# {printable(line)}\n" for line in lines)
