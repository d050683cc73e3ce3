"""Segments: as packing makes them, and as a finished shard shows them.

```
row 0   a a a a a b b b     Segments        row 0 0 1    document 0 1 1    start 0 0 3    take 5 3 3
row 1   b b b . . . . .     ShardSegments   row 0 0 1    document 7 9 9    offset 0 0 2   length 5 3 3     (BOS of 1)
```
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Segments:
    """Segments in the order in which they stand; padding is not among them.

    Attributes:
        row: int64, ascending.
        document: int64, index of the document.
        start: int64, first token of the framed document in this segment.
        take: int64, how many tokens of the framed document.
        head: int64, tokens of the repeated prefix that stand before them.
        rows: number of rows.
    """

    row: np.ndarray
    document: np.ndarray
    start: np.ndarray
    take: np.ndarray
    head: np.ndarray
    rows: int

    @property
    def lengths(self) -> np.ndarray:
        """int64: positions of each segment."""
        return self.head + self.take

    def padding(self, length: int) -> np.ndarray:
        """int64 [rows]: positions of each row of L = `length` that no document fills."""
        filled = np.bincount(self.row, weights=self.lengths, minlength=self.rows)
        return length - filled.astype(np.int64)


@dataclass(frozen=True)
class ShardSegments:
    """Segments of a shard that are no padding, in order; arrays of n.

    Attributes:
        row: int64, number of the row in the shard.
        document, offset, length: int64.
        trained: int64, positions whose loss counts.
        leads: bool, whether it is the first of its row.
        head_trained: bool, whether the loss of its first position counts.
        masks_own: bool, whether its document may mask tokens of its own.
    """

    row: np.ndarray
    document: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    trained: np.ndarray
    leads: np.ndarray
    head_trained: np.ndarray
    masks_own: np.ndarray

    @classmethod
    def join(cls, parts: list["ShardSegments"]) -> "ShardSegments":
        """One after another."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
