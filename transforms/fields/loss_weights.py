"""The loss weight of each document, from what the recipe says of its source.

```
loss_weight  {web: {by: quality, most: 1.5, unknown: 0.5}, code: 2}
web          quality 0.25   3     -1    null  NaN       weight  0.25  1.5  0  0.5  0.5
code, books                                             weight  2                            1
```
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import RANGE_WEIGHTS, WEIGHED
from byline.schemas.loss_weights import FormatterWeight, LossWeights, NumberWeight, document_weight


def weighs_by_formatter(source: str, weights: LossWeights | None) -> bool:
    """Whether the weights of a source are those of its formatter, perhaps times others."""
    return isinstance((weights or {}).get(source), FormatterWeight)


def weight_columns(source: str, weights: LossWeights | None) -> set[str]:
    """The store columns that the weights of a source need."""
    weight = document_weight((weights or {}).get(source))
    ranges = {WEIGHED.name, RANGE_WEIGHTS.name} if weighs_by_formatter(source, weights) else set()
    return ranges | ({weight.by} if isinstance(weight, NumberWeight) else set())


def document_weights(batch: pa.RecordBatch, source: str, weights: LossWeights | None) -> np.ndarray:
    """float64 [rows], finite and not negative; without what a formatter gives parts of them.

    Args:
        batch: documents of one source, with the columns of `weight_columns`.
        source: the source's name.
        weights: of the stage; None for 1.
    """
    weight = document_weight((weights or {}).get(source))
    if not isinstance(weight, NumberWeight):
        return np.full(batch.num_rows, float(weight))
    numbers = pc.cast(batch[weight.by], pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    # A null is NaN by now. -0.0 + 0.0 is 0.0.
    clipped = np.minimum(np.maximum(numbers, 0), float(weight.most)) + 0.0
    return np.where(np.isnan(numbers), float(weight.unknown), clipped)
