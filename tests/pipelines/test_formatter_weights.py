"""Builds whose loss weights are those of formatters: rows, `verify`, workers, merged runs, recipes without them."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import byline
from byline.errors import BylineError
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.jobs.compact import compact
from byline.pipelines.recipes import load_recipe
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.transforms.packing import POLICIES
from tests.reference import compare_build, documents
from tests.support import builds, small
from tests.support.builds import Rows, edit_shard
from tests.support.corpora import write_recipe
from tests.support.false_builds import assert_found

RECORDS = 40
TURNS = ("the fox", " jumps é", "over.", "中文 x", "")
CHAT: dict[str, Any] = {"name": "chat", "train": ["user", "assistant"], "weights": {"user": 0.1}, "last_weight": 2}
QA = {"name": "qa", "weights": {"question": 0.2}}
WEIGHTS = {"chats": "formatter", "exam": ["formatter", {"by": "quality", "most": 1.5, "unknown": 0.75}], "own": 0.5}


def turn(number: int) -> str:
    return TURNS[number % len(TURNS)] * (1 + number % 3)


def records_of(source: str) -> list[dict[str, Any]]:
    if source == "chats":
        roles = ("user", "assistant", "system")
        messages = [[(roles[at % 3], turn(row + at)) for at in range(1 + row % 5)] for row in range(RECORDS)]
        return [{"m": [{"role": role, "content": text} for role, text in some]} for some in messages]
    if source == "exam":
        quality = (0.1, 0.5, 3, -1, None)
        return [{"q": turn(row), "a": turn(row + 1), "quality": quality[row % 5]} for row in range(RECORDS)]
    return [{"text": f"{turn(row)} {small.SENTENCES[row % 4]}"} for row in range(RECORDS)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formatter_weights")
    small.tokenizer_file(folder)
    for source in ("chats", "exam", "own"):
        records = [{**record, "url": f"http://h{row % 3}.org/"} for row, record in enumerate(records_of(source))]
        for number in range(2):
            small.write_jsonl(folder / source / f"{number}.jsonl", records[number::2])
    spans = [
        {"source": "chats", "path": f"{row % 2}.jsonl", "row": row // 2, "start": row % 7, "stop": row % 7 + 5}
        for row in range(0, RECORDS, 3)
    ]
    small.write_jsonl(folder / "spans.jsonl", spans)
    return folder


def values_of(corpus: Path, name: str, packing: str = "concat", **changes: Any) -> dict[str, Any]:
    condition = {"template": "URL: {host}\n", "dropout": "0.3"}
    after = {**condition, "position": "after"}
    return {
        "sources": {
            "chats": {"path": f"{corpus}/chats/*", "fields": {"messages": "m"}, "formatter": CHAT},
            "exam": {
                "path": f"{corpus}/exam/*",
                "fields": {"question": "q", "answer": "a"},
                "formatter": QA,
                "score": {"quality": "quality"},
            },
            "own": {"path": f"{corpus}/own/*", "formatter": "tests.support.own_formatters:WEIGHING"},
        },
        "attributes": {
            "secrets": {"kind": "spans", "path": f"{corpus}/spans.jsonl", "by": "row", "sources": ["chats"]},
        },
        "tokenizer": {"file": f"{corpus}/tokenizer.json", "bos": small.BOS, "eos": small.BOS, "pad": small.PAD},
        "sequence": {"length": 32, "packing": packing},
        "shard": {"sequences": 20, "loss_weight": "float16"},
        "tokens": 32 * 160,
        "shortage": "repeat",
        "loss_weight": WEIGHTS,
        "phases": [
            {"name": "masked", "share": "0.4", "condition": condition, "mask": ["secrets"]},
            {"name": "after", "share": "0.4", "condition": after},
            {"name": "own", "share": "0.2", "loss_weight": {"own": ["formatter", 0.5]}},
        ],
        "store": str(corpus / "store"),
        "output": str(corpus / name),
        **changes,
    }


def config_of(corpus: Path, name: str, packing: str = "concat", **changes: Any) -> Config:
    values = values_of(corpus, name, packing, **changes)
    values["sources"] = {source: {"format": "jsonl", **own} for source, own in values["sources"].items()}
    return small.parse_config(values, "test")


def build(corpus: Path, name: str, packing: str = "concat", workers: int = 1, **changes: Any) -> Path:
    config = config_of(corpus, name, packing, **changes)
    run_build(config, RunnerSettings(workers=workers), small.quiet())
    return Path(config.output)


@pytest.fixture(scope="module", params=POLICIES)
def packed(request: pytest.FixtureRequest, corpus: Path) -> Path:
    return build(corpus, request.param, request.param)


@pytest.fixture(scope="module")
def built(corpus: Path) -> Path:
    return build(corpus, "built")


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def as_the_reference(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row; the formatter of one's own the reference has from here."""
    formatted, loss_weights = documents.formatted, documents.loss_weights

    def halves(raw: documents.RawDocument, source: Any) -> documents.Formatted:
        if raw.source != "own":
            return formatted(raw, source)
        middle = len(raw.text or "") // 2
        return raw.text, None if raw.row % 4 == 0 else [0, middle, middle, len(raw.text or "")], None

    def weights(raw: documents.RawDocument, source: Any) -> list[float] | None:
        return loss_weights(raw, source) if raw.source != "own" else [3.0] if raw.row % 4 == 0 else [0.25, 3.0]

    monkeypatch.setattr(documents, "formatted", halves)
    monkeypatch.setattr(documents, "loss_weights", weights)
    compare_build.main(out)
    assert "are the reference's" in capsys.readouterr().out


