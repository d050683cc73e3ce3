"""Which rows batch k has: index arithmetic on the rows of a view, the same for any number of ranks and workers.

```
phases             conditioned         cooldown      batch=4, epochs=1
rows               0 1 2 3 4 5 6       7 8 9
joined             [0 1 2 3][4 5 6      7][8 9]                    batches may have rows of two phases, or two epochs
aligned            [0 1 2 3][4 5 6]    [7 8 9]                     none has
shuffle=3          [0 1 2 5][4 3 6      7][9 8]                    within 0 1 2, 3 4 5, 6, and 7 8 9
shuffle="phase"    [6 0 1 5][4 3 2      7][9 8]                    within each phase
2 ranks            rank 0 has the first half of each batch, rank 1 the second
```

What is left at the end, of everything or where aligned of each phase, is a short batch: `Last` says what becomes of it.
Ranks share it evenly: rank r of W has its rows r * m // W to (r + 1) * m // W.

Nothing has to be kept: a batch's rows follow from its number, the settings and the seed (`byline.permutation`). Each
epoch, phase and window has a permutation of its own.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

from byline.errors import BylineError
from byline.permutation import mixed, permuted
from byline.printable import shown

# Raised whenever the same settings give other rows.
ORDER_VERSION = 1
WHOLE_PHASE = "phase"
_MOST_ROWS = 1 << 60  # of a batch, of a window, and of all epochs
# Positions that are shuffled at once: ten thousand cost hardly more than ten, whose time goes into calls of numpy.
_BLOCK = 4096


class Last(str, Enum):
    """What becomes of the rows that are too few for a batch."""

    KEEP = "keep"  # a short batch; ranks differ by a row at most, and may have none
    DROP = "drop"  # not read
    PAD = "pad"  # a full batch: rows of padding follow, whose loss mask is 0


def last_named(name: str) -> Last:
    """The member of a name.

    Raises:
        BylineError: there is none.
    """
    try:
        return Last(name)
    except ValueError:
        known = ", ".join(repr(member.value) for member in Last)
        raise BylineError(f"loader: last={shown(name)}; expected one of {known}") from None


def plain_integer(value: Any) -> Any:
    """An integer of numpy as Python's, everything else as it is."""
    return int(value) if isinstance(value, np.integer) else value


