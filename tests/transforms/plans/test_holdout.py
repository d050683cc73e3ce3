"""What a plan holds out: all documents of the share, once, and none of them in anything else."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.transforms.checks.shuffle_keys import check_ranges
from byline.transforms.packing import POLICIES
from byline.transforms.plans import planning
from tests.reference import assembly, hashing
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

LENGTH = 32
PHASES: list[dict[str, Any]] = [
    {"name": "conditioned", "share": "0.75", "condition": {"template": "{host}\n"}},
    {"name": "cooldown", "share": "0.25", "select": {"top": "0.8", "by": "quality"}},
]
BRANCH = {"name": "late", "at": ["0.5", 1], "share": "0.2"}
HOLDOUT = {"name": "unseen", "share": "0.2"}


def rows_of(count: int, step: int) -> list[StoredRow]:
    """Documents of 1 to 60 tokens of some twenty hosts; every fifth has no host, every seventh no score."""
    return [
        StoredRow(
            row,
            [(row + at) % 300 for at in range(1 + row * step % 60)],
            host=None if row % 5 == 0 else f"h{row * step % 23}.org",
            quality=None if row % 7 == 0 else (row % 4) / 4,
        )
        for row in range(count)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SmallStore]:
    folder = tmp_path_factory.mktemp("holdout")
    small.tokenizer_file(folder)
    return folder, small.write_store(folder, {("a", "x"): rows_of(150, 7), ("b", "x"): rows_of(90, 11)})


def is_held_out(document: assembly.Document, by: str) -> bool:
    value = None if by == "document" else document.fields.get(by)
    return hashing.held_out(document.shuffle_key, value, Fraction("0.2"))


def drawn(folder: Path, made: SmallStore, **changes: Any) -> dict[str, list[assembly.Document]]:
    """Stage -> the documents that it draws, after the plan was packed by the reference."""
    values = {"sequence": {"length": LENGTH}, "shard": {"sequences": 16}, "phases": PHASES, "branches": [BRANCH]}
    config = small.small_config(folder, **{**values, **changes})
    plan = small.plan_of(config, made)
    assert check_ranges(plan) == []
    last = plan.header.stages[-1]
    assert (last.name, last.is_holdout) == ("unseen", True)
    assert not any(stage.is_holdout for stage in plan.header.stages[:-1])
    stages: dict[str, list[assembly.Document]] = {}
    for (stage, _), documents in slow_shards.drawn_by(plan, made.documents).items():
        stages.setdefault(stage, []).extend(documents)
    shards = slow_shards.reference_shards(plan, config, made.documents)
    rows = sum(len(shard.rows) for (stage, _), shard in shards.items() if stage == "unseen")
    assert rows == last.expected_rows
    return stages


@pytest.mark.parametrize(
    ("packing", "by"),
    [*((packing, "document") for packing in POLICIES), ("repeat_prefix", "host"), ("best_fit", "license")],
)
def test_all_of_the_share_and_nothing_else(store: tuple[Path, SmallStore], packing: str, by: str) -> None:
    folder, made = store
    stages = drawn(folder, made, holdout={**HOLDOUT, "by": by, "packing": packing})
    held = {document.doc_id for document in made.documents if is_held_out(document, by)}
    assert sorted(document.doc_id for document in stages.pop("unseen")) == sorted(held)
    assert len(held) > 10
    assert set(stages) == {"conditioned", "cooldown", "late-50", "late-100"}
    assert not any(document.doc_id in held for documents in stages.values() for document in documents)


def test_it_is_the_same_whatever_the_rest_of_the_recipe_is(store: tuple[Path, SmallStore]) -> None:
    folder, made = store
    recipes = [
        {},
        {"seed": 5, "tokens": 40 * LENGTH, "mixture": {"a": "0.9", "b": "0.1"}},
        {"tokens": 900 * LENGTH, "shortage": "repeat", "branches": []},
        {"mixture": {"method": "natural", "max_epochs": "0.5"}, "tokens": 30 * LENGTH, "branches": []},
        {"sequence": {"length": LENGTH, "packing": "best_fit"}, "shard": {"sequences": 3}},
    ]
    held = [{document.doc_id for document in drawn(folder, made, holdout=HOLDOUT, **one)["unseen"]} for one in recipes]
    assert all(documents == held[0] for documents in held)


def test_selection_comes_after_it(store: tuple[Path, SmallStore]) -> None:
    folder, made = store
    stages = drawn(folder, made, holdout={**HOLDOUT, "select": {"at_least": 0.5, "by": "quality"}})
    numbers = [document.numbers["quality"] for document in stages["unseen"]]
    assert numbers
    assert all(number is not None and number >= 0.5 for number in numbers)
    assert not any(is_held_out(document, "document") for document in stages["conditioned"] + stages["cooldown"])


def test_of_a_sample(store: tuple[Path, SmallStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the plan packs a sample of the documents alone, all that is held out is still drawn."""
    folder, made = store
    monkeypatch.setattr(planning, "SAMPLED_DOCUMENTS", 120)
    config = small.small_config(
        folder, sequence={"length": LENGTH}, shard={"sequences": 16}, phases=PHASES, holdout=HOLDOUT
    )
    plan = small.plan_of(config, made)
    held = {document.doc_id for document in made.documents if is_held_out(document, "document")}
    by_shard = slow_shards.drawn_by(plan, made.documents)
    uses = [use for (stage, _), uses in by_shard.items() if stage == "unseen" for use in uses]
    assert sorted(use.doc_id for use in uses) == sorted(held)


def test_nothing_to_hold_out(store: tuple[Path, SmallStore]) -> None:
    folder, made = store
    with pytest.raises(BylineError, match=r"^holdout: it holds out no document; raise its `share`, check its `select`"):
        drawn(folder, made, holdout={**HOLDOUT, "share": 1e-9})
    with pytest.raises(BylineError, match=r"^holdout: it holds out no document; raise its `share`, check its `select`"):
        drawn(folder, made, holdout={**HOLDOUT, "select": {"allow": {"host": ["none.example"]}}})
