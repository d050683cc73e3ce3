"""Which rows a batch has: held against lists that are made whole, shuffled by a slow permutation, and cut."""

import re
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.row_order import Last, RowOrder, share
from tests.reference import row_order as slow
from tests.support.thorough import examples

PHASES = (("conditioned", 7), ("cooldown", 3))
PLAIN: dict[str, Any] = {"batch": 4, "epochs": 1, "shuffle": None, "seed": 0, "aligned": False, "last": Last.KEEP}


def order(phases: tuple[tuple[str, int], ...] = PHASES, **settings: Any) -> RowOrder:
    return RowOrder(phases, **{**PLAIN, **settings})


def rows_of(one: RowOrder, batch: int) -> list[int]:
    return one.numbers(one.span(batch)).tolist()


def batches(one: RowOrder) -> list[list[int]]:
    return [rows_of(one, batch) for batch in range(len(one))]


# ----------------------------------------------------------------------------------------------------------- literally


def test_joined_and_aligned():
    assert batches(order()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches(order(aligned=True)) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_two_epochs():
    assert batches(order(epochs=2)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]
    aligned = [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert batches(order(epochs=2, aligned=True)) == aligned * 2


def test_dropped():
    assert batches(order(last=Last.DROP)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert batches(order(last=Last.DROP, aligned=True, batch=3)) == [[0, 1, 2], [3, 4, 5], [7, 8, 9]]


def test_shuffled():
    assert batches(order(shuffle=3)) == [[0, 1, 2, 5], [4, 3, 6, 7], [9, 8]]
    whole = [[6, 0, 1, 5], [4, 3, 2, 7], [9, 8]]
    assert batches(order(shuffle="phase")) == whole
    assert batches(order(shuffle="phase", seed=1)) != whole


def test_a_short_batch_is_shared_evenly():
    spans = [range(8, 18), range(8, 10), range(8, 8)]
    assert [[list(share(span, rank, 4)) for rank in range(4)] for span in spans] == [
        [[8, 9], [10, 11, 12], [13, 14], [15, 16, 17]],
        [[], [8], [], [9]],
        [[], [], [], []],
    ]


# ------------------------------------------------------------------------------------------------- by its reference

SETTINGS = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 12),
        "epochs": st.integers(1, 3),
        "shuffle": st.none() | st.just("phase") | st.integers(1, 12),
        "seed": st.integers(0, 2**64 - 1),
        "aligned": st.booleans(),
        "last": st.sampled_from(Last),
    }
)


@given(st.lists(st.integers(0, 20), max_size=4), SETTINGS)
@examples(200, deadline=None)
def test_any_settings(lengths, chosen):
    phases = tuple((f"phase {number}", length) for number, length in enumerate(lengths))
    cut = lengths if chosen["aligned"] else [sum(lengths) * chosen["epochs"]]
    if chosen["last"] is Last.DROP and any(0 < length < chosen["batch"] for length in cut):
        with pytest.raises(BylineError, match="last='drop' would leave out all"):
            RowOrder(phases, **chosen)
        return
    one = RowOrder(phases, **chosen)
    assert batches(one) == slow.batches(phases, chosen)
    # Whatever is kept is read once an epoch.
    if chosen["last"] is not Last.DROP:
        assert sorted(chain(*batches(one))) == sorted(list(range(sum(lengths))) * chosen["epochs"])


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(0, 100))
def test_the_shares_of_all_ranks_are_the_batch(start, world, length):
    span = range(start, start + length)
    shares = [share(span, rank, world) for rank in range(world)]
    assert [*chain(*shares)] == list(span)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_far_away_costs_no_more():
    """A build of 10^12 rows, its last batch of the third epoch, shuffled as a whole."""
    one = order((("a", 10**12), ("b", 10**11)), batch=8, epochs=3, shuffle="phase")
    last = rows_of(one, len(one) - 1)
    assert len(set(last)) == 8
    assert all(10**12 <= row < 10**12 + 10**11 for row in last)
    assert one.numbers(range(3)).dtype == np.int64


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "loader: batch=0; expected a whole number from 1 on: rows of all ranks together"),
        ({"batch": 2.0}, "loader: batch=2.0; expected a whole number from 1 on"),
        ({"batch": True}, "loader: batch=True; expected a whole number from 1 on"),
        ({"epochs": 0}, "loader: epochs=0; expected a whole number from 1 on: how often all rows are read"),
        ({"epochs": 2**59}, "loader: epochs=576460752303423488 of 10 rows are more than 2^60 rows"),
        (
            {"shuffle": True},
            "loader: shuffle=True; expected a whole number from 1 on: rows of a window, or 'phase'",
        ),
        ({"shuffle": "all"}, "loader: shuffle='all'; expected a whole number from 1 on: rows of a window, or 'phase'"),
        ({"seed": -1}, "loader: seed=-1; expected a whole number from 0 to 2^64 - 1"),
        ({"aligned": 1}, "loader: align_phases=1; expected True or False"),
        (
            {"batch": 11, "last": Last.DROP},
            "loader: last='drop' would leave out all 10 rows of the view",
        ),
        (
            {"aligned": True, "last": Last.DROP},
            "loader: last='drop' would leave out all 3 rows of cooldown",
        ),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(BylineError, match=re.escape(message)) as error:
        order(**settings)
    assert "\n" not in str(error.value)
