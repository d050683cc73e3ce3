"""What a packing policy is: one object that packs, and knows what `verify` may expect of what it packed.

```
plan       pack(lengths of sampled documents)     how many rows, how many positions of each source
assemble   pack(lengths of a shard's documents)   segments, filled with tokens, counted by `discards`
verify     follows, begins, pads_any_row          doc offsets and padding of every row, from the shard alone
```
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from byline.schemas.reasons import Reason
from byline.transforms.packing.segments import Segments, ShardSegments


@dataclass(frozen=True)
class PackingPolicy(ABC):
    """How documents fill sequences.

    Attributes:
        name: in a recipe; one of a user's own is named by where it is, and needs none.
        line: what it does, for the documentation.
        discards: the reason for which it leaves tokens of a document out; None where every token is in a row.
        repeats_prefix: whether a row that goes on with a document begins with its masked prefix again.
        pads_any_row: whether rows before a shard's last may end in padding.
    """

    name: ClassVar[str] = ""
    line: ClassVar[str] = ""
    discards: ClassVar[Reason | None] = None
    repeats_prefix: ClassVar[bool] = False
    pads_any_row: ClassVar[bool] = False

    @abstractmethod
    def pack(
        self, framed: np.ndarray, prefixes: np.ndarray, bos: int, length: int, slices: np.ndarray | None = None
    ) -> Segments:
        """Packs documents in the order given.

        Args:
            framed: int64 [n], tokens of each framed document, at least 1.
            prefixes: int64 [n], tokens of its prefix where that stands before it, else 0.
            bos: 1 where framed documents begin with BOS, else 0.
            length: L.
            slices: int64 [n], the slice of each document, ascending; None where all are of one.
        """

    @abstractmethod
    def follows(self, segments: ShardSegments, drawn_twice: bool) -> np.ndarray | None:
        """What each segment goes on from.

        Args:
            segments: of a shard; nothing of it is certain but that its segments divide its rows.
            drawn_twice: whether one document may be drawn twice in the shard.

        Returns:
            int64 [n]: the segment that holds the part of the document before this one, -1 for none; or None where the
            shard alone does not tell.
        """

    def begins(self, segments: ShardSegments, has_bos: bool) -> np.ndarray:
        """bool [n]: whether a document begins with each segment; `has_bos` where framed documents begin with BOS."""
        return segments.offset == 0
