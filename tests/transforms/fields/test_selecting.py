"""Who meets predicates: literal documents, thresholds against comparing fractions, and what surely lies apart."""

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byline.schemas.predicates import HashShare, Predicate, PredicateNumbers, RankRange, ValueList, predicate_from_json
from byline.schemas.recipe import Selection
from byline.transforms.fields import ranking, selecting
from tests.reference import hashing, selection

HOST_TYPE = pa.dictionary(pa.int32(), pa.string())


def batch(**columns: tuple[list[Any], pa.DataType]) -> pa.RecordBatch:
    """Documents with shuffle keys 0, 1, ... and the given columns."""
    arrays = {name: pa.array(values, type_) for name, (values, type_) in columns.items()}
    rows = len(next(iter(arrays.values())))
    return pa.RecordBatch.from_pydict({"shuffle_key": pa.array(np.arange(rows, dtype=np.uint64)), **arrays})


def held(predicates: list[Predicate], some: pa.RecordBatch, source: str = "a") -> list[bool]:
    """`holds` for predicates that went through the plan's JSON."""
    texts = [json.dumps(predicate.to_json()) for predicate in predicates]
    return selecting.holds([predicate_from_json(json.loads(text)) for text in texts], some, source).tolist()


def key(value: float, kind: str = "float32") -> int:
    return ranking.key_of(value, kind)


# --------------------------------------------------------------------------------------------------------------- ranks

SCORES = [0.9, 0.7, 0.4, None, math.nan, -0.0]


def test_a_range_of_ranks() -> None:
    some = batch(quality=(SCORES, pa.float32()))
    found = key(0.7), selection.tie(1), 1
    above = key(0.7), selection.tie(1), 2
    assert held([RankRange("quality", "float32", False, None, found)], some) == [0, 0, 1, 0, 0, 1]
    assert held([RankRange("quality", "float32", False, None, above)], some) == [0, 1, 1, 0, 0, 1]
    assert held([RankRange("quality", "float32", False, found, None)], some) == [1, 1, 0, 0, 0, 0]
    assert held([RankRange("quality", "float32", False, found, above)], some) == [0, 1, 0, 0, 0, 0]
    assert held([RankRange("quality", "float32", False, None, None)], some) == [1, 1, 1, 0, 0, 1]
    assert held([RankRange("quality", "float32", False, None, (0, 0, 0))], some) == [0] * 6


def test_a_share_of_the_highest() -> None:
    some = batch(quality=(SCORES, pa.float32()))
    border = 2**32 - 1 - key(0.4), selection.tie(2), 2
    predicate = RankRange("quality", "float32", True, below=border)
    assert predicate.to_json() == {
        "field": "quality",
        "type": "float32",
        "descending": True,
        "from": None,
        "below": list(border),
    }
    assert held([predicate], some) == [1, 1, 0, 0, 0, 0]


def test_equal_numbers_are_decided_by_tie_then_shuffle_key() -> None:
    shuffle_keys = list(range(100))
    by_tie = sorted(shuffle_keys, key=lambda shuffle_key: (selection.tie(shuffle_key), shuffle_key))
    some = batch(n=([5] * 100, pa.int64()))
    for taken in (0, 1, 40, 99):
        border = key(5, "int"), selection.tie(by_tie[taken]), by_tie[taken]
        found = held([RankRange("n", "int", False, below=border)], some)
        assert set(np.flatnonzero(found).tolist()) == set(by_tie[:taken])


def test_zeros_are_alike() -> None:
    some = batch(n=([-0.0, 0.0], pa.float64()))
    assert held([selecting.threshold_predicate("n", "float", Fraction(0), None)], some) == [1, 1]
    assert held([selecting.threshold_predicate("n", "float", None, Fraction(0))], some) == [1, 1]


def test_nothing_at_all() -> None:
    assert held([], batch(n=([1, 2], pa.int64()))) == [1, 1]
    nothing = batch(n=([], pa.int64()), host=([], HOST_TYPE))
    predicates = [
        selecting.threshold_predicate("n", "int", Fraction(1), None),
        selecting.list_predicate("host", ["x"], True),
    ]
    assert held(predicates, nothing) == []
    nulls = batch(n=([None, None], pa.float32()), host=([None, None], HOST_TYPE))
    assert held([selecting.threshold_predicate("n", "float32", None, None)], nulls) == [0, 0]
    assert held([selecting.list_predicate("host", ["x"], True)], nulls) == [0, 0]
    assert held([selecting.list_predicate("host", ["x"], False)], nulls) == [1, 1]


# ---------------------------------------------------------------------------------------------------------- thresholds

