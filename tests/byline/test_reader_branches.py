"""`byline.open(..., branch=...)`: the timeline up to where a branch leaves it, then the branch."""

import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline.errors import BylineError
from tests.support.shards import SHARDS, PackedRow, as_packed, numbered_build
from tests.support.thorough import examples

BRANCHED = {**SHARDS, "cooldown-50": [2], "cooldown-100": [1, 1]}
LEAVES = {"cooldown-50": ("conditioned", 1), "cooldown-100": ("conditioned", 3)}


@pytest.fixture
def branched(tmp_path: Path) -> tuple[Path, list[PackedRow]]:
    """Rows 0 to 4 and 5 to 8 of conditioned, 9 to 11 of the cooldown, 12 and 13, 14 and 15 of the branches."""
    return tmp_path, numbered_build(tmp_path, BRANCHED, branches=LEAVES)


def test_the_timeline_alone_is_opened(branched):
    directory, rows = branched
    shards = byline.open(directory)
    assert (shards.phases, shards.branch) == (("conditioned", "cooldown"), None)
    assert [as_packed(row) for row in shards] == rows[:12]
    assert shards.branches == ("cooldown-50", "cooldown-100")
    message = "its phases are conditioned, cooldown, and its branches, each opened with branch=NAME, cooldown-50, coo"
    with pytest.raises(BylineError, match=message):
        shards.phase("cooldown-50")


def test_a_branch_is_the_timeline_up_to_it_and_then_its_own_rows(branched):
    directory, rows = branched
    shards = byline.open(directory, branch="cooldown-50")
    assert (shards.phases, shards.branch) == (("conditioned", "cooldown-50"), "cooldown-50")
    assert [as_packed(row) for row in shards] == rows[:5] + rows[12:14]
    assert [row["phase"] for row in shards] == ["conditioned"] * 5 + ["cooldown-50"] * 2
    assert [as_packed(row) for row in shards.phase("cooldown-50")] == rows[12:14]
    assert [as_packed(row) for row in shards.phase("conditioned")] == rows[:5]
    assert shards.batch([6, 0])["input_ids"].tolist() == [rows[13].input_ids, rows[0].input_ids]
    assert shards.shard_of(5)[0].path == "cooldown-50/00000-of-00001.arrow"
    assert repr(shards).endswith("7 rows of 8 tokens, phases conditioned, cooldown-50>")


def test_what_is_held_out_is_opened_by_its_name_and_alone(tmp_path):
    rows = numbered_build(
        tmp_path, {**BRANCHED, "unseen-0": [2, 1]}, branches={**LEAVES, "unseen-0": ("conditioned", 0)}
    )
    shards = byline.open(tmp_path)
    assert (shards.holdout, shards.branches) == ("unseen-0", ("cooldown-50", "cooldown-100"))
    assert [as_packed(row) for row in shards] == rows[:12]
    held = byline.open(tmp_path, branch=shards.holdout)
    assert (held.phases, held.branch, shards.branch_row("unseen-0")) == (("unseen-0",), "unseen-0", 0)
    assert [as_packed(row) for row in held] == rows[16:]
    assert [as_packed(row) for row in pickle.loads(pickle.dumps(held))] == rows[16:]


def test_a_branch_at_the_end_of_a_phase(branched):
    directory, rows = branched
    shards = byline.open(directory, branch="cooldown-100")
    assert [as_packed(row) for row in shards] == rows[:9] + rows[14:]


def test_where_branches_leave(branched):
    shards = byline.open(branched[0])
    assert [shards.branch_row(name) for name in shards.branches] == [5, 9]
    assert byline.open(branched[0], branch="cooldown-50").branch_row("cooldown-100") == 9
    assert shards[4:].branch_row("cooldown-50") == 5
    with pytest.raises(BylineError, match=r"no branch 'cooldown-25'; its branches are cooldown-50, cooldown-100"):
        shards.branch_row("cooldown-25")


def test_a_branch_that_leaves_before_the_first_shard(tmp_path):
    rows = numbered_build(tmp_path, {"a": [2], "b": [2], "c-1": [1]}, branches={"c-1": ("b", 0)})
    shards = byline.open(tmp_path, branch="c-1")
    assert shards.phases == ("a", "c-1")
    assert [as_packed(row) for row in shards] == rows[:2] + rows[4:]


@given(st.data())
@examples(50)
def test_branches_are_those_of_a_list(tmp_path_factory, data):
    """Wherever a branch leaves: the rows of the shards before it, then its own."""
    directory = tmp_path_factory.mktemp("build", numbered=True)
    counts = {name: data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)) for name in ("a", "b", "c-1")}
    phase = data.draw(st.sampled_from(["a", "b"]))
    taken = data.draw(st.integers(0, len(counts[phase])))
    rows = numbered_build(directory, counts, branches={"c-1": (phase, taken)})
    before = sum(counts["a"][:taken]) if phase == "a" else sum(counts["a"]) + sum(counts["b"][:taken])
    main = sum(counts["a"]) + sum(counts["b"])
    shards = byline.open(directory, branch="c-1")
    assert shards.branch_row("c-1") == before
    assert [as_packed(row) for row in shards] == rows[:before] + rows[main:]
    assert [as_packed(row) for row in byline.open(directory)] == rows[:main]
    assert [as_packed(row) for row in shards[shards.branch_row("c-1") :]] == rows[main:]


def test_an_unknown_branch(branched):
    message = f"{branched[0]}: no branch 'cooldown'; its branches are cooldown-50, cooldown-100"
    with pytest.raises(BylineError, match=re.escape(message)):
        byline.open(branched[0], branch="cooldown")


def test_a_build_without_branches(build):
    assert byline.open(build[0]).branches == ()
    assert byline.open(build[0]).holdout is None
    with pytest.raises(BylineError, match="no branch 'cooldown'; it has none"):
        byline.open(build[0], branch="cooldown")


def test_a_branch_pickles(branched):
    directory, rows = branched
    again = pickle.loads(pickle.dumps(byline.open(directory, branch="cooldown-50")[4:]))
    assert (again.branch, again.phases) == ("cooldown-50", ("conditioned", "cooldown-50"))
    assert [as_packed(row) for row in again] == [rows[4], *rows[12:14]]


@pytest.mark.parametrize("leaves", [("warmup", 0), ("conditioned", 4), ("conditioned", -1), ("cooldown-50", 0)])
def test_a_branch_that_leaves_nothing(tmp_path, leaves):
    numbered_build(tmp_path, BRANCHED, branches={**LEAVES, "cooldown-50": leaves})
    with pytest.raises(BylineError, match="branch 'cooldown-50' leaves no phase of the timeline"):
        byline.open(tmp_path)
