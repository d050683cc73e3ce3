"""Radix selection against sorting: the same documents, whatever the scores, shares and counts."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.recipe import Selection
from tests.reference.selection import Scored, as_float32, tie, top_share
from transforms.selecting import (
    DIGITS,
    Boundary,
    digit_of,
    encode_predicates,
    holds,
    matches,
    predicate_fields,
    rank_words,
    score_keys,
    start_boundary,
    top_predicate,
)

ODD_SCORES = [None, math.nan, -0.0, 0.0, 1.0, -1.0, math.inf, -math.inf, 1e-45, -1e-45, 0.1, 3.4e38]


def radix(documents: list[Scored], share: Fraction, count: str) -> tuple[set[int], int]:
    """The selected documents and the number of passes, as the planner makes them."""
    scores = pa.array([document.score for document in documents], pa.float32())
    places = np.array([document.place for document in documents], np.uint64)
    tokens = np.array([document.tokens for document in documents], np.int64)
    words = rank_words(scores, places)
    boundary = start_boundary(Selection(top=share, by="q", count=count), len(documents), int(tokens.sum()))
    passes = 0
    while not boundary.done:
        some = matches(words, boundary.digits)
        weights = tokens[some] if count == "tokens" else np.ones(some.sum(), np.int64)
        counts = np.zeros(2**16, np.int64)
        np.add.at(counts, digit_of(words, len(boundary.digits))[some], weights)
        documents_by_digit = np.bincount(digit_of(words, len(boundary.digits))[some], minlength=2**16)
        boundary, passes = boundary.advance(counts, documents_by_digit), passes + 1
    predicates = encode_predicates([top_predicate("q", boundary)])
    assert predicate_fields(predicates) == ["q"]
    return set(np.flatnonzero(holds(predicates, {"q": scores}, places)).tolist()), passes


floats = st.floats(width=32) | st.sampled_from(ODD_SCORES)
places = st.integers(0, 2**64 - 1)


@st.composite
def scored(draw: st.DrawFn) -> list[Scored]:
    """Documents of distinct places, often with few distinct scores."""
    scores = draw(st.sampled_from([floats, st.sampled_from(ODD_SCORES), st.just(0.5), st.just(None)]))
    found = draw(st.lists(st.tuples(scores, st.integers(1, 20)), min_size=1, max_size=40))
    where = draw(st.lists(places, min_size=len(found), max_size=len(found), unique=True))
    return [
        Scored(None if score is None else as_float32(score), place, tokens)
        for (score, tokens), place in zip(found, where, strict=True)
    ]


shares = st.fractions(0, 1, max_denominator=60).filter(lambda share: 0 < share < 1)


@settings(deadline=None, max_examples=300)
@given(scored(), shares, st.sampled_from(["documents", "tokens"]))
@example([Scored(0.5, 1, 3), Scored(None, 2, 3), Scored(None, 3, 3)], Fraction(2, 3), "documents")
@example([Scored(0.5, 1, 3), Scored(math.nan, 2, 3), Scored(None, 3, 3)], Fraction(99, 100), "tokens")
@example([Scored(None, 2, 3), Scored(None, 3, 3)], Fraction(1, 2), "documents")
def test_radix_selection_takes_whom_sorting_takes(documents: list[Scored], share: Fraction, count: str) -> None:
    assert radix(documents, share, count)[0] == top_share(documents, share, count)


def test_distinct_scores_need_two_passes() -> None:
    documents = [Scored(as_float32(n / 1000), n, 1) for n in range(1000)]
    selected, passes = radix(documents, Fraction(7, 10), "documents")
    assert selected == set(range(300, 1000))
    assert passes <= 2


def test_equal_scores_are_decided_by_tie_then_place() -> None:
    documents = [Scored(0.5, place, 1) for place in range(100)]
    by_tie = sorted(range(100), key=lambda place: (tie(place), place))
    assert radix(documents, Fraction(1, 4), "documents")[0] == set(by_tie[:25])


def test_a_share_of_nothing_needs_no_pass() -> None:
    assert radix([Scored(0.5, 1, 1)], Fraction(1, 2), "documents") == (set(), 0)


def test_keys_ascend_as_scores_descend() -> None:
    scores = [math.inf, 3.4e38, 1.0, 0.1, 1e-45, 0.0, -1e-45, -1.0, -math.inf]
    keys = score_keys(pa.array([*scores, math.nan, None], pa.float32())).tolist()
    assert keys == sorted(keys)
    assert len(set(keys[:-1])) == len(keys) - 1
    assert keys[-2:] == [2**32 - 1] * 2
    assert score_keys(pa.array([-0.0], pa.float32())) == score_keys(pa.array([0.0], pa.float32()))


@given(floats, floats)
def test_keys_compare_as_scores_do(one: float | None, other: float | None) -> None:
    if one is None or other is None or math.isnan(one) or math.isnan(other):
        return
    first, second = score_keys(pa.array([one, other], pa.float32())).tolist()
    one, other = as_float32(one), as_float32(other)
    assert (first < second, first == second) == (one > other, one == other)


@given(st.tuples(st.integers(0, 2**32 - 1), places, places))
def test_digits_give_the_rank_back(rank: tuple[int, int, int]) -> None:
    words = [np.array([word], np.uint64) for word in rank]
    digits = tuple(int(digit_of(words, number)[0]) for number in range(len(DIGITS)))
    assert Boundary(digits).words() == list(rank)
    assert matches(words, digits).tolist() == [True]
    changed = (*digits[:-1], digits[-1] ^ 1)
    assert matches(words, changed).tolist() == [False]


def test_every_predicate_must_hold() -> None:
    columns = {"q": pa.array([0.9, 0.9, 0.1], pa.float32()), "r": pa.array([0.9, 0.1, 0.9], pa.float32())}
    border = [int(score_keys(pa.array([0.5], pa.float32()))[0]), 0, 0]
    predicates = encode_predicates([{"field": name, "below": border} for name in "qr"])
    assert predicate_fields(predicates) == ["q", "r"]
    assert holds(predicates, columns, np.arange(3, dtype=np.uint64)).tolist() == [True, False, False]
    assert holds("[]", {}, np.arange(3, dtype=np.uint64)).tolist() == [True] * 3


def test_too_few_documents_are_a_broken_promise() -> None:
    with pytest.raises(AssertionError, match="5 asked of 4"):
        Boundary(remaining=5).advance(np.array([1, 3]), np.array([1, 1]))
