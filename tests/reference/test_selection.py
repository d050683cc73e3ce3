"""Selections, borders of bins and rounding against literal examples, and against the properties of a selection."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import hashing, selection


def scored(*rows: tuple[float | None, int, int]) -> list[selection.Scored]:
    return [selection.Scored(*row) for row in rows]


def test_top_share_by_documents_counts_unscored_ones_and_never_takes_them() -> None:
    documents = scored((0.5, 1, 9), (None, 2, 9), (0.9, 3, 9), (math.nan, 4, 9), (-1.0, 5, 9))
    assert selection.top_share(documents, Fraction(1, 6), "documents") == set()
    assert selection.top_share(documents, Fraction(1, 5), "documents") == {2}
    assert selection.top_share(documents, Fraction(39, 100), "documents") == {2}
    assert selection.top_share(documents, Fraction(2, 5), "documents") == {0, 2}
    assert selection.top_share(documents, Fraction(99, 100), "documents") == {0, 2, 4}
    assert selection.top_share(documents, Fraction(1), "documents") == {0, 1, 2, 3, 4}


def test_top_share_by_tokens_ends_at_the_first_document_that_does_not_fit() -> None:
    documents = scored((0.9, 1, 10), (0.8, 2, 7), (0.7, 3, 1), (None, 4, 4))
    assert selection.top_share(documents, Fraction(9, 22), "tokens") == set()
    assert selection.top_share(documents, Fraction(1, 2), "tokens") == {0}
    assert selection.top_share(documents, Fraction(16, 22), "tokens") == {0}
    assert selection.top_share(documents, Fraction(17, 22), "tokens") == {0, 1}
    assert selection.top_share(documents, Fraction(1), "tokens") == {0, 1, 2, 3}


def test_equal_scores_are_decided_by_the_tie() -> None:
    shuffle_keys = list(range(8))
    by_tie = sorted(shuffle_keys, key=lambda shuffle_key: hashing.splitmix64(shuffle_key ^ 0x2545F4914F6CDD1D))
    assert by_tie != shuffle_keys
    documents = scored(*[(0.0 if shuffle_key % 2 else -0.0, shuffle_key, 1) for shuffle_key in shuffle_keys])
    for count in ("documents", "tokens"):
        for number in shuffle_keys:
            assert selection.top_share(documents, Fraction(number, 8), count) == set(by_tie[:number])


def test_bottom_takes_the_lowest_numbers() -> None:
    documents = scored((0.5, 1, 9), (None, 2, 9), (0.9, 3, 9), (math.nan, 4, 9), (-1.0, 5, 9))
    assert selection.take_share(documents, Fraction(2, 5), "documents", highest_first=False) == {0, 4}
    assert selection.take_share(documents, Fraction(99, 100), "tokens", highest_first=False) == {0, 2, 4}


def candidates() -> list[selection.Candidate]:
    rows = [("a", 5, "x"), ("a", 3, "y"), ("a", None, "x"), ("b", 9, None), ("b", 1, "x")]
    return [
        selection.Candidate(source, shuffle_key, 10, {"n": number}, {"host": host})
        for shuffle_key, (source, number, host) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        ([], {0, 1, 2, 3, 4}),
        ([selection.Step(allow={"host": ["x"]})], {0, 2, 4}),
        ([selection.Step(deny={"host": ["x"]})], {1, 3}),
        ([selection.Step(deny={"host": ["x"]}, sources=["b"])], {0, 1, 2, 3}),
        ([selection.Step(allow={"host": ["x", "y"]}, deny={"host": ["y"]})], {0, 2, 4}),
        ([selection.Step(at_least=Fraction(3), by="n")], {0, 1, 3}),
        ([selection.Step(at_least=Fraction(3), at_most=Fraction(5), by="n")], {0, 1}),
        ([selection.Step(top=Fraction(1, 2), by="n")], {0, 3}),
        ([selection.Step(top=Fraction(1, 2), by="n", over="all")], {0, 3}),
        ([selection.Step(bottom=Fraction(3, 5), by="n", over="all")], {0, 1, 4}),
        ([selection.Step(bottom=Fraction(1, 2), by="n", count="tokens")], {1, 4}),
        ([selection.Step(top=Fraction(1), by="n")], {0, 1, 2, 3, 4}),
        # Of the three that have the host x, not of all five.
        ([selection.Step(allow={"host": ["x"]}), selection.Step(top=Fraction(2, 3), by="n", over="all")], {0, 4}),
        ([selection.Step(top=Fraction(2, 5), by="n", over="all"), selection.Step(allow={"host": ["x"]})], {0}),
    ],
)
def test_each_step_looks_at_what_the_steps_before_it_left(steps: list[selection.Step], chosen: set[int]) -> None:
    assert selection.select(candidates(), steps, {"n": "int"}) == chosen


def test_a_threshold_on_a_score_is_rounded_as_the_score_is() -> None:
    documents = [selection.Candidate("a", 0, 1, {"q": selection.as_float32(0.1)})]
    step = selection.Step(at_most=Fraction(1, 10), by="q")
    assert selection.select(documents, [step], {"q": "float32"}) == {0}
    assert selection.select(documents, [step], {"q": "float"}) == set()


def test_borders_of_bins() -> None:
    assert selection.bin_borders([3, None, 1, 2, 4], 2) == [3]
    assert selection.bin_borders([3, 1, 2, math.nan], 2) == [2]
    assert selection.bin_borders([1, 1, 1, 5], 4) == [1, 1, 5]
    assert selection.bin_borders([7], 3) == [7, 7]
    assert selection.bin_borders([None], 3) == []


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_nearest_float32_rounds_as_machines_do(value: float) -> None:
    assert selection.nearest_float32(Fraction(value)) == selection.as_float32(value)


def test_nearest_float32_rounds_once() -> None:
    above_half = 1 + Fraction(1, 2**24) + Fraction(1, 2**80)
    assert selection.as_float32(float(above_half)) == 1
    assert selection.nearest_float32(above_half) == 1 + 2**-23
    assert selection.nearest_float32(Fraction(-(10**400))) == -math.inf


def test_as_float32() -> None:
    assert selection.as_float32(0.1) == 0.10000000149011612
    assert selection.as_float32(0.1) == selection.as_float32(0.1 + 1e-12)
    assert selection.as_float32(-1e300) == -math.inf
    assert math.isnan(selection.as_float32(math.nan))


@given(
    st.lists(st.tuples(st.none() | st.floats(width=16), st.integers(0, 2**64 - 1), st.integers(1, 9)), max_size=12),
    st.fractions(0, 1),
    st.sampled_from(["documents", "tokens"]),
)
def test_what_is_selected_is_as_large_as_may_be_and_no_worse_than_the_rest(
    rows: list[tuple[float | None, int, int]], share: Fraction, count: str
) -> None:
    documents = scored(*rows)
    chosen = selection.top_share(documents, share, count)

    def size(indices: set[int]) -> int:
        return sum(documents[index].tokens if count == "tokens" else 1 for index in indices)

    budget = share * size(set(range(len(documents))))
    assert size(chosen) <= budget
    rest = [index for index in range(len(documents)) if index not in chosen and selection.is_scored(documents[index])]
    if rest and share < 1:
        best = min(
            rest, key=lambda index: (-(documents[index].score or 0.0), selection.tie(documents[index].shuffle_key))
        )
        assert all((documents[index].score or 0.0) >= (documents[best].score or 0.0) for index in chosen)
        assert size(chosen) + size({best}) > budget
