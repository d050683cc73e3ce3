"""Names of what a document has several of, in one text.

```
pairs   0, 1   0, 0   2, 1   0, 1      names   arc  gsm8k        joined   arc+gsm8k  null  gsm8k
```
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def joined_names(pairs: np.ndarray, names: Sequence[str], num_rows: int) -> pa.Array:
    """The names of each document, each once, in their order, with `+` between; null for a document without.

    Args:
        pairs: int64 [pairs, 2], document and name, in any order.
        names: sorted.
        num_rows: documents.
    """
    distinct = np.unique(pairs, axis=0)
    of_pairs = pa.array(names, pa.string()).take(pa.array(distinct[:, 1]))
    offsets = np.searchsorted(distinct[:, 0], np.arange(num_rows + 1)).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), of_pairs), "+")
    return pc.if_else(pa.array(np.diff(offsets) > 0), joined, pa.scalar(None, pa.string()))
