"""Whether the loss weights of a shard's rows are what the recipe says, as far as the shard alone tells.

```
loss_mask     0   0   1   1   1 |  1   1   0   0 |  0        web: {by: quality, most: 1.5, unknown: 9}   code: 2
loss_weight   0   0  .7  .7  .7 |  2   2   0   0 |  0        one of each segment, and 0 where the mask is
document      web               |  code          padding     web: from 0 to 1.5, or 9                    code: 2
```

Which number between the bounds it is, the comparison with the token store says (`checks/shards.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from byline.schemas.loss_weights import LossWeights, NumberWeight


@dataclass(frozen=True)
class WeightRules:
    """What the weights of a phase's documents may be, by the number of their input file.

    Attributes:
        least, most: bounds of the numbers; float64 [files].
        unknown: the weight of documents without the number; float64 [files].
    """

    least: np.ndarray
    most: np.ndarray
    unknown: np.ndarray

    @classmethod
    def of(cls, weights: LossWeights, loss_weight: str, sources: Sequence[str]) -> "WeightRules":
        """From the weights of a phase, as a column of the type `loss_weight` has them; `sources` are those of files."""
        bounds = {source: _bounds(weights.get(source, 1)) for source in set(sources)}
        listed = np.array([bounds[source] for source in sources], np.float64).reshape(len(sources), 3)
        return cls(*listed.astype(loss_weight).astype(np.float64).T)

    def allow(self, file: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """bool [n], whether documents of these files (int64 [n]) may have these weights (float64 [n])."""
        is_between = (weights >= self.least[file]) & (weights <= self.most[file])
        return is_between | (weights == self.unknown[file])


def _bounds(weight: NumberWeight | Fraction | int) -> tuple[float, float, float]:
    if isinstance(weight, NumberWeight):
        return 0.0, float(weight.most), float(weight.unknown)
    return (float(weight),) * 3


def weight_faults(
    weights: np.ndarray, trained: np.ndarray, starts: np.ndarray, file: np.ndarray, rules: WeightRules
) -> Iterator[tuple[np.ndarray, str]]:
    """Positions that have another weight than they may: their numbers (int64), and what is wrong with them.

    Args:
        weights: float16 or float32 [N], of all positions.
        trained: bool [N], whether the loss mask is 1.
        starts: int64 [S], the first position of each segment.
        file: int64 [S], number of the input file of each segment's document; -1 where it has none.
        rules: of the phase.
    """
    is_number = np.isfinite(weights) & ~np.signbit(weights)
    yield np.flatnonzero(~is_number), "a loss weight that is negative or no number"
    yield np.flatnonzero((weights != 0) & ~trained), "a loss weight where the loss mask is 0"
    known = np.where(is_number & trained, weights, 0).astype(np.float64)
    largest = np.maximum.reduceat(known, starts) if len(starts) else known
    of_segment = np.repeat(largest, np.diff(starts, append=len(weights)))
    yield np.flatnonzero(is_number & trained & (known != of_segment)), "several loss weights in one segment"
    has_trained = np.logical_or.reduceat(trained, starts) if len(starts) else trained
    asked = np.flatnonzero(has_trained & (file >= 0) & (file < len(rules.most)))
    wrong = asked[~rules.allow(file[asked], largest[asked])]
    yield starts[wrong], "a loss weight that the recipe does not give its document"
