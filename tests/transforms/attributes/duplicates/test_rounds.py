"""The rounds of duplicates say what `find_duplicates` says of all documents at once, however rows are spread."""

import json
import pickle
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.pipelines.jobs.attribute import make_attributes
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.attribute_kinds.duplicates import DuplicatesAttribute
from byline.schemas.config import Config
from byline.transforms.attributes.duplicates import candidates, kind, verifying
from byline.transforms.attributes.kinds import kind_named
from byline.transforms.attributes.rounds import Context, Summary
from byline.transforms.attributes.stored_documents import Reading, StoredChunk, StoredFile
from byline.transforms.attributes.values import parts_uri, read_values
from byline.transforms.corpora import reading, reading_transform
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.duplicates.deciding import Ranks
from byline.transforms.duplicates.finding import find_duplicates
from byline.transforms.duplicates.presets import PRESETS
from byline.transforms.store.state import StoreState
from tests.support import small
from tests.transforms.duplicates.corpora import planted, versions

# (source, path, row) -> text
Documents = dict[tuple[str, str, int], str]
Values = dict[tuple[str, str, int], dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, StoreState, Documents]:
    """Planted documents in two sources, of two files and one, in chunks of about ten."""
    monkeypatch.setattr(reading.read_batches, "__defaults__", (6_000,))
    monkeypatch.setattr(reading_transform.ReadCorpus.__init__, "__defaults__", (6_000, None))
    small.tokenizer_file(tmp_path)
    texts = [text for text in [*planted(5, 25, sizes=(1, 120)), *versions(6, 8)] if text.strip()]
    random.Random(4).shuffle(texts)
    documents: Documents = {}
    for number, text in enumerate(texts):
        source, path = (("a", "0.jsonl"), ("a", "1.jsonl"), ("b", "0.jsonl"))[number % 3]
        documents[source, path, number // 3] = text
    for source, path in (("a", "0.jsonl"), ("a", "1.jsonl"), ("b", "0.jsonl")):
        records = [{"text": text} for key, text in documents.items() if key[:2] == (source, path)]
        (tmp_path / source).mkdir(exist_ok=True)
        small.write_jsonl(tmp_path / source / path, records)
    state = small.prepare_quietly(configured(tmp_path))
    assert len(state.runs) > 6
    return tmp_path, state, documents


def configured(folder: Path, **settings: Any) -> Config:
    source = {"format": "jsonl"}
    sources = {name: {**source, "path": str(folder / name / "*.jsonl")} for name in "ab"}
    attributes = {"twins": {"kind": "duplicates", **settings}}
    return small.small_config(folder, sources=sources, attributes=attributes)


def context_of(config: Config, state: StoreState, work: Path) -> Context:
    files = [
        StoredFile(file, tuple(StoredChunk(run) for run in state.runs if (run.source, run.path) == file_key))
        for file in state.inputs
        for file_key in [(file.source, file.path)]
    ]
    return Context(
        config=config,
        name="twins",
        settings=config.attributes["twins"],
        files=[replace(file, file=replace(file.file, done=())) for file in files],
        reading=Reading.of(config),
        work=str(work),
        models=str(work),
    )


def run_all(context: Context, order: Callable[[list[str]], list[str]] = lambda lines: lines) -> tuple[Values, Summary]:
    """Runs all rounds; returns what they say of documents, and the summary."""
    rounds = kind_named("duplicates").rounds(context)
    while True:
        try:
            work = next(rounds)
        except StopIteration as end:
            return dict(values_of(context)), end.value
        do = pickle.loads(pickle.dumps(work.do))
        for line in order(work.lines):
            do(line)


def values_of(context: Context) -> Iterator[tuple[tuple[str, str, int], dict[str, Any]]]:
    for run in context.runs:
        values = read_values(parts_uri(context.parts, run.source, run.path, run.chunk))
        assert values is not None
        for row in values.to_pylist():
            yield (run.source, run.path, row.pop("row")), row


def expected(documents: Documents, settings: DuplicatesAttribute) -> Values:
    keys = sorted(documents)
    behind = len(settings.priority)
    order = {name: number for number, name in enumerate(settings.priority)}
    ranks = Ranks(
        np.array([order.get(source, behind) for source, _, _ in keys]),
        np.array([shuffle_keys(source, path, np.array([row]))[0] for source, path, row in keys]),
        np.arange(len(keys), dtype=np.uint64),
    )
    texts = pa.array([documents[key] for key in keys], pa.large_string())
    preset = None if settings.near is None else PRESETS[settings.near]
    kept = find_duplicates(texts, ranks, settings.normalization, preset, settings.similarity)
    sources: dict[int, set[str]] = {}
    for key, one in zip(keys, kept.tolist(), strict=True):
        sources.setdefault(one, set()).add(key[0])
    return {
        key: {
            "twins": one != number,
            "twins_of": "{}/{}:{}".format(*keys[one]) if one != number else None,
            "twins_sources": len(sources[one]),
            "twins_matched": "+".join(sorted(sources[one])),
        }
        for number, (key, one) in enumerate(zip(keys, kept.tolist(), strict=True))
    }


CASES = [
    {"near": "fineweb"},
    {"near": "nemo", "priority": ["b"]},
    {"near": "strict", "normalization": "exact", "similarity": 0.6},
    {"near": None, "normalization": "simplified", "priority": ["b", "a"]},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_rounds_say_what_one_function_says(
    store: tuple[Path, StoreState, Documents], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state, documents = store
    config = configured(folder, max_removed=1, **settings)
    attribute = config.attributes["twins"]
    assert isinstance(attribute, DuplicatesAttribute)
    values, summary = run_all(context_of(config, state, folder / "one"))
    assert values == expected(documents, attribute)
    assert 10 < sum(of["removed"] for of in summary["sources"].values()) == sum(row["twins"] for row in values.values())
    # The same in many small partitions, in any order, each line done twice; not all can be decided at once.
    monkeypatch.setattr(kind, "partitions_for", lambda *_: 8)
    monkeypatch.setattr(kind, "_TEXT_BYTES", 2000)
    monkeypatch.setattr(candidates, "FOLLOWERS", 1)
    monkeypatch.setattr(verifying, "_BLOCK_BYTES", 500)
    shuffled = random.Random(1)
    order = lambda lines: shuffled.sample(lines * 2, 2 * len(lines))  # noqa: E731
    again, same = run_all(context_of(config, state, folder / "many"), order)
    assert (folder / "many/settled-1").exists() == (attribute.near is not None)
    assert again == values
    assert same == summary


def test_the_order_of_sources_and_files_changes_nothing(store: tuple[Path, StoreState, Documents]) -> None:
    folder, state, _ = store
    config = configured(folder, max_removed=1)
    context = context_of(config, state, folder / "one")
    values, _ = run_all(context)
    mixed = replace(context, files=context.files[::-1], work=str(folder / "two"))
    assert run_all(mixed, lambda lines: lines[::-1])[0] == values
    for run in context.runs:
        uris = [parts_uri(one.parts, run.source, run.path, run.chunk) for one in (context, mixed)]
        assert len({Path(uri).read_bytes() for uri in uris}) == 1


def test_more_than_may_be_removed(store: tuple[Path, StoreState, Documents]) -> None:
    folder, state, documents = store
    with pytest.raises(BylineError) as raised:
        run_all(context_of(configured(folder, max_removed="5%"), state, folder / "one"))
    message = str(raised.value)
    assert "documents of a (" in message
    assert "more than `max_removed` (5%)" in message
    clusters = re.findall(r"(\d+) like (\w)/(\S+):(\d+) '(.*?)'", message)
    assert 1 < len(clusters) <= 10
    for _, source, path, row, beginning in clusters:
        assert beginning
        assert " ".join(documents[source, path, int(row)].split()).startswith(beginning)
    sizes = [int(size) for size, *_ in clusters]
    assert sizes == sorted(sizes, reverse=True)


def test_the_largest_clusters_are_those_of_the_values(store: tuple[Path, StoreState, Documents]) -> None:
    folder, state, _ = store
    for near in ("fineweb", None):
        values, summary = run_all(context_of(configured(folder, max_removed=1, near=near), state, folder / str(near)))
        sizes: dict[str, int] = {}
        for (source, path, row), of in values.items():
            kept = of["twins_of"] or f"{source}/{path}:{row}"
            sizes[kept] = sizes.get(kept, 0) + 1
        largest = {one["kept"]: one["documents"] for one in summary["largest"]}
        assert {kept: sizes[kept] for kept in largest} == largest
        assert min(largest.values()) >= sorted(sizes.values(), reverse=True)[9]


def test_a_priority_of_no_source(store: tuple[Path, StoreState, Documents]) -> None:
    folder, state, _ = store
    with pytest.raises(BylineError, match="there is no source 'c'; there are: a, b"):
        run_all(context_of(configured(folder, priority=["c"]), state, folder / "one"))


def test_the_command_writes_it_beside_the_runs(store: tuple[Path, StoreState, Documents]) -> None:
    folder, state, documents = store
    config = configured(folder, max_removed="90%", similarity="70%")
    (made,) = make_attributes(config, state, ["twins"], RunnerSettings(workers=1), small.quiet())
    attribute = config.attributes["twins"]
    assert isinstance(attribute, DuplicatesAttribute)
    assert attribute.similarity == Fraction(7, 10)
    removed = sum(row["twins"] for row in expected(documents, attribute).values())
    text = next(folder.glob("store/**/attributes/twins/**/attribute.json")).read_text(encoding="utf-8")
    assert sum(of["removed"] for of in json.loads(text)["summary"]["sources"].values()) == removed
    assert made.counts["a"]["twins"].known == sum(key[0] == "a" for key in documents)


def test_values_depend_on_what_a_preset_stands_for(tmp_path: Path) -> None:
    def identity(**settings: Any) -> dict[str, Any]:
        config = configured(tmp_path, **settings)
        return dict(kind_named("duplicates").identity(config, "twins", config.attributes["twins"]))

    assert identity(near=None) == {"hashes": 2}
    assert identity(near="nemo") == {
        "hashes": 2,
        "bands": [20, 13],
        "shingles": "24 characters of text",
        "least": "4/5",
    }
    assert identity(normalization="simplified", similarity=0.6) == {
        "hashes": 2,
        "bands": [14, 8],
        "shingles": "5 words of simplified",
        "least": "3/5",
    }