TYPES = {"float32": pa.float32(), "float": pa.float64(), "int": pa.int64()}
odd_floats = st.sampled_from([None, math.nan, math.inf, -math.inf, -0.0, 0.0, 0.1, 3.4e38, 5e-324])
numbers = {
    "float32": odd_floats | st.floats(width=32),
    "float": odd_floats | st.floats(),
    "int": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
}
bounds = st.none() | st.one_of(
    st.fractions(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.integers(-(2**65), 2**65).map(Fraction),
    st.sampled_from([Fraction(10) ** 400, -(Fraction(10) ** 400), Fraction(10) ** 39, Fraction(1, 10)]),
)


@given(st.data(), st.sampled_from(sorted(numbers)), bounds, bounds)
def test_thresholds_compare_as_fractions_do(
    data: st.DataObject, kind: str, low: Fraction | None, high: Fraction | None
) -> None:
    column = pa.array(data.draw(st.lists(numbers[kind], min_size=1, max_size=8)), TYPES[kind])
    some = pa.RecordBatch.from_pydict({"shuffle_key": pa.array(range(len(column)), pa.uint64()), "n": column})
    documents = [selection.Candidate("a", i, 1, {"n": value}) for i, value in enumerate(column.to_pylist())]
    expected = selection.select(documents, [selection.Step(at_least=low, at_most=high, by="n")], {"n": kind})
    if low is None and high is None:
        expected = {i for i, value in enumerate(column.to_pylist()) if selection.is_number(value)}
    found = held([selecting.threshold_predicate("n", kind, low, high)], some)
    assert set(np.flatnonzero(found).tolist()) == expected


@pytest.mark.parametrize(
    ("kind", "low", "high", "from_", "below"),
    [
        ("int", 3, 5, [2**63 + 3, 0, 0], [2**63 + 6, 0, 0]),
        ("int", Fraction(5, 2), None, [2**63 + 3, 0, 0], None),
        ("int", -(2**63), 2**63 - 1, None, None),
        ("int", 2**63, None, None, [0, 0, 0]),
        ("int", None, -(2**63) - 1, None, [0, 0, 0]),
        ("int", -(2**70), 2**70, None, None),
        ("int", 5, 3, None, [0, 0, 0]),
        ("float32", Fraction(1, 10), None, [key(0.1), 0, 0], None),
        ("float32", None, 10**39, None, [0xFF800001, 0, 0]),
    ],
)
def test_a_threshold_is_a_range_of_ranks(kind: str, low: Any, high: Any, from_: Any, below: Any) -> None:
    low, high = (None if bound is None else Fraction(bound) for bound in (low, high))
    predicate = selecting.threshold_predicate("n", kind, low, high)
    assert predicate.to_json() == {"field": "n", "type": kind, "descending": False, "from": from_, "below": below}


# --------------------------------------------------------------------------------------------------------------- lists

PAGES = {
    "host": (["a.org", "b.org", None, "a.org"], HOST_TYPE),
    "registered_domain": (["a.org", "b.co.uk", None, None], HOST_TYPE),
    "url": (["http://a.org/x", "http://b.org/y/", None, "http://a.org/"], pa.large_string()),
    "year": ([2001, None, 2003, 2001], pa.int64()),
}


@pytest.mark.parametrize(
    ("field", "values", "allowed"),
    [
        ("host", ["a.org", "nowhere.org"], [1, 0, 0, 1]),
        ("host", [], [0, 0, 0, 0]),
        ("suffix", ["co.uk"], [0, 1, 0, 0]),
        ("path", ["/x", "/y/"], [1, 1, 0, 0]),
        ("year", ["2001"], [1, 0, 0, 1]),
        ("source", ["a"], [1, 1, 1, 1]),
        ("source", ["b"], [0, 0, 0, 0]),
    ],
)
def test_lists(field: str, values: list[str], allowed: list[int]) -> None:
    some = batch(**PAGES)
    assert held([selecting.list_predicate(field, values, True)], some) == allowed
    assert held([selecting.list_predicate(field, values, False)], some) == [1 - flag for flag in allowed]


def test_a_list_is_written_in_order_and_once() -> None:
    assert selecting.list_predicate("host", ["b", "a", "b"], True).to_json() == {"field": "host", "in": ["a", "b"]}
    assert selecting.list_predicate("host", ["b"], False).to_json() == {"field": "host", "not_in": ["b"]}


def test_a_slice_of_a_run_is_looked_at_by_its_own_rows() -> None:
    some = batch(**PAGES)
    predicates = [selecting.list_predicate("host", ["b.org"], True), selecting.list_predicate("host", ["c.org"], False)]
    assert held(predicates, some.slice(1, 2)) == [1, 0]


def test_lists_are_equal_by_value_and_told_apart_by_every_part_of_them() -> None:
    hosts = ValueList("host", ("a.org", "b.org", "c.org"), is_allowed=True)
    assert hosts == ValueList("host", tuple(sorted({"c.org", "b.org", "a.org"})), is_allowed=True)
    others = [
        ValueList("host", ("a.org", "c.org"), is_allowed=True),
        ValueList("host", ("a.org", "bb.org", "c.org"), is_allowed=True),
        ValueList("host", ("a.org", "b.org", "c.org"), is_allowed=False),
        ValueList("suffix", ("a.org", "b.org", "c.org"), is_allowed=True),
        RankRange("host", "int", False),
    ]
    numbers = PredicateNumbers()
    assert [numbers.number(predicate) for predicate in [hosts, *others, *others, hosts]] == [*range(6), *range(1, 6), 0]
    assert numbers.predicates == [hosts, *others]


def test_every_predicate_must_hold() -> None:
    some = batch(**PAGES)
    predicates = [
        selecting.list_predicate("host", ["a.org"], True),
        selecting.threshold_predicate("year", "int", Fraction(2001), None),
        selecting.list_predicate("path", ["/"], False),
    ]
    assert held(predicates, some) == [1, 0, 0, 0]
    assert selecting.predicate_columns(predicates) == {"host", "year", "url"}
    assert selecting.predicate_columns([selecting.list_predicate("source", ["a"], True)]) == set()


def test_the_predicates_of_a_step() -> None:
    lists = Selection(allow={"host": ["a"], "suffix": ["org"]}, deny={"host": ["b"]})
    assert selecting.step_predicates(lists, {}) == [
        ValueList("host", ("a",), is_allowed=True),
        ValueList("suffix", ("org",), is_allowed=True),
        ValueList("host", ("b",), is_allowed=False),
    ]
    threshold = Selection(at_most=0.1, by="n")
    assert selecting.step_predicates(threshold, {"n": "float"}) == [
        selecting.threshold_predicate("n", "float", None, Fraction(1, 10))
    ]


# -------------------------------------------------------------------------------------------------------- hash shares

HOSTS = [None, "a.org", "b.org", "a.org", "", None] * 50


@pytest.mark.parametrize("field", [None, "host"])
@pytest.mark.parametrize("share", ["0.001", "1/3", "0.999"])
def test_a_share_by_hash(field: str | None, share: str) -> None:
    some = batch(host=(HOSTS, HOST_TYPE))
    keys = some["shuffle_key"].to_pylist()
    held_out = [
        hashing.held_out(key, value if field else None, Fraction(share)) for key, value in zip(keys, HOSTS, strict=True)
    ]
    bound = int(Fraction(share) * 2**64)
    assert held([HashShare(field, bound, True)], some) == held_out
    assert held([HashShare(field, bound, False)], some) == [not out for out in held_out]
    assert selecting.predicate_columns([HashShare(field, bound, True)]) == ({field} if field else set())


# ------------------------------------------------------------------------------------------------------------ disjoint


def between(low: int | None, high: int | None, field: str = "n", descending: bool = False) -> Predicate:
    from_, below = (None if bound is None else (bound, 7, 0) for bound in (low, high))
    return RankRange(field, "int", descending, from_, below)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([between(None, 5)], [between(5, None)], True),
        ([between(5, None)], [between(None, 5)], True),
        ([between(None, 6)], [between(5, None)], False),
        ([between(1, 2)], [between(3, 4)], True),
        ([between(None, 5)], [between(5, None, "m")], False),
        ([between(None, 5)], [between(5, None, descending=True)], False),
        ([between(None, None)], [between(None, None)], False),
        ([between(None, 9), between(None, 2)], [between(8, None), between(2, 3)], True),
        ([between(None, 9)], [], False),
        ([], [], False),
        ([ValueList("n", ("1",), True)], [ValueList("n", ("1",), False), between(1, 2)], True),
        ([ValueList("n", ("1",), True)], [ValueList("m", ("1",), False), between(1, 2)], False),
        ([ValueList("n", ("1", "2"), True)], [ValueList("n", ("2", "3"), True)], False),
        ([HashShare("host", 5, True)], [HashShare("host", 5, False)], True),
        ([HashShare("host", 5, True)], [between(1, 2), HashShare("host", 6, False)], True),
        ([HashShare("host", 6, True)], [HashShare("host", 5, False)], False),
        ([HashShare("host", 5, True)], [HashShare("host", 5, True)], False),
        ([HashShare("host", 5, True)], [HashShare(None, 5, False)], False),
        ([HashShare("n", 5, True)], [between(1, 2)], False),
    ],
)
def test_disjoint(one: list[Predicate], other: list[Predicate], apart: bool) -> None:
    assert selecting.disjoint(one, other) == apart
    assert selecting.disjoint(other, one) == apart


ranges = st.tuples(*[st.none() | st.integers(0, 6).map(lambda value: (value + 2**63, 0, 0))] * 2)


@given(st.lists(ranges, max_size=2), st.lists(ranges, max_size=2))
@example([((2**63, 0, 0), (2**63, 0, 0))], [(None, None)])
def test_disjoint_predicates_share_no_document(one: list[Any], other: list[Any]) -> None:
    some = batch(n=(list(range(-1, 8)), pa.int64()))
    first, second = ([RankRange("n", "int", False, *pair) for pair in pairs] for pairs in (one, other))
    shared = selecting.holds(first, some, "a") & selecting.holds(second, some, "a")
    assert not (selecting.disjoint(first, second) and shared.any())
