"""Intervals cut into slices, and into bins of an order, held against loops over their documents."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.documents.shuffle_keys import BIN_BITS, BINS
from byline.transforms.plans.intervals import EPOCH, Stream, shuffle_key_ranges
from byline.transforms.plans.laying_out import Laid, lay_ordered, lay_shuffled
from byline.transforms.plans.simulating import Draw, SourceSample, drawn_documents
from tests.reference import selection

SPECIALS = 2
PART = 1

# shuffle key, tokens, prefix, selected, key
Row = tuple[int, int, int, bool, int]


def sample_of(rows: Sequence[Row]) -> SourceSample:
    """Documents of a source; part 1 has an order, and part 0 takes all of them."""
    shuffle_key, tokens, prefix, selected, key = zip(*sorted(rows), strict=True) if rows else ((), (), (), (), ())
    n = len(shuffle_key)
    return SourceSample(
        shuffle_key=np.array(shuffle_key, np.uint64),
        tokens=np.array(tokens, np.int64),
        prefixes=[np.zeros(n, np.int64), np.array(prefix, np.int64)],
        selected=[np.ones(n, bool), np.array(selected, bool)],
        keys={PART: np.array(key, np.uint64)},
    )


def framed_length(row: Row) -> int:
    return row[1] + SPECIALS + row[2]


def line_of(rows: Sequence[Row], offset: int) -> Stream:
    counts = np.zeros(BINS, np.int64)
    for row in rows:
        counts[row[0] >> BIN_BITS] += framed_length(row) * row[3]
    return Stream.from_shuffle_keys(offset, counts)


def point(row: Row, epoch: int, offset: int) -> int:
    return epoch * EPOCH + (row[0] - offset) % EPOCH


def rank(row: Row) -> tuple[int, int, int]:
    return row[4], selection.tie(row[0]), row[0]


def uses_of(rows: Sequence[Row], offset: int, start: int, end: int) -> list[tuple[int, Row]]:
    """(epoch, document) of each use in an interval, in order of the stream."""
    uses = [
        (point(row, epoch, offset), epoch, row)
        for epoch in range(start // EPOCH, end // EPOCH + 1)
        for row in rows
        if row[3] and start <= point(row, epoch, offset) < end
    ]
    return [(epoch, row) for _, epoch, row in sorted(uses)]


def drawn(laid: Laid, sample: SourceSample) -> list[list[tuple[int, int]]]:
    """(epoch, shuffle key) of what each slice takes."""
    return [
        [
            (epoch, int(sample.shuffle_key[index]))
            for draw in draws
            for chosen, epoch in drawn_documents(sample, PART, draw)
            for index in chosen
        ]
        for draws in laid.draws
    ]


# ------------------------------------------------------------------------------------------------------------ literal

WIDTH = 1 << BIN_BITS


def in_bins(*tokens: int) -> list[Row]:
    """One document in the middle of each bin of shuffle keys; keys descend."""
    return [
        (number * WIDTH + WIDTH // 2, count - SPECIALS, 0, True, 100 - number) for number, count in enumerate(tokens)
    ]


def test_slices_of_an_interval_are_consecutive() -> None:
    rows = in_bins(10, 10, 20, 20, 40)
    laid = lay_shuffled(line_of(rows, 0), 0, 5 * WIDTH, [1, 1, 3])
    assert (laid.points, laid.end) == ([2 * WIDTH, 3 * WIDTH, 5 * WIDTH], 5 * WIDTH)
    assert laid.draws == [
        [Draw([(0, 0, 2 * WIDTH - 1)])],
        [Draw([(0, 2 * WIDTH, 3 * WIDTH - 1)])],
        [Draw([(0, 3 * WIDTH, 5 * WIDTH - 1)])],
    ]


def test_a_slice_that_wants_nothing_gets_nothing() -> None:
    rows = in_bins(10, 10, 20, 20, 40)
    laid = lay_shuffled(line_of(rows, 0), WIDTH, 5 * WIDTH, [0, 1, 0, 2, 0])
    # The last slice that wants anything takes what rounding leaves: 90 // 3 tokens are in bins 1 and 2.
    assert laid.points == [WIDTH, 3 * WIDTH, 3 * WIDTH, 5 * WIDTH, 5 * WIDTH]
    assert [[draw.ranges for draw in draws] for draws in laid.draws] == [
        [[]],
        [[(0, WIDTH, 3 * WIDTH - 1)]],
        [[]],
        [[(0, 3 * WIDTH, 5 * WIDTH - 1)]],
        [[]],
    ]


def test_an_interval_without_what_is_wanted_belongs_to_the_last_slice() -> None:
    laid = lay_shuffled(line_of(in_bins(10, 10), 0), 0, 2 * WIDTH, [0, 0])
    assert laid.points is not None
    assert laid.points[-1] == 2 * WIDTH
    assert laid.draws[1] == [Draw([(0, laid.points[0], 2 * WIDTH - 1)])]


def test_bins_take_of_the_whole_interval() -> None:
    # Ranks: keys 96 to 100, of bins 4 to 0; tokens in that order 40 20 20 10 10.
    rows = in_bins(10, 10, 20, 20, 40)
    found = sample_of(rows)
    laid = lay_ordered(line_of(rows, 0), 0, 5 * WIDTH, [40, 25, 35], [0, 1, 1], found, PART, SPECIALS)
    assert laid.points is None
    assert laid.end == 5 * WIDTH
    (first,), (second,), (third,) = laid.draws
    border = rank(rows[3])
    assert (first, second.first, second.below) == (Draw([(0, 0, 5 * WIDTH - 1)], None, border), border, None)
    assert (third.first, third.below) == (border, None)
    # Along the stream the bin has 10 10 20 20 tokens; 25 of 60 end in the third document, before its middle.
    assert drawn(laid, found) == [
        [(0, rows[4][0])],
        [(0, rows[0][0]), (0, rows[1][0])],
        [(0, rows[2][0]), (0, rows[3][0])],
    ]


def test_all_uses_of_a_document_are_in_one_bin() -> None:
    rows = in_bins(10, 10)
    found = sample_of(rows)
    for end in (2 * EPOCH, 3 * EPOCH):
        laid = lay_ordered(line_of(rows, 0), 0, end, [45, 55], [0, 1], found, PART, SPECIALS)
        first, second = drawn(laid, found)
        assert {shuffle_key for _, shuffle_key in first} == {rows[1][0]}
        assert {shuffle_key for _, shuffle_key in second} == {rows[0][0]}
        assert len(first) == len(second) == end // EPOCH


@pytest.mark.parametrize("wanted", [[1, 0, 1], [0, 1, 1], [1, 1, 0]])
def test_a_bin_that_wants_nothing_gets_nothing(wanted: list[int]) -> None:
    rows = in_bins(10, 10, 10, 10)
    found = sample_of(rows)
    laid = lay_ordered(line_of(rows, 0), 0, 4 * WIDTH, wanted, [0, 1, 2], found, PART, SPECIALS)
    assert [len(some) for some in drawn(laid, found)] == [2 * count for count in wanted]


def test_no_documents() -> None:
    stream = line_of(in_bins(10), 0)
    laid = lay_ordered(stream, WIDTH, 3 * WIDTH, [1, 1], [0, 1], sample_of([]), PART, SPECIALS)
    assert drawn(laid, sample_of([])) == [[], []]
    assert laid.end == 3 * WIDTH


# --------------------------------------------------------------------------------------------------------- properties


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    """Documents in few bins of shuffle keys, with many equal keys."""
    bins = st.sampled_from([0, 1, 7, BINS - 1])
    shuffle_keys = draw(
        st.sets(st.builds(lambda b, w: b * WIDTH + w, bins, st.integers(0, WIDTH - 1)), min_size=1, max_size=25)
    )
    key = st.sampled_from([0, 5, 5, 2**32 - 1, 2**64 - 1])
    row = st.tuples(st.integers(1, 40), st.sampled_from([0, 0, 3]), st.sampled_from([True, True, True, False]), key)
    return [(shuffle_key, *draw(row)) for shuffle_key in sorted(shuffle_keys)]


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, int, int]:
    """Offset, start and end."""
    points = st.integers(0, 3 * EPOCH) | st.integers(0, 20).map(lambda number: number * WIDTH)
    start, end = sorted((draw(points), draw(points)))
    return draw(st.integers(0, BINS - 1)) * WIDTH, start, end


wants = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(corpora(), intervals(), wants)
def test_slices_tile_any_interval(rows: list[Row], interval: tuple[int, int, int], wanted: list[int]) -> None:
    offset, start, end = interval
    stream = line_of(rows, offset)
    laid = lay_shuffled(stream, start, end, wanted)
    assert laid.points is not None
    assert len(laid.points) == len(wanted)
    assert laid.points[-1] == laid.end == end
    assert all(low <= high for low, high in pairwise([start, *laid.points]))
    assert [draws[0].ranges for draws in laid.draws] == [
        shuffle_key_ranges(offset, low, high) for low, high in pairwise([start, *laid.points])
    ]
    tokens = stream.tokens_before(end) - stream.tokens_before(start)
    for number, so_far in enumerate(accumulate(wanted)):
        if sum(wanted) == 0 or sum(wanted[number:]) == wanted[number]:
            break
        behind = stream.tokens_before(laid.points[number]) - stream.tokens_before(start)
        assert abs(behind - Fraction(tokens * so_far, sum(wanted))) <= 2


@given(corpora(), intervals(), wants, st.data())
def test_each_document_is_in_one_slice_of_its_bin(
    rows: list[Row], interval: tuple[int, int, int], wanted: list[int], data: st.DataObject
) -> None:
    offset, start, end = interval
    bins = sorted(data.draw(st.lists(st.integers(0, 4), min_size=len(wanted), max_size=len(wanted))))
    found = sample_of(rows)
    laid = lay_ordered(line_of(rows, offset), start, end, wanted, bins, found, PART, SPECIALS)
    uses = uses_of(rows, offset, start, end)
    taken = drawn(laid, found)
    by_shuffle_key = {row[0]: row for row in rows}
    assert sorted(use for some in taken for use in some) == sorted((epoch, row[0]) for epoch, row in uses)
    _check_bins(taken, bins, by_shuffle_key, wanted)
    for one, other in pairwise(range(len(wanted))):
        if bins[one] == bins[other]:
            points = [
                [point(by_shuffle_key[shuffle_key], epoch, offset) for epoch, shuffle_key in taken[s]]
                for s in (one, other)
            ]
            assert not all(points) or max(points[0]) < min(points[1])


def _check_bins(
    taken: list[list[tuple[int, int]]], bins: list[int], by_shuffle_key: dict[int, Row], wanted: list[int]
) -> None:
    """Bins ascend in rank, and each ends within half a document (with all of its uses) of where it is to end."""
    members: dict[int, list[Row]] = {}
    for bin_, draws in zip(bins, taken, strict=True):
        members.setdefault(bin_, []).extend(by_shuffle_key[shuffle_key] for _, shuffle_key in draws)
    filled = [some for some in members.values() if some]
    for lower, higher in pairwise(filled):
        assert max(map(rank, lower)) < min(map(rank, higher))
    everything = [row for some in filled for row in some]
    uses = max((everything.count(row) for row in everything), default=0)
    total, longest = sum(map(framed_length, everything)), max(map(framed_length, everything), default=0)
    asked = tokens = 0
    for bin_, some in members.items():
        asked += sum(want for want, of in zip(wanted, bins, strict=True) if of == bin_)
        tokens += sum(map(framed_length, some))
        if sum(wanted):
            assert abs(tokens - Fraction(total * asked, sum(wanted))) <= longest * uses


def test_the_end_of_a_bin_is_where_a_document_has_its_middle() -> None:
    def sizes(wanted: list[int], *tokens: int) -> list[int]:
        rows = in_bins(*tokens)
        found = sample_of(rows)
        bins: Any = range(len(wanted))
        laid = lay_ordered(line_of(rows, 0), 0, EPOCH, wanted, list(bins), found, PART, SPECIALS)
        return [len(some) for some in drawn(laid, found)]

    # By rank 30 30 20 20, so that middles are at 15, 45, 70 and 90 of 100.
    assert sizes([44, 56], 20, 20, 30, 30) == [1, 3]
    assert sizes([46, 54], 20, 20, 30, 30) == [2, 2]
    assert sizes([14, 86], 20, 20, 30, 30) == [0, 4]
    assert sizes([91, 9], 20, 20, 30, 30) == [4, 0]
