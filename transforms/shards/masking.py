"""Which tokens of documents do not count in the loss: those of a formatter, and those that attributes say.

```
masked          [0, 3]                    a formatter's
evals_ranges    [2, 5, 9, 11]             of an attribute that the phase names in `mask`
all of them     [0, 5, 9, 11]             ranges that overlap or touch are one
```
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from byline.transforms.documents.text_parts import list_lengths
from byline.transforms.store.token_ranges import joined_ranges

_OWN = "masked"


def masked_ranges(documents: pa.RecordBatch, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The masked ranges of documents.

    Args:
        documents: n of them, perhaps with `masked`, and with these columns.
        columns: list<int32>, ranges of tokens: start, end, start, ... ascending; null for none.

    Returns:
        The ranges of all documents, ascending and apart in each (int32), and how many numbers each has (int64 [n]).
    """
    names = [name for name in (_OWN, *columns) if name in documents.schema.names]
    if not names:
        return np.zeros(0, np.int32), np.zeros(documents.num_rows, np.int64)
    if len(names) == 1:
        only = documents[names[0]]
        return only.flatten().to_numpy(), list_lengths(only)
    ranges = joined_ranges(documents, names, touching=True)
    return ranges.borders, 2 * ranges.counts
