"""`document_start`: rows begin with a document, what a row's end cuts off is discarded.

```
L = 8    a = 5 tokens   b = 6   c = 2     row 0  a a a a a b b b     row 1  c c . . . . . .     3 tokens of b discarded
```
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from byline.schemas.reasons import Reason
from byline.transforms.packing.policy import PackingPolicy
from byline.transforms.packing.segments import Segments, ShardSegments


@dataclass(frozen=True)
class DocumentStart(PackingPolicy):
    name: ClassVar[str] = "document_start"
    line: ClassVar[str] = "a document that does not fit into the row is cut at the row's end, and its rest discarded"
    discards: ClassVar[Reason | None] = Reason("cut", "tokens after the cut of `document_start`")

    def pack(
        self, framed: np.ndarray, prefixes: np.ndarray, bos: int, length: int, slices: np.ndarray | None = None
    ) -> Segments:
        columns, rows = _document_start(np.ascontiguousarray(framed, np.int64), length)
        row, document, start, take, head = columns
        return Segments(row, document, start, take, head, int(rows))

    def follows(self, segments: ShardSegments, drawn_twice: bool) -> np.ndarray:
        return np.full(len(segments.row), -1)


@numba.njit(cache=True, nogil=True)
def _document_start(framed: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Columns row, document, start, take, head (int64 [5, n]) and the number of rows."""
    columns = np.zeros((5, len(framed)), np.int64)
    row, filled = 0, 0
    for document in range(len(framed)):
        take = min(framed[document], length - filled)
        columns[0, document] = row
        columns[1, document] = document
        columns[3, document] = take
        filled += take
        if filled == length:
            row, filled = row + 1, 0
    return columns, row + (1 if filled > 0 else 0)
