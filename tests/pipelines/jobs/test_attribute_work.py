"""A killed `byline attribute` goes on where it was, whatever the kind, and leaves what an unbroken one leaves."""

import json
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.jobs import attribute as job
from byline.pipelines.jobs.attribute_list import remove_attributes
from byline.pipelines.jobs.attribute_work import AttributeWork
from byline.pipelines.jobs.compact import compact
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.transforms.attributes.aligning import Align
from byline.transforms.attributes.run_lines import Once
from tests.support import small
from tests.support.attribute_files import file_bytes

ALONE = RunnerSettings(workers=1)
TEXTS = {
    "a/x.jsonl": ["The quick brown fox jumps over the lazy dog.", "one", "The quick brown fox jumps over the dog."],
    "a/y.jsonl": ["Knead the bread and bake it in an oven.", "The quick brown fox jumps over the lazy dog."],
    "b/z.jsonl": ["A ball and a goal.", "Knead the bread and bake it, in an oven!"],
}
KINDS: dict[str, dict[str, Any]] = {
    "function": {
        "kind": "function",
        "function": "tests.support.attribute_functions:sizes",
        "columns": {"characters": "int"},
    },
    "duplicates": {"kind": "duplicates", "max_removed": 1},
    "clusters": {"kind": "clusters", "number": 2, "features": 1024},
    "contamination": {
        "kind": "contamination",
        "words": 4,
        "sets": {"set": {"path": "ITEMS", "fields": ["text"]}},
    },
    "spans": {"kind": "spans", "path": "ROWS", "by": "url", "label": "text"},
    "table": {"kind": "table", "path": "ROWS", "by": "url", "column": "text", "max_unmatched": "100%"},
    "rows": {"kind": "table", "path": "ROWS", "by": "row", "column": "text"},
}


class Killed(BaseException):
    """What no code catches."""


def config_of(folder: Path, kind: str) -> Config:
    text = json.dumps(KINDS[kind]).replace("ITEMS", str(folder / "items.jsonl")).replace("ROWS", f"{folder}/rows.jsonl")
    small.tokenizer_file(folder)
    rows = []
    for path, texts in TEXTS.items():
        records = [small.with_kept_fields({"text": text, "url": f"http://{path}/{text[:5]}"}) for text in texts]
        small.write_jsonl(folder / path, records)
        source, _, name = path.partition("/")
        rows += [
            {"source": source, "path": name, "row": row, "url": records[row]["url"], "text": "x", "start": 0, "stop": 1}
            for row in (0, 1)
        ]
    small.write_jsonl(folder / "rows.jsonl", rows)
    small.write_jsonl(folder / "items.jsonl", [{"text": "quick brown fox jumps over"}])
    config = small.small_config(folder, attributes={"it": json.loads(text)})
    small.prepare_quietly(config)
    return config


def make(config: Config) -> None:
    job.make_named(config, ["it"], ALONE, small.quiet())


def left(config: Config) -> list[Path]:
    return sorted(path for path in Path(config.store).glob(".attributes/*") if path.is_dir())


def lines_done(config: Config) -> int:
    return len(list(Path(config.store).glob(".attributes/*/done/*/*")))


@pytest.mark.parametrize("kind", KINDS)
def test_it_may_be_killed_after_every_line(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, kind)
    make(config)
    unbroken = file_bytes(config, "it")
    remove_attributes(config, ["it"], small.quiet())
    call, kills = Once.__call__, 0

    def killed(self: Once, line: str) -> None:
        before = lines_done(config)
        call(self, line)
        if lines_done(config) > before:
            raise Killed

    monkeypatch.setattr(Once, "__call__", killed)
    while True:
        try:
            make(config)
            break
        except Killed:
            kills += 1
            # What was done before was not done again.
            assert lines_done(config) == kills
    assert kills
    assert file_bytes(config, "it") == unbroken
    assert left(config) == []


@pytest.mark.parametrize("step", ["align", "finish", "remove"])
def test_it_may_be_killed_at_the_end(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, "contamination")
    make(config)
    unbroken = file_bytes(config, "it")
    remove_attributes(config, ["it"], small.quiet())
    patched = {"align": (Align, "__call__"), "finish": (job, "_finish"), "remove": (AttributeWork, "remove")}
    owner, name = patched[step]
    real = getattr(owner, name)

    def dies(*arguments: Any) -> None:
        if step == "align":
            real(*arguments)
        if step == "remove":
            made = list(Path(config.store).glob(".attributes/*/made.json"))
            if not made:
                return
            made[0].unlink()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(Killed):
            make(config)
    assert left(config)
    make(config)
    # With the report of all documents, not of those that were left alone.
    assert file_bytes(config, "it") == unbroken
    assert left(config) == []


def test_what_was_made_of_other_texts_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, "table")
    with monkeypatch.context() as patch:
        patch.setattr(Align, "__call__", dies_at_once)
        with pytest.raises(Killed):
            make(config)
    records = [{"text": text, "url": "http://other/"} for text in TEXTS["a/x.jsonl"]]
    small.write_jsonl(tmp_path / "a/x.jsonl", map(small.with_kept_fields, records))
    small.prepare_quietly(config)
    make(config)
    kept = file_bytes(config, "it")
    remove_attributes(config, ["it"], small.quiet())
    make(config)
    assert file_bytes(config, "it") == kept


def dies_at_once(*arguments: Any) -> None:
    raise Killed


def test_a_report_stays_when_runs_are_merged(tmp_path: Path) -> None:
    config = config_of(tmp_path, "clusters")
    make(config)
    before = reports(config)
    assert before[0]["summary"]["lines"]
    compact(config, 1 << 30, ALONE, small.quiet())
    make(config)
    assert reports(config) == before


def reports(config: Config) -> list[dict[str, Any]]:
    return [
        json.loads(path.read_bytes()) for path in sorted(Path(config.store).glob("*/*/attributes/it/*/attribute.json"))
    ]
