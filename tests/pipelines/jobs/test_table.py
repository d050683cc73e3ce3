"""The kind table over a token store: by URL, row and kept field, workers, object stores, merged runs, builds."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from byline.pipelines.jobs.attribute import make_named
from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.compact import compact
from byline.pipelines.jobs.verify import verify
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from tests.support import small
from tests.support.attribute_files import file_bytes, made
from tests.support.builds import segments_of
from tests.support.object_server import BUCKET, object_server, quick_retries

ALONE = RunnerSettings(workers=1)
TOPICS = ["bread", "スポーツ", None, "snow"]


def records(source: str, part: int) -> Iterator[dict[str, Any]]:
    for row in range(12):
        url = None if row == 5 else f"http://{source}.org/ü/{part}/{row % 10}"
        yield {"text": f"{source} {part} {row}", "url": url, "license": f"{source}-{part}-{row}", "quality": 0.5}


def topic_of(url: str) -> str | None:
    return TOPICS[int(url[-1]) % 4]


def config_of(folder: Path, parts: int = 2, where: str | None = None, **changes: Any) -> Config:
    """Two sources, and tables that say the same by URL, by path and row, and by `license`."""
    small.tokenizer_file(folder)
    rows = []
    for source in ("web", "wiki"):
        for part in range(parts):
            of_file = list(records(source, part))
            small.write_jsonl(folder / source / f"{part}.jsonl", of_file)
            for row, record in enumerate(of_file):
                known = record["url"] is not None
                topic = topic_of(record["url"]) if known else None
                keys = {"source": source, "path": f"{part}.jsonl", "row": row, "license": record["license"]}
                rows.append({**keys, "url": record["url"], "topic": topic, "stars": row % 10 if known else None})
    table = folder / "table"
    small.write_jsonl(table / "0.jsonl", rows[::2])
    pq.write_table(pa.Table.from_pylist(rows[1::2]), table / "1.parquet")
    path = str(table / "*") if where is None else where
    attributes = {
        f"{name}_": {
            "kind": "table",
            "path": path,
            "by": by,
            "columns": {f"{name}_topic": {"path": "topic"}, f"{name}_stars": {"path": "stars", "type": "int"}},
        }
        for name, by in (("url", "url"), ("row", "row"), ("id", "license"))
    }
    values: dict[str, Any] = {
        "sources": {
            name: {"format": "jsonl", "path": str(folder / name / "*"), "keep": ["license"]} for name in ("web", "wiki")
        },
        "attributes": attributes,
        "tokens": "all",
        "phases": [
            {
                "name": "main",
                "share": 1,
                "select": [{"at_least": 2, "by": "row_stars"}],
                "condition": {"template": "Topic: {url_topic}\n\n"},
            }
        ],
    }
    return small.small_config(folder, **{**values, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table")


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    config = config_of(folder)
    small.prepare_quietly(config)
    return config


def by_shuffle_key(config: Config, name: str) -> dict[int, tuple[Any, ...]]:
    """Topic and stars of each document, also of merged runs."""
    tables = [pa.ipc.open_file(file).read_all() for file in Path(config.store).glob(f"*/*/attributes/{name}/*/*.arrow")]
    columns = ("shuffle_key", f"{name}topic", f"{name}stars")
    rows = zip(*(pa.concat_tables(tables)[column].to_pylist() for column in columns), strict=True)
    return {key: tuple(values) for key, *values in rows}


def plain(values: dict[tuple[str, str, int], dict[str, Any]]) -> dict[tuple[str, str, int], list[Any]]:
    return {key: [of[name] for name in of if name != "tokens"] for key, of in values.items()}


def test_each_way_to_join_gives_what_the_table_says(config: Config) -> None:
    by_url, by_row, by_id = (plain(made(config, f"{name}_")) for name in ("url", "row", "id"))
    expected = {}
    for source in ("web", "wiki"):
        for part in range(2):
            for row, record in enumerate(records(source, part)):
                url = record["url"]
                expected[source, f"{part}.jsonl", row] = [None, None] if url is None else [topic_of(url), row % 10]
    assert by_url == expected
    assert by_row == expected
    assert by_id == expected


def test_what_is_said_of_it(config: Config) -> None:
    made(config, "url_")
    files = file_bytes(config, "url_")
    (content, *_) = (json.loads(content) for name, content in files.items() if name.endswith("attribute.json"))
    assert content["summary"]["documents"]["web"] == {"documents": 24, "matched": 22, "unmatched": 0, "without_key": 2}
    assert content["summary"]["table"]["doubled"] == 8
    text = io.StringIO()
    other = config.model_copy(update={"attributes": {"again": config.attributes["url_"]}})
    make_named(other, ["again"], ALONE, Console(file=text, width=200))
    assert "attribute again: wiki: 22 of 24 documents have a row (91.7%), 2 have no url" in text.getvalue()


def test_the_same_bytes_with_two_workers(config: Config, tmp_path: Path) -> None:
    other = config_of(tmp_path)
    small.prepare_quietly(other)
    for name in ("url_", "row_"):
        made(config, name)
        made(other, name, workers=2)
        assert file_bytes(config, name) == file_bytes(other, name)


def test_new_files_alone_are_joined_and_merged_runs_keep_their_values(tmp_path: Path) -> None:
    config = config_of(tmp_path, parts=3)
    (tmp_path / "web/2.jsonl").rename(tmp_path / "later.jsonl")
    small.prepare_quietly(config)
    made(config, "row_")
    before = set(file_bytes(config, "row_"))
    (tmp_path / "later.jsonl").rename(tmp_path / "web/2.jsonl")
    small.prepare_quietly(config)
    made(config, "row_")
    assert len(set(file_bytes(config, "row_")) - before) == 1
    apart = by_shuffle_key(config, "row_")
    compact(config, 1 << 30, ALONE, small.quiet())
    make_named(config, ["row_", "url_"], ALONE, small.quiet())
    assert len(list(Path(config.store).glob("*/*/attributes/url_/*/merged-*.arrow"))) == 2
    assert len(apart) == 72
    assert by_shuffle_key(config, "row_") == by_shuffle_key(config, "url_") == apart


def test_a_table_in_an_object_store(config: Config, folder: Path, tmp_path: Path) -> None:
    with quick_retries(), object_server() as server:
        for name in ("0.jsonl", "1.parquet"):
            server.put(f"labels/a b/{name}", (folder / "table" / name).read_bytes())
        other = config_of(tmp_path, where=f"s3://{BUCKET}/labels/**")
        small.prepare_quietly(other)
        assert plain(made(other, "url_")) == plain(made(config, "url_"))


def test_a_build_conditions_on_it_and_selects_by_it(config: Config) -> None:
    build(config, ALONE, small.quiet())
    assert verify(config.output, 1000, None, ALONE, small.quiet()) == 0
    taken = {(segment.source, segment.path, segment.document) for segment in segments_of(Path(config.output))}
    stars = {key: of[1] for key, of in plain(made(config, "row_")).items()}
    assert {(source, path, row) for source, path, row in taken} == {
        key for key, number in stars.items() if number is not None and number >= 2
    }
