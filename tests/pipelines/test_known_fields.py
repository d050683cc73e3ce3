"""Builds over records that lack what their recipe names: errors before anything is written, and warnings."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from tests.support import small

CONDITIONED = [{"name": "only", "share": 1, "condition": {"template": "URL: {host}\n"}}]
ALONE = RunnerSettings(workers=1)


def config_of(folder: Path, records: list[dict[str, Any]], settings: dict[str, Any], **changes: Any) -> Config:
    small.tokenizer_file(folder)
    small.write_jsonl(folder / "web/a.jsonl", records)
    source = {"format": "jsonl", "path": f"{folder}/web/*.jsonl", **settings}
    return small.small_config(folder, sources={"web": source}, phases=CONDITIONED, **changes)


def lines_of(config: Config, *, builds: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=300)
    build(config, ALONE, console) if builds else prepare(config, ALONE, console)
    return console.file.getvalue().splitlines()


def records(*urls: str | None) -> list[dict[str, Any]]:
    return [{"text": f"page {number}", "url": url} for number, url in enumerate(urls)]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"fields": {"url": "urls"}}, "fields.url"),
        ({"keep": ["licence"]}, "keep.licence"),
        ({"score": {"quality": "q"}}, "score.quality"),
    ],
)
def test_a_misspelt_field_is_an_error_before_anything_is_written(
    tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    config = config_of(tmp_path, records("http://a.org/"), settings)
    with pytest.raises(BylineError, match=rf"a\.jsonl: sources\.web\.{key}: none of the first records has the field"):
        lines_of(config)
    assert not Path(config.store).exists()
    assert not list(Path(config.output).rglob("*"))


def test_urls_that_a_template_needs_and_no_record_has(tmp_path: Path) -> None:
    config = config_of(tmp_path, [{"text": "a page"}], {})
    message = "phases.only.condition: 'host' is known for no document of source web (none of the first records has "
    with pytest.raises(BylineError) as error:
        lines_of(config)
    assert str(error.value).startswith(message)
    assert not Path(config.store).exists()
    # Another recipe may need none.
    assert any(line.startswith(f"warning {message}") for line in lines_of(config, builds=False))
    with pytest.raises(BylineError, match=r"'host' is known for no document of source web \(1 null\)"):
        lines_of(config)
    assert lines_of(config.model_copy(update={"min_known": 0}))


def test_counts_are_shown_and_few_are_warned_of(tmp_path: Path) -> None:
    config = config_of(tmp_path, records("http://a.org/x", "mailto:a@b.org", None, ""), {})
    lines = lines_of(config)
    counts = "host 1 known, 1 null, 2 unknown; registered_domain 1 known, 1 null, 2 unknown; url 2 known, 1 null, 1"
    assert f"fields of web: {counts} unknown" in lines
    warning = (
        "warning source web: host is known for 25.00% of the documents (1 known, 1 null, 2 unknown), and "
        "phases.only.condition uses it; name where it stands in a record in sources.web.fields.url, or lower "
        "min_known.web"
    )
    assert lines.count(warning) == 1
    ledger = json.loads(Path(config.output, "_manifest.json").read_bytes())["ledger"]
    assert ledger["sources"]["web"]["fields"] == {
        "url": {"known": 2, "null": 1, "unknown": 1},
        "host": {"known": 1, "null": 1, "unknown": 2},
        "registered_domain": {"known": 1, "null": 1, "unknown": 2},
    }
    quiet = lines_of(config.model_copy(update={"min_known": {"web": 0}}))
    assert not any(line.startswith("warning source web") for line in quiet)


def test_tokens_that_the_tokenizer_lacks_are_told_before_preparing(tmp_path: Path) -> None:
    config = config_of(tmp_path, records("http://a.org/"), {})
    wrong = config.model_copy(update={"tokenizer": config.tokenizer.model_copy(update={"eos": "<eos>"})})
    with pytest.raises(BylineError, match=r"tokenizer\.eos: .*'<eos>'"):
        lines_of(wrong)
    begun = [{**CONDITIONED[0], "condition": {"template": "x", "begin": "<b>"}}]
    with pytest.raises(BylineError, match=r"phases\.only\.condition\.begin: .*'<b>'"):
        lines_of(small.small_config(tmp_path, sources={"web": config.sources["web"].model_dump()}, phases=begun))
    assert not Path(config.store).exists()
