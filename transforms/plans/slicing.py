"""A stage cut into shards, and shards into slices: the stretches with one mixture and one bin of the order.

```
rows 100, at most 40 a shard, a branch leaves at 3/10, weights jump at 1/2

progress    0      3/10       1/2  13/20         1
shard       |  0    |       1       |      2      |       30, 35 and 35 rows
slice       |  0    |    0     | 1  |      0      |
```
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

# Weights that change all along are followed in so many steps, if a step has so many rows.
_SMOOTH_SLICES = 64
_LEAST_ROWS = 16
# A mixture that changes is held to its schedule at so many points.
GROUPS = 10


@dataclass(frozen=True)
class Slice:
    """A slice before it has documents.

    Attributes:
        shard, number: its shard, and its number there.
        start, end: progress through the stage, 0 to 1.
        group: which group of slices it belongs to; packing's losses are learnt for each group. The bin of an order.
    """

    shard: int
    number: int
    start: Fraction
    end: Fraction
    group: int


def cut_slices(
    rows: int, most: int, cuts: set[Fraction], jumps: list[Fraction], *, bins: int, is_smooth: bool, is_constant: bool
) -> list[Slice]:
    """The slices of a stage, in order.

    Args:
        rows: sequences of the stage.
        most: sequences in a shard.
        cuts: points at which a shard must end, for branches.
        jumps: points at which the weights jump.
        bins: of the stage's order, 1 without one.
        is_smooth: whether the weights change all along.
        is_constant: whether they stay as they are.
    """
    shards = shard_borders(rows, most, cuts)
    borders = {*shards, *jumps, *(Fraction(number, bins) for number in range(1, bins))}
    if is_smooth:
        steps = max(min(_SMOOTH_SLICES, rows // _LEAST_ROWS), 1)
        # Multiples of the shards' number keep slices of one size.
        steps = -(-steps // (len(shards) - 1)) * (len(shards) - 1)
        borders |= {Fraction(number, steps) for number in range(1, steps)}
    groups = bins if bins > 1 else 1 if is_constant else GROUPS
    slices: list[Slice] = []
    shard = number = 0
    for start, end in pairwise(sorted(borders)):
        if start >= shards[shard + 1]:
            shard, number = shard + 1, 0
        slices.append(Slice(shard, number, start, end, int(start * groups)))
        number += 1
    return slices


def shard_borders(rows: int, most: int, cuts: set[Fraction]) -> list[Fraction]:
    """Where shards begin and end: shards of equal size between one cut and the next."""
    borders = [Fraction(0)]
    for start, end in pairwise(sorted({Fraction(0), Fraction(1), *cuts})):
        shards = max(-(-rows * (end - start) // most), 1)
        borders += [start + (end - start) * number / int(shards) for number in range(1, int(shards) + 1)]
    return borders
