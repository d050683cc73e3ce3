"""Packing: which part of which document stands where in which sequence. Only lengths are looked at.

```
L = 8    a = 5 tokens   b = 6   c = 2
document_start    row 0  a a a a a b b b     row 1  c c . . . . . .      3 tokens of b discarded
concat            row 0  a a a a a b b b     row 1  b b b c c . . .
best_fit          row 0  a a a a a . . .     row 1  b b b b b b c c
  c in slice 1    row 0  a a a a a . . .     row 1  b b b b b b . .     row 2  c c . . . . . .
```

docs/formats.md defines the four policies; `tests/reference/packing.py` is the slow form they are held against. All of
it runs in numba without the GIL: a shard of 134 M tokens has some 100,000 documents and is packed in milliseconds.
"""

from dataclasses import dataclass

import numba
import numpy as np

from byline.schemas.recipe import Packing


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


def pack(
    framed: np.ndarray,
    prefixes: np.ndarray,
    bos: int,
    length: int,
    packing: Packing,
    slices: np.ndarray | None = None,
) -> Segments:
    """Packs documents in the order given.

    Args:
        framed: int64 [n], tokens of each framed document, at least 1.
        prefixes: int64 [n], tokens of its prefix where that stands before it, else 0; only `repeat_prefix` looks.
        bos: 1 where framed documents begin with BOS, else 0.
        length: L.
        packing: the policy.
        slices: int64 [n], the slice of each document, ascending; None where all are of one. Only `best_fit` looks.
    """
    framed = np.ascontiguousarray(framed, np.int64)
    if packing is Packing.BEST_FIT:
        return _best_fit(framed, length, np.zeros_like(framed) if slices is None else slices)
    if packing is Packing.DOCUMENT_START:
        columns, rows = _document_start(framed, length)
    else:
        heads = prefixes if packing is Packing.REPEAT_PREFIX else np.zeros_like(framed)
        columns, rows = _concat(framed, np.ascontiguousarray(heads, np.int64), bos, length)
    row, document, start, take, head = columns
    return Segments(row, document, start, take, head, int(rows))


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


@numba.njit(cache=True, nogil=True)
def _concat(framed: np.ndarray, heads: np.ndarray, bos: int, length: int) -> tuple[np.ndarray, int]:
    """As `_document_start`; a document with a head is gone on with from its first token that is not prefix."""
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
