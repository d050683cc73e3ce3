"""Whole builds on all layouts, held against the raw files in plain Python: every document, every token, every sum."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

import byline
from tests.support.builds import build, digests, manifest_of, segments_of, verify
from tests.support.corpora import GIVEN_SCORE, GOOD, SOURCES, SPECIAL, Corpus, read_raw, recipe

POLICIES = ["document_start", "concat", "repeat_prefix", "best_fit"]
ROOTS = {"c4": "c4", "dclm": "dclm", "mine": "mine", "refinedweb": "refinedweb"}
HOSTS = {"www.example.co.uk": "www.example.co.uk", "münchen.example": "xn--mnchen-3ya.example"}
CHECKS = ["runs", "files", "rows", "ledger", "phases", "token store", "raw corpus"]
Make = Callable[..., Path]


@dataclass
class Read:
    """What plain Python finds in the raw files of one source."""

    documents: int = 0
    size: int = 0
    dropped: Counter = field(default_factory=Counter)
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    urls: dict[tuple[str, int], str | None] = field(default_factory=dict)


@pytest.fixture(scope="module")
def raw(corpus: Corpus) -> dict[str, Read]:
    found = {}
    for source in SOURCES:
        read = found[source] = Read()
        for file in corpus.files(source):
            for row, record in enumerate(read_raw(file)):
                key = (file.relative_to(corpus.root / ROOTS[source]).as_posix(), row)
                read.documents += 1
                read.size += len((record.text or "").encode())
                if record.text is None:
                    read.dropped["missing_text"] += 1
                elif not record.text or record.text.isspace():
                    read.dropped["empty_text"] += 1
                else:
                    read.texts[key], read.urls[key] = record.text, record.url
    return found


@pytest.fixture(scope="module")
def encode(corpus: Corpus) -> Callable[[str], list[int]]:
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer))
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def host_of(url: str | None) -> str:
    """The host of a URL of the tests' corpus, by what docs/metadata.md says of its kind."""
    if not url or not url.startswith(("http://", "https://")) or "[" in url:
        return "unknown"
    host = url.split("/")[2].split(":")[0].lower()
    return HOSTS.get(host, host)


def ledger_of(out: Path) -> dict[str, Any]:
    return manifest_of(out)["ledger"]


@pytest.mark.parametrize("packing", POLICIES)
def test_a_build_of_all_layouts_verifies(make_build: Make, packing: str) -> None:
    status, text = verify(make_build(sequence={"length": 64, "packing": packing}))
    assert [line[:5].strip() + " " + line[6:18].strip() for line in text.splitlines()[:7]] == [
        f"ok {c}" for c in CHECKS
    ]
    assert (status, text.splitlines()[7:]) == (
        0,
        [f"verified: {make_build(sequence={'length': 64, 'packing': packing})}"],
    )


@pytest.mark.parametrize("packing", POLICIES)
def test_no_document_of_the_cooldown_is_in_the_conditioned_phase(make_build: Make, packing: str) -> None:
    phases = defaultdict(set)
    for segment in segments_of(make_build(sequence={"length": 64, "packing": packing})):
        phases[segment.phase].add(segment.key)
    assert len(phases["conditioned"]) > 70
    assert len(phases["cooldown"]) > 7
    assert not phases["conditioned"] & phases["cooldown"]


def test_the_ledger_says_what_plain_python_finds_in_the_raw_files(built: Path, raw, encode) -> None:
    for source, read in raw.items():
        said = ledger_of(built)["sources"][source]
        tokens = {key: len(encode(text)) for key, text in read.texts.items()}
        assert said["read"] == {"documents": read.documents, "bytes": read.size}
        assert said["dropped"] == dict(read.dropped)
        assert said["kept"] == {
            "documents": len(read.texts),
            "tokens": sum(tokens.values()),
            "bytes": sum(len(text.encode()) for text in read.texts.values()),
        }
        assert said["special_text"] == sum(text.count(SPECIAL) for text in read.texts.values()) > 0
        used = {(segment.path, segment.document) for segment in segments_of(built) if segment.source == source}
        assert said["used"] == {"documents": len(used), "tokens": sum(tokens[key] for key in used)}
        unused = [sum(reason[what] for reason in said["unused"].values()) for what in ("documents", "tokens")]
        assert unused == [len(read.texts) - len(used), sum(tokens.values()) - sum(tokens[key] for key in used)]
        urls = [read.urls[key] for key in read.texts]
        hosts = sum(host_of(url) != "unknown" for url in urls)
        assert said["fields"]["url"] == {
            "known": sum(bool(url) for url in urls), "null": urls.count(None), "unknown": urls.count(""),
        }  # fmt: skip
        assert said["fields"]["host"] == {
            "known": hosts, "null": urls.count(None), "unknown": len(urls) - hosts - urls.count(None),
        }  # fmt: skip
    assert raw["c4"].dropped == {"missing_text": 3, "empty_text": 6}


