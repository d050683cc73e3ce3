"""What a plan says that packing leaves out is what it leaves out; sources of which nothing is left are errors."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.console import plan_report
from byline.pipelines.jobs.plan import plan
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.transforms.packing import POLICIES
from tests.support import small

ALONE = RunnerSettings(workers=1)
CONDITION = {"template": "{host} ", "dropout": "0.3"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of long documents and one of short ones."""
    made = tmp_path_factory.mktemp("losses")
    small.tokenizer_file(made)
    for source, words in (("a", 90), ("b", 3)):
        texts = ["fox " * (1 + number * 7 % words) for number in range(60)]
        small.write_jsonl(made / source / "x.jsonl", [{"text": text, "url": "http://a.org/"} for text in texts])
    return made


def config_of(folder: Path, name: str, **changes: Any) -> Config:
    sources = {source: {"format": "jsonl", "path": f"{folder}/{source}/*.jsonl"} for source in "ab"}
    return small.small_config(folder, **{"sources": sources, "output": f"{folder}/{name}", **changes})


@pytest.mark.parametrize("packing", POLICIES)
def test_what_packing_leaves_out_is_what_the_plan_says(folder: Path, packing: str) -> None:
    phases = [{"name": "first", "share": "0.5", "condition": CONDITION}, {"name": "second", "share": "0.5"}]
    config = config_of(folder, packing, phases=phases, sequence={"length": 64, "packing": packing})
    small.prepare_quietly(config)
    planned = small.build_quietly(config)
    ledger = json.loads(Path(config.output, "_manifest.json").read_bytes())["ledger"]["phases"]
    stages = {stage.name: stage for stage in planned.header.stages}
    for name, stage in stages.items():
        said = {source: item.expected_discarded for source, item in stage.sources.items()}
        assert said == {name: sum(ledger[stage.name]["sources"][name]["discarded"].values()) for name in said}, name
    discards = POLICIES[packing].discards is not None
    assert any(item.expected_discarded for item in stages["first"].sources.values()) == discards
    made, state = plan(config, ALONE, small.quiet())
    report = plan_report.report(made, state)
    console = Console(file=io.StringIO(), width=200)
    plan_report.show(report, console)
    lines = console.file.getvalue().splitlines()
    assert any(line.startswith("discarded of a in first: ") for line in lines) == discards
    warned = [line for line in report.warnings if "discards" in line]
    assert len(warned) == discards
    if discards:
        assert warned[0].startswith("phase first: document_start discards much of a ")
        assert warned[0].endswith(
            " of a sequence of 64; packing concat, repeat_prefix or best_fit keeps every token, a longer "
            "sequence.length more of them"
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"phases": [{"name": "p", "share": 1, "select": {"at_least": 20, "by": "num_tokens"}}]},
            r"^phases\.p: it selects no document of source 'b'; change its `select`, or allow it: allow_empty: \[b\]$",
        ),
        (
            {"phases": [{"name": "p", "share": 1, "select": {"allow": {"host": ["b.org"]}, "sources": ["b"]}}]},
            r"^phases\.p: it selects no document of source 'b'",
        ),
        (
            {"filter": [{"characters": {"at_least": 20}}], "store": "STORE"},
            r"^sources\.b: no document is left: all 60 that were read are dropped \(filter_characters 60\); change its "
            r"`filter` or `path`, leave it out, or allow it: allow_empty: \[b\]$",
        ),
    ],
)
def test_a_source_of_which_nothing_is_left(folder: Path, tmp_path: Path, changes: Any, message: str) -> None:
    changes = {**changes, **({"store": str(tmp_path)} if "store" in changes else {})}
    config = config_of(folder, "empty", **changes)
    small.prepare_quietly(config)
    with pytest.raises(BylineError, match=message):
        plan(config, ALONE, small.quiet())
    allowed, _ = plan(config.model_copy(update={"allow_empty": ["b"]}), ALONE, small.quiet())
    assert list(allowed.header.stages[0].sources) == ["a"]


def test_a_source_that_is_left_out_by_its_name(folder: Path) -> None:
    small.prepare_quietly(config_of(folder, "named"))
    for select in ({"allow": {"source": ["a"]}}, {"deny": {"source": ["b"]}}):
        config = config_of(folder, "named", phases=[{"name": "p", "share": 1, "select": select}])
        made, _ = plan(config, ALONE, small.quiet())
        assert list(made.header.stages[0].sources) == ["a"]
