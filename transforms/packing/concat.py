"""`concat` and `repeat_prefix`: the rest of a cut document goes on in the next row.

```
L = 8    a = 5 tokens   b = p p 1 2 3 4   c = 2
concat           row 0  a a a a a p p 1     row 1  2 3 4 c c . . .
repeat_prefix    row 0  a a a a a p p 1     row 1  p p 2 3 4 c c .
```
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from byline.transforms.packing.policy import PackingPolicy
from byline.transforms.packing.segments import Segments, ShardSegments


@dataclass(frozen=True)
class Concat(PackingPolicy):
    name: ClassVar[str] = "concat"
    line: ClassVar[str] = "the rest of a cut document goes on at the start of the next row"

    def pack(
        self, framed: np.ndarray, prefixes: np.ndarray, bos: int, length: int, slices: np.ndarray | None = None
    ) -> Segments:
        heads = prefixes if self.repeats_prefix else np.zeros_like(framed)
        columns, rows = _concat(
            np.ascontiguousarray(framed, np.int64), np.ascontiguousarray(heads, np.int64), bos, length
        )
        row, document, start, take, head = columns
        return Segments(row, document, start, take, head, int(rows))

    def follows(self, segments: ShardSegments, drawn_twice: bool) -> np.ndarray:
        return np.where(_goes_on(segments), np.arange(len(segments.row)) - 1, -1)

    def begins(self, segments: ShardSegments, has_bos: bool) -> np.ndarray:
        """A document that is cut before its first own token goes on at offset 0, too."""
        first = segments.offset == 0
        # A document that masks its own tokens is told apart as well: EOS is trained, so a whole one is never bare.
        bare = first & (segments.trained == (segments.head_trained & has_bos))
        return first & ~(_goes_on(segments) & np.concatenate([[False], bare[:-1]]))


@dataclass(frozen=True)
class RepeatPrefix(Concat):
    name: ClassVar[str] = "repeat_prefix"
    line: ClassVar[str] = (
        "as `concat`, but a row that continues a conditioned document begins with its whole prefix again"
    )
    repeats_prefix: ClassVar[bool] = True


def _goes_on(segments: ShardSegments) -> np.ndarray:
    """Whether each segment leads its row and is of the same document as the one before it."""
    same = np.concatenate([[False], segments.document[1:] == segments.document[:-1]])
    return same & segments.leads


@numba.njit(cache=True, nogil=True)
def _concat(framed: np.ndarray, heads: np.ndarray, bos: int, length: int) -> tuple[np.ndarray, int]:
    """Columns row, document, start, take, head (int64 [5, segments]) and the number of rows.

    A document with a head goes on from its first token that is not prefix.
    """
    most = len(framed)
    for document in range(len(framed)):
        # Each further row of a document takes at least this many tokens of its framed document.
        most += framed[document] // (length - heads[document]) + 2
    columns = np.zeros((5, most), np.int64)
    n, row, filled = 0, 0, 0
    for document in range(len(framed)):
        start, head = 0, 0
        while start < framed[document]:
            take = min(framed[document] - start, length - filled - head)
            columns[0, n] = row
            columns[1, n] = document
            columns[2, n] = start
            columns[3, n] = take
            columns[4, n] = head
            n += 1
            filled += head + take
            start += take
            if filled == length:
                row, filled = row + 1, 0
            if start < framed[document] and heads[document] > 0:
                head = heads[document]
                # A prefix that was cut is given whole, so the document goes on behind it.
                start = max(start, bos + head)
    return columns[:, :n].copy(), row + (1 if filled > 0 else 0)
