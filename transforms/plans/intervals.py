"""Each source as an endless stream of documents, epoch after epoch in order of shuffle key, and intervals of it.
Integers only.

```
circle of shuffle keys   0 ........ 2^64      the stream begins at the source's offset (from the seed) and goes round
stream               |-- epoch 0 --|-- epoch 1 --|-- ...
phases                [conditioned)[cooldown)       the next phase begins where the last one ended
```

A point of the stream is an int: epoch * 2^64 + steps from the offset. A phase sees the stream through a histogram: how
many tokens of framed documents it would make from each of 65,536 equal parts of the circle; within a stage they are
taken as even.
"""

from dataclasses import dataclass

import numpy as np

from byline.transforms.documents.shuffle_keys import BIN_BITS

EPOCH = 1 << 64


@dataclass(frozen=True)
class Stream:
    """One source as one phase sees it.

    Attributes:
        offset: where on the circle the stream begins, a multiple of 2^48.
        counts: int64 [65536], tokens by shuffle key, rotated so that bin 0 begins at the offset.
        ends: int64 [65536], their running sum.
    """

    offset: int
    counts: np.ndarray
    ends: np.ndarray

    @classmethod
    def from_shuffle_keys(cls, offset: int, counts: np.ndarray) -> "Stream":
        """From counts by shuffle key, not rotated."""
        rotated = np.roll(counts, -(offset >> BIN_BITS))
        return cls(offset, rotated, np.cumsum(rotated))

    @property
    def total(self) -> int:
        """Tokens in one epoch."""
        return int(self.ends[-1])

    def tokens_before(self, point: int) -> int:
        """Tokens between the beginning of the stream and a point."""
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


def shuffle_key_ranges(offset: int, start: int, end: int) -> list[tuple[int, int, int]]:
    """The interval [start, end) of a stream as (epoch, first shuffle key, last shuffle key), both ends included."""
    ranges = []
    while start < end:
        epoch, step = divmod(start, EPOCH)
        first = (offset + step) % EPOCH
        # To the end of the interval, of the epoch, or of the circle, whichever comes first.
        length = min(end - start, EPOCH - step, EPOCH - first)
        ranges.append((epoch, first, first + length - 1))
        start += length
    return ranges
