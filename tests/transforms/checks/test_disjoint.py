"""Doc ids of shards written down by hand, and any others against sets that are intersected pair by pair."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.transforms.checks.disjoint import check_disjoint
from tests.support.planned import TOKENIZER

# Records of two input files; doc ids are file * 2^32 + row.
ROWS = np.array([13, 9])
FILE = 2**32


def ids(*documents: int) -> np.ndarray:
    return np.array(documents, np.int64)


def branched(**shards: int) -> Manifest:
    """A manifest of the timeline a, b and of branches such as c-1, which leaves it behind shard 1 of a."""
    phases = []
    for name, count in shards.items():
        entries = [ShardEntry("", 0, 0, 0, 0, 0, "")] * count
        branch = {"of": "c", "at": 0.5, "phase": "a", "shards": int(name[-1])} if name.startswith("c-") else None
        if name == "holdout":
            branch = {"of": name, "at": 0.0, "phase": "a", "shards": 0}
        phases.append(PhaseEntry(name, None, 0, 0, 0, 0, 0, {}, entries, branch=branch))
    return Manifest(8, "int32", TOKENIZER, {}, "00", "0", 2, "00", phases, {})


Shards = dict[str, list[np.ndarray]]


def reader(documents: Shards) -> Callable[[str, int], np.ndarray]:
    return lambda phase, number: documents[phase][number]


def check(documents: Shards) -> list[str]:
    made = branched(**{name: len(shards) for name, shards in documents.items()})
    total, problems = check_disjoint(made, reader(documents), ROWS)
    assert total == sum(len(shard) for shards in documents.values() for shard in shards)
    return problems


def test_documents_in_two_phases() -> None:
    first, second, third = ids(1, 5, FILE + 3), ids(2, 5, FILE + 3), ids(7)
    assert check({"a": [first], "b": [third]}) == []
    assert check({"a": [first], "b": [second], "d": [third]}) == [
        "phases a and b share 2 documents (first: file 0 of _inputs.ipc, row 5)"
    ]


def test_documents_in_two_shards_of_a_phase() -> None:
    assert check({"a": [ids(1, 2), ids(3), ids(2, FILE)]}) == [
        "two shards of phase a share 1 documents (first: file 0 of _inputs.ipc, row 2)"
    ]


def test_documents_of_a_branch_are_not_in_the_timeline_before_it() -> None:
    documents = {"a": [ids(1), ids(2)], "b": [ids(3)], "c-1": [ids(2, 3, 4)], "c-2": [ids(3), ids(4)]}
    # c-1 takes what the timeline reads later, and c-2 what c-1 reads.
    assert check(documents) == []
    assert check({**documents, "c-2": [ids(2, 3), ids(4)]}) == [
        "phases a and c-2 share 1 documents (first: file 0 of _inputs.ipc, row 2)"
    ]
    assert check({**documents, "c-1": [ids(1, 4)]}) == [
        "phases a and c-1 share 1 documents (first: file 0 of _inputs.ipc, row 1)"
    ]


def test_a_branch_from_the_very_beginning() -> None:
    documents = {"a": [ids(1), ids(2)], "c-0": [ids(1, 2), ids(3)]}
    assert check(documents) == []
    assert check({**documents, "c-0": [ids(1, 2), ids(2)]}) == [
        "two shards of phase c-0 share 1 documents (first: file 0 of _inputs.ipc, row 2)"
    ]


def test_the_last_records_of_files() -> None:
    assert check({"a": [ids(12, FILE + 8)], "b": [ids(11, FILE + 7)]}) == []
    assert check({"a": [ids(12, FILE + 8)], "b": [ids(FILE + 8)]}) == [
        "phases a and b share 1 documents (first: file 1 of _inputs.ipc, row 8)"
    ]


def test_a_build_of_no_input_file() -> None:
    total, problems = check_disjoint(branched(a=1), reader({"a": [ids()]}), np.zeros(0, np.int64))
    assert (total, problems) == (0, [])


SETS = st.lists(st.sets(st.sampled_from([*range(13), *(FILE + row for row in range(9))]), max_size=4), max_size=3)


@given(a=SETS.filter(lambda shards: len(shards) > 1), b=SETS, c=SETS, d=SETS)
def test_a_line_of_sets(a: list[set[int]], b: list[set[int]], c: list[set[int]], d: list[set[int]]) -> None:
    sets = {"a": a, "b": b, "c-1": c, "c-2": d}
    documents = {name: [ids(*sorted(shard)) for shard in shards] for name, shards in sets.items()}
    lines = [[*a, *b], [*a[:1], *c], [*a[:2], *d]]
    is_disjoint = all(len(set().union(*line)) == sum(map(len, line)) for line in lines)
    assert (check(documents) == []) == is_disjoint


@pytest.mark.parametrize("repeated", [3, FILE + 4])
def test_shards_are_asked_for_one_by_one(repeated: int) -> None:
    """Once each where nothing is wrong; a branch costs no second reading of the timeline."""
    asked: list[tuple[str, int]] = []
    documents = {"a": [ids(1), ids(2)], "b": [ids(repeated)], "c-1": [ids(2)]}

    def read(phase: str, number: int) -> np.ndarray:
        asked.append((phase, number))
        return documents[phase][number]

    assert check_disjoint(branched(**{"a": 2, "b": 1, "c-1": 1}), read, ROWS) == (4, [])
    assert sorted(asked) == [("a", 0), ("a", 1), ("b", 0), ("c-1", 0)]


def test_what_is_held_out_is_in_nothing_else() -> None:
    rows: Shards = {"a": [ids(1), ids(5)], "b": [ids(2)], "holdout": [ids(7), ids(8)]}
    assert check({**rows, "c-1": [ids(5)]}) == []
    assert check({**rows, "holdout": [ids(7), ids(7)]}) == [
        "two shards of phase holdout share 1 documents (first: file 0 of _inputs.ipc, row 7)"
    ]
    assert check({**rows, "c-0": [ids(8)], "holdout": [ids(5, 7), ids(8)]}) == [
        "phases holdout and a share 1 documents (first: file 0 of _inputs.ipc, row 5)",
        "phases holdout and c-0 share 1 documents (first: file 0 of _inputs.ipc, row 8)",
    ]
