"""Rejects: each dropped record is kept with its reason, and too many are an error; damaged files used in part."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byline.errors import BylineError
from byline.pipelines.cli import app
from byline.schemas.config import Config
from byline.transforms.corpora import reading_transform
from byline.transforms.store.rejects import read_rejects, rejects_uri
from tests.support import small

GOOD = [json.dumps({"text": f"the quick fox {row}"}) for row in range(20)]
BAD = ["x,\x1b[2J", '{"url": "http://a.org"}', '{"text": " "}', '{"text": 5}', '{"text": "' + "y" * 300 + '"}', "{x"]


@pytest.fixture
def lines() -> list[str]:
    return [*GOOD[:10], *BAD[:3], "", *GOOD[10:], *BAD[3:]]


def write(folder: Path, lines: list[str], name: str = "a.jsonl") -> Path:
    file = folder / "web" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes("\n".join(lines).encode())
    return file


def config_of(folder: Path, **settings: Any) -> Config:
    small.tokenizer_file(folder)
    web = {"format": "jsonl", "path": str(folder / "web/*"), "malformed": "drop", "max_document": 200}
    web |= {"max_rejected": "1%", **settings}
    tokenizer = {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD}
    return small.small_config(folder, sources={"web": web}, tokenizer=tokenizer)


def rejects_in(config: Config) -> list[list[Any]]:
    state = small.prepare_quietly(config)
    uris = [rejects_uri(state.folders[run.source], run) for run in state.runs]
    return [list(row.values()) for uri in uris if Path(uri).exists() for row in read_rejects(uri).to_pylist()]


@pytest.mark.parametrize("target", [1 << 20, 300])
def test_each_reject_is_kept(tmp_path: Path, lines: list[str], target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_transform.ReadCorpus.__init__, "__defaults__", (target, None))
    content = write(tmp_path, lines).read_bytes()
    found = rejects_in(config_of(tmp_path, max_rejected="100%"))
    reasons = [("malformed", 10), ("missing_text", 11), ("empty_text", 12), ("malformed", 23), ("too_long", 24)]
    assert [(reason, row) for reason, row, *_ in found] == [*reasons, ("malformed", 25)]
    assert [content[offset:][: len(head)] for _, _, offset, _, head in found] == [head for *_, head in found]
    assert [head for *_, head in found] == [line.encode()[:200] for line in BAD]
    assert [why for _, _, _, why, _ in found][:4] == [
        "expected a JSON object", None, None, "the text is a number, expected a string",
    ]  # fmt: skip


def test_too_many_rejects_are_an_error_until_they_are_allowed(tmp_path: Path, lines: list[str]) -> None:
    write(tmp_path, lines)
    message = (
        r"sources\.web\.max_rejected: 6 of 26 records were dropped \(23\.08 %: malformed 3, too_long 1, missing_"
        r"text 1, "
        r"empty_text 1\), and 1 % may be; see `byline rejects CONFIG --source web`"
    )
    for _ in range(2):
        with pytest.raises(BylineError, match=message):
            small.prepare_quietly(config_of(tmp_path))
    before = {file: file.stat().st_mtime_ns for file in Path(config_of(tmp_path).store).rglob("*.arrow")}
    small.prepare_quietly(config_of(tmp_path, max_rejected=0.25))
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_file_without_any_text_is_dropped_and_listed(tmp_path: Path) -> None:
    write(tmp_path, GOOD * 30)
    write(tmp_path, BAD[1:2], "b.jsonl")
    assert rejects_in(config_of(tmp_path)) == [["missing_text", 0, 0, None, BAD[1].encode()]]


def test_a_source_without_any_text_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, BAD[1:2] * 7)
    with pytest.raises(BylineError, match=r"7 of 7 records .* name the right one in sources\.web\.fields\.te"):
        small.prepare_quietly(config_of(tmp_path))


def test_a_large_file_of_rejects_is_given_up_at_its_first_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_transform.ReadCorpus.__init__, "__defaults__", (64 * 20_000, None))
    write(tmp_path, ["{x"] * 60_000)
    with pytest.raises(BylineError, match=r"20,000 of its first 20,000 records are no documents \(malf"):
        small.prepare_quietly(config_of(tmp_path))
    assert len(rejects_in(config_of(tmp_path, max_rejected=1))) == 60_000


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a.jsonl").write_bytes("\n".join(GOOD).encode("utf-16"))
    with pytest.raises(BylineError, match=r"a\.jsonl: expected JSON lines, found .*UTF-16"):
        small.prepare_quietly(config_of(tmp_path))


def test_what_a_formatter_refuses_is_a_reject(tmp_path: Path) -> None:
    records = [{"c": [{"role": "user", "content": "a"}]}, {"c": []}, {"c": [{"role": "nobody", "content": "x"}]}]
    write(tmp_path, [json.dumps(record) for record in records])
    found = rejects_in(config_of(tmp_path, fields={"messages": "c"}, formatter="chat", max_rejected=1))
    assert [(reason, row) for reason, row, *_ in found] == [("malformed", 1), ("malformed", 2)]
    assert found[1][-1] == b'{"messages":[{"role":"nobody","content":"x"}]}'


def test_the_command_shows_them(tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, lines)
    config = config_of(tmp_path, max_rejected=1)
    small.prepare_quietly(config)
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)))
    shown = CliRunner().invoke(app, ["rejects", str(file), "--limit", "2"])
    assert shown.exit_code == 0, shown.output
    summary, counts, first, second = shown.output.splitlines()
    assert summary == (
        "web: 6 of 26 records are rejects (23.08 %): malformed 3, too_long 1, missing_text 1, empty_text 1"
    )
    assert counts == "  a.jsonl  6"
    offset = sum(len(line) + 1 for line in GOOD[:10])
    assert first == f"web/a.jsonl, row 10, byte {offset}: malformed (expected a JSON object): x,\\x1b[2J"
    assert second.endswith('missing_text: {"url": "http://a.org"}')
    found = json.loads(CliRunner().invoke(app, ["rejects", str(file), "--json", "--reason", "too_long"]).output)
    assert found["sources"]["web"]["rejects"]["malformed"] == 3
    assert [(record["row"], record["reason"]) for record in found["records"]] == [(24, "too_long")]
    wrong = CliRunner().invoke(app, ["rejects", str(file), "--source", "webb"])
    assert isinstance(wrong.exception, BylineError)


def test_what_can_be_read_of_a_damaged_file(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(GOOD * 50).encode(), mtime=0)
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a.gz").write_bytes(whole[:-3])
    with pytest.raises(BylineError, match="damaged or cut short"):
        small.prepare_quietly(config_of(tmp_path))
    state = small.prepare_quietly(config_of(tmp_path, damaged="use_readable"))
    (run,) = state.runs
    assert run.rows_read == 999  # the last line has no end
    assert "a.gz: the gzip data is damaged or cut short" in run.damage
    with pytest.raises(BylineError, match="damaged or cut short"):
        small.prepare_quietly(config_of(tmp_path))
    assert not list(Path(config_of(tmp_path).store).rglob("*.arrow"))
