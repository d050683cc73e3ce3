"""A packing policy, an order and a mixture of a user's own, named by module path: planned, built and verified."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import byline
from byline.errors import BylineError
from byline.pipelines.recipes import load_recipe
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.transforms.packing import POLICIES
from tests.support import small
from tests.support.builds import manifest_of, verify
from tests.support.corpora import write_recipe

MODULE = '''
"""One document a row, a curriculum gone through several times, and the more of a source the less there is of it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from byline.schemas.mixtures import Mixture
from byline.schemas.mixtures.blend import Blend
from byline.schemas.mixtures.mixture import to_one
from byline.schemas.orders import Order
from byline.schemas.reasons import Reason
from byline.transforms.packing import PackingPolicy, Segments


@dataclass(frozen=True)
class OneARow(PackingPolicy):
    discards: ClassVar[Reason] = Reason("beyond_row", "tokens of a document beyond its row")
    pads_any_row: ClassVar[bool] = True

    def pack(self, framed, prefixes, bos, length, slices=None):
        row, nothing = np.arange(len(framed)), np.zeros(len(framed), np.int64)
        return Segments(row, row, nothing, np.minimum(framed, length), nothing, len(framed))

    def follows(self, segments, drawn_twice):
        return np.full(len(segments.row), -1)


class Folded(Order):
    bins: int
    folds: int

    @property
    def ranked_by(self):
        return "num_tokens"

    @property
    def stretches(self):
        return self.bins * self.folds

    def bin_of(self, stretch):
        return stretch % self.bins


class Inverse(Mixture):
    def blend(self, sizes):
        return Blend.constant(to_one({source: Fraction(1, size) for source, size in sizes.items()}))


one_a_row = OneARow()
'''
LENGTH = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, which holds the user's module."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_kinds.py").write_text(MODULE)
    small.tokenizer_file(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield folder
    sys.modules.pop("own_kinds", None)


def config_of(folder: Path) -> Config:
    """Sources `a` with two documents for each of `b`, of 2 to 41 words."""
    for source, copies in (("a", 8), ("b", 4)):
        texts = [" ".join(["word"] * (2 + number % 40)) for number in range(40 * copies)]
        records = [{"text": f"{text} {number}"} for number, text in enumerate(texts)]
        small.write_jsonl(folder / source / "x.jsonl", records)
    return small.small_config(
        folder,
        **{
            "sources": {name: {"format": "jsonl", "path": str(folder / name / "*.jsonl")} for name in "ab"},
            "sequence": {"length": LENGTH, "packing": "own_kinds:one_a_row"},
            "mixture": {"method": "own_kinds:Inverse"},
            "tokens": 120 * LENGTH,
            "phases": [{"name": "all", "share": 1, "order": {"by": "own_kinds:Folded", "bins": 2, "folds": 2}}],
        },
    )


def test_a_build_of_kinds_of_ones_own_verifies(folder: Path) -> None:
    config = config_of(folder)
    plan = small.build_quietly(config)
    assert plan.header.stages[0].packing_sha256 == hashlib.sha256(MODULE.encode()).hexdigest()
    status, text = verify(Path(config.output))
    assert status == 0, text
    phase = manifest_of(Path(config.output))["phases"][0]
    assert phase["packing"] == "own_kinds:one_a_row"
    # Of `a` there is about twice as much as of `b`.
    assert phase["mixture"]["a"]["requested"] == pytest.approx(1 / 3, abs=0.03)
    rows = byline.open(config.output)
    lengths = np.array([rows[number]["seq_lengths"][0] for number in range(len(rows))])
    assert {len(rows[number]["doc_ids"]) for number in range(len(rows))} <= {1, 2}
    short, long, again_short, again_long = (quarter.mean() for quarter in np.array_split(lengths, 4))
    assert max(short, again_short) < min(long, again_long)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": {"length": 32, "packing": "own_kinds:none"}}, "sequence.packing: {file} has no object 'none'"),
        (
            {"sequence": {"length": 32, "packing": "snug"}},
            f"sequence.packing: expected {', '.join(POLICIES)} or package.module:object, found 'snug'",
        ),
        (
            {"mixture": {"method": "own_kinds:one_a_row"}},
            "mixture: method: own_kinds:one_a_row is no class below byline.schemas.mixtures.mixture.Mixture",
        ),
        (
            {"mixture": {"method": "own_kinds:Inverse", "alpha": 1}},
            "mixture: method own_kinds:Inverse takes no `alpha`",
        ),
        (
            {"phases": [{"name": "all", "share": 1, "order": {"by": "own_kinds:Folded", "bins": 2}}]},
            "phases.0.order: `by: own_kinds:Folded` needs `folds`",
        ),
        (
            {"phases": [{"name": "all", "share": 1, "packing": "no_such:policy"}]},
            "phases.all.packing: no_such cannot be imported (No module named 'no_such'); install its package, or "
            "run in the folder that holds it",
        ),
    ],
)
def test_a_kind_that_there_is_not(folder: Path, changes: dict[str, object], message: str) -> None:
    values = config_of(folder).model_dump(mode="json", exclude_defaults=True) | changes
    path = write_recipe(folder / "recipe.yaml", values)
    with pytest.raises(BylineError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path}: {message.format(file=folder / 'own_kinds.py')}"


def test_a_finished_build_names_its_kinds(folder: Path) -> None:
    values = config_of(folder).model_dump(mode="json")
    again = parse_config(values, "_manifest.json")
    assert (again.mixture.method, again.phases[0].ordering.stretches) == ("own_kinds:Inverse", 4)
    assert again.model_dump(mode="json") == values
