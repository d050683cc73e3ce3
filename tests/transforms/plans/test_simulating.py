"""Packing lengths alone: who is taken from a sample, and how many positions they fill."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from byline.schemas.predicates import Rank
from byline.schemas.recipe import Condition
from byline.transforms.packing import POLICIES
from byline.transforms.plans.simulating import (
    Draw,
    Outcome,
    Recipe,
    SourceSample,
    drawn_documents,
    simulate,
    split_sample,
)
from tests.reference import hashing, selection


def recipe(**changes: Any) -> Recipe:
    values = {
        "number": 0,
        "condition": None,
        "seed": 0,
        "bos": 1,
        "specials": 2,
        "length": 8,
        "packing": POLICIES["concat"],
    }
    return Recipe(**{**values, **changes})


def sample(
    shuffle_keys: list[int],
    tokens: list[int],
    prefix: int = 0,
    selected: list[bool] | None = None,
    keys: list[int] | None = None,
) -> SourceSample:
    """Documents that stage 0 takes without prefixes, and part 1, which may have an order, with them."""
    n = len(shuffle_keys)
    return SourceSample(
        shuffle_key=np.array(shuffle_keys, np.uint64),
        tokens=np.array(tokens, np.int64),
        prefixes=[np.zeros(n, np.int64), np.full(n, prefix)],
        selected=[np.full(n, True), np.array(selected or [True] * n)],
        keys={} if keys is None else {1: np.array(keys, np.uint64)},
    )


Range = tuple[int, int, int]


def of_shards(recipe: Recipe, samples: dict[str, SourceSample], shards: list[dict[str, list[Range]]]) -> Outcome:
    """Packs shards of one slice, from ranges without an order."""
    slices = [[{name: [Draw(ranges)] for name, ranges in shard.items()}] for shard in shards]
    return simulate(recipe, samples, list(samples), slices)


def positions(outcome: Outcome) -> list[int]:
    """Of each source, in all slices."""
    assert outcome.positions.dtype == np.int64
    return outcome.positions.sum(axis=0).tolist()


def test_both_ends_of_a_range_belong_to_it() -> None:
    # Neighbours that are equal as 64-bit floats.
    samples = {"a": sample([2**62, 2**62 + 1, 2**62 + 2], [1, 10, 100])}
    for low, high, tokens in ((0, 0, 10), (0, 1, 110), (-1, 0, 11), (-1, 1, 111)):
        ranges = {"a": [(0, 2**62 + 1 + low, 2**62 + 1 + high)]}
        documents = {10: 1, 110: 2, 11: 2, 111: 3}[tokens]
        assert positions(of_shards(recipe(), samples, [ranges])) == [tokens + 2 * documents]


EVERYTHING = (0, 0, 2**64 - 1)


def test_positions_of_each_source_and_rows_of_each_shard() -> None:
    samples = {"a": sample([1, 5], [4, 9]), "b": sample([3], [2])}
    found = of_shards(recipe(), samples, [{"a": [EVERYTHING], "b": [EVERYTHING]}, {"a": [(1, 5, 5)]}, {}])
    # 6 + 11 + 4 positions in 3 rows, then 11 in 2, then none.
    assert found.positions.tolist() == [[17, 4], [11, 0], [0, 0]]
    assert found.rows == 5


def test_positions_of_each_slice() -> None:
    samples = {"a": sample([1, 5], [4, 9]), "b": sample([3], [2])}
    first, second = Draw([(0, 0, 4)]), Draw([(0, 5, 9)])
    slices = [{"a": [first]}, {"a": [second], "b": [first]}]
    one = simulate(recipe(), samples, ["b", "a"], [slices, slices[1:]])
    assert one.positions.tolist() == [[0, 6], [4, 11], [4, 11]]
    # 21 positions in 3 rows, then 15 in 2. The best fit begins a row with each slice: 6, then 8 and 3 + 4 twice.
    assert one.rows == 5
    assert simulate(recipe(packing=POLICIES["best_fit"]), samples, ["b", "a"], [slices, slices[1:]]).rows == 5
    # The part of the last row that the first slice leaves is filled by the second under the other policies alone.
    slices = [{"b": [first]}, {"b": [Draw([(1, 0, 4)])]}]
    assert simulate(recipe(), samples, ["b"], [slices]).rows == 1
    assert simulate(recipe(packing=POLICIES["best_fit"]), samples, ["b"], [slices]).rows == 2


def test_only_the_selected_ones_of_the_stage_count() -> None:
    samples = {"a": sample([1, 2, 3], [3, 4, 5], prefix=2, selected=[True, False, True])}
    ranges = [{"a": [(0, 0, 9)]}]
    assert positions(of_shards(recipe(number=0), samples, ranges)) == [12 + 6]
    condition = Condition(template="x")
    assert positions(of_shards(recipe(number=1, condition=condition), samples, ranges)) == [8 + 4 + 4]


def test_a_bin_takes_the_ranks_between_its_borders() -> None:
    shuffle_keys, keys, selected = [1, 2, 3, 4, 2**63], [9, 5, 1, 5, 5], [True, False, True, True, True]
    found = sample(shuffle_keys, [1] * 5, selected=selected, keys=keys)
    ranks: list[Rank] = [
        (key, selection.tie(shuffle_key), shuffle_key) for key, shuffle_key in zip(keys, shuffle_keys, strict=True)
    ]
    around = [(key, tie, shuffle_key + more) for key, tie, shuffle_key in ranks for more in (-1, 0, 1)]
    borders: list[Rank | None] = [None, (0, 0, 0), (5, 0, 0), (6, 0, 0), *around]
    for first, below in itertools.product(borders, borders):
        expected = [
            index
            for index, rank in enumerate(ranks)
            if selected[index] and (first is None or rank >= first) and (below is None or rank < below)
        ]
        ((taken, epoch),) = drawn_documents(found, 1, Draw([(3, 1, 2**63)], first, below))
        assert (taken.tolist(), epoch) == (expected, 3)


@pytest.mark.parametrize(("position", "filled"), [("before", 8 + 5 + 2), ("after", 8 + 5)])
def test_only_a_prefix_before_is_repeated(position: str, filled: int) -> None:
    samples = {"a": sample([1], [9], prefix=2)}
    condition = Condition.model_validate({"template": "x", "position": position})
    found = of_shards(
        recipe(number=1, condition=condition, packing=POLICIES["repeat_prefix"]), samples, [{"a": [(0, 0, 9)]}]
    )
    assert (positions(found), found.rows) == ([filled], 2)


def test_dropped_out_documents_have_no_prefix() -> None:
    shuffle_keys = list(range(100))
    samples = {"a": sample(shuffle_keys, [3] * 100, prefix=2)}
    condition = Condition(template="x", dropout=Fraction(1, 3))
    for epoch, seed in ((0, 0), (2, 7)):
        kept = sum(
            not hashing.dropped_out(hashing.order(shuffle_key, epoch, seed), Fraction(1, 3))
            for shuffle_key in shuffle_keys
        )
        assert 50 < kept < 85
        found = of_shards(recipe(number=1, condition=condition, seed=seed), samples, [{"a": [(epoch, 0, 99)]}])
        assert positions(found) == [500 + 2 * kept]


def test_empty_prefixes_are_their_markers() -> None:
    shuffle_keys = list(range(100))
    samples = {"a": sample(shuffle_keys, [3] * 100, prefix=9)}
    condition = Condition(template="x", begin="<", empty=Fraction(1, 4), dropout=Fraction(1, 2))
    orders = [hashing.order(shuffle_key, 0, 0) for shuffle_key in shuffle_keys]
    kept = [order for order in orders if not hashing.dropped_out(order, Fraction(1, 2))]
    empty = sum(hashing.left_empty(order, Fraction(1, 4)) for order in kept)
    assert 5 < empty < len(kept) / 2
    found = of_shards(recipe(number=1, condition=condition), samples, [{"a": [(0, 0, 99)]}])
    assert positions(found) == [500 + empty + 9 * (len(kept) - empty)]


def test_documents_are_packed_in_the_order_of_the_shard() -> None:
    # Which document is cut depends on the order alone: the later one.
    samples = {"a": sample([1], [3]), "b": sample([2], [5])}
    ranges = [{"a": [(0, 0, 9)], "b": [(0, 0, 9)]}]
    for seed in range(8):
        a_first = hashing.order(1, 0, seed) < hashing.order(2, 0, seed)
        found = of_shards(recipe(seed=seed, packing=POLICIES["document_start"]), samples, ranges)
        assert positions(found) == ([5, 3] if a_first else [1, 7])


def test_a_slice_comes_before_the_order() -> None:
    samples = {"a": sample([1], [3]), "b": sample([2], [5])}
    everything = [Draw([EVERYTHING])]
    for seed in range(8):
        packed = recipe(seed=seed, packing=POLICIES["document_start"])
        found = simulate(packed, samples, ["a", "b"], [[{"b": everything}, {"a": everything}]])
        assert found.positions.tolist() == [[0, 7], [1, 0]]


def test_a_sample_is_split_by_source() -> None:
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "stratum": source,
                "shuffle_key": shuffle_key,
                "num_tokens": 5,
                **{f"prefix_{stage}": stage + 1 for stage in (0, 1)},
                **{f"selected_{stage}": shuffle_key % 2 == stage for stage in (0, 1)},
                "key_1": 2**63 + shuffle_key,
            }
            for source, shuffle_key in (("a", 1), ("a", 4), ("b", 2))
        ],
        schema=pa.schema(
            [
                ("stratum", pa.string()),
                ("shuffle_key", pa.uint64()),
                ("num_tokens", pa.int64()),
                ("prefix_0", pa.int64()),
                ("selected_0", pa.bool_()),
                ("prefix_1", pa.int64()),
                ("selected_1", pa.bool_()),
                ("key_1", pa.uint64()),
            ]
        ),
    )
    found = split_sample(batch, 2)
    assert {name: stage.shuffle_key.tolist() for name, stage in found.items()} == {"a": [1, 4], "b": [2]}
    assert [some.tolist() for some in found["a"].selected] == [[False, True], [True, False]]
    assert [some.tolist() for some in found["b"].prefixes] == [[1], [2]]
    assert {number: keys.tolist() for number, keys in found["a"].keys.items()} == {1: [2**63 + 1, 2**63 + 4]}
    assert split_sample(batch.slice(0, 0), 2) == {}
