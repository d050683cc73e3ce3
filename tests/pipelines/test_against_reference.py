"""Whole builds from raw files, in memory: every row of every shard is the one that the reference makes.

The reference reads the raw files itself and tokenizes with `tokenizers`; of the build it takes the plan's integers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import byline
import byline.pipelines.wiring.prepare
from byline.schemas import store
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts
from byline.schemas.plan import Plan, read_plan
from byline.shards import shard_metadata
from byline.transforms.corpora.reading_transform import ReadCorpus
from byline.transforms.packing import POLICIES
from byline.transforms.shards import shard_writing
from tests.reference import assembly, documents, hashing, layout, selection
from tests.support import slow_shards, small

LENGTH = 48
FILES = {("a", "0.jsonl"): 45, ("a", "sub/1.jsonl"): 30, ("b", "é x.jsonl"): 40}
WORDS = ["the", "fox", "jumps", "über", "中文", small.BOS, "1234.5", "\n\n", "isn't", "    ", small.PAD, "documents"]
CONDITION = {"template": "URL: {host} {license}\n\n", "unknown": "?"}
SELECT = {"top": "0.7", "by": "quality"}
CONDITIONED = [
    {"name": "conditioned", "share": "0.8", "condition": CONDITION, "select": SELECT},
    {"name": "cooldown", "share": "0.2", "select": SELECT},
]
ODD_CONDITIONS = [
    {"name": "after", "share": "0.5", "condition": {**CONDITION, "position": "after", "dropout": "0.3"}},
    {
        "name": "before",
        "share": "0.5",
        "condition": {**CONDITION, "template": "{license}", "unknown": "", "dropout": "0.1"},
    },
]


def record(row: int) -> dict[str, Any]:
    """Texts of 1 to some 150 tokens; some hosts are null or too long, some texts are dropped."""
    words = [WORDS[(row * 5 + at * at) % len(WORDS)] for at in range(1 + row * 17 % 40)]
    values: dict[str, Any] = {
        "text": " ".join(words),
        "url": None if row % 7 == 0 else f"https://{'x1.y2.' * (12 if row % 11 == 0 else row % 3)}example.org/{row}",
        "license": [None, "", "cc-by"][row % 3],
        "quality": None if row % 13 == 0 else row * 37 % 16 / 16,
    }
    if row % 19 == 5:
        del values["text"]
    return {**values, "text": " \n"} if row % 19 == 7 else values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files and a tokenizer."""
    made = tmp_path_factory.mktemp("builds")
    small.tokenizer_file(made)
    for number, ((source, path), rows) in enumerate(FILES.items()):
        small.write_jsonl(made / source / path, [record(100 * number + row) for row in range(rows)])
    return made


