"""Each source as an endless line of documents, epoch after epoch in order of place, and intervals of it. Integers only.

```
circle of places   0 ........ 2^64      the line begins at the source's offset (from the seed) and goes round
line               |-- epoch 0 --|-- epoch 1 --|-- ...
phases                [conditioned)[cooldown)       the next phase begins where the last one ended
```

A point of the line is an int: epoch * 2^64 + steps from the offset. A phase sees the line through a histogram: how many
tokens of streams it would make from each of 65,536 equal parts of the circle; within a part they are taken as even.
"""

from dataclasses import dataclass

import numpy as np

from byline.transforms.documents.shuffle_keys import BIN_BITS

EPOCH = 1 << 64


@dataclass(frozen=True)
class Line:
    """One source as one phase sees it.

    Attributes:
        offset: where on the circle the line begins, a multiple of 2^48.
        counts: int64 [65536], tokens by place, rotated so that bin 0 begins at the offset.
        ends: int64 [65536], their running sum.
    """

    offset: int
    counts: np.ndarray
    ends: np.ndarray

    @classmethod
    def from_places(cls, offset: int, counts: np.ndarray) -> "Line":
        """From counts by place, not rotated."""
        rotated = np.roll(counts, -(offset >> BIN_BITS))
        return cls(offset, rotated, np.cumsum(rotated))

    @property
    def total(self) -> int:
        """Tokens in one epoch."""
        return int(self.ends[-1])

    def tokens_before(self, point: int) -> int:
        """Tokens between the beginning of the line and a point."""
        epoch, step = divmod(point, EPOCH)
        bin_, within = divmod(step, 1 << BIN_BITS)
        count = int(self.counts[bin_])
        return epoch * self.total + int(self.ends[bin_]) - count + (count * within >> BIN_BITS)

    def advance(self, start: int, tokens: int) -> int:
        """The point so many tokens behind another."""
        if self.total == 0:
            return start
        epoch, rest = divmod(self.tokens_before(start) + tokens, self.total)
        bin_ = int(np.searchsorted(self.ends, rest, side="right"))
        count = int(self.counts[bin_])
        within = ((rest - (int(self.ends[bin_]) - count)) << BIN_BITS) // count
        return max(start, epoch * EPOCH + (bin_ << BIN_BITS) + within)


def place_ranges(offset: int, start: int, end: int) -> list[tuple[int, int, int]]:
    """The interval [start, end) of a line as (epoch, first place, last place), both places within the range."""
    ranges = []
    while start < end:
        epoch, step = divmod(start, EPOCH)
        first = (offset + step) % EPOCH
        # To the end of the interval, of the epoch, or of the circle, whichever comes first.
        length = min(end - start, EPOCH - step, EPOCH - first)
        ranges.append((epoch, first, first + length - 1))
        start += length
    return ranges
