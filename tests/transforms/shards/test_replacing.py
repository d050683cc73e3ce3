"""Placeholders of documents: tokens, masked ranges and weights as the reference and the checks of a build have them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import DamagedFileError
from byline.transforms.checks.attribute_values import replaced_by
from byline.transforms.shards.replacing import Placeholders
from byline.transforms.shards.weighing import WeighedRanges
from byline.transforms.store.token_ranges import joined_ranges, with_replaced
from tests.reference.assembly import Document
from tests.reference.layout import pairs_of
from tests.reference.replacing import with_placeholders

RANGES = pa.list_(pa.int32())
IDS = {"a": 90, "b": 91, "c": 92}
Borders = list[int] | None


def batch(sizes: Sequence[int], **columns: list[Borders]) -> pa.RecordBatch:
    """Documents of these lengths with ranges."""
    lists = {name: pa.array(values, RANGES) for name, values in columns.items()}
    return pa.record_batch({"num_tokens": pa.array(sizes, pa.int32()), **lists})


def listed(values: np.ndarray, counts: np.ndarray) -> list[list[int]]:
    """The values of each document."""
    return [part.tolist() for part in np.split(values, np.cumsum(counts)[:-1])]


def test_ranges_that_share_a_token_are_one_and_those_that_touch_are_not() -> None:
    ranges = joined_ranges(batch([20], a=[[2, 5, 9, 11]], b=[[5, 6, 10, 14]]), ["a", "b"], touching=False)
    assert ranges.borders.tolist() == [2, 5, 5, 6, 9, 14]
    assert ranges.columns.tolist() == [0, 1, 0]
    assert ranges.tokens.tolist() == [9]
    touching = joined_ranges(batch([20], a=[[2, 5, 9, 11]], b=[[5, 6, 10, 14]]), ["a", "b"], touching=True)
    assert touching.borders.tolist() == [2, 6, 9, 14]


@pytest.mark.parametrize(
    ("a", "b", "owner"),
    [([4, 6], [3, 5], 1), ([3, 5], [3, 9], 1), ([3, 9], [3, 5], 0), ([3, 5], [3, 5], 0), ([0, 2], [1, 30], 0)],
)
def test_whose_a_range_is(a: list[int], b: list[int], owner: int) -> None:
    """Of the one that begins first, then of the longest, then of the first given."""
    assert joined_ranges(batch([30], a=[a], b=[b]), ["a", "b"], touching=False).columns.tolist() == [owner]


def test_a_column_that_only_another_source_has_is_none() -> None:
    ranges = joined_ranges(batch([9], b=[[1, 2]]), ["a", "b"], touching=False)
    assert ranges.columns.tolist() == [1]


def test_lengths_are_those_after_replacing() -> None:
    documents = batch([20, 3, 0], a=[[2, 5, 9, 11], [0, 3], None], b=[[10, 14], None, []])
    assert with_replaced(documents, ["a", "b"], "x")["num_tokens"].to_pylist() == [20 - 3 - 5 + 2, 1, 0]
    assert with_replaced(documents, ["a", "b"], "x")["num_tokens"].type == pa.int32()
    assert with_replaced(documents, [], "x") is documents


@pytest.mark.parametrize("borders", [[2, 4], [-1, 2], [1]])
def test_a_range_outside_its_document_is_damage(borders: list[int]) -> None:
    with pytest.raises(DamagedFileError, match="x: a has a range that is not in its document"):
        with_replaced(batch([3], a=[borders]), ["a"], "x")


def borders_in(size: int) -> st.SearchStrategy[Borders]:
    some = st.sets(st.integers(0, size), max_size=8).map(lambda borders: sorted(borders)[: len(borders) // 2 * 2])
    return some | some | st.none() | st.just([0, size] if size else [])


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[int], dict[str, list[Borders]], list[Borders], list[Borders]]:
    """Lengths of documents, the ranges of columns, what is masked of them, and what is weighed."""
    sizes = draw(st.lists(st.integers(0, 25), min_size=1, max_size=5))
    columns = {name: [draw(borders_in(size)) for size in sizes] for name in draw(st.sets(st.sampled_from("abc")))}
    masked, weighed = ([draw(borders_in(size)) for size in sizes] for _ in range(2))
    return sizes, dict(sorted(columns.items())), masked, weighed


def ranges_of(borders: list[Borders]) -> tuple[np.ndarray, np.ndarray]:
    """The borders of all documents, and how many each has."""
    flat = np.array([border for own in borders for border in own or []], np.int32)
    return flat, np.array([len(own or []) for own in borders], np.int64)


def weights_of(ranges: np.ndarray, weights: np.ndarray, size: int) -> list[float]:
    """The weight of each token of a document."""
    of_tokens = np.ones(size)
    for (start, end), weight in zip(pairs_of(ranges.tolist()), weights, strict=True):
        of_tokens[start:end] = weight
    return [float(weight) for weight in of_tokens]


@given(documents())
def test_tokens_masks_and_weights_are_those_of_the_reference(
    case: tuple[list[int], dict[str, list[Borders]], list[Borders], list[Borders]],
) -> None:
    sizes, columns, masked, weighed = case
    placeholders = Placeholders.of(batch(sizes, **columns), {name: IDS[name] for name in columns})
    stored = np.arange(sum(sizes))
    left = np.array(sizes, np.int64) - placeholders.tokens + placeholders.counts
    tokens = listed(placeholders.put(stored.copy(), np.array(sizes, np.int64)), left)
    moved = listed(*placeholders.move(*ranges_of(masked)))
    flat, counts = ranges_of(weighed)
    factors = np.arange(2, 2 + len(flat) // 2, dtype=np.float64)
    of_documents = listed(factors, counts // 2)
    heavy = placeholders.move_weighed(WeighedRanges.of_counts(flat, factors, counts))
    lengths = with_replaced(batch(sizes, **columns), list(columns), "x")["num_tokens"].to_pylist()
    for number, size in enumerate(sizes):
        first = sum(sizes[:number])
        own_weights = weights_of(np.array(weighed[number] or []), np.array(of_documents[number]), size)
        own = Document(
            "a", 0, 0, list(range(first, first + size)), masked=pairs_of(masked[number]), weights=own_weights
        )
        replaced = [(pairs_of(borders[number]), IDS[name]) for name, borders in columns.items()]
        expected = with_placeholders(own, replaced)
        assert tokens[number] == expected.tokens
        assert pairs_of(moved[number]) == expected.masked
        part = slice(heavy.starts[number], heavy.starts[number] + heavy.counts[number])
        half = slice(part.start // 2, part.stop // 2)
        assert weights_of(heavy.ranges[part], heavy.weights[half], len(expected.tokens)) == expected.weights
        assert (placeholders.tokens[number], placeholders.counts[number]) == (expected.replaced, expected.placeholders)
        assert lengths[number] == len(tokens[number])
        outside = {at for start, end in own.masked for at in range(start, end)}
        checked = replaced_by(
            [
                (token, int(at not in outside), 0.0 if at in outside else weight)
                for at, (token, weight) in enumerate(zip(own.tokens, own_weights, strict=True))
            ],
            [(borders[number], IDS[name]) for name, borders in columns.items()],
        )
        outside = {at for start, end in expected.masked for at in range(start, end)}
        assert expected.weights is not None
        assert checked == [
            (token, int(at not in outside), 0.0 if at in outside else weight)
            for at, (token, weight) in enumerate(zip(expected.tokens, expected.weights, strict=True))
        ]
