"""Packing lengths alone: who is taken from a sample, and how many positions they fill."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.recipe import Condition, Packing
from tests.reference import placing
from transforms.simulating import Outcome, Recipe, SourceSample, simulate, split_sample


def recipe(**changes: Any) -> Recipe:
    values = {
        "number": 0,
        "condition": None,
        "seed": 0,
        "bos": 1,
        "specials": 2,
        "length": 8,
        "packing": Packing.CONCAT,
    }
    return Recipe(**{**values, **changes})


def sample(places: list[int], tokens: list[int], prefix: int = 0, selected: list[bool] | None = None) -> SourceSample:
    n = len(places)
    return SourceSample(
        place=np.array(places, np.uint64),
        tokens=np.array(tokens, np.int64),
        prefixes=np.array([[0] * n, [prefix] * n], np.int64),
        selected=np.array([[True] * n, selected or [True] * n]),
    )


def test_both_ends_of_a_range_belong_to_it() -> None:
    # Neighbours that are equal as 64-bit floats.
    samples = {"a": sample([2**62, 2**62 + 1, 2**62 + 2], [1, 10, 100])}
    for low, high, tokens in ((0, 0, 10), (0, 1, 110), (-1, 0, 11), (-1, 1, 111)):
        ranges = {"a": [(0, 2**62 + 1 + low, 2**62 + 1 + high)]}
        documents = {10: 1, 110: 2, 11: 2, 111: 3}[tokens]
        assert simulate(recipe(), samples, [ranges]).positions == {"a": tokens + 2 * documents}


def test_positions_of_each_source_and_rows_of_each_shard() -> None:
    samples = {"a": sample([1, 5], [4, 9]), "b": sample([3], [2])}
    everything = (0, 0, 2**64 - 1)
    found = simulate(recipe(), samples, [{"a": [everything], "b": [everything]}, {"a": [(1, 5, 5)]}, {}])
    # 6 + 11 + 4 positions in 3 rows, then 11 in 2, then none.
    assert found == Outcome({"a": 28, "b": 4}, 5)


def test_only_the_selected_ones_of_the_phase_count() -> None:
    samples = {"a": sample([1, 2, 3], [3, 4, 5], prefix=2, selected=[True, False, True])}
    ranges = [{"a": [(0, 0, 9)]}]
    assert simulate(recipe(number=0), samples, ranges).positions == {"a": 12 + 6}
    condition = Condition(template="x")
    assert simulate(recipe(number=1, condition=condition), samples, ranges).positions == {"a": 8 + 4 + 4}


@pytest.mark.parametrize(("place", "positions"), [("before", 8 + 5 + 2), ("after", 8 + 5)])
def test_only_a_prefix_before_is_repeated(place: str, positions: int) -> None:
    samples = {"a": sample([1], [9], prefix=2)}
    condition = Condition.model_validate({"template": "x", "place": place})
    found = simulate(
        recipe(number=1, condition=condition, packing=Packing.REPEAT_PREFIX), samples, [{"a": [(0, 0, 9)]}]
    )
    assert found == Outcome({"a": positions}, 2)


def test_dropped_out_documents_have_no_prefix() -> None:
    places = list(range(100))
    samples = {"a": sample(places, [3] * 100, prefix=2)}
    condition = Condition(template="x", dropout=Fraction(1, 3))
    for epoch, seed in ((0, 0), (2, 7)):
        kept = sum(not placing.dropped_out(placing.order(place, epoch, seed), Fraction(1, 3)) for place in places)
        assert 50 < kept < 85
        found = simulate(recipe(number=1, condition=condition, seed=seed), samples, [{"a": [(epoch, 0, 99)]}])
        assert found.positions == {"a": 500 + 2 * kept}


def test_documents_are_packed_in_the_order_of_the_shard() -> None:
    # Which document is cut depends on the order alone: the later one.
    samples = {"a": sample([1], [3]), "b": sample([2], [5])}
    ranges = [{"a": [(0, 0, 9)], "b": [(0, 0, 9)]}]
    for seed in range(8):
        a_first = placing.order(1, 0, seed) < placing.order(2, 0, seed)
        found = simulate(recipe(seed=seed, packing=Packing.DOCUMENT_START), samples, ranges)
        assert found.positions == ({"a": 5, "b": 3} if a_first else {"a": 1, "b": 7})


def test_a_sample_is_split_by_source() -> None:
    batch = pa.RecordBatch.from_pylist(
        [
            {"source": source, "place": place, "num_tokens": 5, "prefix_0": 1, "selected_0": place % 2 == 0}
            for source, place in (("a", 1), ("a", 4), ("b", 2))
        ],
        schema=pa.schema(
            [
                ("source", pa.string()),
                ("place", pa.uint64()),
                ("num_tokens", pa.int64()),
                ("prefix_0", pa.int64()),
                ("selected_0", pa.bool_()),
            ]
        ),
    )
    found = split_sample(batch, 1)
    assert {name: part.place.tolist() for name, part in found.items()} == {"a": [1, 4], "b": [2]}
    assert found["a"].selected.tolist() == [[False, True]]
    assert found["b"].prefixes.tolist() == [[1]]
    assert split_sample(batch.slice(0, 0), 1) == {}
