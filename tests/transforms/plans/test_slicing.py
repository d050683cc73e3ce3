from collections.abc import Collection
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.plans.slicing import Slice, cut_slices, shard_borders

F = Fraction


def slices_of(rows: int, most: int, cuts: Collection[Fraction] = (), jumps: Any = (), **changes: Any) -> list[Slice]:
    settings = {"bins": 1, "is_smooth": False, "is_constant": not jumps, **changes}
    return cut_slices(rows, most, set(cuts), list(jumps), **settings)


def test_a_constant_mixture_needs_one_slice_a_shard() -> None:
    assert slices_of(100, 40) == [
        Slice(0, 0, F(0), F(1, 3), 0),
        Slice(1, 0, F(1, 3), F(2, 3), 0),
        Slice(2, 0, F(2, 3), F(1), 0),
    ]


def test_a_branch_ends_a_shard_and_a_jump_a_slice() -> None:
    found = slices_of(100, 40, {F(3, 10)}, [F(1, 2)])
    assert [(s.shard, s.number, s.end) for s in found] == [
        (0, 0, F(3, 10)),
        (1, 0, F(1, 2)),
        (1, 1, F(13, 20)),
        (2, 0, F(1)),
    ]
    assert [s.group for s in found] == [0, 3, 5, 6]


def test_bins_are_groups_of_slices() -> None:
    found = slices_of(8, 4, bins=4)
    assert [(s.shard, s.number, s.group) for s in found] == [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]


def test_a_smooth_mixture_is_followed_in_steps_of_many_rows() -> None:
    assert len(slices_of(10_000, 4096, is_smooth=True, is_constant=False)) == 66
    assert len(slices_of(100, 4096, is_smooth=True, is_constant=False)) == 6
    assert len(slices_of(4, 4096, is_smooth=True, is_constant=False)) == 1


@given(
    st.integers(1, 5000),
    st.integers(1, 700),
    st.sets(st.fractions(0, 1), max_size=3),
    st.sets(st.fractions("1/100", "99/100"), max_size=3),
    st.integers(1, 6),
    st.booleans(),
)
def test_slices_follow_one_another(
    rows: int, most: int, cuts: set[Fraction], jumps: set[Fraction], bins: int, is_smooth: bool
) -> None:
    found = slices_of(rows, most, cuts, sorted(jumps), bins=bins, is_smooth=is_smooth)
    assert (found[0].start, found[-1].end, found[0].shard, found[0].number) == (0, 1, 0, 0)
    for first, second in pairwise(found):
        assert first.end == second.start
        assert (second.shard, second.number) in {(first.shard, first.number + 1), (first.shard + 1, 0)}
        assert first.group <= second.group
    ends = {s.end for s in found}
    assert ends >= {cut for cut in cuts if 0 < cut < 1} | jumps | {F(n, bins) for n in range(1, bins)}
    borders = shard_borders(rows, most, cuts)
    assert all((end - start) * rows <= most for start, end in pairwise(borders))
    last = {s.shard: s.end for s in found}
    assert list(last.values()) == borders[1:]
