"""Rows from several record batches as one set of arrays, in the order they were asked for.

```
asked for     rows 6, 0, 7         pieces    record batch 0   rows [0]      targets [1]
rows_per_batch    4                          record batch 1   rows [2, 3]   targets [0, 2]
```

Each record batch is touched once, and a segment's values are copied with those of all others of its record batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def groups(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each distinct value of int64 [n], n > 0, and the indices that have it, both ascending."""
    if (values == values[0]).all():
        yield int(values[0]), np.arange(len(values))
        return
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    bounds = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(values)]
    for start, end in pairwise(bounds):
        yield int(ordered[start]), order[start:end]


def gather_pieces(pieces: Sequence[Piece], length: int, phase: np.ndarray, loss_weight: str | None = None) -> Rows:
    """All rows of a batch.

    Args:
        pieces: their targets are 0 to n - 1, each once, and ascend in each.
        length: L.
        phase: str [n], the phase of each row.
        loss_weight: type of the weights; None where there are none.
    """
    if len(pieces) == 1 and len(pieces[0].rows) and _are_in_a_row(pieces[0].rows):
        return _stretch(pieces[0].columns, int(pieces[0].rows[0]), phase)
    shape = (len(phase), length)
    dtypes = [np.dtype(np.int32), np.dtype(np.uint8), *([] if loss_weight is None else [np.dtype(loss_weight)])]
    of_positions = [np.empty(shape, dtype) for dtype in dtypes]
    for piece in pieces:
        for gathered, values in zip(of_positions, piece.columns.of_positions, strict=True):
            gathered[piece.targets] = values[piece.rows]
    return _rows(of_positions, *_gather_lists(pieces), phase)


def _gather_lists(pieces: Sequence[Piece]) -> tuple[np.ndarray, list[np.ndarray]]:
    """How many segments each row of a batch has, and the lists of all rows."""
    if not pieces:
        return np.empty(0, np.int32), [np.empty(0, dtype) for dtype in (np.int32, np.int64, np.int32)]
    ends_of = [(piece.columns.lists[0][1], piece.rows) for piece in pieces]
    starts = np.concatenate([ends[rows] for ends, rows in ends_of])
    counts = np.concatenate([ends[rows + 1] for ends, rows in ends_of]) - starts
    # Piece after piece first, then row after row.
    sources = numbers_in_ranges(starts, counts)
    behind = np.cumsum(counts, dtype=np.int64)
    bounds = [0, *behind[np.cumsum([len(rows) for _, rows in ends_of]) - 1].tolist()]
    taken: list[list[np.ndarray]] = [[], [], []]
    for piece, start, end in zip(pieces, bounds, bounds[1:], strict=False):
        # All lists of a row are as long, so they differ in where the first begins alone.
        _, first_ends = piece.columns.lists[0]
        for (values, ends), of_pieces in zip(piece.columns.lists, taken, strict=True):
            of_pieces.append(values[sources[start:end] + (ends[0] - first_ends[0])])
    by_row = np.argsort(np.concatenate([piece.targets for piece in pieces]))
    order = numbers_in_ranges((behind - counts)[by_row], counts[by_row])
    return counts[by_row], [np.concatenate(of_pieces)[order] for of_pieces in taken]


def _stretch(columns: Columns, first: int, phase: np.ndarray) -> Rows:
    """Rows that follow each other in one record batch, as in training order: one copy of each column."""
    end = first + len(phase)
    _, ends = columns.lists[0]
    ids, *others = (values[first:end] for values in columns.of_positions)
    return _rows(
        [ids.astype(np.int32), *(values.copy() for values in others)],
        np.diff(ends[first : end + 1]),
        [values[ends[first] : ends[end]].copy() for values, ends in columns.lists],
        phase,
    )


def _rows(
    of_positions: Sequence[np.ndarray], segments: np.ndarray, lists: Sequence[np.ndarray], phase: np.ndarray
) -> Rows:
    ids, mask, *weights = of_positions
    rows: Rows = {
        "input_ids": ids,
        "loss_mask": mask,
        "segments": segments,
        "seq_lengths": lists[0],
        "doc_ids": lists[1],
        "doc_offsets": lists[2],
        "phase": phase,
    }
    if weights:
        rows["loss_weight"] = weights[0]
    return rows


def _are_in_a_row(numbers: np.ndarray) -> bool:
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all())


def numbers_in_ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers of all ranges [start, start + count), one range after another; int64."""
    before = np.cumsum(counts, dtype=np.int64) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum(), dtype=np.int64)
