"""Attributes are the same bytes everywhere: a joined table, duplicates and contamination, and a build that names them.

```
local    one process (expected)    two processes    two processes on s3://
Spark    two workers
Flink    two workers
```
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.jobs.build import build
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from tests.clusters.conftest import Engine
from tests.support.builds import digests, quiet, verify
from tests.support.corpora import Corpus, Record, read_raw, recipe, write_corpus, write_jsonl
from tests.support.object_server import BUCKET, object_server

pytestmark = pytest.mark.cluster
PHASES = [
    {
        "name": "main",
        "share": 1,
        "select": [{"drop": ["twins"]}],
        "mask": ["evals"],
        "condition": {"template": "Shelf: {shelf}\n\n"},
    }
]


def long_records(corpus: Corpus) -> list[Record]:
    """Records whose texts are long enough to be similar to each other, and have URLs."""
    records = [record for path in corpus.files("c4") for record in read_raw(path)]
    return [record for record in records if record.url and record.text and len(record.text.split()) > 60]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus in which `mine` repeats some of `c4`, exactly or but for a word, with a table and an evaluation set."""
    made = write_corpus(tmp_path_factory.mktemp("corpus"))
    records = long_records(made)
    exact = [Record(f"{record.url}&again", record.text) for record in records[:10]]
    similar = [Record(f"{record.url}&other", f"{record.text} indeed") for record in records[10:20]]
    write_jsonl(made.root / "mine/again.jsonl", [*exact, *similar])
    rows = [{"url": record.url, "shelf": f"s{number % 5}"} for number, record in enumerate(records[::2])]
    distinct = {row["url"]: row for row in rows}
    write_lines(made.root / "tables/shelves.jsonl", list(distinct.values()))
    items = [" ".join((record.text or "").split()[20:45]) for record in records[20:30]]
    write_lines(made.root / "tables/quiz.jsonl", [{"question": item} for item in items])
    return made


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def values(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """The recipe."""
    made = recipe(corpus, folder, classifiers=None, mixture="natural", tokens="all", phases=PHASES)
    made["sources"] = {name: made["sources"][name] for name in ("c4", "mine")}
    tables = f"{corpus.root}/tables"
    shelves = {"kind": "table", "path": f"{tables}/shelves.jsonl", "by": "url", "max_unmatched": 1}
    quiz = {"path": f"{tables}/quiz.jsonl", "fields": ["question"]}
    attributes = {
        "shelf": {**shelves, "column": {}},
        "twins": {"kind": "duplicates", "near": "fineweb", "priority": ["c4"]},
        "evals": {"kind": "contamination", "sets": {"quiz": quiz}},
    }
    return {**made, "attributes": attributes, "min_known": 0}


@pytest.fixture(scope="module")
def expected(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """sha256 of every run, file of an attribute and shard, made in this process."""
    folder = tmp_path_factory.mktemp("expected")
    build(parse_config(values(corpus, folder), "test"), RunnerSettings(workers=1), quiet())
    status, text = verify(folder / "shards", allow_missing=False)
    assert status == 0, text
    found = digests(folder)
    assert sum("/attributes/" in name for name in found) > 9
    ledger = json.loads((folder / "shards/_manifest.json").read_bytes())["ledger"]["sources"]
    assert ledger["mine"]["unused"]["dropped_twins"]["documents"] >= 20
    return found


def test_two_processes(corpus: Corpus, expected: dict[str, str], tmp_path: Path) -> None:
    build(parse_config(values(corpus, tmp_path), "test"), RunnerSettings(workers=2), quiet())
    assert digests(tmp_path) == expected


def test_an_object_store(corpus: Corpus, expected: dict[str, str], tmp_path: Path) -> None:
    own = json.loads(json.dumps(values(corpus, tmp_path)).replace(str(corpus.root), f"s3://{BUCKET}/raw"))
    own["tokenizer"]["file"] = str(corpus.tokenizer)
    own |= {"store": f"s3://{BUCKET}/out/store", "output": f"s3://{BUCKET}/out/shards"}
    with object_server() as server:
        for path in sorted(corpus.root.rglob("*")):
            if path.is_file():
                server.put(f"raw/{path.relative_to(corpus.root).as_posix()}", path.read_bytes())
        build(parse_config(own, "test"), RunnerSettings(workers=2), quiet())
        keys = [key for key in server.list_keys("out/") if key.endswith((".arrow", ".ipc"))]
        found = {key.removeprefix("out/"): hashlib.sha256(server.content(key)).hexdigest() for key in keys}
    # The paths of what attributes are made from are no part of them, nor of their names.
    assert found == expected


@pytest.mark.usefixtures("scans_are_jobs")
def test_a_cluster(engine: Engine, corpus: Corpus, expected: dict[str, str], tmp_path: Path) -> None:
    build(parse_config(values(corpus, tmp_path), "test"), engine.settings(), quiet())
    assert digests(tmp_path) == expected
