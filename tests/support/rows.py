"""Rows made by hand, without files, and what is trained of them, one token after another."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

import byline
from byline.rows import stack_rows
from tests.support.shards import PackedRow, WeighedRow, weighed

# What one token trains: the tokens that are seen, the position of the last of them, the token to predict, its weight.
Target = tuple[tuple[int, ...], int, int, float]

# A conditioned document (targets 5 9 0), another one (targets 8 0), and padding.
ROW = PackedRow([0, 22, 27, 5, 9, 0, 0, 8, 0, 1], [0, 0, 0, 1, 1, 1, 1, 1, 1, 0], [6, 3, 1], [3, 4, -1], [0, 0, 0])


@st.composite
def packed_rows(draw: st.DrawFn, length: int) -> PackedRow:
    """A row of any segments."""
    cuts = sorted(draw(st.sets(st.integers(1, length - 1))))
    lengths = np.diff([0, *cuts, length]).tolist()
    small = st.lists(st.integers(0, 9), min_size=length, max_size=length)
    ids = draw(st.lists(st.integers(-1, 2**40), min_size=len(lengths), max_size=len(lengths)))
    return PackedRow(draw(small), [number % 2 for number in draw(small)], lengths, ids, [number % 7 for number in ids])


@st.composite
def weighed_rows(draw: st.DrawFn, length: int) -> WeighedRow:
    """The same with weights, of each position its own."""
    weights = st.lists(st.sampled_from((0.0, 0.25, 1.0, 3.0)), min_size=length, max_size=length)
    return weighed(draw(packed_rows(length)), draw(weights))


def as_row(row: PackedRow, phase: str = "conditioned") -> byline.Row:
    """The row as the reader gives it."""
    arrays: byline.Row = {
        "input_ids": np.array(row.input_ids, np.int32),
        "loss_mask": np.array(row.loss_mask, np.uint8),
        "seq_lengths": np.array(row.seq_lengths, np.int32),
        "doc_ids": np.array(row.doc_ids, np.int64),
        "doc_offsets": np.array(row.doc_offsets, np.int32),
        "phase": phase,
    }
    if isinstance(row, WeighedRow):
        arrays["loss_weight"] = np.array(row.loss_weight, np.float32)
    return arrays


def as_rows(rows: Sequence[PackedRow]) -> byline.Rows:
    """The rows as `Shards.batch` gives them."""
    return stack_rows([as_row(row) for row in rows])


def targets_of(rows: Sequence[PackedRow], train_starts: bool = False) -> Counter[Target]:
    """All that rows train, by two loops; what has weight 0 trains nothing."""
    targets: Counter[Target] = Counter()
    for row in rows:
        first = 0
        for length in row.seq_lengths:
            for position in range(length):
                at = first + position
                is_last = position == length - 1
                if at + 1 == sum(row.seq_lengths) or (is_last and not train_starts) or not row.loss_mask[at + 1]:
                    continue
                weight = row.loss_weight[at + 1] if isinstance(row, WeighedRow) else 1.0
                if weight:
                    targets[tuple(row.input_ids[first : at + 1]), position, row.input_ids[at + 1], weight] += 1
            first += length
    return targets