def test_every_row_is_the_references_and_verifies(
    packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_the_reference(packed, monkeypatch, capsys)
    status, text = builds.verify(packed, raw=True, allow_missing=False)
    assert status == 0, text
    weights = {
        float(weight)
        for row in byline.open(packed).phase("masked")
        for doc_id, start, size in zip(
            row["doc_ids"], np.cumsum(row["seq_lengths"]) - row["seq_lengths"], row["seq_lengths"], strict=True
        )
        if doc_id >= 0 and byline.open(packed).origin(doc_id)[0] == "chats"
        for weight in row["loss_weight"][start : start + size]
    }
    assert weights == {0.0, float(np.float16(0.1)), 1.0, 2.0}


def test_the_ledger_sums_them(built: Path) -> None:
    shards = byline.open(built)
    phases = shards.manifest.ledger["phases"]
    for name, ledger in phases.items():
        sums = dict.fromkeys(ledger["sources"], 0.0)
        for row in shards.phase(name):
            ends = np.cumsum(row["seq_lengths"])
            for start, end, doc_id in zip(ends - row["seq_lengths"], ends, row["doc_ids"], strict=True):
                if doc_id >= 0:
                    sums[shards.origin(doc_id)[0]] += math.fsum(row["loss_weight"][start:end].tolist())
        assert {source: own["loss_weight"] for source, own in ledger["sources"].items()} == pytest.approx(sums)
    own = phases["own"]["sources"]
    assert own["chats"]["loss_weight"] == own["chats"]["loss_tokens"]
    assert own["own"]["loss_weight"] != own["own"]["loss_tokens"]


def test_a_build_of_two_workers_is_the_same(built: Path, corpus: Path) -> None:
    other = build(corpus, "two", workers=2, store=str(corpus / "store-of-two"))
    assert shards_of(other) == shards_of(built)
    assert [run.read_bytes() for run in runs_of(corpus / "store-of-two")] == [
        run.read_bytes() for run in runs_of(corpus / "store")
    ]


def shards_of(out: Path) -> dict[str, str]:
    return {path: digest for path, digest in builds.digests(out).items() if path.endswith(".arrow")}


def runs_of(store: Path) -> list[Path]:
    runs = [path for path in store.rglob("*.arrow") if "attributes" not in path.parts]
    return sorted(runs, key=lambda path: path.name)


def columns_of(run: Path) -> list[str]:
    return pa.ipc.open_file(run.read_bytes()).schema.names


def test_merged_runs_give_the_same_shards(built: Path, corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(corpus / "store", store, copy_function=shutil.copy2)
    values: dict[str, Any] = {"store": str(store), "phases": [{"name": "only", "share": 1}], "attributes": {}}
    before = build(corpus, "unmerged", **values)
    compact(config_of(corpus, "unmerged", **values), 1 << 30, builds.ALONE, small.quiet())
    after = build(corpus, "merged", **values)
    assert any(path.name.startswith("merged-") for path in runs_of(store))
    assert shards_of(after) == shards_of(before)
    status, text = builds.verify(after, raw=True, allow_missing=False)
    assert status == 0, text


def test_a_recipe_without_them_does_not_know_them(corpus: Path) -> None:
    """Shards are those of a source whose formatter gives the same spans and no weights."""
    phases = [{"name": "only", "share": 1}]
    without = build(corpus, "without", phases=phases, loss_weight={"exam": 0.5}, attributes={})
    values = values_of(corpus, "plain", phases=phases, loss_weight={"exam": 0.5}, attributes={})
    sources = values["sources"]
    sources["chats"]["formatter"] = {key: CHAT[key] for key in ("name", "train")}
    del sources["exam"], values["sources"]["own"]["formatter"]
    trained = {**values["sources"], "exam": config_of(corpus, "x").sources["exam"].model_dump(mode="json")}
    plain = build(corpus, "plain", **{**values, "sources": trained})
    for one, other in zip(byline.open(without), byline.open(plain), strict=True):
        assert {name: np.asarray(column).tolist() for name, column in one.items()} == {
            name: np.asarray(column).tolist() for name, column in other.items()
        }
    weighed = [run for run in runs_of(corpus / "store") if "weighed" in columns_of(run)]
    assert all("range_weights" in columns_of(run) for run in weighed)
    assert {run.parents[1].name for run in weighed} == {"chats", "exam", "own"}
    others = [run for run in runs_of(corpus / "store") if run not in weighed]
    assert not any("range_weights" in columns_of(run) for run in others)
    assert {run.parents[1].name for run in others} == {"chats", "own"}


# ------------------------------------------------------------------------------------------------------ false builds


def other_weight(rows: Rows, weight: float, other: float) -> None:
    """Gives the first position with one weight another one."""
    row = next(row for row in rows if weight in row["loss_weight"])
    row["loss_weight"][row["loss_weight"].index(weight)] = other


LOW = float(np.float16(0.1))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (-0.5, "a loss weight that is negative or no number"),
        (math.nan, "a loss weight that is negative or no number"),
        (0.5, "loss weight, the shards have"),
    ],
)
def test_another_weight_is_seen_in_the_shard_alone(copy: Path, tmp_path: Path, other: float, message: str) -> None:
    edit_shard(copy, "after", 0, lambda rows: other_weight(rows, LOW, other))
    assert_found(builds.copy_build(copy, tmp_path / "bare", bare=True), message)


