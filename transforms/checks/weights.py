"""Whether the loss weights of a shard's rows are what the recipe says, as far as the shard alone tells.

```
loss_mask     0   0   1   1   1 |  1   1   0   0 |  0        web: {by: quality, most: 1.5, unknown: 9}   code: 2
loss_weight   0   0  .7  .7  .7 |  2   2   0   0 |  0        one of each segment, and 0 where the mask is
document      web               |  code          padding     web: from 0 to 1.5, or 9                    code: 2
```

Of a source that its formatter weighs, a segment may have several. Which of the weights that may be it is, the
comparison with the token store says (`checks/shards.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from byline.schemas.loss_weights import (
    LARGEST,
    DocumentWeight,
    FormatterWeight,
    LossWeights,
    NumberWeight,
    document_weight,
)
from byline.transforms.fields.loss_weights import weighs_by_formatter


@dataclass(frozen=True)
class WeightRules:
    """What the weights of a phase's documents may be, by the number of their input file.

    Attributes:
        least, most: bounds of the numbers; float64 [files].
        unknown: the weight of documents without the number; float64 [files].
        differs: whether a formatter weighs parts of documents; bool [files].
    """

    least: np.ndarray
    most: np.ndarray
    unknown: np.ndarray
    differs: np.ndarray

    @classmethod
    def of(cls, weights: LossWeights, loss_weight: str, sources: Sequence[str]) -> "WeightRules":
        """From the weights of a phase, as a column of the type `loss_weight` has them; `sources` are those of files."""
        bounds = {source: _bounds(weights.get(source)) for source in set(sources)}
        listed = np.array([bounds[source] for source in sources], np.float64).reshape(len(sources), 3)
        differs = np.array([weighs_by_formatter(source, weights) for source in sources], bool)
        least, most, unknown = listed.astype(loss_weight).astype(np.float64).T
        return cls(least, most, unknown, differs)

    def allow(self, file: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """bool [n], whether documents of these files (int64 [n]) may have these weights (float64 [n])."""
        is_between = (weights >= self.least[file]) & (weights <= self.most[file])
        return is_between | (weights == self.unknown[file])


def _bounds(weight: FormatterWeight | DocumentWeight | None) -> tuple[float, float, float]:
    own = document_weight(weight)
    if isinstance(weight, FormatterWeight) and own != 0:
        return 0.0, LARGEST, LARGEST
    if isinstance(own, NumberWeight):
        return 0.0, float(own.most), float(own.unknown)
    return (float(own),) * 3


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
    names_file = (file >= 0) & (file < len(rules.most))
    differs = np.zeros(len(file), bool)
    differs[names_file] = rules.differs[file[names_file]]
    lengths = np.diff(starts, append=len(weights))
    is_other = (known != np.repeat(largest, lengths)) & ~np.repeat(differs, lengths)
    yield np.flatnonzero(is_number & trained & is_other), "several loss weights in one segment"
    has_trained = np.logical_or.reduceat(trained, starts) if len(starts) else trained
    asked = np.flatnonzero(has_trained & names_file)
    wrong = asked[~rules.allow(file[asked], largest[asked])]
    yield starts[wrong], "a loss weight that the recipe does not give its document"
