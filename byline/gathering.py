"""Rows from several record batches as one set of arrays, in the order they were asked for.

```
asked for     rows 6, 0, 7         pieces    record batch 0   rows [0]      targets [1]
rows_per_batch    4                          record batch 1   rows [2, 3]   targets [0, 2]
```

Each record batch is touched once, and a segment's values are copied with those of all others of its record batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from byline.rows import Rows
from byline.shard_files import Columns


@dataclass(frozen=True)
class Piece:
    """What a batch takes from one record batch.

    Attributes:
        columns: the record batch.
        rows: int64 [k], which of its rows.
        targets: int64 [k], where each stands in the batch.
    """

    columns: Columns
    rows: np.ndarray
    targets: np.ndarray


def gather_pieces(pieces: Sequence[Piece], length: int, phase: np.ndarray) -> Rows:
    """All rows of a batch.

    Args:
        pieces: their targets are 0 to n - 1, each once.
        length: L.
        phase: str [n], the phase of each row.
    """
    shape = (len(phase), length)
    ids, mask, segments = np.empty(shape, np.int32), np.empty(shape, np.uint8), np.empty(len(phase), np.int32)
    counts = []
    for piece in pieces:
        columns, rows, targets = piece.columns, piece.rows, piece.targets
        _, ends = columns.lists[0]
        counts.append(ends[rows + 1] - ends[rows])
        segments[targets] = counts[-1]
        # A slice is one copy, an array of numbers two.
        whole = _as_slice(targets)
        ids[whole], mask[whole] = columns.input_ids[_as_slice(rows)], columns.loss_mask[_as_slice(rows)]
    first = np.cumsum(segments, dtype=np.int64) - segments
    lists = [np.empty(int(segments.sum()), dtype) for dtype in (np.int32, np.int64, np.int32)]
    for piece, of_rows in zip(pieces, counts, strict=True):
        targets = _spread(first[piece.targets], of_rows)
        for (values, ends), gathered in zip(piece.columns.lists, lists, strict=True):
            gathered[targets] = values[_spread(ends[piece.rows], of_rows)]
    return {
        "input_ids": ids,
        "loss_mask": mask,
        "segments": segments,
        "seq_lengths": lists[0],
        "doc_ids": lists[1],
        "doc_offsets": lists[2],
        "phase": phase,
    }


def _as_slice(numbers: np.ndarray) -> "slice | np.ndarray":
    """Numbers that follow each other as a slice, others as they are."""
    if len(numbers) and (np.diff(numbers) == 1).all():
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers


def _spread(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers of all ranges [start, start + count), one range after another; int64."""
    before = np.cumsum(counts, dtype=np.int64) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum(), dtype=np.int64)