def test_weights_that_change_places_are_seen_in_the_store_and_in_the_raw_corpus(copy: Path, tmp_path: Path) -> None:
    """Their sum stays the same."""

    def swap(rows: Rows) -> None:
        weights = next(row["loss_weight"] for row in rows if LOW in row["loss_weight"] and 2.0 in row["loss_weight"])
        low, high = weights.index(LOW), weights.index(2.0)
        weights[low], weights[high] = 2.0, LOW

    edit_shard(copy, "after", 0, swap)
    assert_found(copy, "loss_weight is not what the token store gives for it")
    status, text = builds.verify(copy, documents=10_000, raw=True, allow_missing=True)
    assert status == 1
    assert "is not what chats/" in text


def test_a_run_with_another_weight_is_seen(built: Path, corpus: Path, tmp_path: Path) -> None:
    """The seal says so before anything else."""
    store = tmp_path / "store"
    shutil.copytree(corpus / "store", store, copy_function=shutil.copy2)
    own, other = np.float64(CHAT["weights"]["user"]).tobytes(), np.float64(0.7).tobytes()
    run = next(path for path in runs_of(store) if own in path.read_bytes())
    run.write_bytes(run.read_bytes().replace(own, other, 1))
    out = builds.copy_build(built, tmp_path / "out")
    values = builds.manifest_of(out)
    builds.write_manifest(out, {**values, "config": {**values["config"], "store": str(store)}})
    status, text = builds.verify(out)
    assert status == 1
    assert "checksum" in text


