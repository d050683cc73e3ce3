"""What a plan gives of each source over time: schedules, orders by bins, and branches, counted in packed rows."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.schemas.config import Config
from byline.schemas.plan import Plan
from byline.schemas.planned_stage import BranchPoint
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

LENGTH = 16
EPOCH = 2**64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("orders")
    small.tokenizer_file(made)
    return made


def rows_of(plan: Plan, config: Config, store: SmallStore, name: str) -> list[list[tuple[str, int]]]:
    """(source, positions) of each segment of each row of a stage, as the reference packs it."""
    sources = {document.doc_id: document.source for document in store.documents}
    shards = slow_shards.reference_shards(plan, config, store.documents)
    return [
        [(sources.get(doc_id, ""), length) for doc_id, length in zip(row["doc_ids"], row["seq_lengths"], strict=True)]
        for (phase, _), shard in sorted(shards.items())
        if phase == name
        for row in shard.rows
    ]


def given_by(rows: list[list[tuple[str, int]]], source: str, until: Fraction) -> Fraction:
    """Positions of a source up to a point of the stage."""
    left, found = until * sum(length for row in rows for _, length in row), Fraction(0)
    for row in rows:
        for of, length in row:
            found += min(Fraction(length), max(left, Fraction(0))) if of == source else 0
            left -= length
    return found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """600 documents of 3 to 22 positions in each of three sources."""
    made = tmp_path_factory.mktemp("three")
    rows = [StoredRow(row, [row % 300] * (1 + row * 7 % 20), quality=row % 2 / 2) for row in range(600)]
    return small.write_store(made, {(source, "x"): rows for source in "abc"})


def config_of_three(folder: Path, **changes: Any) -> Config:
    source = {"format": "jsonl", "score": {"quality": "quality"}}
    sources = {name: {**source, "path": f"{name}/*.jsonl"} for name in "abc"}
    return small.small_config(folder, sequence={"length": LENGTH, "packing": "concat"}, sources=sources, **changes)


HALVES = [{"name": "p0", "share": "0.5"}, {"name": "p1", "share": "0.5"}]
POINTS = [
    {"at": 0, "weights": {"a": "0.8", "b": "0.2"}},
    {"at": "0.5", "weights": {"a": "0.3", "b": "0.3", "c": "0.4"}},
    {"at": 1, "weights": {"b": "0.5", "c": "0.5"}},
]
# The integrals of the weights above up to each tenth, by hand: in the first half a gives u * 0.8 - u^2 / 2.
GIVEN = {
    "a": ("0.075", "0.14", "0.195", "0.24", "0.275", "0.302", "0.323", "0.338", "0.347", "0.35"),
    "b": ("0.021", "0.044", "0.069", "0.096", "0.125", "0.157", "0.193", "0.233", "0.277", "0.325"),
    "c": ("0.004", "0.016", "0.036", "0.064", "0.1", "0.141", "0.184", "0.229", "0.276", "0.325"),
}


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_schedule_is_followed_to_documents(folder: Path, three: SmallStore, seed: int) -> None:
    config = config_of_three(folder, seed=seed, tokens=800 * LENGTH, mixture={"method": "linear", "points": POINTS})
    plan = small.plan_of(config, three)
    rows = rows_of(plan, config, three, "only")
    assert abs(len(rows) - 800) <= 4
    off = [
        max(
            abs(given_by(rows, source, Fraction(tenth, 10)) - Fraction(shares[tenth - 1]) * len(rows) * LENGTH)
            for source, shares in GIVEN.items()
        )
        for tenth in range(1, 11)
    ]
    # A document has 22 positions at most. Inside a slice sources meet by chance, so one more may stand over a tenth.
    assert off[-1] <= 22
    assert max(off) <= 2 * 22


def test_the_timeline_says_what_a_schedule_gives(folder: Path, three: SmallStore) -> None:
    config = config_of_three(folder, tokens=800 * LENGTH, mixture={"method": "linear", "points": POINTS})
    (entry,) = small.plan_of(config, three).header.stages
    ends = [stretch.end for stretch in entry.timeline]
    assert ends == sorted(ends)
    assert (ends[-1], len(ends)) == (1, entry.slices)
    for stretch in entry.timeline:
        middle = stretch.end - 0.5 / len(ends)
        weight = 0.8 - middle if middle < 0.5 else 0.6 * (1 - middle)
        assert stretch.shares["a"] == pytest.approx(weight, abs=0.12)
        assert sum(stretch.shares.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", ["documents", "tokens"])
def test_exactly_70_percent_where_half_of_all_scores_are_equal(folder: Path, three: SmallStore, count: str) -> None:
    # 300 documents have a score of 1/2, of which there are all; of the 300 with 0 there are some.
    select = {"top": "0.7", "by": "quality", "count": count}
    plan = small.plan_of(config_of_three(folder, phases=[{"name": "only", "share": 1, "select": select}]), three)
    uses = [use for some in slow_shards.drawn_by(plan, three.documents).values() for use in some]
    for source in "abc":
        mine = [use for use in uses if use.source == source]
        better = [use for use in mine if use.numbers["quality"] == 0.5]
        assert (len(better), len({use.doc_id for use in mine})) == (300, len(mine))
        if count == "documents":
            assert len(mine) == 420
        else:
            tokens = sum(len(document.tokens) for document in three.documents if document.source == source)
            taken = sum(len(use.tokens) for use in mine)
            assert tokens * 7 // 10 - 20 < taken <= tokens * 7 // 10


@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_an_order_is_one_of_bins(folder: Path, three: SmallStore, direction: str) -> None:
    order = {"by": "num_tokens", "bins": 4, "direction": direction}
    phases = [{"name": "first", "share": "0.5", "order": order}, {"name": "rest", "share": "0.5"}]
    config = config_of_three(folder, tokens=800 * LENGTH, mixture={"a": "0.5", "b": "0.5"}, phases=phases)
    plan = small.plan_of(config, three)
    shuffled = small.plan_of(
        config_of_three(folder, tokens=800 * LENGTH, mixture={"a": "0.5", "b": "0.5"}, phases=HALVES),
        three,
    )
    for source in "ab":
        # An order does not change what is taken, but for single documents.
        points = [[phase.sources[source].epochs for phase in one.header.stages] for one in (plan, shuffled)]
        assert points[0][0] == pytest.approx(points[1][0], abs=0.01)
        uses = [use for use in slow_shards.drawn_by(plan, three.documents)["first", 0] if use.source == source]
        bins = [[len(use.tokens) for use in uses if use.slice == number] for number in range(4)]
        lengths = sorted((len(use.tokens) for use in uses), reverse=direction == "descending")
        assert [length for some in bins for length in sorted(some, reverse=direction == "descending")] == lengths
        positions = [sum(some) + 2 * len(some) for some in bins]
        assert max(positions) - min(positions) <= 2 * 22


def test_a_branch_begins_where_the_main_stream_is(folder: Path, three: SmallStore) -> None:
    cool = {"name": "cool", "at": ["0.25", "1"], "share": "0.2", "mixture": {"a": "0.5", "c": "0.5"}}
    config = config_of_three(
        folder,
        tokens=800 * LENGTH,
        mixture={"a": "0.5", "b": "0.5"},
        phases=HALVES,
        branches=[cool],
        shard={"sequences": 100},
    )
    plan = small.plan_of(config, three)
    *main, early, late = plan.header.stages
    assert [early.name, late.name] == ["cool-25", "cool-100"]
    # With (1 - share) * at of the tokens before it, a branch makes up a run of `at` of them.
    assert early.branch == BranchPoint("cool", 0.25, "p0", 2)
    assert late.branch == BranchPoint("cool", 1.0, "p1", 3)
    assert abs(early.expected_rows - 40) <= 1
    assert abs(late.expected_rows - 160) <= 1
    rows = rows_of(plan, config, three, "p0")
    assert abs(sum(len(rows_of_shard(plan, config, three, "p0", shard)) for shard in (0, 1)) - 160) <= 2
    assert abs(len(rows) - 400) <= 2
    for source, middle in (("a", True), ("c", False)):
        start = early.sources[source].points[0]
        first, end = main[0].sources[source].points if middle else (0, 0)
        assert first < start < end if middle else start == 0
    # The stream of c is that of branches alone, each from its beginning.
    assert late.sources["c"].points[0] == 0


def rows_of_shard(plan: Plan, config: Config, store: SmallStore, name: str, shard: int) -> list[Any]:
    return slow_shards.reference_shards(plan, config, store.documents)[name, shard].rows


def test_a_branch_off_an_order_takes_what_lies_behind_the_phase(folder: Path, three: SmallStore) -> None:
    # A phase with an order has taken from all of its interval at any point.
    phases = [{"name": "p", "share": 1, "order": {"by": "num_tokens", "bins": 4}}]
    config = config_of_three(
        folder,
        tokens=400 * LENGTH,
        mixture={"a": 1},
        phases=phases,
        branches=[{"name": "cool", "at": "0.5"}],
    )
    main, branch = small.plan_of(config, three).header.stages
    assert main.sources["a"].points[1] == branch.sources["a"].points[0]
