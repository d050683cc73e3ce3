"""The learning rate's factor at a step, by name.

```
steps 10, warm-up 2, decay 4      0    1    2    3    4    5    6    7    8    9
constant                          0.5  1    1    1    1    1    1    1    1    1
cosine                            0.5  1    1    0.96 0.85 0.69 0.5  0.31 0.15 0.04
wsd                               0.5  1    1    1    1    1    1    0.75 0.5  0.25
```

wsd (warm-up, stable, decay; 2404.06395) is the only one whose decay begins at a step of its own: a cooldown phase or a
branch may have the whole of it, and what comes before does not depend on where it ends.
"""

import math
from collections.abc import Callable

from byline.errors import BylineError

Schedule = Callable[[float, int, int], float]


def constant(step: float, steps: int, decay: int) -> float:
    """1."""
    return 1.0


def cosine(step: float, steps: int, decay: int) -> float:
    """Half a cosine over all steps after the warm-up."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def wsd(step: float, steps: int, decay: int) -> float:
    """1, then straight down to 0 over the last `decay` steps."""
    return 1.0 if decay == 0 else min(1.0, (steps - step) / decay)


# Each of the steps since the warm-up, how many there are, and how many of them decay.
SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "wsd": wsd}


def schedule_named(name: str) -> Schedule:
    """The schedule of that name. Raises: BylineError: there is none."""
    if name not in SCHEDULES:
        raise BylineError(f"schedule: expected one of {', '.join(SCHEDULES)}, found {name!r}")
    return SCHEDULES[name]


def factor(name: str, step: int, steps: int, warmup: int, decay: int) -> float:
    """What the peak rate is multiplied with at `step`, from 0; over the first `warmup` steps it rises to 1."""
    if step < warmup:
        return (step + 1) / warmup
    return schedule_named(name)(step - warmup, max(steps - warmup, 1), decay)
