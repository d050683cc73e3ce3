"""Labels, segment ids and position ids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline.labels import labels, position_ids, segment_ids
from tests.support.shards import PackedRow, write_build

ROW = PackedRow([0, 22, 27, 5, 9, 0, 0, 8, 0, 1], [0, 0, 0, 1, 1, 1, 1, 1, 1, 0], [6, 3, 1], [3, 4, -1], [0, 0, 0])


def test_a_row(tmp_path):
    write_build(tmp_path, {"conditioned": [[ROW]]}, 10)
    row = byline.open(tmp_path)[0]
    row_labels = labels(row)
    assert row_labels.tolist() == [-100, -100, -100, 5, 9, 0, 0, 8, 0, -100]
    assert row_labels.dtype == np.int64
    assert row_labels.flags.writeable
    assert segment_ids(row["seq_lengths"]).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
    assert position_ids(row["seq_lengths"]).tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 0]
    assert segment_ids(row["seq_lengths"]).dtype == position_ids(row["seq_lengths"]).dtype == np.int32


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_against_two_loops(lengths):
    pairs = [(segment, position) for segment, length in enumerate(lengths) for position in range(length)]
    array = np.array(lengths, np.int32)
    assert list(zip(segment_ids(array).tolist(), position_ids(array).tolist(), strict=True)) == pairs
