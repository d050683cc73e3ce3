"""Masked ranges of documents: the union of what a formatter and attributes mask."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.shards.masking import masked_ranges

RANGES = pa.list_(pa.int32())


def batch(**columns: list[list[int] | None]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values, RANGES) for name, values in columns.items()})


def listed(documents: pa.RecordBatch, *columns: str) -> list[list[int]]:
    ranges, counts = masked_ranges(documents, columns)
    ends = np.cumsum(counts)
    return [ranges[end - count : end].tolist() for end, count in zip(ends, counts, strict=True)]


def test_a_formatters_ranges_alone_are_as_they_are() -> None:
    assert listed(batch(masked=[[0, 3], [], [5, 6, 8, 9]])) == [[0, 3], [], [5, 6, 8, 9]]


def test_without_any_column_nothing_is_masked() -> None:
    ranges, counts = masked_ranges(pa.record_batch({"row": [1, 2]}), ["evals_ranges"])
    assert (ranges.tolist(), counts.tolist()) == ([], [0, 0])


def test_ranges_that_overlap_or_touch_are_one() -> None:
    documents = batch(
        masked=[[0, 3, 20, 30], [4, 5], []], evals=[[2, 5, 9, 11], None, [1, 2]], own=[[11, 12], [5, 6], None]
    )
    assert listed(documents, "evals", "own") == [[0, 5, 9, 12, 20, 30], [4, 6], [1, 2]]


LISTS = st.lists(st.lists(st.integers(0, 30), max_size=6, unique=True).map(sorted), min_size=3, max_size=3)


@given(LISTS, LISTS, LISTS)
def test_they_are_the_tokens_of_any_of_them(one: list[list[int]], two: list[list[int]], three: list[list[int]]) -> None:
    lists = [[each[: len(each) // 2 * 2] for each in column] for column in (one, two, three)]
    documents = batch(masked=lists[0], a=lists[1], b=lists[2])
    for number, merged in enumerate(listed(documents, "a", "b")):
        tokens = {t for column in lists for t in tokens_of(column[number])}
        assert tokens_of(merged) == tokens
        assert all(end < start for end, start in zip(merged[1::2], merged[2::2], strict=False))


def tokens_of(borders: list[int]) -> set[int]:
    return {token for start, end in zip(borders[::2], borders[1::2], strict=True) for token in range(start, end)}
