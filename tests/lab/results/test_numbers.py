"""Numbers as people read them."""

import math

import pytest

from byline.lab.results import numbers
from byline.lab.results.analysis import Reach, Spread


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (940, "940"),
        (1000, "1k"),
        (1234567, "1.23M"),
        (999_600, "1M"),
        (100_000, "100k"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (160e9, "160B"),
        (4e12, "4T"),
    ],
)
def test_counts(count: float, text: str) -> None:
    assert numbers.amount(count) == text


def test_values() -> None:
    assert numbers.value(0.99512, "exact") == "99.5 %"
    assert numbers.value(1.0743, "loss") == "1.074"
    assert numbers.value(math.nan, "loss") == "not a number"
    assert numbers.threshold(0.5, "exact") == "50 %"
    assert numbers.threshold(2.5, "loss") == "2.5"


def test_spreads() -> None:
    assert numbers.spread(Spread((1.0, 1.2)), "loss") == "1.100 ± 0.141"
    assert numbers.spread(Spread((0.5, 0.6)), "accuracy") == "55.0 ± 7.1 %"
    assert numbers.spread(Spread((0.5,)), "accuracy") == "50.0 %"
    assert numbers.least_to_greatest(Spread((0.6, 0.5)), "accuracy") == "50.0 to 60.0 %"


def test_when_a_threshold_is_reached() -> None:
    assert numbers.reached(Reach(1500, 1500), "tokens") == "1.5k tokens"
    assert numbers.reached(Reach(0, 100), "step") == "at most 100 steps"
    assert numbers.reached(Reach(100, math.inf), "positions") == "not within 100 positions"