@pytest.fixture(scope="module", autouse=True)
def small_pieces() -> Iterator[None]:
    """Several runs a file, and several record batches in each run and shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byline.pipelines.wiring.prepare, "ReadCorpus", partial(ReadCorpus, target_bytes=2000))
        patch.setattr(store, "BATCH_TOKEN_BYTES", 200)
        patch.setattr(shard_writing, "BATCH_BYTES", 1000)
        yield


def config_of(folder: Path, name: str, **changes: Any) -> Config:
    source = {"format": "jsonl", "keep": ["license"], "score": {"quality": "quality"}}
    sources = {name: {**source, "path": str(folder / name / "**" / "*.jsonl")} for name in "ab"}
    return small.small_config(folder, sources=sources, output=str(folder / "out" / name), **changes)


def build(config: Config) -> Plan:
    """Builds on the one token store; returns the plan that the output holds."""
    small.build_quietly(config)
    return read_plan(Path(config.output, "_plan.ipc").read_bytes(), "_plan.ipc")


@pytest.fixture(scope="module")
def kept(folder: Path) -> list[assembly.Document]:
    """What the reference keeps of the raw files."""
    numbers, found = hashing.file_numbers(FILES), []
    for source, path in FILES:
        for raw in documents.read_documents(source, "jsonl", [(path, folder / source / path)]):
            if documents.drop_reason(raw) is None:
                found.append(_as_document(raw, numbers[source, path]))
    return found


def _as_document(raw: documents.RawDocument, file_number: int) -> assembly.Document:
    assert raw.text is not None
    assert raw.record is not None
    quality = raw.record["quality"]
    return assembly.Document(
        source=raw.source,
        shuffle_key=hashing.shuffle_key(raw.source, raw.path, raw.row),
        doc_id=hashing.doc_id(file_number, raw.row),
        tokens=layout.tokenize(small.reference_tokenizer(), raw.text),
        values={"host": None if raw.url is None else raw.url.split("/")[2], "license": raw.record["license"]},
        numbers={"quality": None if quality is None else selection.as_float32(quality)},
    )


KINDS: dict[str, dict[str, Any]] = {
    "all": {"phases": CONDITIONED, "shard": {"sequences": 20}},
    "repeated": {
        "phases": ODD_CONDITIONS,
        "tokens": 250 * LENGTH,
        "mixture": {"a": "0.4", "b": "0.6"},
        "shortage": "repeat",
        "seed": 11,
        "shard": {"sequences": 30, "ids": "uint16", "loss_weight": "float16"},
        "loss_weight": {"a": {"by": "quality", "most": 0.75, "unknown": 0.1}, "b": 0.3},
    },
}


@dataclass(frozen=True)
class Built:
    """A finished build and what the reference makes of its plan."""

    config: Config
    plan: Plan
    expected: dict[tuple[str, int], assembly.Shard]


@pytest.fixture(scope="module", params=[(packing, kind) for packing in POLICIES for kind in KINDS], ids=str)
def built(request: pytest.FixtureRequest, folder: Path, kept: list[assembly.Document]) -> Built:
    packing, kind = request.param
    sequence = {"length": LENGTH, "packing": packing}
    config = config_of(folder, f"{packing}-{kind}", sequence=sequence, **KINDS[kind])
    plan = build(config)
    return Built(config, plan, slow_shards.reference_shards(plan, config, kept))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.tolist() for name, values in row.items() if name != "phase"}


def test_every_row_is_the_references(built: Built) -> None:
    shards = byline.open(built.config.output)
    for phase in built.config.phases:
        expected = [row for (name, _), shard in built.expected.items() if name == phase.name for row in shard.rows]
        assert [plain(row) for row in shards.phase(phase.name)] == expected
        assert len(expected) > 3
    assert len(shards) == sum(len(shard.rows) for shard in built.expected.values())


def test_counts_of_shards_and_ledger_are_the_references(built: Built) -> None:
    manifest = byline.read_manifest(built.config.output)
    for phase in manifest.phases:
        shards = [shard for (name, _), shard in built.expected.items() if name == phase.name]
        for entry, expected in zip(phase.shards, shards, strict=True):
            with pa.memory_map(str(Path(built.config.output, entry.path))) as source:
                found = shard_metadata(pa.ipc.open_file(source).schema, entry.path)
            counts = {name: DrawCounts(**values) for name, values in found["counts"].items()}
            assert small.comparable_counts(counts) == {
                source: pytest.approx(values) for source, values in expected.counts.items()
            }
            assert found["padding"] == expected.padding
        ledger = manifest.ledger["phases"][phase.name]
        assert ledger["padding"] == sum(shard.padding for shard in shards)
        for source, values in ledger["sources"].items():
            for name in ("documents", "positions", "loss_tokens", "conditioned", "prefix_too_long"):
                assert values[name] == sum(shard.counts.get(source, {name: 0})[name] for shard in shards)


def test_documents_are_drawn_once_an_epoch_and_selected_exactly(built: Built, kept: list[assembly.Document]) -> None:
    drawn = slow_shards.drawn_by(built.plan, kept)
    uses = [(use.doc_id, use.epoch) for some in drawn.values() for use in some]
    assert len(uses) == len(set(uses))
    repeated = built.config.shortage.value == "repeat"
    assert max(epoch for _, epoch in uses) == 0 or repeated
    assert len(uses) > len(kept) or not repeated
    if repeated:
        return
    assert {doc_id for doc_id, _ in uses} == best_documents(kept)


def best_documents(kept: list[assembly.Document]) -> set[int]:
    found: set[int] = set()
    for source in "ab":
        mine = [document for document in kept if document.source == source]
        scored = [
            selection.Scored(document.numbers["quality"], document.shuffle_key, len(document.tokens))
            for document in mine
        ]
        found |= {mine[index].doc_id for index in selection.top_share(scored, Fraction("0.7"), "documents")}
    return found


def test_doc_ids_lead_back_to_the_raw_files(built: Built, kept: list[assembly.Document]) -> None:
    shards = byline.open(built.config.output)
    assert list(shards.inputs.values()) == sorted(FILES)
    known = {document.doc_id: document for document in kept}
    for row in shards[::7]:
        for doc_id in row["doc_ids"][row["doc_ids"] >= 0].tolist():
            source, path, number = shards.origin(doc_id)
            assert hashing.shuffle_key(source, path, number) == known[doc_id].shuffle_key


def test_the_ledger_counts_what_was_dropped(built: Built, folder: Path, kept: list[assembly.Document]) -> None:
    sources = byline.read_manifest(built.config.output).ledger["sources"]
    for source in "ab":
        files = [(path, folder / source / path) for name, path in FILES if name == source]
        reasons = [documents.drop_reason(raw) for raw in documents.read_documents(source, "jsonl", files)]
        ledger, mine = sources[source], [document for document in kept if document.source == source]
        assert ledger["read"]["documents"] == len(reasons)
        assert ledger["dropped"] == {name: reasons.count(name) for name in ("empty_text", "missing_text")}
        assert ledger["kept"]["documents"] == len(mine)
        assert ledger["kept"]["tokens"] == sum(len(document.tokens) for document in mine)


def test_the_token_store_is_in_pieces(built: Built) -> None:
    state = small.prepare_quietly(built.config)
    assert len(state.runs) > 2 * len(FILES)
    assert any(len(run.batch_shuffle_keys) > 1 for run in state.runs)
    path = byline.read_manifest(built.config.output).phases[0].shards[0].path
    with pa.memory_map(str(Path(built.config.output, path))) as source:
        assert pa.ipc.open_file(source).num_record_batches > 1


def test_a_source_without_weight_needs_no_field_of_the_template(folder: Path) -> None:
    """Its runs are counted, but no prefix is made of them."""
    phases = [{**CONDITIONED[0], "share": 1}]
    config = config_of(folder, "weightless", phases=phases, mixture={"a": 1, "b": 0})
    values = config.model_dump(mode="json")
    del values["sources"]["b"]["keep"], values["sources"]["b"]["score"]
    plan = build(Config.model_validate(values))
    assert set(plan.header.drawn.unused["b"]) >= {"mixture"}
    assert plan.table["source"].unique().to_pylist() == ["a"]
