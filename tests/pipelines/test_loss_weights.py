"""Builds with loss weights: what rows have, what `verify` says of them, and what builds without weights are."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import byline
from byline.pipelines.jobs.build import build as run_build
from byline.schemas.plan import PLAN_KEY
from tests.reference import compare_build
from tests.support import builds, small
from tests.support.builds import Rows, edit_shard
from tests.support.false_builds import assert_found

QUALITIES = (0.1, 0.5, 3, -1, None)
WEIGHTS: dict[str, Any] = {"a": {"by": "quality", "most": 1.5, "unknown": 0.75}, "b": 2}


def quality_of(row: int) -> float | None:
    return QUALITIES[row % len(QUALITIES)]


def weight_of(source: str, row: int) -> float:
    """As `WEIGHTS` say it."""
    if source == "b":
        return 2
    quality = quality_of(row)
    return 0.75 if quality is None else min(max(quality, 0), 1.5)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty records of each source."""
    folder = tmp_path_factory.mktemp("weights")
    small.tokenizer_file(folder)
    for source in "ab":
        records = [
            {
                "text": small.SENTENCES[row % 4] * (1 + row % 3),
                "url": f"http://h{row % 3}.org/",
                "quality": quality_of(row),
            }
            for row in range(40)
        ]
        small.write_jsonl(folder / source / "x.jsonl", map(small.with_kept_fields, records))
    return folder


def config_of(corpus: Path, name: str, **changes: Any) -> Any:
    phases = [
        {"name": "first", "share": 0.6, "condition": {"template": "URL: {host}\n"}},
        {"name": "even", "share": 0.4, "loss_weight": {}},
    ]
    values = {"phases": phases, "holdout": {"share": 0.2}, "output": str(corpus / name), **changes}
    return small.small_config(corpus, loss_weight=WEIGHTS, **values)


@pytest.fixture(scope="module", params=["float16", "float32"])
def built(request: pytest.FixtureRequest, corpus: Path) -> Path:
    config = config_of(corpus, request.param, shard={"sequences": 20, "loss_weight": request.param})
    small.build_quietly(config)
    return Path(config.output)


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_trained_position_has_its_documents_weight(built: Path) -> None:
    shards = byline.open(built)
    kind = shards.manifest.loss_weight
    assert kind == built.name
    for row in [*shards, *byline.open(built, branch=shards.holdout)]:
        weights = [
            0 if doc_id < 0 else weight_of(shards.origin(doc_id)[0], shards.origin(doc_id)[2])
            for doc_id in row["doc_ids"]
        ]
        due = np.repeat(np.array(weights, kind), row["seq_lengths"])
        if row["phase"] != "first":
            due[:] = 1
        assert row["loss_weight"].dtype == kind
        assert np.array_equal(row["loss_weight"], np.where(row["loss_mask"] != 0, due, 0))
    assert {row["phase"] for row in shards} == {"first", "even"}


def test_the_reference_makes_the_same_rows(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare_build.main(built)
    assert "are the reference's" in capsys.readouterr().out


def test_rows_of_a_batch_are_those_one_by_one(built: Path) -> None:
    shards = byline.open(built)
    numbers = [len(shards) - 1, 0, 5, 5]
    batch = shards.batch(numbers)
    assert batch["loss_weight"].dtype == built.name
    assert batch["loss_weight"].tolist() == [shards[number]["loss_weight"].tolist() for number in numbers]
    stretch = shards.batch(range(3))["loss_weight"]
    assert stretch.tolist() == [shards[number]["loss_weight"].tolist() for number in range(3)]
    assert stretch.flags.writeable
    *_, last = shards.loader(len(shards) - 1)
    assert last["loss_weight"].shape == last["loss_mask"].shape
    assert not last["loss_weight"][1:].any()


def test_it_verifies(built: Path, tmp_path: Path) -> None:
    status, text = builds.verify(built, raw=True, allow_missing=False)
    assert status == 0, text
    status, text = builds.verify(builds.copy_build(built, tmp_path / "bare", bare=True))
    assert status == 0, text


def test_the_ledger_sums_them(built: Path) -> None:
    shards = byline.open(built)
    sums = dict.fromkeys("ab", 0.0)
    for row in shards.phase("first"):
        ends = np.cumsum(row["seq_lengths"])
        for start, end, doc_id in zip(ends - row["seq_lengths"], ends, row["doc_ids"], strict=True):
            if doc_id >= 0:
                sums[shards.origin(doc_id)[0]] += math.fsum(row["loss_weight"][start:end].tolist())
    phases = shards.manifest.ledger["phases"]
    assert {name: source["loss_weight"] for name, source in phases["first"]["sources"].items()} == pytest.approx(sums)
    for source in phases["even"]["sources"].values():
        assert source["loss_weight"] == source["loss_tokens"]


def first_trained(rows: Rows, weight: float) -> tuple[dict[str, list[Any]], int]:
    """The first row, and position in it, with this weight."""
    row = next(row for row in rows if weight in row["loss_weight"])
    return row, row["loss_weight"].index(weight)


def of_segment(rows: Rows, weight: float, other: float) -> None:
    """Gives all trained positions of the first segment with one weight another one."""
    row, position = first_trained(rows, weight)
    while row["loss_weight"][position] == weight and position < len(row["loss_weight"]):
        row["loss_weight"][position] = other
        position += 1
        if position == len(row["loss_weight"]):
            break


def one_position(rows: Rows, weight: float, other: float) -> None:
    row, position = first_trained(rows, weight)
    row["loss_weight"][position + (row["loss_weight"][position + 1 :] or [0])[:1].count(weight)] = other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: of_segment(rows, 2, 1), "a loss weight that the recipe does not give its document"),
        (lambda rows: of_segment(rows, 1.5, 1.75), "a loss weight that the recipe does not give its document"),
        (lambda rows: of_segment(rows, 2, -2), "a loss weight that is negative or no number"),
        (lambda rows: of_segment(rows, 2, math.nan), "a loss weight that is negative or no number"),
        (lambda rows: of_segment(rows, 2, math.inf), "a loss weight that is negative or no number"),
        (lambda rows: one_position(rows, 1.5, 1.25), "several loss weights in one segment"),
        (lambda rows: rows[0]["loss_weight"].__setitem__(0, 1.5), "a loss weight where the loss mask is 0"),
        (lambda rows: of_segment(rows, 1.5, 0.5), "loss weight, the shards have"),
    ],
)
def test_another_weight_is_seen_in_the_shard_alone(
    copy: Path, tmp_path: Path, change: Callable[[Rows], object], message: str
) -> None:
    edit_shard(copy, "first", 0, change)
    assert_found(builds.copy_build(copy, tmp_path / "bare", bare=True), message)


