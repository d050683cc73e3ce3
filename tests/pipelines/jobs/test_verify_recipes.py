"""`byline verify` on builds with branches, orders, marked conditions and loss spans: fine as built, faults found."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import byline
from byline.errors import BylineError
from tests.support.builds import Rows, copy_build, edit_shard, manifest_of, verify, write_manifest
from tests.support.corpora import SPECIAL, Corpus
from tests.support.false_builds import Make, assert_found, shard_of

POLICIES = ["document_start", "concat", "repeat_prefix", "best_fit"]
MARKED = {
    "template": "{host} {num_tokens}\n",
    "begin": "<meta>",
    "end": "</meta>",
    "empty": 0.2,
    "dropout": 0.2,
    "top": {"host": 3},
    "bins": {"num_tokens": 4},
}
BRANCHES = [{"name": "cool", "at": [0.3, 0.6, 1], "share": 0.2, "packing": "best_fit"}]


def tokenizer_of(corpus: Corpus) -> dict[str, Any]:
    return {"file": str(corpus.tokenizer), "bos": SPECIAL, "eos": SPECIAL, "add": ["<meta>", "</meta>"]}


def verified(out: Path, target: Path) -> None:
    """Asserts that a build verifies where everything is, and where nothing is left but the output."""
    status, text = verify(out)
    assert (status, text.count("ok ")) == (0, 7), text
    status, text = verify(copy_build(out, target, bare=True))
    assert (status, text.count("ok ")) == (0, 4), text


# ----------------------------------------------------------------------------------------------------------- branches


@pytest.fixture(scope="module")
def branched(make_build: Make) -> Path:
    condition = {"template": "URL: {host}\n\n"}
    phases = [
        {"name": "conditioned", "share": 0.9, "condition": condition, "packing": "concat"},
        {"name": "cooldown", "share": 0.1},
    ]
    return make_build(phases=phases, branches=BRANCHES, shard={"sequences": 16}, tokens=12_000)


def test_branches_verify(branched: Path, tmp_path: Path) -> None:
    verified(branched, tmp_path / "shards")


def test_a_branch_is_as_long_as_its_point_says(branched: Path) -> None:
    main = byline.open(branched)
    for name, at in (("cool-30", 0.3), ("cool-60", 0.6), ("cool-100", 1)):
        shards = byline.open(branched, branch=name)
        assert abs(len(shards) / len(main) - at) < 0.06
        assert abs(main.branch_row(name) / len(shards) - 0.8) < 0.06
        assert shards[main.branch_row(name)]["phase"] == name


def test_a_document_of_the_timeline_before_a_branch(branched: Path, tmp_path: Path) -> None:
    out = copy_build(branched, tmp_path / "shards", bare=True)
    other = pa.ipc.open_file(shard_of(out, "conditioned", 0).read_bytes()).read_all()["doc_ids"]
    edit_shard(out, "cool-60", 0, lambda rows: rows[0]["doc_ids"].__setitem__(0, other[3][0].as_py()))
    assert_found(out, "phases conditioned and cool-60 share 1 documents", "is in it, but not planned for it")


def test_a_phase_whose_packing_is_another(branched: Path, tmp_path: Path) -> None:
    """A row of the branch that is packed by the best fit may end in padding; one of the timeline may not."""
    out = copy_build(branched, tmp_path / "shards", bare=True)
    padded = pa.ipc.open_file(shard_of(out, "cool-60", 0).read_bytes()).read_all().to_pylist()
    row = next(row for row in padded if row["doc_ids"][-1] == -1)
    edit_shard(out, "conditioned", 0, lambda rows: rows.__setitem__(2, row))
    assert_found(out, "row 2: padding, which only a last row may have")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda phase: phase["branch"].update(shards=0), "branches"),
        (lambda phase: phase["branch"].update(at=0.25), "branches"),
        (lambda phase: phase.update(packing="concat"), "packings"),
        (lambda phase: phase.update(values={"top": {"host": []}, "bins": {}}), "values"),
        (lambda phase: phase.update(name="cool-31"), "phases"),
    ],
)
def test_a_branch_that_is_not_the_plans(branched: Path, tmp_path: Path, change: Any, message: str) -> None:
    out = copy_build(branched, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    entry = next(phase for phase in values["phases"] if phase["name"] == "cool-30")
    ledger = values["ledger"]["phases"].pop("cool-30")
    change(entry)
    values["ledger"]["phases"][entry["name"]] = ledger
    write_manifest(out, values)
    with pytest.raises(BylineError, match=rf"its {message} are not those of _plan\.ipc"):
        verify(out)


def test_used_counts_a_document_once_whatever_the_branches(branched: Path) -> None:
    values = manifest_of(branched)["ledger"]
    for source, lines in values["sources"].items():
        drawn = [phase["sources"][source]["documents"] for phase in values["phases"].values()]
        assert max(drawn) < lines["used"]["documents"] < sum(drawn)


# -------------------------------------------------------------------------------------------------------------- order


@pytest.fixture(scope="module")
def ordered(make_build: Make) -> Path:
    phases = [
        {"name": "short", "share": 0.6, "order": {"by": "num_tokens", "bins": 3}},
        {"name": "shuffled", "share": 0.4},
    ]
    branches = [{"name": "cool", "at": 0.5, "order": {"by": "num_bytes", "bins": 2}, "share": 0.2}]
    return make_build(phases=phases, branches=branches, shard={"sequences": 16})


def test_an_order_verifies(ordered: Path, tmp_path: Path) -> None:
    verified(ordered, tmp_path / "shards")


def test_a_document_in_two_bins_of_an_order(ordered: Path, tmp_path: Path) -> None:
    """Its shuffle key is in the ranges of both; nothing but that it is there twice tells from the output alone."""
    out = copy_build(ordered, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    last = len(values["phases"][0]["shards"]) - 1
    other = pa.ipc.open_file(shard_of(out, "short", last).read_bytes()).read_all()["doc_ids"].to_pylist()
    mine = pa.ipc.open_file(shard_of(out, "short", 0).read_bytes()).read_all()["doc_ids"].to_pylist()
    twin = next(ids[0] for ids in other if ids[0] >> 32 == mine[0][0] >> 32)
    edit_shard(out, "short", 0, lambda rows: rows[0]["doc_ids"].__setitem__(0, twin))
    assert_found(out, "two shards of phase short share 1 documents")


# --------------------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize("packing", POLICIES)
def test_marked_conditions_verify(make_build: Make, corpus: Corpus, tmp_path: Path, packing: str) -> None:
    phases = [
        {"name": "before", "share": 0.6, "condition": MARKED},
        {"name": "after", "share": 0.2, "condition": {**MARKED, "position": "after"}},
        {"name": "none", "share": 0.2},
    ]
    sequence = {"length": 64, "packing": packing}
    out = make_build(phases=phases, sequence=sequence, tokenizer=tokenizer_of(corpus))
    verified(out, tmp_path / "shards")
    counts = manifest_of(out)["ledger"]["phases"]["before"]["sources"]["c4"]
    assert 0 < counts["conditioned"] < counts["documents"]


@pytest.mark.parametrize(("key", "problem"), [("begin", "begin with token"), ("end", "end with token")])
def test_a_prefix_without_its_token(make_build: Make, corpus: Corpus, tmp_path: Path, key: str, problem: str) -> None:
    phases = [{"name": "before", "share": 1, "condition": MARKED}]
    out = copy_build(make_build(phases=phases, tokenizer=tokenizer_of(corpus)), tmp_path / "shards", bare=True)
    marker = manifest_of(out)["tokenizer"]["markers"][MARKED[key]]

    def change(rows: Rows) -> None:
        rows[1]["input_ids"][rows[1]["input_ids"].index(marker)] = 5

    edit_shard(out, "before", 0, change)
    assert_found(out, f"before/00000-of-00005.arrow: row 1: a prefix that does not {problem} {marker}")


# --------------------------------------------------------------------------------------------------------- loss spans


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 conversations, some longer than a sequence."""
    folder = tmp_path_factory.mktemp("chats")
    roles = ("user", "assistant")
    with (folder / "x.jsonl").open("w") as file:
        for number in range(120):
            messages = [
                {"role": roles[turn % 2], "content": f"{number} and {turn} " * (1 + number % 9)}
                for turn in range(2 + 2 * (number % 3))
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    return folder


@pytest.fixture(scope="module", params=POLICIES)
def spans(request: pytest.FixtureRequest, make_build: Make, corpus: Corpus, chats: Path) -> Path:
    sources = {
        "chats": {
            "format": "jsonl",
            "path": f"{chats}/*.jsonl",
            "fields": {"messages": "messages"},
            "formatter": {"name": "chat", "begin": "<meta>", "end": "</meta>"},
        },
        "sums": {"format": "arithmetic", "arithmetic": {"examples": 300, "style": "reverse", "per_document": 4}},
        "mine": {
            "format": "jsonl",
            "path": f"{corpus.root}/mine/*.jsonl",
            "max_rejected": 1,
            "fields": {"text": "body", "url": "metadata.url"},
        },
    }
    phases = [
        {"name": "before", "share": 0.6, "condition": {"template": "{source}\n"}},
        {"name": "none", "share": 0.4},
    ]
    return make_build(
        sources=sources,
        classifiers=None,
        tokenizer=tokenizer_of(corpus),
        mixture={"chats": 0.4, "sums": 0.2, "mine": 0.4},
        phases=phases,
        sequence={"length": 64, "packing": request.param},
        tokens=8000,
    )


def test_loss_spans_verify(spans: Path, tmp_path: Path) -> None:
    verified(spans, tmp_path / "shards")


def masked_inside(out: Path, source: str) -> Path:
    """Masks a trained position behind the first of a document of a source that begins in a row of the last phase."""
    files = pa.ipc.open_file((out / "_inputs.ipc").read_bytes()).read_all().to_pylist()

    def change(rows: Rows) -> None:
        for row in rows:
            document, length = row["doc_ids"][0], row["seq_lengths"][0]
            trained = [n for n in range(length) if row["loss_mask"][n]]
            if document >= 0 and files[document >> 32]["source"] == source and len(trained) > 3:
                row["loss_mask"][trained[2]] = 0
                return
        raise AssertionError(f"no row begins with a document of {source}")

    edit_shard(out, "none", 0, change)
    return out


def test_a_mask_bit_of_a_source_without_loss_spans_is_found_as_ever(spans: Path, tmp_path: Path) -> None:
    out = masked_inside(copy_build(spans, tmp_path / "shards", bare=True), "mine")
    assert_found(out, "a masked position in a phase that masks only padding")


@pytest.mark.parametrize("source", ["chats", "sums"])
def test_a_mask_bit_of_a_source_with_loss_spans_is_found_by_what_it_came_from(
    spans: Path, tmp_path: Path, source: str
) -> None:
    out = masked_inside(copy_build(spans, tmp_path / "shards"), source)
    assert_found(out, "loss_mask is not what the token store gives for it", f"is not what {source}/")
