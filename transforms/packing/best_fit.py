"""`best_fit` (arXiv 2404.10830): no document that fits a row is cut.

```
L = 8    a = 5 tokens   b = 6   c = 2       row 0  a a a a a . . .     row 1  b b b b b b c c
c in the next slice                         row 0  a a a a a . . .     row 1  b b b b b b . .     row 2  c c . . . . . .
```

Slices keep apart: each is packed into rows of its own, so that the mixture of a stretch stays in it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from byline.transforms.packing.policy import PackingPolicy
from byline.transforms.packing.segments import Segments, ShardSegments


@dataclass(frozen=True)
class BestFit(PackingPolicy):
    name: ClassVar[str] = "best_fit"
    line: ClassVar[str] = "no document that fits a row is cut; each goes into the fullest row that still holds it"
    pads_any_row: ClassVar[bool] = True

    def pack(
        self, framed: np.ndarray, prefixes: np.ndarray, bos: int, length: int, slices: np.ndarray | None = None
    ) -> Segments:
        framed = np.ascontiguousarray(framed, np.int64)
        return _best_fit(framed, length, np.zeros_like(framed) if slices is None else slices)

    def follows(self, segments: ShardSegments, drawn_twice: bool) -> np.ndarray | None:
        """Pieces of a document may stand in any rows, so those of one that is drawn twice cannot be told apart."""
        if drawn_twice:
            return None
        order = np.lexsort((segments.offset, segments.document))
        same = np.diff(segments.document[order], prepend=-1) == 0
        before = np.full(len(order), -1)
        before[order[1:]] = np.where(same[1:], order[:-1], -1)
        return before


def _best_fit(framed: np.ndarray, length: int, slices: np.ndarray) -> Segments:
    assert (np.diff(slices) >= 0).all(), "documents come slice after slice"
    pieces = np.maximum(-(-framed // length), 1)
    document = np.repeat(np.arange(len(framed)), pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = number * length
    take = np.minimum(framed[document] - start, length)
    slice_of = np.ascontiguousarray(slices, np.int64)[document]
    # Longest first within a slice, equal ones as they come.
    by_length = np.lexsort((-take, slice_of))
    opened = np.empty(len(take), np.int64)
    opened[by_length] = _fit_pieces(take[by_length], slice_of[by_length], length)
    # Rows in the order of their first piece, which is slice after slice, and pieces in document order.
    if len(opened) == 0:
        empty = np.zeros(0, np.int64)
        return Segments(empty, empty, empty, empty, empty, 0)
    rows = int(opened.max()) + 1
    first = np.full(rows, len(opened), np.int64)
    np.minimum.at(first, opened, np.arange(len(opened)))
    rank = np.empty(rows, np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(rows)
    row = rank[opened]
    order = np.argsort(row, kind="stable")
    return Segments(row[order], document[order], start[order], take[order], np.zeros(len(order), np.int64), rows)


@numba.njit(cache=True, nogil=True)
def _fit_pieces(takes: np.ndarray, slices: np.ndarray, length: int) -> np.ndarray:
    """The row of each piece, longest first: the fullest row that holds it, of equal ones the one last added to.

    Rows with the same space left form a stack (`top`, `below`); a bit set of the spaces that have a row finds the
    least one in length / 64 steps. A new slice empties the stacks that the pieces of the one before filled.
    """
    row_of = np.empty(len(takes), np.int64)
    top = np.full(length + 1, -1, np.int64)
    below = np.empty(len(takes), np.int64)
    words = np.zeros(length // 64 + 1, np.uint64)
    space_of = np.empty(len(takes), np.int64)
    rows, first_row = 0, 0
    for piece in range(len(takes)):
        if piece > 0 and slices[piece] != slices[piece - 1]:
            for row in range(first_row, rows):
                top[space_of[row]] = -1
                words[space_of[row] >> 6] = 0
            first_row = rows
        take = takes[piece]
        space = _least_space(words, take)
        if space < 0:
            row, space = rows, length
            rows += 1
        else:
            row = top[space]
            top[space] = below[row]
            if top[space] < 0:
                words[space >> 6] &= ~(np.uint64(1) << np.uint64(space & 63))
        row_of[piece] = row
        left = space - take
        space_of[row] = left
        if left > 0:
            below[row] = top[left]
            top[left] = row
            words[left >> 6] |= np.uint64(1) << np.uint64(left & 63)
    return row_of


@numba.njit(cache=True, nogil=True)
def _least_space(words: np.ndarray, least: int) -> int:
    """The lowest set bit at or above `least`, or -1."""
    word = least >> 6
    bits = words[word] >> np.uint64(least & 63) << np.uint64(least & 63)
    while True:
        if bits != 0:
            for bit in range(64):
                if bits >> np.uint64(bit) & np.uint64(1):
                    return word * 64 + bit
        word += 1
        if word == len(words):
            return -1
        bits = words[word]
