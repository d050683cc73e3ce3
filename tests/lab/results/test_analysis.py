"""Literal curves: thresholds between evaluations, spreads, and the one rule for verdicts."""

import math
from itertools import permutations

import numpy as np
import pytest

from byline.errors import BylineError
from byline.lab.results.analysis import (
    Reach,
    Spread,
    all_before,
    chance,
    final,
    is_better,
    ratios,
    reach,
)
from byline.lab.results.series import Measure, Series, mean_series, series_of
from tests.lab.results.made import made_results


def series(*values: float, every: float = 100) -> Series:
    return Series(np.arange(1, len(values) + 1) * every, np.array(values))


LOSSES = series(3.1, 2.7, 2.4)


@pytest.mark.parametrize(
    ("line", "threshold", "is_lower_better", "expected"),
    [
        (LOSSES, 2.55, True, Reach(250, 250)),
        (LOSSES, 2.7, True, Reach(200, 200)),
        (LOSSES, 3.1, True, Reach(0, 100)),
        (LOSSES, 5.0, True, Reach(0, 100)),
        (LOSSES, 2.3, True, Reach(300, math.inf)),
        (series(0.1, 0.8, 0.4, 0.9), 0.45, False, Reach(150, 150)),
        (series(0.1, math.nan, 0.9), 0.5, False, Reach(200, 300)),
        (series(math.nan, math.nan), 0.5, False, Reach(200, math.inf)),
    ],
)
def test_a_threshold_is_reached_the_first_time_between_evaluations(
    line: Series, threshold: float, is_lower_better: bool, expected: Reach
) -> None:
    reached = reach(line, threshold, is_lower_better)
    assert (reached.earliest, reached.latest) == pytest.approx((expected.earliest, expected.latest))


def test_one_is_before_another_where_that_is_certain() -> None:
    sooner, later, early, never = Reach(100, 100), Reach(200, 200), Reach(0, 150), Reach(200, math.inf)
    assert sooner.is_before(later)
    assert not later.is_before(sooner)
    assert early.is_before(later)
    assert not early.is_before(sooner)
    assert not sooner.is_before(early)
    assert later.is_before(never)
    assert not Reach(250, 250).is_before(never)
    assert not never.is_before(never)
    assert all_before([sooner, early], [later, never])
    assert not all_before([sooner, later], [later])


def test_spread_is_of_a_sample() -> None:
    spread = Spread((2.41, 2.44, 2.38))
    assert (spread.mean, spread.deviation) == pytest.approx((2.41, 0.03))
    assert (spread.least, spread.greatest) == (2.38, 2.44)
    assert math.isnan(Spread((1.0,)).deviation)


def test_better_is_every_seed() -> None:
    assert is_better(Spread((1.0, 1.1)), Spread((1.2, 1.3)), is_lower_better=True)
    assert not is_better(Spread((1.0, 1.2)), Spread((1.2, 1.3)), is_lower_better=True)
    assert is_better(Spread((0.9,)), Spread((0.8, 0.7)), is_lower_better=False)
    assert not is_better(Spread((math.nan, 1.0)), Spread((1.2, 1.3)), is_lower_better=True)
    assert not is_better(Spread((1.0, math.nan)), Spread((1.2, 1.3)), is_lower_better=True)


@pytest.mark.parametrize(("first", "second", "expected"), [(3, 3, 20), (4, 4, 70), (1, 1, 2), (2, 3, 10)])
def test_chance_is_counted_over_all_orders(first: int, second: int, expected: int) -> None:
    orders = list(permutations(range(first + second)))
    hits = sum(max(order[:first]) < min(order[first:]) for order in orders)
    assert len(orders) == hits * expected == hits * chance(first, second)


def test_ratios_are_of_all_pairs_of_seeds() -> None:
    one = {0: series(3.0, 2.0, 1.0), 1: series(4.0, 3.0, 2.6)}
    other = {0: series(4.0, 3.0, 2.5)}
    first, second = ratios(one, other, is_lower_better=True)
    assert (first.seeds, first.ratio, first.is_sooner) == ((0, 0), pytest.approx(0.5), True)
    assert (second.seeds, second.ratio, second.is_sooner, second.least) == ((1, 0), math.inf, False, 1.0)


def test_what_was_always_right_before_its_end_needed_only_that_much() -> None:
    (pair,) = ratios({0: series(0.0, 1.0, 1.0, 1.0)}, {0: series(0.5, 1.0, 1.0, 1.0)}, is_lower_better=False)
    assert (pair.ratio, pair.is_sooner) == (1.0, False)


def test_series_are_by_seed_and_of_the_largest_model() -> None:
    results = made_results()
    measured = series_of(results, "standard", Measure(evaluation="none"))
    assert sorted(measured) == [0, 1, 2]
    assert measured[0].x.tolist() == [step * 2000 for step in range(100, 1001, 100)]
    assert final(measured).values == pytest.approx([1.17219, 1.18219, 1.19219])
    small = series_of(results, "standard", Measure(evaluation="none", model="0.2M", x="step"))
    assert small[0].end == 1000
    assert small[0].final == pytest.approx(measured[0].final + 0.1)


def test_the_ends_of_branches_are_a_series() -> None:
    measured = series_of(made_results(), "cooldown/*", Measure(evaluation="none", x="step"))
    assert measured[0].x.tolist() == [300, 550, 800, 1000]


def test_the_mean_is_over_points_that_all_seeds_have() -> None:
    mean, least, greatest = mean_series({0: series(1, 2, 3), 1: series(3, 4)})
    assert (mean.x.tolist(), mean.values.tolist()) == ([100, 200], [2, 3])
    assert (least.tolist(), greatest.tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("arm", "values", "hint"),
    [
        ("standart", {}, "there are the arms standard, conditioned"),
        ("standard", {"evaluation": "non"}, "there are the evaluations host, none"),
        ("standard", {"metric": "acc"}, "there are the metrics exact, loss"),
        ("standard", {"source": "wiki"}, "there are the sources all, books, web"),
        ("standard", {"model": "2M"}, "there are the models 0.2M, 1M"),
    ],
)
def test_what_was_not_measured_is_told(arm: str, values: dict[str, str], hint: str) -> None:
    with pytest.raises(BylineError, match=hint):
        series_of(made_results(), arm, Measure(**{"evaluation": "none", **values}))
