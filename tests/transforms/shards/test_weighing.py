"""Weights within documents, drawn out for one: rows, sums, and what is refused."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.documents import RANGE_WEIGHTS, WEIGHED
from byline.schemas.loss_weights import FormatterWeight
from byline.transforms.shards.weighing import (
    WeighedRanges,
    join_ranges,
    weigh_rows,
    weighed_between,
    weighed_ranges,
)
from tests.support.thorough import examples

FORMATTER: Any = {"a": FormatterWeight()}


def ranges_of(*documents: list[tuple[int, int, float]]) -> WeighedRanges:
    borders = [border for some in documents for low, high, _ in some for border in (low, high)]
    weights = [weight for some in documents for _, _, weight in some]
    counts = np.array([2 * len(some) for some in documents], np.int64)
    return WeighedRanges.of_counts(np.array(borders, np.int32), np.array(weights), counts)


def batch_of(ranges: list[list[int]], weights: list[list[float]]) -> pa.RecordBatch:
    columns = {
        pa.field("row", pa.int64()): range(7, 7 + len(ranges)),
        WEIGHED: ranges,
        RANGE_WEIGHTS: weights,
    }
    arrays = [pa.array(values, field.type) for field, values in columns.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns)))


def segments_of(*segments: tuple[int, int, int, int, int]) -> tuple[np.ndarray, ...]:
    """Of (row, document, start, take, head)."""
    return tuple(np.array(column, np.int64) for column in zip(*segments, strict=True))


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_ranges_across_rows_and_behind_a_repeated_prefix(kind: str) -> None:
    """A document of six own tokens behind BOS and one token of a prefix, cut after its own token 1; then another."""
    weights = np.full((3, 6), 0.5, kind)
    segments = segments_of((4, 1, 0, 4, 0), (5, 1, 4, 5, 1), (6, 0, 0, 2, 0), (6, 1, 0, 4, 0))
    weigh_rows(
        weights, 4, segments, np.array([0, 2]), ranges_of([(1, 9, 8.0)], [(0, 1, 2.0), (1, 3, 0.1), (5, 6, 3.0)])
    )
    low = float(np.array(0.1, kind))
    assert weights.astype(np.float64).tolist() == [
        [0.5, 0.5, 2, low, 0.5, 0.5],
        [0.5, low, 0.5, 0.5, 3, 0.5],
        [0.5, 8, 0.5, 0.5, 2, low],
    ]


def test_a_product_is_rounded_once() -> None:
    batch = batch_of([[0, 1]], [[0.7]])
    found = weighed_ranges(batch, np.array([0.3]), "a", FORMATTER)
    assert found.weights.tolist() == [0.3 * 0.7]
    weights = np.zeros((1, 1), np.float16)
    weigh_rows(weights, 0, segments_of((0, 0, 0, 1, 0)), np.array([0]), found)
    assert weights[0, 0] == np.float16(0.3 * 0.7)
    assert weights[0, 0] != np.float16(np.float16(0.3) * np.float16(0.7))


def test_no_ranges_unless_the_recipe_asks_for_them() -> None:
    batch = batch_of([[0, 1], []], [[2], []])
    for weights in (None, {}, {"a": Fraction(2)}, {"b": FormatterWeight()}):
        found = weighed_ranges(batch, np.ones(2), "a", weights)
        assert (len(found.ranges), found.counts.tolist()) == (0, [0, 0])
    assert weighed_ranges(batch, np.ones(2), "a", FORMATTER).counts.tolist() == [2, 0]
    with pytest.raises(BylineError, match=r"^loss_weight\.a: the token store of 'a' has no weights of a formatter$"):
        weighed_ranges(batch.select(["row"]), np.ones(2), "a", FORMATTER)


def test_a_product_that_is_too_large_names_its_row() -> None:
    batch = batch_of([[], [0, 1, 2, 3], [4, 5]], [[], [2, 3], [66]])
    with pytest.raises(BylineError) as error:
        weighed_ranges(batch, np.array([9e4, 1, 1000]), "a", FORMATTER)
    assert str(error.value) == (
        "loss_weight.a: row 9 of one of its files has weight 1000 and a part of weight 66, together more than 65504; "
        "make one of them smaller"
    )


def test_parts_are_joined_in_an_order() -> None:
    joined = join_ranges([ranges_of([(0, 1, 2.0)], []), ranges_of([(3, 4, 5.0), (6, 7, 8.0)])], np.array([2, 1, 0]))
    assert joined.ranges.tolist() == [0, 1, 3, 4, 6, 7]
    assert joined.weights.tolist() == [2, 5, 8]
    assert (joined.starts.tolist(), joined.counts.tolist()) == ([2, 2, 0], [4, 0, 2])
    assert join_ranges([], np.zeros(0, np.int64)).ranges.dtype == np.int32


borders = st.sets(st.integers(0, 12), max_size=8).map(sorted)


@given(borders, borders, st.integers(-3, 12), st.integers(0, 15))
@examples(200)
def test_sums_leave_out_what_is_masked(weighed: list[int], masked: list[int], low: int, take: int) -> None:
    pairs = list(zip(weighed[::2], weighed[1::2], strict=False))
    ranges = ranges_of([], [(start, end, 0.5 + at) for at, (start, end) in enumerate(pairs)])
    hidden = list(zip(masked[::2], masked[1::2], strict=False))
    flat = np.array([border for pair in hidden for border in pair], np.int32)
    starts, counts = np.array([0, 0]), np.array([0, len(flat)])
    tokens, sums = weighed_between(
        np.array([1, 0]), np.array([low, low]), np.array([low + take] * 2), ranges, flat, starts, counts
    )
    trained = [at for at in range(low, low + take) if not any(start <= at < end for start, end in hidden)]
    due = [0.5 + at for token in trained for at, (start, end) in enumerate(pairs) if start <= token < end]
    assert (tokens.tolist(), sums.tolist()) == ([len(due), 0], [sum(due), 0])