@pytest.mark.parametrize("packing", POLICIES)
def test_the_phases_of_the_ledger_close(make_build: Make, raw, encode, packing: str) -> None:
    out = make_build(sequence={"length": 64, "packing": packing})
    manifest = manifest_of(out)
    segments = list(segments_of(out))
    for phase in manifest["phases"]:
        lines = manifest["ledger"]["phases"][phase["name"]]
        mine = [segment for segment in segments if segment.phase == phase["name"]]
        assert {key: lines["sources"][key] for key in lines["sources"]}.keys() == set(SOURCES)
        for source, said in lines["sources"].items():
            own = [segment for segment in mine if segment.source == source]
            drawn = {(segment.path, segment.document) for segment in own}
            prefixes = [len(encode(f"URL: {host_of(raw[source].urls[key])}\n\n")) for key in drawn]
            assert said["documents"] == len(drawn)
            assert said["tokens"] == sum(len(encode(raw[source].texts[key])) for key in drawn)
            assert said["special_tokens"] == 2 * len(drawn)
            assert said["positions"] == sum(len(segment.ids) for segment in own)
            assert said["loss_tokens"] == sum(sum(segment.mask) for segment in own)
            assert said["conditioned"] == (len(drawn) if phase["name"] == "conditioned" else 0)
            if packing != "repeat_prefix":
                assert said["prefix_tokens"] == (sum(prefixes) if phase["name"] == "conditioned" else 0)
            made = said["tokens"] + said["prefix_tokens"] + said["special_tokens"]
            assert made == said["positions"] + sum(said["discarded"].values())
            assert (said["discarded"] != {}) == (packing == "document_start" and made > said["positions"])
        positions = sum(len(segment.ids) for segment in mine)
        assert phase["tokens"] == phase["rows"] * 64 == positions + lines["padding"]
        assert phase["loss_tokens"] == sum(sum(segment.mask) for segment in mine)
        assert phase["loss_tokens_in_segments"] == sum(sum(segment.mask[1:]) for segment in mine)
        for source, share in phase["mixture"].items():
            assert share["achieved"] == pytest.approx(lines["sources"][source]["positions"] / positions, abs=1e-12)


def test_every_row_is_its_documents_from_the_raw_files(built: Path, raw, encode) -> None:
    (bos,) = Tokenizer.from_file(manifest_of(built)["config"]["tokenizer"]["file"]).encode(SPECIAL).ids
    for segment in segments_of(built):
        read = raw[segment.source]
        key = (segment.path, segment.document)
        tokens = encode(read.texts[key])
        prefix = encode(f"URL: {host_of(read.urls[key])}\n\n") if segment.phase == "conditioned" else []
        stream = [bos, *prefix, *tokens, bos]
        mask = [0] * (1 + len(prefix)) + [1] * (len(tokens) + 1) if prefix else [1] * len(stream)
        assert segment.ids == stream[: len(segment.ids)], segment
        assert segment.mask == mask[: len(segment.ids)], segment
        assert segment.offset == 0


def test_the_best_documents_are_taken_by_a_given_score_or_by_the_model(built: Path, corpus: Corpus, raw) -> None:
    model = fasttext.load_model(str(corpus.model))
    lines = ledger_of(built)["sources"]
    for source, read in raw.items():
        if source == "dclm":
            score = {key: (key[1] * 37 % 101) / 101 for key in read.texts}
        else:
            score = {key: score_of(model, text) for key, text in read.texts.items()}
        selected = len(score) * 7 // 10
        assert lines[source]["unused"]["selection"]["documents"] == len(score) - selected
        boundary = sorted(score.values(), reverse=True)[selected - 1]
        used = {(segment.path, segment.document) for segment in segments_of(built) if segment.source == source}
        assert min(score[key] for key in used) >= boundary - 1e-6, source
    assert GIVEN_SCORE in corpus_line(corpus)


def score_of(model: Any, text: str) -> float:
    labels, probabilities = model.predict(" ".join(text.strip().splitlines()), k=2)
    return dict(zip(labels, probabilities, strict=True))[GOOD]


def corpus_line(corpus: Corpus) -> str:
    import zstandard

    content = zstandard.ZstdDecompressor().stream_reader(corpus.files("dclm")[0].read_bytes()).read()
    return content.decode().splitlines()[0]


