"""A policy of a user's own: found by its module path, packed, counted and verified as those that come with Byline."""

from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.schemas.own_objects import object_named
from byline.transforms.packing import POLICIES, PackingPolicy, policy_of

MODULE = '''
"""One document a row, whatever is left of it padded; a longer one is cut, and its rest discarded."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from byline.schemas.reasons import Reason
from byline.transforms.packing import PackingPolicy, Segments


@dataclass(frozen=True)
class OneARow(PackingPolicy):
    discards: ClassVar[Reason] = Reason("cut", "tokens beyond the row")
    pads_any_row: ClassVar[bool] = True

    def pack(self, framed, prefixes, bos, length, slices=None):
        row, nothing = np.arange(len(framed)), np.zeros(len(framed), np.int64)
        return Segments(row, row, nothing, np.minimum(framed, length), nothing, len(framed))

    def follows(self, segments, drawn_twice):
        return np.full(len(segments.row), -1)


one_a_row = OneARow()
number = 7
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_packing.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_packing"


def test_a_policy_of_the_table() -> None:
    assert policy_of("best_fit") is POLICIES["best_fit"]


def test_a_policy_of_ones_own(own_module: str) -> None:
    policy = policy_of(f"{own_module}:one_a_row")
    assert isinstance(policy, PackingPolicy)
    assert (policy.discards.name, policy.repeats_prefix) == ("cut", False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "best_fitt",
            f"sequence.packing: expected {', '.join(POLICIES)} or package.module:object, found 'best_fitt'; "
            f"did you mean 'best_fit'?",
        ),
        (
            "no_such:policy",
            "sequence.packing: no_such cannot be imported (No module named 'no_such'); install its package, or run in "
            "the folder that holds it",
        ),
        ("own_packing:two_a_row", "own_packing.py has no object 'two_a_row'"),
        ("own_packing:number", "own_packing:number is no object below byline.transforms.packing.policy."),
        ("own_packing:OneARow", "own_packing:OneARow is no object below"),
    ],
)
def test_a_policy_that_there_is_not(own_module: str, name: str, message: str) -> None:
    with pytest.raises(BylineError) as caught:
        object_named("sequence.packing", name, POLICIES, PackingPolicy)
    assert message in str(caught.value)
