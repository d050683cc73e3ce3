"""A source's stream against exact fractions, and intervals that tile it."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.documents.shuffle_keys import BIN_BITS, BINS
from byline.transforms.plans.intervals import EPOCH, Stream, shuffle_key_ranges

WIDTH = 1 << BIN_BITS
points = st.integers(0, 3 * EPOCH)
offsets = st.integers(0, BINS - 1).map(lambda number: number * WIDTH)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """A few bins with tokens; bins that stand together and the circle's first and last are as likely as others."""
    bins = st.sampled_from([0, 1, 2, BINS // 2, BINS - 2, BINS - 1]) | st.integers(0, BINS - 1)
    counts = np.zeros(BINS, np.int64)
    for bin_, count in draw(st.dictionaries(bins, st.integers(1, 10**12), min_size=1, max_size=6)).items():
        counts[bin_] = count
    return Stream.from_shuffle_keys(draw(offsets), counts)


def exact(stream: Stream, point: int) -> Fraction:
    """Tokens before a point, as a fraction, bin by bin."""
    epoch, step = divmod(point, EPOCH)
    found = Fraction(epoch * stream.total)
    for bin_ in np.flatnonzero(stream.counts).tolist():
        inside = min(max(step - bin_ * WIDTH, 0), WIDTH)
        found += Fraction(int(stream.counts[bin_]) * inside, WIDTH)
    return found


@given(streams(), points)
def test_tokens_before_a_point(stream: Stream, point: int) -> None:
    assert stream.tokens_before(point) == int(exact(stream, point))


@given(streams(), points, st.integers(0, 10**13))
def test_advance_gives_the_last_point_with_so_many_tokens(stream: Stream, start: int, tokens: int) -> None:
    target = stream.tokens_before(start) + tokens
    point = stream.advance(start, tokens)
    assert point >= start
    if point > start:
        assert exact(stream, point) <= target
    assert exact(stream, point + 1) > target


@given(streams(), points, st.lists(st.integers(0, 10**12), max_size=5))
def test_consecutive_intervals_have_the_tokens_asked_for(stream: Stream, start: int, asked: list[int]) -> None:
    for tokens in asked:
        end = stream.advance(start, tokens)
        found = stream.tokens_before(end) - stream.tokens_before(start)
        # A bin of many tokens gives less than one token a shuffle key, so a point is found to the token.
        assert tokens - found in (0, 1)
        start = end


def test_the_stream_begins_at_its_offset() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[[3, 5]] = [10, 20]
    stream = Stream.from_shuffle_keys(4 * WIDTH, counts)
    assert stream.total == 30
    assert stream.tokens_before(2 * WIDTH) == 20
    assert stream.tokens_before(EPOCH - 2 * WIDTH) == 20
    assert stream.tokens_before(EPOCH) == 30
    assert stream.advance(0, 10) == WIDTH + WIDTH // 2
    assert stream.advance(0, 35) == EPOCH + WIDTH + WIDTH // 4


def test_an_empty_stream_stays_where_it_is() -> None:
    stream = Stream.from_shuffle_keys(0, np.zeros(BINS, np.int64))
    assert (stream.total, stream.advance(17, 5)) == (0, 17)


def covered(offset: int, ranges: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Ranges as (start, end) on the stream."""
    return [
        (epoch * EPOCH + (low - offset) % EPOCH, epoch * EPOCH + (high - offset) % EPOCH + 1)
        for epoch, low, high in ranges
    ]


@given(offsets, points, points)
def test_ranges_tile_the_interval(offset: int, start: int, end: int) -> None:
    start, end = sorted((start, end))
    ranges = shuffle_key_ranges(offset, start, end)
    assert all(0 <= low <= high < EPOCH for _, low, high in ranges)
    borders = [start]
    for low, high in covered(offset, ranges):
        assert low == borders[-1]
        assert high > low
        borders.append(high)
    assert borders[-1] == end
    # One cut at the end of each epoch, and one where the circle begins anew.
    epochs = -(-end // EPOCH) - start // EPOCH
    assert len(ranges) <= 2 * epochs


@given(streams(), st.lists(st.fractions(0, 2, max_denominator=100), min_size=1, max_size=5))
def test_phases_share_no_shuffle_key_of_an_epoch(stream: Stream, epochs: list[Fraction]) -> None:
    start, ranges = 0, []
    for share in epochs:
        end = stream.advance(start, int(share * stream.total))
        ranges += shuffle_key_ranges(stream.offset, start, end)
        start = end
    for epoch in {epoch for epoch, _, _ in ranges}:
        mine = sorted((low, high) for number, low, high in ranges if number == epoch)
        assert all(one[1] < other[0] for one, other in pairwise(mine))


@pytest.mark.parametrize(
    ("start", "end", "ranges"),
    [
        (0, 0, []),
        (0, 1, [(0, 2**63, 2**63)]),
        (0, EPOCH, [(0, 2**63, EPOCH - 1), (0, 0, 2**63 - 1)]),
        (EPOCH - 1, EPOCH + 1, [(0, 2**63 - 1, 2**63 - 1), (1, 2**63, 2**63)]),
        (2**63 - 1, 2**63 + 1, [(0, EPOCH - 1, EPOCH - 1), (0, 0, 0)]),
        (2 * EPOCH, 3 * EPOCH, [(2, 2**63, EPOCH - 1), (2, 0, 2**63 - 1)]),
    ],
)
def test_ranges_of_a_stream_that_begins_in_the_middle(start: int, end: int, ranges: list[tuple[int, int, int]]) -> None:
    assert shuffle_key_ranges(2**63, start, end) == ranges


def test_a_stream_that_begins_at_zero_has_one_range_an_epoch() -> None:
    assert shuffle_key_ranges(0, 5, 2 * EPOCH) == [(0, 5, EPOCH - 1), (1, 0, EPOCH - 1)]
