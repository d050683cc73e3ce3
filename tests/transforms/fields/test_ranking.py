"""Keys sort as numbers do, digits give them back, and bounds become the keys that compare as fractions do."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.fields import ranking
from tests.reference import hashing, selection

MOST, LEAST = 2**63 - 1, -(2**63)
FLOATS = [math.inf, 1.7e308, 3.4e38, 1.0, 0.1, 1e-45, 5e-324, 0.0, -5e-324, -1e-45, -1.0, -1.7e308, -math.inf]
WIDTH = {"float32": 32, "float": 64, "int": 64}

words = st.integers(0, 2**64 - 1)
numbers_of = {
    "float32": st.floats(width=32, allow_nan=False),
    "float": st.floats(allow_nan=False),
    "int": st.integers(LEAST, MOST),
}
bounds = st.one_of(
    st.fractions(),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.integers(-(2**66), 2**66).map(Fraction),
    st.sampled_from([Fraction(sign * 10**power) for sign in (-1, 1) for power in (38, 39, 308, 309, 400)]),
)


def keys(values: list[float | None], kind: str, descending: bool = False) -> list[int | None]:
    """Keys of those that have a number, None for the others."""
    found, present = ranking.number_keys(pa.array(values, ranking.ARROW_TYPES[kind]), kind, descending)
    assert found.dtype == np.uint64
    return [int(key) if has else None for key, has in zip(found, present, strict=True)]


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("float32", 0.0, 2**31),
        ("float32", -0.0, 2**31),
        ("float32", -1.5, 0x403FFFFF),
        ("float32", math.inf, 0xFF800000),
        ("float32", -math.inf, 0x007FFFFF),
        ("float", -0.0, 2**63),
        ("float", 1.0, 0xBFF0000000000000),
        ("float", -math.inf, 0x000FFFFFFFFFFFFF),
        ("int", 0, 2**63),
        ("int", -1, 2**63 - 1),
        ("int", LEAST, 0),
        ("int", MOST, 2**64 - 1),
    ],
)
def test_keys(kind: str, value: float, key: int) -> None:
    assert keys([value], kind) == [key]
    assert keys([value], kind, descending=True) == [2 ** WIDTH[kind] - 1 - key]


@pytest.mark.parametrize("kind", ["float32", "float"])
def test_keys_ascend_from_infinity_to_infinity(kind: str) -> None:
    ascending = sorted({selection.as_float32(value) if kind == "float32" else value for value in FLOATS})
    found = keys(ascending, kind)
    assert None not in found
    assert found == sorted(set(found))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("kind", "values"), [("float32", [None, math.nan]), ("float", [math.nan]), ("int", [None])])
def test_null_and_nan_are_no_numbers_and_come_last(kind: str, values: list[float | None], descending: bool) -> None:
    array = pa.array([*values, 1, None], ranking.ARROW_TYPES[kind])
    found, present = ranking.number_keys(array, kind, descending)
    assert present.tolist() == [False] * len(values) + [True, False]
    assert set(found[~present].tolist()) == {2 ** WIDTH[kind] - 1}


@pytest.mark.parametrize("kind", ["float32", "float", "int"])
def test_columns_without_any_number(kind: str) -> None:
    assert keys([None, None], kind) == [None, None]
    assert keys([], kind) == []
    assert ranking.number_keys(pa.nulls(2), kind)[1].tolist() == [False, False]


def test_counts_of_the_store_are_ints() -> None:
    for type_ in (pa.int32(), pa.int64()):
        found, present = ranking.number_keys(pa.array([7, 0], type_), "int")
        assert found.tolist() == [2**63 + 7, 2**63]
        assert present.tolist() == [True, True]


@given(st.data(), st.sampled_from(sorted(numbers_of)), st.booleans())
def test_keys_compare_as_numbers_do(data: st.DataObject, kind: str, descending: bool) -> None:
    one, other = data.draw(numbers_of[kind]), data.draw(numbers_of[kind])
    first, second = keys([one, other], kind, descending)
    assert first is not None
    assert second is not None
    assert (first < second) == (one > other if descending else one < other)
    assert (first == second) == (one == other)


@given(st.data(), st.sampled_from(sorted(numbers_of)))
def test_a_key_gives_its_number_back(data: st.DataObject, kind: str) -> None:
    value = data.draw(numbers_of[kind])
    found = ranking.value_of(ranking.key_of(value, kind), kind)
    assert (found, type(found)) == (value, type(value))


# -------------------------------------------------------------------------------------------------------------- bounds


def value_at(key: int, kind: str) -> float:
    """The number of a key, NaN where no number has it: past the ends of the type, and where -0.0 would be."""
    value = ranking.value_of(key, kind) if 0 <= key < 2 ** WIDTH[kind] else math.nan
    return math.nan if value == 0 and key != 2**63 else value


@given(st.sampled_from(["float", "int"]), bounds)
def test_bounds_lie_at_the_last_number_within(kind: str, bound: Fraction) -> None:
    low, high = ranking.lowest_key(bound, kind), ranking.highest_key(bound, kind)
    # A comparison with NaN is never true.
    assert not value_at(low, kind) < bound
    assert not value_at(low - 1, kind) >= bound
    assert not value_at(high, kind) > bound
    assert not value_at(high + 1, kind) <= bound


@given(bounds)
def test_bounds_of_float32_are_rounded_first(bound: Fraction) -> None:
    nearest = selection.nearest_float32(bound)
    assert ranking.nearest_float32(bound) == nearest
    key = ranking.key_of(nearest, "float32")
    assert (ranking.lowest_key(bound, "float32"), ranking.highest_key(bound, "float32")) == (key, key)


@given(st.floats(1, 2, width=32), st.sampled_from([-1, 0, 1]))
def test_a_fraction_next_to_the_middle_of_two_float32_is_rounded_once(below: float, side: int) -> None:
    middle = Fraction(below) + Fraction(1, 2**24) + side * Fraction(1, 2**90)
    assert ranking.nearest_float32(middle) == selection.nearest_float32(middle)


@pytest.mark.parametrize(
    ("kind", "bound", "low", "high"),
    [
        ("int", Fraction(2**63), 2**64, 2**64 - 1),
        ("int", Fraction(2**70), 2**64, 2**64 - 1),
        ("int", Fraction(-(2**63)), 0, 0),
        ("int", Fraction(-(2**63) - 1), 0, -1),
        ("int", Fraction(2**63 - 1), 2**64 - 1, 2**64 - 1),
        ("int", Fraction(5, 2), 2**63 + 3, 2**63 + 2),
        ("int", Fraction(-5, 2), 2**63 - 2, 2**63 - 3),
        # The double next to 0.1 lies above it.
        ("float", Fraction(1, 10), 0xBFB999999999999A, 0xBFB9999999999999),
        ("float", Fraction(10**400), 0xFFF0000000000000, 0xFFEFFFFFFFFFFFFF),
        ("float32", Fraction(10**39), 0xFF800000, 0xFF800000),
    ],
)
def test_bounds(kind: str, bound: Fraction, low: int, high: int) -> None:
    assert (ranking.lowest_key(bound, kind), ranking.highest_key(bound, kind)) == (low, high)


# -------------------------------------------------------------------------------------------------------------- digits


def test_digit_shuffle_keys() -> None:
    low_words = [(word, shift) for word in (1, 2) for shift in (48, 32, 16, 0)]
    assert ranking.digit_shuffle_keys("float32") == [(0, 16), (0, 0), *low_words]
    assert (
        ranking.digit_shuffle_keys("int")
        == ranking.digit_shuffle_keys("float")
        == [(0, 48), (0, 32), (0, 16), (0, 0), *low_words]
    )


@given(st.data(), st.sampled_from(["float32", "int"]), words)
def test_digits_give_the_rank_back(data: st.DataObject, kind: str, shuffle_key: int) -> None:
    key = data.draw(st.integers(0, 2 ** WIDTH[kind] - 1))
    columns = np.array([key], np.uint64), np.array([shuffle_key], np.uint64)
    digits: tuple[int, ...] = ()
    for _ in ranking.digit_shuffle_keys(kind):
        rows, bins = ranking.next_digits(*columns, kind, (digits,))
        assert rows.tolist() == [0]
        digits = (*digits, int(bins[0]))
    assert ranking.rank_of(digits, kind) == (key, selection.tie(shuffle_key), shuffle_key)
    assert ranking.key_digits(key, kind) == digits[: WIDTH[kind] // 16]
    for known in range(1, len(digits)):
        wrong = (*digits[: known - 1], digits[known - 1] ^ 1)
        assert ranking.next_digits(*columns, kind, (wrong,))[0].tolist() == []


def test_several_heads_are_counted_apart() -> None:
    keys_ = np.array([0x00010005, 0x00020007, 0x00010009, 0x00030001, 0x00020007], np.uint64)
    rows, bins = ranking.next_digits(keys_, np.zeros(5, np.uint64), "float32", ((1,), (3,)))
    assert rows.tolist() == [0, 2, 3]
    assert bins.tolist() == [5, 9, 2**16 + 1]
    assert ranking.next_digits(keys_, keys_, "float32", ((),))[1].tolist() == [1, 2, 1, 3, 2]


def test_documents_of_equal_keys_are_told_apart_by_ties() -> None:
    shuffle_keys = np.arange(50, dtype=np.uint64)
    rows, bins = ranking.next_digits(np.full(50, 7, np.uint64), shuffle_keys, "int", ((0, 0, 0, 7),))
    assert rows.tolist() == list(range(50))
    assert bins.tolist() == [
        hashing.splitmix64(shuffle_key ^ selection.TIE_CONSTANT) >> 48 for shuffle_key in range(50)
    ]


@given(st.lists(st.integers(LEAST, MOST) | st.integers(-3, 3) | st.integers(65530, 65540), min_size=1), st.booleans())
def test_small_values_have_bins_of_their_own(values: list[int], descending: bool) -> None:
    keys_ = ranking.number_keys(pa.array(values, pa.int64()), "int", descending)[0]
    bins = ranking.near_bins(keys_, descending).tolist()
    for value, key, bin_ in zip(values, keys_.tolist(), bins, strict=True):
        if 0 <= value < 65534:
            assert ranking.near_key(bin_, descending) == key
        else:
            assert ranking.near_key(bin_, descending) is None
            assert bin_ == (0 if (value < 0) != descending else 65535)
    in_order = sorted(zip(keys_.tolist(), bins, strict=True))
    assert [bin_ for _, bin_ in in_order] == sorted(bins)
