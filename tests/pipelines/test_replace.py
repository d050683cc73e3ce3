"""Builds that replace spans by an added token: every row, every count, what is refused, and what `verify` finds."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

import byline
from byline.errors import BylineError
from byline.pipelines.console.sequence_view import show_sequence
from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.plan import plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts, Ledger
from byline.transforms.checks import documents
from tests.reference import compare_build
from tests.support import small
from tests.support.builds import (
    ALONE,
    Rows,
    copy_build,
    digests,
    edit_shard,
    manifest_of,
    quiet,
    restate,
    verify,
    write_manifest,
)
from tests.support.false_builds import assert_found

HIDDEN, QUOTE = "<|hidden|>", "<|quote|>"
CHAT = ["<|im_start|>", "<|im_end|>"]
CONDITION = {"template": "{host} {num_tokens}\n", "unknown": "?", "dropout": "0.2"}
PHASES: list[dict[str, Any]] = [
    {
        "name": "first",
        "share": "0.5",
        "condition": CONDITION,
        "packing": "repeat_prefix",
        "mask": ["secrets"],
        "select": {"top": "0.9", "by": "num_tokens"},
    },
    {"name": "second", "share": "0.3", "packing": "best_fit", "mask": ["quotes"]},
    {"name": "third", "share": "0.2", "packing": "document_start", "order": {"by": "num_tokens", "bins": 2}},
]


def text_of(draw: random.Random) -> str:
    return " ".join(draw.choices(["the", "fox", "é", "😀", "jumps", "over.", "\n", HIDDEN], k=draw.randrange(1, 60)))


def write_corpora(folder: Path) -> None:
    """Two plain sources and a source of chats, and spans of each; a span of all of a document among them."""
    draw, secrets, quotes = random.Random(3), [], []
    small.tokenizer_file(folder)
    for source, files in {"web": 2, "wiki": 1}.items():
        for number in range(files):
            texts = [f"{text_of(draw)} x" for _ in range(40)]
            records = [{"text": text, "url": f"http://{row % 5}.org/{row}"} for row, text in enumerate(texts)]
            small.write_jsonl(folder / source / f"{number}.jsonl", records)
            for row, text in enumerate(texts):
                where = {"source": source, "path": f"{number}.jsonl", "row": row}
                for spans, every in ((secrets, 2), (quotes, 3)):
                    for _ in range(draw.randrange(1, 5) if row % every == 0 else 0):
                        start, stop = sorted(draw.choices(range(len(text) + 1), k=2))
                        spans.append({**where, "start": start, "stop": min(stop, start + 30)})
                if row % 13 == 0:
                    secrets.append({**where, "start": 0, "stop": len(text)})
    chats = [[{"role": "user", "content": text_of(draw)}, {"role": "assistant", "content": "no"}] for _ in range(20)]
    small.write_jsonl(folder / "chat/0.jsonl", [{"m": chat} for chat in chats])
    secrets += [{"source": "chat", "path": "0.jsonl", "row": row, "start": 10, "stop": 25} for row in range(0, 20, 2)]
    small.write_jsonl(folder / "secrets.jsonl", secrets)
    small.write_jsonl(folder / "quotes.jsonl", quotes)


def config_of(folder: Path, **changes: Any) -> Config:
    """A recipe on the corpora in a folder; the token store is there, too."""
    formatter = {"name": "chat", "begin": CHAT[0], "end": CHAT[1]}
    chat = {"fields": {"messages": "m"}, "formatter": formatter}
    spans = {"kind": "spans", "by": "row"}
    values: dict[str, Any] = {
        "sources": {
            "web": {"format": "jsonl", "path": str(folder / "web/*")},
            "wiki": {"format": "jsonl", "path": str(folder / "wiki/*")},
            "chat": {"format": "jsonl", "path": str(folder / "chat/*"), **chat},
        },
        "tokenizer": {
            "file": str(folder / "tokenizer.json"),
            "bos": small.BOS,
            "pad": small.PAD,
            "add": [*CHAT, HIDDEN, QUOTE],
        },
        "attributes": {
            "secrets": {**spans, "path": str(folder / "secrets.jsonl")},
            "quotes": {**spans, "path": str(folder / "quotes.jsonl"), "sources": ["web", "wiki"]},
        },
        "replace": {"secrets": HIDDEN, "quotes": QUOTE},
        "phases": PHASES,
        "branches": [
            {"name": "early", "at": [0.5], "mixture": {"web": 0.5, "wiki": 0.5}, "mask": ["quotes", "secrets"]}
        ],
        "holdout": {"share": 0.1},
        "mixture": {"by": "num_tokens", "bins": 2, "weights": [0.4, 0.6]},
        "min_known": 0,
        "sequence": {"length": 64},
        "shard": {"sequences": 16},
        "tokens": 8000,
        "shortage": "repeat",
        "store": str(folder / "store"),
        "output": str(folder / "out"),
    }
    return small.small_config(folder, **{**values, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("replace")
    write_corpora(made)
    return made


@pytest.fixture(scope="module")
def built(folder: Path) -> Path:
    config = config_of(folder)
    build(config, ALONE, quiet())
    return Path(config.output)


def test_every_row_is_the_references_and_every_count_is_recounted(built: Path) -> None:
    compare_build.main(built)
    status, text = verify(built, allow_missing=False)
    assert status == 0, text
    assert "every value the same" in text
    assert "every token and mask the same" in text
    manifest = manifest_of(built)
    assert set(manifest["tokenizer"]["placeholders"]) == {HIDDEN, QUOTE}
    ids = [manifest["tokenizer"]["placeholders"][name] for name in (HIDDEN, QUOTE)]
    shards = byline.open(built)
    rows = shards.batch(range(len(shards)))["input_ids"]
    ledger = Ledger.from_json(manifest["ledger"])
    for source, of_source in ledger.sources.items():
        assert of_source.replaced is not None
        unused = sum(amount.tokens for amount in of_source.unused.values())
        assert of_source.kept.tokens == of_source.used.tokens + unused + of_source.replaced.gone
        assert of_source.replaced.tokens > 2 * of_source.replaced.placeholders > 10, source
    counts = sum((c for phase in ledger.phases.values() for c in phase.sources.values()), DrawCounts())
    assert counts.replaced is not None
    there = int((rows == ids[0]).sum() + (rows == ids[1]).sum())
    assert counts.replaced.placeholders - sum(counts.discarded.values()) <= there <= counts.replaced.placeholders


def test_placeholders_are_masked_where_their_attribute_is(built: Path) -> None:
    shards = byline.open(built)
    hidden, quote = (shards.manifest.tokenizer["placeholders"][name] for name in (HIDDEN, QUOTE))
    for phase, masked, trained in (("first", [hidden], [quote]), ("second", [quote], [hidden]), ("third", [], [quote])):
        batch = shards.phase(phase).batch(range(len(shards.phase(phase))))
        ids, mask = batch["input_ids"], batch["loss_mask"]
        for token in masked:
            assert (ids == token).any()
            assert not mask[ids == token].any()
        for token in trained:
            assert mask[ids == token].any()


def test_the_same_bytes_with_two_workers(folder: Path, built: Path) -> None:
    other = config_of(folder, output=str(folder / "two"))
    build(other, RunnerSettings(workers=2), quiet())
    assert digests(Path(other.output)) == digests(built)


def test_a_shard_that_is_gone_is_made_again(folder: Path, built: Path) -> None:
    before = digests(built)
    min((built / "first").iterdir()).unlink()
    build(config_of(folder), ALONE, quiet())
    assert digests(built) == before


def test_it_is_shown_by_name(built: Path) -> None:
    with (built.parent / "shown.txt").open("w", encoding="utf-8") as file:
        for row in range(30):
            show_sequence(str(built), row, console=Console(file=file, width=200), full=True)
    text = (built.parent / "shown.txt").read_text("utf-8")
    assert f"⟨{HIDDEN}⟩" in text
    assert f"⟨{QUOTE}⟩" in text


def test_a_build_without_it_does_not_know_it(folder: Path) -> None:
    config = config_of(folder, replace={}, phases=[{"name": "only", "share": 1}], output=str(folder / "none"))
    build(config, ALONE, quiet())
    manifest, content = manifest_of(Path(config.output)), Path(config.output, "_plan.ipc").read_bytes()
    assert b"replace" not in content
    assert '"replace' not in json.dumps(manifest)
    assert '"placeholders"' not in json.dumps(manifest)


def changed(key: Callable[[dict[str, Any]], dict[str, Any]], **changes: Any) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        values = manifest_of(out)
        key(values["ledger"]).update(changes)
        write_manifest(out, values)

    return change


def exchanged(out: Path) -> None:
    """A placeholder becomes another token."""
    token = manifest_of(out)["tokenizer"]["placeholders"][HIDDEN]

    def change(rows: Rows) -> None:
        for row in rows:
            if token in row["input_ids"]:
                row["input_ids"][row["input_ids"].index(token)] = 7
                return
        raise AssertionError("no placeholder")

    edit_shard(out, "first", 0, change)


REPLACED = {"documents": 5, "tokens": 90, "placeholders": 5}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (exchanged, "placeholders, the shards have"),
        (changed(lambda ledger: ledger["sources"]["web"], replaced=REPLACED), "source web: replaced is 90 tokens by 5"),
        (
            changed(lambda ledger: ledger["phases"]["first"]["sources"]["web"], replaced=REPLACED),
            "phase first, source web: replaced is 90 tokens by 5 placeholders in 5 documents, the plan says",
        ),
        (
            changed(lambda ledger: ledger["phases"]["first"]["sources"]["web"], replaced={"documents": 1}),
            "no key 'tokens'",
        ),
    ],
)
def test_a_build_that_was_changed_is_found(
    built: Path, tmp_path: Path, change: Callable[[Path], None], message: str, bare: bool
) -> None:
    out = copy_build(built, tmp_path / "out", bare)
    change(out)
    if message.startswith("no key"):
        with pytest.raises(BylineError, match=message):
            verify(out)
        return
    assert_found(out, message)
    if bare:
        return
    if change is exchanged:
        assert_found(out, "input_ids is not what the token store gives", "is not what web")
    elif message.startswith("source web"):
        assert_found(out, "source web: replaced 90 tokens by 5 placeholders in 5 documents, the token store has")


def test_long_documents_are_compared_by_the_bytes_between_placeholders(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST_BYTES", 100)
    status, text = verify(built)
    assert status == 0, text
    assert "their bytes are in the text" in text
    out = copy_build(built, tmp_path / "out", bare=False)

    def change(rows: Rows) -> None:
        ids = manifest_of(out)["tokenizer"]["placeholders"].values()
        for row in rows:
            row["input_ids"] = [7 if token in ids else token for token in row["input_ids"]]

    edit_shard(out, "second", 0, change)
    assert_found(out, "do not spell a part of web/")


def test_a_changed_configuration_is_not_that_of_the_plan(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "out")
    values = manifest_of(out)
    values["config"]["replace"] = {"secrets": QUOTE, "quotes": HIDDEN}
    write_manifest(out, values)
    with pytest.raises(BylineError, match=r"its replaced columns are not those of _plan\.ipc"):
        verify(out)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"replace": {"secret": HIDDEN}},
        "replace: 'secret' is no attribute that marks tokens; those that mark tokens are",
    ),
    ({"replace": {"secrets": small.PAD}}, "replace.secrets: .* is tokenizer.pad already"),
    ({"replace": {"secrets": small.BOS}}, "replace.secrets: .* is tokenizer.bos already"),
    ({"replace": {"secrets": CHAT[0]}}, "replace.secrets: .* is a formatter's already"),
    ({"replace": {"secrets": 3}}, "replace.secrets"),
    ({"replace": ["secrets"]}, r"replace: expected names with a value each, as in `name: value`; found \['secrets'\]"),
    ({"loss_weight": "formatter"}, "loss_weight: expected names with a value each, as in `name: value`; found 'format"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_mistakes_of_a_configuration(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError, match=message):
        config_of(folder, **changes)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            "[REDACTED]",
            r"replace.secrets: .*has no added token '\[REDACTED\]', and a placeholder is one token; its",
        ),
        ("the", "has no added token 'the'"),
        ("    ", "is an added token that texts become, too, .* list it under tokenizer.sentinels"),
    ],
)
def test_a_placeholder_is_a_token_that_no_text_becomes(folder: Path, token: str, message: str) -> None:
    config = config_of(folder, replace={"secrets": token})
    for command in (prepare, plan):
        with pytest.raises(BylineError, match=message):
            command(config, ALONE, quiet())


def test_most_of_a_source_is_warned_of(folder: Path, tmp_path: Path) -> None:
    whole = [{"source": "wiki", "path": "0.jsonl", "row": row, "start": 0, "stop": 5} for row in range(1, 40)]
    lengths = [len(json.loads(line)["text"]) for line in (folder / "wiki/0.jsonl").read_text("utf-8").splitlines()]
    small.write_jsonl(tmp_path / "most.jsonl", [{**span, "stop": lengths[span["row"]]} for span in whole])
    attributes = {"most": {"kind": "spans", "by": "row", "path": str(tmp_path / "most.jsonl")}}
    phases = [{"name": "only", "share": 1}]
    settings = {"replace": {"most": HIDDEN}, "attributes": attributes, "phases": phases, "branches": []}
    config = config_of(folder, **settings, output=str(tmp_path / "out"))
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as file:
        build(config, ALONE, Console(file=file, width=200))
    text = (tmp_path / "log.txt").read_text("utf-8")
    assert "tokens are replaced by placeholders (most_ranges); check the spans, or drop such documents" in text
    assert "replaced of wiki: " in text
    counts = Ledger.from_json(manifest_of(tmp_path / "out")["ledger"]).sources["wiki"].replaced
    assert counts is not None
    assert (counts.documents, counts.placeholders) == (39, 39)
    compare_build.main(tmp_path / "out")
    assert verify(tmp_path / "out", allow_missing=False)[0] == 0


def test_a_source_of_which_a_phase_draws_nothing(folder: Path, tmp_path: Path) -> None:
    mixture = {"web": "0.499", "wiki": "0.5", "chat": "0.001"}
    phases = [{"name": "first", "share": "0.5"}, {"name": "second", "share": "0.5"}]
    settings = {"mixture": mixture, "phases": phases, "branches": [], "holdout": None, "tokens": 640}
    out = tmp_path / "out"
    build(config_of(folder, **settings, output=str(out)), ALONE, quiet())
    phases_of = Ledger.from_json(manifest_of(out)["ledger"]).phases
    assert min(phase.of("chat").documents for phase in phases_of.values()) == 0
    compare_build.main(out)
    assert verify(out, allow_missing=False)[0] == 0


def test_spans_without_a_character_are_warned_of(folder: Path, tmp_path: Path) -> None:
    where = {"source": "wiki", "path": "0.jsonl", "row": 3}
    small.write_jsonl(tmp_path / "none.jsonl", [{**where, "start": 1, "stop": 1}])
    attributes = {"none": {"kind": "spans", "by": "row", "path": str(tmp_path / "none.jsonl")}}
    settings = {"replace": {"none": HIDDEN}, "attributes": attributes, "branches": []}
    config = config_of(folder, **settings, phases=[{"name": "only", "share": 1}], output=str(tmp_path / "out"))
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as file:
        build(config, ALONE, Console(file=file, width=200))
    text = (tmp_path / "log.txt").read_text("utf-8")
    assert "warning replace: no document has a range of none_ranges, so nothing is replaced" in text
    assert verify(tmp_path / "out", allow_missing=False)[0] == 0


def test_what_a_shard_says_is_held_against_the_token_store(built: Path, tmp_path: Path) -> None:
    out = copy_build(built, tmp_path / "out")
    values = manifest_of(out)
    entry = values["phases"][0]["shards"][0]
    path = out / entry["path"]
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    ((key, metadata),) = table.schema.metadata.items()
    said = json.loads(metadata)
    said["counts"]["web"]["replaced"]["tokens"] += 1
    with pa.ipc.new_file(str(path), table.schema.with_metadata({key: json.dumps(said)})) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    restate(out, values, values["phases"][0], entry)
    assert_found(out, "source web: it says replaced", "source web: replaced ")