# ---------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("weights", "source", "changes", "message"),
    [
        (
            {"chats": "formatter"},
            "chats",
            {"formatter": "chat"},
            "loss_weight.chats: the formatter chat of 'chats' gives no weights; give it "
            "sources.chats.formatter.weights or sources.chats.formatter.last_weight",
        ),
        (
            {"exam": ["formatter", 2]},
            "exam",
            {"formatter": "qa"},
            "loss_weight.exam: the formatter qa of 'exam' gives no weights; give it sources.exam.formatter.weights",
        ),
        (
            {"own": "formatter"},
            "own",
            {"formatter": "fim"},
            "loss_weight.own: the formatter fim of 'own' gives no weights",
        ),
        (
            {"own": "formatter"},
            "own",
            {"formatter": "tests.support.own_formatters:SILENT"},
            "loss_weight.own: the formatter tests.support.own_formatters:SILENT of 'own' gives no weights; one of your "
            "own that does is a Formatter(..., weighs=True)",
        ),
        (
            {"own": "formatter"},
            "own",
            {"formatter": None},
            "loss_weight.own: source 'own' has no formatter that could weigh its texts; give it a number, or a "
            "formatter",
        ),
    ],
)
def test_weights_of_a_formatter_that_gives_none(
    corpus: Path, tmp_path: Path, weights: dict[str, Any], source: str, changes: dict[str, Any], message: str
) -> None:
    values = values_of(corpus, "none", loss_weight=weights)
    values["phases"][2] = {**values["phases"][2], "loss_weight": weights}
    values["sources"] = {name: {"format": "jsonl", **own} for name, own in values["sources"].items()}
    values["sources"][source].update(changes)
    path = write_recipe(tmp_path / "recipe.yaml", values)
    with pytest.raises(BylineError) as error:
        load_recipe(path)
    assert str(error.value) == f"{path}: {message}"


def test_a_formatter_with_a_weight_too_many_stops_the_build(corpus: Path, tmp_path: Path) -> None:
    values = values_of(corpus, "many", store=str(tmp_path / "store"))
    values["sources"]["own"]["formatter"] = "tests.support.own_formatters:TOO_MANY"
    with pytest.raises(BylineError) as error:
        build(corpus, "many", **values)
    where = "sources.own.formatter: tests.support.own_formatters:TOO_MANY, "
    what = "loss_weights: expected 1, one for each loss span, or for all of a text without spans; found 3"
    assert str(error.value) in [f"{where}{number}.jsonl, row 0: {what}" for number in (0, 1)]


def test_a_product_above_what_a_weight_may_be(corpus: Path) -> None:
    with pytest.raises(BylineError) as error:
        build(corpus, "large", phases=[{"name": "only", "share": 1}], loss_weight={"own": ["formatter", 60000]})
    assert "together more than 65504" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_manifest_and_the_plan_say_what_the_recipe_does(built: Path) -> None:
    values = builds.manifest_of(built)
    assert values["config"]["loss_weight"] == WEIGHTS
    header = json.loads(pa.ipc.open_file((built / "_plan.ipc").read_bytes()).schema.metadata[b"byline.plan"])
    assert header["stages"][0]["loss_weight"] == WEIGHTS
