"""Schedules, by literal values."""

import pytest

from byline.errors import BylineError
from byline.lab.training.schedules import factor, schedule_named

# Ten steps, two of warm-up, four of decay.
VALUES = {
    "constant": [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "cosine": [0.5, 1, 1, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060],
    "wsd": [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25],
}


@pytest.mark.parametrize("name", VALUES)
def test_factors(name: str) -> None:
    assert [factor(name, step, 10, 2, 4) for step in range(10)] == pytest.approx(VALUES[name], abs=1e-6)


def test_without_warm_up_or_decay() -> None:
    assert [factor("wsd", step, 4, 0, 0) for step in range(4)] == [1, 1, 1, 1]
    assert [factor("wsd", step, 4, 0, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert factor("cosine", 0, 1, 0, 0) == 1


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(BylineError, match="expected one of constant, cosine, wsd, found 'linear'"):
        schedule_named("linear")