@dataclass(frozen=True)
class RowOrder:
    """The batches of one view under fixed settings.

    Attributes:
        phases: the name of each phase in the view, in the view's order, and its rows there.
        batch: rows of a global batch.
        epochs: how often all rows are read.
        shuffle: rows of a window that are shuffled among themselves, `WHOLE_PHASE` for all of a phase, or None.
        seed: of the shuffle.
        aligned: no batch has rows of two phases or two epochs.
        last: what becomes of short batches.
    """

    phases: tuple[tuple[str, int], ...]
    batch: int
    epochs: int
    shuffle: int | str | None
    seed: int
    aligned: bool
    last: Last

    def __post_init__(self) -> None:
        _check_count("batch", self.batch, "rows of all ranks together")
        _check_count("epochs", self.epochs, "how often all rows are read")
        if self.shuffle is not None and self.shuffle != WHOLE_PHASE:
            _check_count("shuffle", self.shuffle, f"rows of a window, or {WHOLE_PHASE!r}, or None")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 64:
            raise BylineError(f"loader: seed={shown(self.seed)}; expected a whole number from 0 to 2^64 - 1")
        if type(self.aligned) is not bool:
            raise BylineError(f"loader: align_phases={shown(self.aligned)}; expected True or False")
        if self.rows * self.epochs > _MOST_ROWS:
            raise BylineError(f"loader: epochs={self.epochs} of {self.rows:,} rows are more than 2^60 rows")
        self._check_dropped()

    def _check_dropped(self) -> None:
        """Refuses to drop all of a phase, or all there is, without a word."""
        if self.last is not Last.DROP:
            return
        for name, rows in self.phases if self.aligned else [("the view", self.rows * self.epochs)]:
            if 0 < rows < self.batch:
                raise BylineError(
                    f"loader: last='drop' would leave out all {rows:,} rows of {name}, fewer than "
                    f"batch={self.batch:,}; give last='pad' or last='keep', or a smaller batch"
                )

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of each phase, and the end."""
        return list(accumulate((rows for _, rows in self.phases), initial=0))

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return self._starts[-1]

    @cached_property
    def _batch_starts(self) -> list[int]:
        """The first batch of each phase in an aligned epoch, and the end."""
        return list(accumulate((self._batches_of(rows) for _, rows in self.phases), initial=0))

    def _batches_of(self, rows: int) -> int:
        return rows // self.batch if self.last is Last.DROP else -(-rows // self.batch)

    def __len__(self) -> int:
        """Batches of all epochs."""
        if self.aligned:
            return self.epochs * self._batch_starts[-1]
        return self._batches_of(self.epochs * self.rows)

    def span(self, batch: int) -> range:
        """Where a batch's rows stand in the order, counted over all epochs, without padding."""
        if not self.aligned:
            return range(batch * self.batch, min((batch + 1) * self.batch, self.epochs * self.rows))
        epoch, in_epoch = divmod(batch, self._batch_starts[-1])
        phase = bisect_right(self._batch_starts, in_epoch) - 1
        start = self._starts[phase] + (in_epoch - self._batch_starts[phase]) * self.batch
        end = min(start + self.batch, self._starts[phase + 1])
        return range(epoch * self.rows + start, epoch * self.rows + end)

    def phase_at(self, position: int) -> str:
        """The phase of the row at a position of the order; rows never leave theirs."""
        return self.phases[bisect_right(self._starts, position % self.rows) - 1][0]

    def numbers(self, span: range) -> np.ndarray:
        """The rows of the view that stand at these positions of the order; int64 [n]."""
        if self.shuffle is None:
            return np.arange(span.start, span.stop, dtype=np.int64) % max(self.rows, 1)
        blocks = range(span.start // _BLOCK, -(-span.stop // _BLOCK))
        numbers = [_shuffled_block(self, block) for block in blocks]
        start = blocks.start * _BLOCK
        return np.concatenate([np.empty(0, np.int64), *numbers])[span.start - start : span.stop - start]

    def shuffled(self, positions: np.ndarray) -> np.ndarray:
        """The rows of the view at positions of the order; int64 [n]."""
        epochs, rows = np.divmod(positions, self.rows)
        starts = np.array(self._starts, np.int64)
        phases = np.searchsorted(starts, rows, side="right") - 1
        window = np.int64(self.shuffle if isinstance(self.shuffle, int) else _MOST_ROWS)
        windows, numbers = np.divmod(rows - starts[phases], window)
        sizes = np.minimum(np.diff(starts)[phases] - windows * window, window)
        keys = np.full(len(rows), self.seed, np.uint64)
        for part in (epochs, phases, windows):
            keys = mixed(keys, part.astype(np.uint64))
        images = permuted(numbers.astype(np.uint64), sizes.astype(np.uint64), keys)
        return rows - numbers + images.astype(np.int64)


@lru_cache(maxsize=16)
def _shuffled_block(order: RowOrder, block: int) -> np.ndarray:
    """The rows at `_BLOCK` positions, which batches that follow each other share."""
    return order.shuffled(np.arange(block * _BLOCK, (block + 1) * _BLOCK, dtype=np.int64))


def share(span: range, rank: int, world: int) -> range:
    """A rank's part of a batch: as many as every other rank's, or one more or less where the batch is short."""
    return span[rank * len(span) // world : (rank + 1) * len(span) // world]


def _check_count(name: str, value: object, meaning: str) -> None:
    if type(value) is not int or not 1 <= value <= _MOST_ROWS:
        raise BylineError(f"loader: {name}={shown(value)}; expected a whole number from 1 on: {meaning}")
