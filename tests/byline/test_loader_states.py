"""States of `shards.loader`: what is left is the same for any number of ranks, and another build's is refused."""

import json
import os
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import byline
from byline.errors import BylineError
from tests.support.shards import loader_refused, numbered_build, read_numbers

LONG = {"conditioned": [1000, 800, 1200], "cooldown": [700, 1090]}
WORLDS = (1, 2, 3, 4, 8)
RUNS: list[dict[str, Any]] = [
    {},
    {"shuffle": "phase", "seed": 5},
    {"shuffle": 100, "seed": 6, "align_phases": True, "last": "keep"},
    {"shuffle": "phase", "epochs": 2, "align_phases": True, "last": "drop"},
]


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> byline.Shards:
    """200 batches of 24 rows, with the switch of phases in batch 125."""
    directory = tmp_path_factory.mktemp("long")
    numbered_build(directory, LONG, rows_per_batch=1200)
    return byline.open(directory)


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_the_rest_is_the_same_from_every_state_for_any_ranks(long_run, run):
    """The ranks' shares of batch k are batch k; from each state other ranks go on, some of them to the end."""
    view = long_run if run.get("epochs", 1) == 1 else long_run[2400:]
    whole = view.loader(batch=24, **run)
    expected, states = [], [whole.state_dict()]
    for batch in whole:
        expected.append(ids_of(batch))
        states.append(whole.state_dict())
    assert len(expected) == len(whole) >= 198
    for number, state in enumerate(states):
        world = WORLDS[number % len(WORLDS)]
        ranks = [view.loader(batch=24, rank=rank, world=world, state=state, **run) for rank in range(world)]
        assert [rank.state_dict() for rank in ranks] == [state] * world
        end = len(expected) if number in range(120, 125) else min(number + 2, len(expected))
        for batch in range(number, end):
            together = [*chain(*(ids_of(next(rank)) for rank in ranks))]
            # In order too, but for where each rank has padding of its own.
            assert together == expected[batch] or batch == len(expected) - 1
            assert sorted(together) == sorted(expected[batch])
        assert [rank.state_dict() for rank in ranks] == [states[end]] * world


def ids_of(batch: byline.Rows) -> list[bytes]:
    return [ids.tobytes() for ids in batch["input_ids"]]


def test_a_state_is_plain(shards):
    loader = shards.loader(batch=4, shuffle=3, seed=2**64 - 1, epochs=2, align_phases=True, last="keep")
    next(loader)
    state = loader.state_dict()
    digest = state.pop("manifest_sha256")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert state == {
        "order_version": 1,
        "branch": None,
        "rows": [0, 1, 12],
        "batch": 4,
        "epochs": 2,
        "shuffle": 3,
        "seed": 2**64 - 1,
        "align_phases": True,
        "last": "keep",
        "next_batch": 1,
    }
    state = json.loads(json.dumps(loader.state_dict()))
    again = shards.loader(batch=4, shuffle=3, seed=2**64 - 1, epochs=2, align_phases=True, last="keep", state=state)
    assert read_numbers(again) == read_numbers(loader)


def test_the_end_is_a_state(shards):
    loader = shards.loader(batch=4)
    list(loader)
    assert read_numbers(shards.loader(batch=4, state=loader.state_dict())) == []


def test_a_state_of_another_build(shards, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    numbered_build(other, {"conditioned": [9], "cooldown": [3]})
    state = byline.open(other).loader(batch=4).state_dict()
    loader_refused(
        shards, {"state": state}, f"{shards.directory}: the state is of another build (manifest sha256 '{digest(other)}"
    )


def digest(directory: Path) -> str:
    return byline.read_manifest(directory).sha256


def test_a_copied_build_is_the_same(shards, tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    os.rename(shards.directory, copy)
    loader = byline.open(copy).loader(batch=4, state=shards.loader(batch=4).state_dict())
    assert read_numbers(loader)[0] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 8}, "the state is of a loader with batch=8, this one has batch=4; give the same"),
        (
            {"shuffle": "phase"},
            "the state is of a loader with shuffle='phase', this one has shuffle=None",
        ),
        ({"seed": 1}, "the state is of a loader with seed=1, this one has seed=0"),
        ({"epochs": 2}, "the state is of a loader with epochs=2, this one has epochs=1"),
        ({"align_phases": True}, "the state is of a loader with align_phases=True, this one has align_phases=False"),
        ({"last": "keep"}, "the state is of a loader with last='keep', this one has last='pad'"),
        (
            {"branch": "cooldown-50"},
            "the state is of a view with branch 'cooldown-50', this one has None",
        ),
        (
            {"rows": [0, 1, 11]},
            "the state is of a view with rows [0, 1, 11], this one has [0, 1, 12]",
        ),
        ({"order_version": 2}, "the state is of order version 2, this Byline has 1; use the Byline that saved it"),
        ({"next_batch": 4}, "a state whose next batch is 4, of 3 batches"),
        ({"next_batch": -1}, "a state whose next batch is -1, of 3 batches"),
        ({"next_batch": 1.0}, "a state whose next batch is 1.0, of 3 batches"),
        ({"more": 1}, "not the state of a loader: {"),
    ],
)
def test_a_state_that_is_not_this_loaders(shards, change, message):
    state = {**shards.loader(batch=4).state_dict(), **change}
    loader_refused(shards, {"state": state}, f"{shards.directory}: {message}")


@pytest.mark.parametrize("state", [{}, 7, "state", [("next_batch", 1)]])
def test_what_is_no_state(shards, state):
    loader_refused(shards, {"state": state}, f"{shards.directory}: not the state of a loader: ")


def test_a_state_that_is_refused_changes_nothing(shards):
    loader = shards.loader(batch=4)
    next(loader)
    with pytest.raises(BylineError):
        loader.load_state_dict({**loader.state_dict(), "next_batch": 99})
    assert loader.next_batch == 1


def test_states_of_a_branch(tmp_path):
    numbered_build(tmp_path, {"a": [2, 2], "b-50": [2]}, branches={"b-50": ("a", 1)})
    branch = byline.open(tmp_path, branch="b-50")
    assert read_numbers(branch.loader(batch=2)) == [[0, 1], [4, 5]]
    state = branch.loader(batch=2).state_dict()
    assert state["branch"] == "b-50"
    # As many rows, of the same numbers, and other ones.
    loader_refused(
        byline.open(tmp_path), {"batch": 2, "state": state}, "the state is of a view with branch 'b-50', this one has"
    )
