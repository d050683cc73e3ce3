"""Weights that the options of a formatter give to the parts of a text, by role of a message or by question and answer.

```
chat   weights: {user: 0.1}, train: [user, assistant]     user 0.1, assistant 1
qa     weights: {question: 0.2}                           question 0.2, answer 1
```
"""

import math
from collections.abc import Container, Mapping
from typing import Any

from byline.errors import BylineError
from byline.schemas.loss_weights import LARGEST, SMALLEST

RANGE = f"a number from {SMALLEST:g} to {LARGEST}"


def check_weight(where: str, weight: Any) -> float:
    """A weight that an option gives. Raises: BylineError: it is none; `where` names the option."""
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
    if not is_number or not SMALLEST <= weight <= LARGEST:
        raise BylineError(f"{where}: expected {RANGE}, found {weight!r}; what is not to count, do not train")
    return float(weight)


def check_weights(where: str, weights: Any, parts: Container[str], advice: str) -> dict[str, float]:
    """Weights of parts by their names.

    Args:
        where: the option, for messages.
        weights: as it is given.
        parts: that are trained, and so may have a weight.
        advice: what to do about another one.

    Raises:
        BylineError: they are no such mapping.
    """
    if not isinstance(weights, Mapping):
        raise BylineError(f"{where}: expected a mapping to numbers, found {weights!r}")
    for part in weights:
        if part not in parts:
            raise BylineError(f"{where}: {part!r} is not trained; {advice}")
    return {part: check_weight(f"{where}.{part}", weight) for part, weight in weights.items()}
