"""What a trainer derives from a row: labels, segment ids and position ids.

```
input_ids      0 22428 27  77  5  9  0     0  8  0     1  1        L = 12
loss_mask      0   0    0   0  1  1  1     1  1  1     0  0
seq_lengths    7                           3           2
labels      -100 -100 -100 -100 5 9  0     0  8  0  -100 -100
segment ids    0   0    0   0  0  0  0     1  1  1     2  2
position ids   0   1    2   3  4  5  6     0  1  2     0  1
```

A label stands at its own token, as Hugging Face models take it: the model compares the prediction at position i with
the label at i + 1. A trainer that does not shift by itself takes `labels[1:]`.
"""

import numpy as np

from byline.rows import Row

IGNORED = -100  # the label that PyTorch's cross entropy leaves out


def labels(row: Row) -> np.ndarray:
    """The row's ids, `IGNORED` where the loss mask is 0; int64 [L], a new array."""
    return np.where(row["loss_mask"] == 0, np.int64(IGNORED), row["input_ids"].astype(np.int64))


def segment_ids(seq_lengths: np.ndarray) -> np.ndarray:
    """The number of each position's segment, from 0; int32 [L]. Tokens of the same number may attend to each other."""
    return np.repeat(np.arange(len(seq_lengths), dtype=np.int32), seq_lengths)


def position_ids(seq_lengths: np.ndarray) -> np.ndarray:
    """Each position counted from the start of its segment; int32 [L]."""
    ends = np.cumsum(seq_lengths, dtype=np.int32)
    return np.arange(ends[-1], dtype=np.int32) - np.repeat(ends - seq_lengths, seq_lengths).astype(np.int32)