def test_another_weight_is_seen_in_comparison_with_the_store(copy: Path) -> None:
    edit_shard(copy, "first", 0, lambda rows: of_segment(rows, 1.5, 0.5))
    assert_found(copy, "loss_weight is not what the token store gives for it")


def test_a_manifest_that_says_another_type_is_seen(copy: Path, built: Path) -> None:
    values = builds.manifest_of(copy)
    other = {"float16": "float32", "float32": "float16"}[built.name]
    builds.write_manifest(copy, {**values, "loss_weight": other})
    with pytest.raises(byline.BylineError, match=r"its types of loss_weight are not those of _plan\.ipc"):
        builds.verify(copy)
    with pytest.raises(byline.BylineError, match="schema"):
        byline.open(copy)[0]
    builds.write_manifest(copy, {**values, "loss_weight": "float64"})
    with pytest.raises(byline.BylineError, match="loss_weight 'float64', where only float16, float32 are known"):
        byline.open(copy)


def test_a_build_without_weights_has_no_word_of_them(corpus: Path) -> None:
    config = small.small_config(corpus, output=str(corpus / "plain"), shard={"sequences": 20})
    plan = small.build_quietly(config)
    shards = byline.open(config.output)
    assert shards.manifest.loss_weight is None
    assert "loss_weight" not in shards[0]
    assert "loss_weight" not in shards.batch([0, 1])
    header = pa.ipc.open_file(plan.to_bytes()).schema.metadata[PLAN_KEY]
    assert b"loss_weight" not in header
    values = builds.manifest_of(Path(config.output))
    assert "loss_weight" not in json.dumps({**values, "config": {}})
    for shard in Path(config.output).rglob("*.arrow"):
        assert b"loss_weight" not in shard.read_bytes()


def test_a_number_of_an_attribute_is_a_weight(corpus: Path, tmp_path: Path) -> None:
    """Made by the build, though nothing else of the recipe names it."""
    columns = {"characters": "int", "is_long": "bool", "size": "string"}
    sizes = {"kind": "function", "function": "tests.support.attribute_functions:sizes", "columns": columns}
    weights = {"a": {"by": "characters", "most": 150}}
    out, store = tmp_path / "out", tmp_path / "store"
    phases = [{"name": "only", "share": 1, "loss_weight": weights}]
    config = small.small_config(corpus, attributes={"sizes": sizes}, phases=phases, output=str(out), store=str(store))
    run_build(config, builds.ALONE, small.quiet())
    texts = [json.loads(line)["text"] for line in (corpus / "a/x.jsonl").read_text().splitlines()]
    shards = byline.open(out)
    for row in shards:
        ends = np.cumsum(row["seq_lengths"])
        for end, doc_id in zip(ends, row["doc_ids"], strict=True):
            if doc_id >= 0:
                source, _, number = shards.origin(doc_id)
                assert row["loss_weight"][end - 1] == (min(len(texts[number]), 150) if source == "a" else 1)
    compare_build.main(out)
    status, text = builds.verify(out, allow_missing=False)
    assert status == 0, text


def test_another_weight_is_another_plan(corpus: Path) -> None:
    configs = [
        config_of(corpus, "planned", **changes)
        for changes in (
            {},
            {"shard": {"loss_weight": "float16"}},
            {"holdout": {"share": 0.2, "loss_weight": {"a": 2}}},
            {"phases": [{"name": "first", "share": 1, "loss_weight": {"a": 1}}]},
            {"phases": [{"name": "first", "share": 1, "loss_weight": {"a": 1.5}}]},
        )
    ]
    state = small.prepare_quietly(configs[0])
    plans = [small.make_recipe_plan(config, state, [], small.RunnerSettings(workers=1)).sha256 for config in configs]
    assert len(set(plans)) == len(plans)
