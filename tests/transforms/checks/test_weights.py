"""What is wrong with loss weights, as far as rows tell: literal weights in, literal lines out."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from byline.schemas.loss_weights import FormatterWeight, NumberWeight
from byline.transforms.checks.weights import WeightRules, weight_faults

#            segment 0          1     2
MASK = [0, 0, 1, 1, 1, 1, 1, 0, 0]
STARTS = [0, 5, 8]
FILES = [0, 1, -1]
GOOD = [0, 0, 0.75, 0.75, 0.75, 2, 2, 0, 0]
WEIGHTS: Any = {"web": NumberWeight(by="quality", most=Fraction(1), unknown=Fraction(9)), "code": Fraction(2)}


def faults(values: list[float], kind: str = "float32", weights: Any = WEIGHTS) -> list[tuple[list[int], str]]:
    rules = WeightRules.of(weights, kind, ["web", "code"])
    arrays = np.array(values, kind), np.array(MASK, bool), np.array(STARTS), np.array(FILES)
    return [(found.tolist(), what) for found, what in weight_faults(*arrays, rules) if len(found)]


def changed(**values: Any) -> list[float]:
    return [values.get(f"at{number}", weight) for number, weight in enumerate(GOOD)]


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_weights_that_are_right(kind: str) -> None:
    assert faults(GOOD, kind) == []
    assert faults(changed(at2=9, at3=9, at4=9), kind) == []
    assert faults(changed(at2=0, at3=0, at4=0), kind) == []


NUMBER = "a loss weight that is negative or no number"
MASKED = "a loss weight where the loss mask is 0"
SEVERAL = "several loss weights in one segment"
OTHER = "a loss weight that the recipe does not give its document"


@pytest.mark.parametrize(
    ("weights", "lines"),
    [
        (changed(at0=1), [([0], MASKED)]),
        (changed(at8=0.5), [([8], MASKED)]),
        (changed(at1=-0.0), [([1], NUMBER)]),
        (changed(at3=0.5), [([3], SEVERAL)]),
        (changed(at3=-1), [([3], NUMBER)]),
        (changed(at3=np.nan), [([3], NUMBER)]),
        (changed(at5=np.inf, at6=np.inf), [([5, 6], NUMBER), ([5], OTHER)]),
        (changed(at5=1, at6=1), [([5], OTHER)]),
        (changed(at2=1.5, at3=1.5, at4=1.5), [([0], OTHER)]),
    ],
)
def test_weights_that_are_wrong(weights: list[float], lines: list[tuple[list[int], str]]) -> None:
    assert faults(weights) == lines


def test_a_segment_of_a_source_that_its_formatter_weighs_may_have_several() -> None:
    weights = {"web": FormatterWeight(WEIGHTS["web"]), "code": FormatterWeight(Fraction(2))}
    assert faults(changed(at3=0.5, at4=7, at5=65504), weights=weights) == []
    assert faults(changed(at3=0.5), weights={**weights, "web": Fraction(0)})[1:] == [([0], OTHER)]
    assert faults(changed(at3=np.nan, at8=1), weights=weights) == [([3], NUMBER), ([8], MASKED)]
    # A weight of 0 times any is 0.
    nothing = {"web": FormatterWeight(Fraction(0)), "code": Fraction(2)}
    assert faults(changed(at2=0, at3=0, at4=0), weights=nothing) == []
    assert faults(GOOD, weights=nothing) == [([0], OTHER)]


def test_weights_are_compared_as_their_type_rounds_them() -> None:
    """0.1 is another number as float16."""
    rules = WeightRules.of({"web": Fraction(1, 10)}, "float16", ["web"])
    assert rules.allow(np.array([0]), np.array([np.float16(0.1)], np.float64)).all()
    assert not rules.allow(np.array([0]), np.array([0.1])).any()


def test_no_files_and_no_rows() -> None:
    rules = WeightRules.of({}, "float32", [])
    nothing = np.zeros(0, np.int64)
    found = weight_faults(np.zeros(0, np.float32), np.zeros(0, bool), nothing, nothing, rules)
    assert [positions.tolist() for positions, _ in found] == [[]] * 4
