"""Documents held against the plan, and the plan's ranges against each other."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.plan import Plan
from byline.schemas.planned_stage import BranchPoint
from byline.schemas.predicates import Predicate, RankRange
from byline.transforms.checks.shuffle_keys import InputNames, check_ranges, check_shuffle_keys
from byline.transforms.fields.selecting import list_predicate, threshold_predicate
from tests.reference import hashing
from tests.support import planned
from tests.support.planned import numbered, stage_of
from tests.support.thorough import examples

FILE = 2**32

INPUTS = InputNames.of([("c4", "x.gz"), ("dclm", "x.gz")])


def plan_rows(*ranges: tuple[str, int, int]) -> pa.RecordBatch:
    fields = [("source", pa.string()), ("shuffle_key_lo", pa.uint64()), ("shuffle_key_hi", pa.uint64())]
    columns = [pa.array([item[n] for item in ranges], kind) for n, (_, kind) in enumerate(fields)]
    return pa.RecordBatch.from_arrays(columns, names=[name for name, _ in fields])


def test_shuffle_keys_are_hashed_anew() -> None:
    documents = np.array([0, 7, FILE, FILE + 2**31])
    expected = [
        hashing.shuffle_key(*INPUTS.names[document >> 32], document & (FILE - 1)) for document in documents.tolist()
    ]
    assert INPUTS.shuffle_keys(documents).tolist() == expected


def test_documents_outside_the_ranges_of_their_shard() -> None:
    documents = np.array([*range(5), *range(FILE, FILE + 5)])
    shuffle_key = INPUTS.shuffle_keys(documents).tolist()
    everything = [("c4", 0, 2**64 - 1), ("dclm", 0, 2**64 - 1)]
    assert check_shuffle_keys(documents, INPUTS, plan_rows(*everything)) == []
    exact = [("c4", p, p) for p in shuffle_key[:5]] + [("dclm", p, p) for p in shuffle_key[5:]]
    assert check_shuffle_keys(documents, INPUTS, plan_rows(*exact)) == []
    assert check_shuffle_keys(documents, INPUTS, plan_rows(*exact[:7], *exact[8:])) == [
        "row 2 of dclm/x.gz is in it, but not planned for it"
    ]
    assert check_shuffle_keys(documents, INPUTS, plan_rows(everything[0])) == [
        "row 0 of dclm/x.gz is in it, but not planned for it",
        "row 1 of dclm/x.gz is in it, but not planned for it",
        "row 2 of dclm/x.gz is in it, but not planned for it",
        "2 more documents are not planned for it",
    ]
    assert len(check_shuffle_keys(documents, INPUTS, None)) == 4


# ------------------------------------------------------------------------------------------------------------- ranges


def bin_of(low: int | None, high: int | None, field: str = "q") -> list[Predicate]:
    """Documents whose key is from `low` to below `high`."""
    from_, below = (None if key is None else (key, 0, 0) for key in (low, high))
    return [RankRange(field, "float32", False, from_, below)]


# All documents, two bins of an order by q, the first of them once more, a bin of another number, and a list.
PREDICATES = [
    [],
    bin_of(None, 5),
    bin_of(5, None),
    bin_of(3, 5),
    bin_of(5, None, "r"),
    [list_predicate("host", ["a"], True)],
]
ALL, LOW, HIGH, MIDDLE, OTHER, LISTED = range(6)

# The timeline is a with 4 shards and b with 2; the branches c-1 and c-2 leave behind 2 and 4 shards.
STAGES = [
    stage_of("a", shards=4),
    stage_of("b", shards=2),
    stage_of("c-1", branch=BranchPoint("c", 0.4, "a", 2)),
    stage_of("c-2", branch=BranchPoint("c", 0.7, "a", 4)),
]
Row = tuple[str, int, int, str, int, int, int, int]


def row(
    shuffle_key: str, low: int, high: int, predicates: int = ALL, *, source: str = "c4", epoch: int = 0, slice_: int = 0
) -> Row:
    """A row of the plan; `shuffle_key` is like `a/3`, phase and shard."""
    phase, shard = shuffle_key.split("/")
    return phase, int(shard), slice_, source, epoch, low, high, predicates


def plan_of(rows: list[Row], predicates: list[list[Predicate]] = PREDICATES) -> Plan:
    return planned.plan_of(*STAGES, rows=rows, **numbered(predicates))


FINE = {
    "one after another": [row("a/0", 10, 19), row("a/1", 20, 29), row("b/0", 30, 30), row("a/2", 0, 9)],
    "other epochs": [row("a/0", 10, 19), row("a/1", 10, 19, epoch=1), row("b/0", 0, 50, epoch=2)],
    "other sources": [row("a/0", 10, 19), row("a/0", 10, 19, source="dclm")],
    "bins of an order": [row("a/0", 0, 50, LOW), row("a/1", 0, 50, HIGH)],
    "bins in slices of a shard": [row("a/0", 0, 50, LOW), row("a/0", 0, 50, HIGH, slice_=1)],
    "a bin and a share below it": [row("a/0", 0, 50, HIGH), row("b/0", 10, 20, MIDDLE)],
    "a branch behind which the timeline goes on": [row("a/2", 10, 19), row("c-1/0", 10, 19)],
    "a branch and a later phase": [row("b/0", 10, 19), row("c-2/0", 15, 25)],
    "two branches": [row("c-1/0", 10, 19), row("c-2/0", 10, 19)],
    "nothing": [],
}


@pytest.mark.parametrize("rows", FINE.values(), ids=FINE.keys())
def test_ranges_that_share_no_document_of_one_model(rows: list[Row]) -> None:
    assert check_ranges(plan_of(rows)) == []


WRONG = {
    "two shards": ([row("a/0", 10, 19), row("a/1", 19, 29)], "shard 0 of a and shard 1 of a"),
    "two phases": ([row("b/1", 10, 19), row("a/1", 19, 19)], "shard 1 of b and shard 1 of a"),
    "a range inside another": ([row("a/0", 0, 99), row("a/1", 20, 21)], "shard 0 of a and shard 1 of a"),
    "behind one that ended": (
        [row("a/0", 0, 99, LOW), row("a/1", 20, 21, HIGH), row("b/0", 60, 70, LOW)],
        "shard 0 of a and shard 0 of b",
    ),
    "one bin twice": ([row("a/0", 0, 50, LOW), row("a/1", 50, 60, LOW)], "shard 0 of a and shard 1 of a"),
    "a bin and all": ([row("a/0", 0, 50, LOW), row("b/1", 50, 60)], "shard 0 of a and shard 1 of b"),
    "bins that overlap": ([row("a/0", 0, 50, LOW), row("b/1", 50, 60, MIDDLE)], "shard 0 of a and shard 1 of b"),
    "bins of two numbers": ([row("a/0", 0, 50, LOW), row("b/1", 9, 60, OTHER)], "shard 0 of a and shard 1 of b"),
    "a list and a bin": ([row("a/0", 0, 50, LOW), row("b/1", 9, 60, LISTED)], "shard 0 of a and shard 1 of b"),
    "a branch and what is before it": ([row("a/1", 0, 9), row("c-1/0", 5, 9)], "shard 1 of a and shard 0 of c-1"),
    "a branch behind a phase": ([row("a/3", 0, 9), row("c-2/0", 5, 9)], "shard 3 of a and shard 0 of c-2"),
    "a branch twice": ([row("c-1/0", 0, 9), row("c-1/0", 9, 9, slice_=1)], "shard 0 of c-1 and shard 0 of c-1"),
}


@pytest.mark.parametrize(("rows", "who"), WRONG.values(), ids=WRONG.keys())
def test_ranges_that_share_a_document_of_one_model(rows: list[Row], who: str) -> None:
    assert check_ranges(plan_of(rows)) == [f"_plan.ipc: {who} take the same shuffle keys of source c4, epoch 0"]


def drawn_twice(rows: list[Row]) -> bool:
    """By looking at every document that each model reads: 8 shuffle keys, keys 0 to 9 of q."""
    lines = [["a/0", "a/1", "a/2", "a/3", "b/0", "b/1"], ["a/0", "a/1", "c-1/0"], ["a/0", "a/1", "a/2", "a/3", "c-2/0"]]
    bounds = {ALL: (0, 10), LOW: (0, 5), HIGH: (5, 10), MIDDLE: (3, 5)}
    for line in lines:
        seen: set[Any] = set()
        for phase, shard, _, source, epoch, low, high, predicates in rows:
            if f"{phase}/{shard}" in line:
                mine = {(source, epoch, p, key) for p in range(low, high + 1) for key in range(*bounds[predicates])}
                if seen & mine:
                    return True
                seen |= mine
    return False


@st.composite
def any_rows(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        shuffle_key = draw(st.sampled_from(["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "c-1/0", "c-2/0"]))
        low = draw(st.integers(0, 7))
        predicates = draw(st.sampled_from([ALL, LOW, HIGH, MIDDLE]))
        source, epoch = draw(st.sampled_from(["c4", "dclm"])), draw(st.integers(0, 1))
        rows.append(row(shuffle_key, low, draw(st.integers(low, 7)), predicates, source=source, epoch=epoch))
    return rows


@given(any_rows())
@examples(300)
def test_a_range_is_told_where_a_model_reads_a_document_twice(rows: list[Row]) -> None:
    assert bool(check_ranges(plan_of(rows))) == drawn_twice(rows)


def test_ranges_of_the_highest_shuffle_keys() -> None:
    """Beyond 2^63, where a signed or a floating number would be wrong."""
    top = 2**64 - 1
    assert check_ranges(plan_of([row("a/0", 0, top - 1), row("a/1", top, top)])) == []
    assert len(check_ranges(plan_of([row("a/0", 0, top), row("a/1", top, top)]))) == 1


def test_thresholds_that_lie_apart_are_disjoint() -> None:
    apart = [[threshold_predicate("q", "int", *bounds)] for bounds in ((None, Fraction(4)), (Fraction(5), None))]
    assert check_ranges(plan_of([row("a/0", 0, 9, 0), row("b/0", 0, 9, 1)], apart)) == []
