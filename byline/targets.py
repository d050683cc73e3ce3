"""What a batch trains: for each token, what the model sees of the tokens before it, and what it is to predict.

```
input_ids      0 22 27  5  9  0 | 0  8  0 | 1  1        one row, segments of 6, 3 and 2 (padding)
loss_mask      0  0  0  1  1  1   1  1  1   0  0
loss_weight    0  0  0 .5 .5 .5   2  2  2   0  0        only where the build has weights
start          0  0  0  0  0  0   6  6  6   9  9        the first token that each one sees
position       0  1  2  3  4  5   0  1  2   0  1
target        22 27  5  9  0  .   8  0  .   1  .        the next token of the same segment
weight         0  0 .5 .5 .5  0   2  2  0   0  0        that of the next token; without weights 1 where its mask is
```

A segment's first token follows no token of its own document, so predicting it (from the document before it, which it
has nothing to do with) is left out unless `train_starts` asks for it. A row's first token is never predicted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from byline.rows import Rows

UNSEEN = -1  # the start of what a token sees, where that is no stretch of tokens that ends with itself
# Makes an array of a shape and a type, of any values, as `numpy.empty` does.
Empty = Callable[[tuple[int, ...], np.dtype], np.ndarray]


@dataclass(frozen=True)
class Targets:
    """One for each token of a batch, [N] all of them; rows one after another.

    Attributes:
        tokens: int64, the ids.
        start: int64, the index of the first token that each token sees; it sees all from there up to itself. `UNSEEN`
            where its attention is anything else.
        position: int64, as the model is told.
        target: int64, the next token; of no meaning where the weight is 0.
        weight: float64, of the loss.
        width: tokens of a row of the batch, to say where a target is.
    """

    tokens: np.ndarray
    start: np.ndarray
    position: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    width: int


class Spread:
    """What each position of some rows is: arrays [n, L], each made anew whenever it is asked for.

    Args:
        rows: n of L tokens.
        train_starts: whether segments' first tokens are predicted.
        empty: makes arrays of ids, labels and positions.
    """

    def __init__(self, rows: Rows, train_starts: bool = False, empty: Empty = np.empty) -> None:
        self.rows, self.train_starts, self.empty = rows, train_starts, empty
        self.shape = rows["input_ids"].shape
        ends = np.cumsum(rows["seq_lengths"], dtype=np.int64)
        self.starts = ends - rows["seq_lengths"]  # int64 [S], in all of the batch's tokens

    @property
    def cu_seqlens(self) -> np.ndarray:
        """int32 [S + 1], where each segment begins in the batch's tokens, and where the last one ends."""
        return np.append(self.starts, self.rows["input_ids"].size).astype(np.int32)

    @property
    def max_seqlen(self) -> int:
        """The length of the longest segment."""
        return int(self.rows["seq_lengths"].max(initial=0))

    @property
    def trained(self) -> np.ndarray:
        """bool, tokens that are predicted."""
        trained = self.rows["loss_mask"] != 0
        if self.train_starts:
            trained[:, :1] = False
        else:
            trained.reshape(-1)[self.starts] = False
        return trained

    @property
    def weights(self) -> np.ndarray | None:
        """float32, how much the loss of predicting each token counts, 0 where it is not predicted.

        None where the build has no weights.
        """
        if "loss_weight" not in self.rows:
            return None
        weights = self.empty(self.shape, np.dtype(np.float32))
        # numpy multiplies float16 at a tenth of the speed.
        weights[...] = self.rows["loss_weight"]
        np.putmask(weights, ~self.trained, 0)
        return weights

    def ids(self, dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
        """The ids as another type."""
        ids = self.empty(self.shape, dtype) if out is None else out
        ids[...] = self.rows["input_ids"]
        return ids

    def labels(self, dtype: np.dtype, ignored: int, out: np.ndarray | None = None) -> np.ndarray:
        """The ids, each at its own token; `ignored` where a token is not predicted."""
        labels = self.ids(dtype, out)
        np.putmask(labels, ~self.trained, ignored)
        return labels

    def of_segments(self, values: np.ndarray) -> np.ndarray:
        """A value for each position from one for each segment, [S]."""
        return np.repeat(values, self.rows["seq_lengths"]).reshape(self.shape)

    def position_ids(self, dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
        """Each position counted from the start of its segment."""
        positions = self.empty(self.shape, dtype) if out is None else out
        # Sums of steps: 1, and back to 0 at each start.
        steps = positions.reshape(-1)
        steps[...] = 1
        steps[self.starts[1:]] = 1 - self.rows["seq_lengths"][:-1]
        steps[:1] = 0
        np.cumsum(steps, out=steps)
        return positions

    def segment_ids(self, flat: bool = False) -> np.ndarray:
        """int32, the number of each position's segment, from 0 in its row, or in the batch if it is to be flat."""
        segments = self.rows["segments"]
        numbers = np.arange(len(self.starts), dtype=np.int32)
        if not flat:
            numbers -= np.repeat(np.cumsum(segments, dtype=np.int32) - segments, segments)
        return self.of_segments(numbers)


def shift(values: np.ndarray, last: int | float, out: np.ndarray | None = None) -> np.ndarray:
    """Each position's next value, [n, L]; `last` at the end of a row.

    Args:
        values: contiguous, if it is `out` too.
        last: as above.
        out: where they are put, contiguous; a new array, if None.
    """
    shifted = np.empty_like(values, order="C") if out is None else out
    # Of one axis, so that numpy needs no copy where both are the same array.
    shifted.reshape(-1)[:-1] = values.reshape(-1)[1:]
    shifted[:, -1:] = last
    return shifted


def targets_of(rows: Rows, train_starts: bool = False) -> Targets:
    """What is to be trained of some rows."""
    spread = Spread(rows, train_starts)
    weights = spread.weights
    weights = spread.trained if weights is None else weights
    ids = rows["input_ids"].astype(np.int64)
    return Targets(
        tokens=ids.ravel(),
        start=spread.of_segments(spread.starts).ravel(),
        position=spread.position_ids(np.dtype(np.int64)).ravel(),
        target=shift(ids, 0).ravel(),
        weight=shift(weights.astype(np.float64), 0).ravel(),
        width=ids.shape[1],
    )