def test_the_achieved_mixture_is_the_one_asked_for(built: Path) -> None:
    manifest = manifest_of(built)
    asked = {"dclm": 0.4, "c4": 0.25, "refinedweb": 0.2, "mine": 0.15}
    for phase in manifest["phases"]:
        # Within one document of 250 tokens of a phase; a phase has whole documents.
        slack = 250 / phase["tokens"]
        assert {name: share["requested"] for name, share in phase["mixture"].items()} == pytest.approx(asked, abs=1e-3)
        assert {name: share["achieved"] for name, share in phase["mixture"].items()} == pytest.approx(asked, abs=slack)
    rows = {phase["name"]: phase["rows"] for phase in manifest["phases"]}
    assert rows["conditioned"] == pytest.approx(0.9 * 10_000 / 64, rel=0.03)
    assert rows["cooldown"] == pytest.approx(0.1 * 10_000 / 64, rel=0.1)


def test_the_reader_gives_the_rows_in_training_order(built: Path) -> None:
    shards = byline.open(built)
    expected = [row for phase in manifest_of(built)["phases"] for row in phase_rows(built, phase)]
    assert len(shards) == len(expected)
    for found, row in zip((shards[number] for number in range(len(shards))), expected, strict=True):
        assert {name: found[name].tolist() for name in row} == row


def phase_rows(out: Path, phase: dict[str, Any]) -> list[dict[str, Any]]:
    tables = [pa.ipc.open_file((out / shard["path"]).read_bytes()).read_all() for shard in phase["shards"]]
    return [row for table in tables for row in table.to_pylist()]


CONDITION = {"template": "{source} {registered_domain} {license} {quality}: ", "dropout": 0.25, "unknown": "?"}
RECIPES = {
    "all of what is selected, by what there is": {"tokens": "all", "mixture": "natural"},
    "further epochs": {"tokens": 60_000, "shortage": "repeat"},
    "fewer tokens than asked for": {"tokens": "10M", "shortage": "shrink"},
    "behind the document, some dropped out, in pieces": {
        "phases": [
            {"name": "a", "share": 0.5, "condition": {"template": " <{host}>", "position": "after", "dropout": 0.5}},
            {"name": "b", "share": 0.3, "select": {"top": "1/3", "by": "quality", "count": "tokens"}},
            {"name": "c", "share": 0.2},
        ],
        "sequence": {"length": 32, "packing": "concat"},
    },
    "half of the ids' size, without BOS, short rows": {
        "tokenizer": {"bos": None},
        "shard": {"ids": "uint16", "sequences": 50},
        "sequence": {"length": 40, "packing": "repeat_prefix"},
    },
    "more shards than documents": {
        "tokens": 512,
        "shard": {"sequences": 1},
        "sequence": {"length": 8, "packing": "best_fit"},
        "phases": [{"name": "only", "share": 1}],
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_other_recipes_verify(make_build: Make, corpus: Corpus, name: str) -> None:
    changes = dict(RECIPES[name])
    if "tokenizer" in changes:
        changes["tokenizer"] = {"file": str(corpus.tokenizer), "eos": SPECIAL}
    out = make_build(**changes)
    status, text = verify(out)
    assert status == 0, text
    assert text.count("ok ") == (6 if "epochs" in name else 7), text


def test_all_tokens_uses_every_selected_document_once(make_build: Make) -> None:
    out = make_build(**RECIPES["all of what is selected, by what there is"])
    for source, line in ledger_of(out)["sources"].items():
        drawn = sum(phase["sources"][source]["documents"] for phase in ledger_of(out)["phases"].values())
        assert line["unused"].get("budget", {"documents": 0})["documents"] == 0, source
        assert drawn == line["used"]["documents"] == line["kept"]["documents"] * 7 // 10


def test_fields_of_a_template_come_from_everywhere(corpus: Corpus, tmp_path: Path, encode) -> None:
    values = recipe(corpus, tmp_path, sources={"mine": recipe(corpus, tmp_path)["sources"]["mine"]}, mixture="natural")
    condition = {"template": "{source} {license} {topic} {host}\n", "unknown": "?"}
    values["classifiers"]["topic"] = {"model": str(corpus.model)}
    values |= {"tokens": "all", "phases": [{"name": "a", "share": 1, "condition": condition}]}
    values["sequence"] = {"length": 128, "packing": "best_fit"}
    out = build(values)
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer))
    heads = {
        segment.key: tokenizer.decode([i for i, loss in zip(segment.ids, segment.mask, strict=True) if not loss][1:])
        for segment in segments_of(out)
        if segment.offset == 0
    }
    for (_, path, row), head in heads.items():
        record = json.loads([line for line in (corpus.root / "mine" / path).read_text().split("\n") if line][row])
        source, license_, topic, host = head.removesuffix("\n").split(" ")
        assert (source, license_, host) == (
            "mine",
            record["license"],
            host_of(record["metadata"]["url"]).replace("unknown", "?"),
        )
        assert topic in ("hq", "lq")
    assert len(heads) > 100
    assert verify(out)[0] == 0


def test_only_the_manifest_lists_and_shards_are_left_in_the_output(built: Path) -> None:
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert files == {*digests(built), "_manifest.json"}
