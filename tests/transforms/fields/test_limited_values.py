"""Kept values and bins, held against one value at a time."""

import json
import math
import pickle
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.documents import LABEL_TYPE
from byline.schemas.plan import PlanHeader
from byline.schemas.planned_stage import FieldValues
from byline.transforms.fields.limited_values import bin_numbers, keep_only
from tests.support.planned import header_of, stage_of
from tests.support.thorough import examples


def test_json_keeps_borders_exactly():
    values = FieldValues(top={"host": ["a.org", "ü"]}, bins={"quality": [0.1, 1 / 3], "year": [2**63 - 1], "none": []})
    header = header_of(stage_of("a", values=values))
    found = PlanHeader.from_json(json.loads(json.dumps(header.to_json()))).stages[0].values
    assert found == values
    assert type(found.bins["year"][0]) is int
    assert FieldValues().to_json() == {"top": {}, "bins": {}}


def test_the_sets_of_kept_values_are_made_once_and_travel():
    values = FieldValues(top={"host": ["a.org", "b.org"], "topic": []})
    assert values.kept == {"host": {"a.org", "b.org"}, "topic": set()}
    assert values.kept is values.kept
    assert pickle.loads(pickle.dumps(values)) == values


def test_keep_only():
    column = pa.array(["a", "b", None, "c", "b", "a"]).dictionary_encode()
    found = keep_only(column, frozenset(["b", "c", "elsewhere"]))
    assert found.to_pylist() == [None, "b", None, "c", "b", None]
    assert found.type == LABEL_TYPE
    assert keep_only(column, frozenset()).to_pylist() == [None] * 6
    assert keep_only(column.slice(0, 0), frozenset("a")).to_pylist() == []


@pytest.mark.parametrize(
    ("numbers", "borders", "expected"),
    [
        (pa.array([0.1, 0.2, 0.5, 0.9, None, math.nan]), [0.2, 0.5], ["0", "1", "2", "2", None, None]),
        (pa.array([-math.inf, -0.0, 0.0, math.inf]), [0.0], ["0", "1", "1", "1"]),
        # Borders that repeat leave bins empty; without any there is one bin.
        (pa.array([1, 2, None, 3]), [2, 2, 3], ["0", "2", None, "3"]),
        (pa.array([1, None], pa.int32()), [], ["0", None]),
        (pa.array([1, 2, 3], pa.int32()), [1.5, 3.0], ["0", "1", "2"]),
        # The float32 nearest to 0.7 is below 0.7, that nearest to 0.1 above 0.1.
        (pa.array([0.7, 0.1], pa.float32()), [0.1, 0.7], ["1", "1"]),
        # Neighbours that are one float64.
        (pa.array([2**53, 2**53 + 1, 2**63 - 1]), [2**53 + 1, 2**63 - 1], ["0", "1", "2"]),
        (pa.array([-(2**63), 2**63 - 1]), [-1e30, 1e30], ["1", "1"]),
        (pa.array([], pa.float32()), [0.5], []),
    ],
)
def test_bins(numbers, borders, expected):
    found = bin_numbers(numbers, borders)
    assert found.to_pylist() == expected
    assert found.type == LABEL_TYPE


INTEGERS = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.sampled_from([0.0, -0.0, 0.5, math.nan]) | st.floats()


@examples(200)
@given(
    st.lists(st.none() | INTEGERS, max_size=8),
    st.lists(st.none() | FLOATS, max_size=8),
    st.lists(INTEGERS | st.floats(allow_nan=False, allow_infinity=False), max_size=5).map(sorted),
)
def test_bins_of_any_numbers(integers, floats, borders):
    """Against exact fractions."""

    def slow(number, borders):
        if number is None or math.isnan(number):
            return None
        if math.isinf(number):
            return str(len(borders) if number > 0 else 0)
        return str(sum(Fraction(border) <= Fraction(float(number) if as_float else number) for border in borders))

    as_float = False
    assert bin_numbers(pa.array(integers, pa.int64()), borders).to_pylist() == [slow(n, borders) for n in integers]
    as_float, borders = True, [float(border) for border in borders]
    for kind in (pa.float64(), pa.float32()):
        column = pa.array(floats, kind)
        assert bin_numbers(column, borders).to_pylist() == [slow(n, borders) for n in column.to_pylist()]
