"""The kind clusters over a token store: planted topics, empty texts, workers, order, and a recipe that uses labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.verify import verify
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from tests.support import small
from tests.support.attribute_files import file_bytes, made
from tests.transforms.attributes.clusters.test_centres import TOPICS, planted


def config_of(folder: Path, shuffled: bool = False, **settings: Any) -> Config:
    """Two sources of planted topics; the last record of one has no words."""
    texts, _ = planted(240)
    small.tokenizer_file(folder)
    small.write_jsonl(folder / "web/0.jsonl", [{"text": text} for text in texts[:80]])
    small.write_jsonl(folder / "web/1.jsonl", [{"text": text} for text in [*texts[80:160], "1 + 1 = 2"]])
    small.write_jsonl(folder / "wiki/0.jsonl", [{"text": text} for text in texts[160:]])
    sources = {name: {"format": "jsonl", "path": str(folder / f"{name}/*")} for name in ("web", "wiki")}
    return small.small_config(
        folder,
        sources=dict(reversed(sources.items())) if shuffled else sources,
        tokenizer={"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD},
        attributes={"topic": {"kind": "clusters", "number": 3, "features": 4096, **settings}},
        phases=[{"name": "main", "share": 1, "condition": {"template": "Topic: {topic}"}}],
        tokens="all",
        sequence={"length": 256, "packing": "concat"},
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = config_of(tmp_path_factory.mktemp("clusters"))
    small.prepare_quietly(config)
    return config


def topic_of(source: str, path: str, row: int) -> str | None:
    """The planted topic."""
    number = row + {"web0.jsonl": 0, "web1.jsonl": 80, "wiki0.jsonl": 160}[source + path]
    return None if (source, path, row) == ("web", "1.jsonl", 80) else list(TOPICS)[planted(240)[1][number]]


def summary_of(config: Config) -> dict[str, Any]:
    settings = next(content for name, content in file_bytes(config, "topic").items() if name.endswith(".json"))
    summary: dict[str, Any] = json.loads(settings)["summary"]
    return summary


def test_planted_topics_are_told_apart(config: Config) -> None:
    rows = made(config, "topic")
    pairs = {(topic_of(*document), value["topic"]) for document, value in rows.items()}
    assert len(rows) == 241
    assert len(pairs) == 4
    labels = {topic: label for topic, label in pairs if topic is not None}
    for topic, label in labels.items():
        number, *words = label.split("-")
        assert number in ("00", "01", "02")
        assert set(words) < set(TOPICS[topic])
        assert len(words) == 3
    without = rows["web", "1.jsonl", 80]
    assert without["topic"] is without["topic_similarity"] is None
    similarities = [value["topic_similarity"] for value in rows.values() if value["topic"] is not None]
    assert 0.3 < np.median(similarities) < max(similarities) <= 1


def test_the_summary_counts_all_documents(config: Config) -> None:
    rows = made(config, "topic")
    summary = summary_of(config)
    assert summary["documents"] == 241
    assert summary["without_words"] == 1
    assert summary["lines"][-1] == "1 documents without words have no label"
    for cluster in summary["clusters"]:
        values = {key: value for key, value in rows.items() if value["topic"] == cluster["label"]}
        assert cluster["documents"] == len(values)
        assert cluster["tokens"] == sum(len(value["tokens"]) for value in values.values())
        assert sum(cluster["documents_by_source"].values()) == len(values)
        best = [rows[shown["source"], shown["path"], shown["row"]] for shown in cluster["representatives"]]
        highest = sorted((value["topic_similarity"] for value in values.values()), reverse=True)[:3]
        assert [value["topic_similarity"] for value in best] == highest
    counts = [cluster["documents"] for cluster in summary["clusters"]]
    assert counts == sorted(counts, reverse=True)


def test_the_same_bytes_with_two_workers_and_in_another_order(tmp_path: Path) -> None:
    one, other = config_of(tmp_path / "one", sample=60), config_of(tmp_path / "other", shuffled=True, sample=60)
    for config in (one, other):
        small.prepare_quietly(config)
    rows = made(one, "topic")
    made(other, "topic", workers=2)
    ours, others = file_bytes(one, "topic"), file_bytes(other, "topic")
    assert ours == others
    assert len({value["topic"] for value in rows.values()}) == 4


def test_a_build_is_conditioned_on_labels(config: Config) -> None:
    build(config, RunnerSettings(workers=1), small.quiet())
    assert verify(config.output, 1000, None, RunnerSettings(workers=1), small.quiet()) == 0
