"""Hashes of whole arrays against the reference's, one by one."""

from fractions import Fraction

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.splitmix import splitmix64
from byline.transforms.documents.shuffle_keys import (
    circle_offset,
    dropped_out,
    held_out,
    in_sample,
    left_empty,
    orders,
    shuffle_keys,
    ties,
)
from tests.reference import hashing as slow
from tests.reference.selection import tie

words = st.integers(0, 2**64 - 1)
word_lists = st.lists(words | st.sampled_from([0, 1, 2**63, 2**64 - 1]), max_size=20)


def uint64(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


@given(st.text(max_size=8), st.text(max_size=20), st.lists(st.integers(0, 2**40), max_size=10))
def test_shuffle_keys(source: str, path: str, rows: list[int]) -> None:
    keys = shuffle_keys(source, path, np.array(rows, np.int64))
    assert keys.dtype == np.uint64
    assert keys.tolist() == [slow.shuffle_key(source, path, row) for row in rows]


def test_a_shuffle_key_goes_round_the_end_of_the_circle() -> None:
    hashes = {path: mmh3.hash64(f"s/{path}", 0, signed=False)[0] for path in map(str, range(100))}
    path = max(hashes, key=hashes.__getitem__)
    row = 2**64 - hashes[path] + 5
    assert row < 2**63
    assert shuffle_keys("s", path, np.array([row])).tolist() == [slow.splitmix64(5)]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@given(word_lists, st.integers(0, 2**32 - 1))
def test_orders(seed: int, values: list[int], epoch: int) -> None:
    orders_made = orders(uint64(values), np.full(len(values), epoch), seed)
    assert orders_made.tolist() == [slow.order(value, epoch, seed) for value in values]


@given(word_lists)
def test_ties(values: list[int]) -> None:
    assert ties(uint64(values)).tolist() == [tie(value) for value in values]


@given(word_lists, st.sampled_from([Fraction(0), Fraction(1, 10), Fraction(1, 3), Fraction(2**53 - 1, 2**53)]))
def test_dropped_out(values: list[int], dropout: Fraction) -> None:
    assert dropped_out(uint64(values), dropout).tolist() == [slow.dropped_out(value, dropout) for value in values]


def test_dropout_compares_the_upper_53_bits() -> None:
    value = slow.splitmix64(5 ^ slow.DROPOUT_CONSTANT) >> 11
    assert dropped_out(uint64([5]), Fraction(value, 2**53)).tolist() == [False]
    assert dropped_out(uint64([5]), Fraction(value + 1, 2**53)).tolist() == [True]


def test_left_empty_compares_the_upper_53_bits() -> None:
    value = slow.splitmix64(5 ^ 0xA24BAED4963EE407) >> 11
    assert left_empty(uint64([5]), Fraction(value, 2**53)).tolist() == [False]
    assert left_empty(uint64([5]), Fraction(value + 1, 2**53)).tolist() == [True]


@given(word_lists, st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(2**53 - 1, 2**53)]))
def test_left_empty(values: list[int], empty: Fraction) -> None:
    numbers = [slow.splitmix64(value ^ 0xA24BAED4963EE407) >> 11 for value in values]
    assert left_empty(uint64(values), empty).tolist() == [number < empty * 2**53 // 1 for number in numbers]


def test_shares_of_dropout_empty_prefixes_and_samples_are_kept() -> None:
    values = splitmix64(np.arange(100_000, dtype=np.uint64))
    dropped, empty = dropped_out(values, Fraction(1, 4)), left_empty(values, Fraction(1, 4))
    assert abs(dropped.mean() - 0.25) < 0.005
    # Whether a document is left empty says nothing about whether it is dropped out.
    assert abs(empty[~dropped].mean() - 0.25) < 0.005
    assert abs(empty[dropped].mean() - 0.25) < 0.01
    assert abs(in_sample(values, 2**30).mean() - 0.25) < 0.005
    assert in_sample(values, 2**32).all()
    assert not in_sample(values, 0).any()


def test_what_is_held_out_is_no_matter_of_the_sample() -> None:
    values = splitmix64(np.arange(200_000, dtype=np.uint64))
    held = held_out(values, 2**64 // 5)
    assert abs(held.mean() - 0.2) < 0.005
    for threshold in (2**32 // 100, 2**32 // 10, 2**31):
        sampled = in_sample(values, threshold)
        assert abs(held[sampled].mean() - 0.2) < 0.03
        assert abs(held[~sampled].mean() - 0.2) < 0.005


def test_samples_grow_with_their_share() -> None:
    values = splitmix64(np.arange(1000, dtype=np.uint64))
    assert not (in_sample(values, 2**30) & ~in_sample(values, 2**31)).any()


def test_the_offset_of_a_circle_turns_whole_bins_by_seed_and_source() -> None:
    offsets = {(seed, source): circle_offset(seed, source) for seed in (0, 1, 2**32 - 1) for source in ("a", "b")}
    assert len(set(offsets.values())) == len(offsets)
    assert all(offset % 2**48 == 0 and 0 <= offset < 2**64 for offset in offsets.values())
    assert offsets == {key: circle_offset(*key) for key in offsets}
