"""Code points as runs of them, as files hold them.

```
0x88F, 0xC5C, 0xC5D    [[2191, 2191], [3164, 3165]]
```
"""

from collections.abc import Iterable


def to_runs(points: Iterable[int]) -> list[list[int]]:
    """First and last of each run of code points, which are ascending."""
    runs: list[list[int]] = []
    for point in points:
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return runs


def of_runs(runs: Iterable[Iterable[int]]) -> tuple[int, ...]:
    """The code points of some runs; raises ValueError or TypeError where these are no pairs of numbers."""
    return tuple(point for low, high in runs for point in range(low, high + 1))
