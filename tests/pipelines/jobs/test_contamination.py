"""The kind contamination over a token store: planted items, formatted sources, workers, builds and verify."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import byline
from byline.pipelines.jobs.attribute import make_named
from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.verify import verify
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from tests.reference import overlaps as reference
from tests.support import small
from tests.support.attribute_files import file_bytes, made

WORDS = ["bread", "knead", "the", "Dough,", "é", "quick", "—", "fox's", "in", "3.5", "oven", "and", "(again)"]
ADDED = ["<|im_start|>", "<|im_end|>"]


def words(draw: random.Random, count: int) -> str:
    return " ".join(draw.choices(WORDS, k=count))


def records(draw: random.Random, items: list[str]) -> list[str]:
    """Texts, some with an item or a piece of one."""
    texts = []
    for number in range(60):
        text = words(draw, draw.randrange(3, 60))
        if number % 3 == 0:
            pieces = draw.choice(items).split()
            first = draw.randrange(3)
            text += "\n" + " ".join(pieces[first : first + draw.randrange(6, 16)]).upper() + "\n" + words(draw, 9)
        texts.append(text)
    return texts


def config_of(folder: Path, shuffled: bool = False, **settings: Any) -> Config:
    """Two plain sources and one of chats, with items of two sets in them."""
    draw = random.Random(7)
    items = [words(draw, draw.randrange(2, 20)) for _ in range(12)]
    small.write_jsonl(folder / "evals/a.jsonl", [{"q": item[:9], "a": item[9:]} for item in items[:6]])
    pq.write_table(pa.table({"text": items[6:]}), folder / "evals/b.parquet")
    small.tokenizer_file(folder)
    texts = records(draw, items)
    small.write_jsonl(folder / "web/0.jsonl", [{"text": text} for text in texts[:30]])
    small.write_jsonl(folder / "web/1.jsonl", [{"text": text} for text in texts[30:]])
    small.write_jsonl(folder / "wiki/0.jsonl", [{"text": text} for text in records(draw, items)])
    chats = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": words(draw, 5)}]
        for text in records(draw, items)
    ]
    small.write_jsonl(folder / "chat/0.jsonl", [{"messages": chat} for chat in chats])
    chat = {"fields": {"messages": "messages"}, "formatter": {"name": "chat", "begin": ADDED[0], "end": ADDED[1]}}
    sources = {
        "web": {"format": "jsonl", "path": str(folder / "web/*")},
        "wiki": {"format": "jsonl", "path": str(folder / "wiki/*")},
        "chat": {"format": "jsonl", "path": str(folder / "chat/*"), **chat},
    }
    sets = {"b": {"path": str(folder / "evals/b.parquet"), "fields": ["text"]}}
    sets["a"] = {"path": str(folder / "evals/*.jsonl"), "fields": ["q", "a"]}
    return small.small_config(
        folder,
        sources=dict(reversed(sources.items())) if shuffled else sources,
        tokenizer={"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD, "add": ADDED},
        attributes={"evals": {"kind": "contamination", "sets": sets, "words": 6, "least_words": 3, **settings}},
        phases=[{"name": "main", "share": 1, "mask": ["evals"]}],
        tokens="all",
        sequence={"length": 256, "packing": "concat"},
    )


def items_of(folder: Path) -> list[str]:
    lines = [json.loads(line) for line in (folder / "evals/a.jsonl").read_text("utf-8").splitlines()]
    return [f"{line['q']} {line['a']}" for line in lines] + pq.read_table(folder / "evals/b.parquet")[
        "text"
    ].to_pylist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contamination")


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    config = config_of(folder)
    small.prepare_quietly(config)
    return config


def test_columns_are_those_of_the_reference(config: Config, folder: Path) -> None:
    slow, tokenizer = reference.ngrams_of(items_of(folder), 6, 3), small.reference_tokenizer()
    rows = made(config, "evals")
    contaminated = 0
    for source in ("web", "wiki"):
        for file in sorted((folder / source).glob("*")):
            for row, line in enumerate(file.read_text("utf-8").splitlines()):
                text, value = json.loads(line)["text"], rows[source, file.name, row]
                overlap = reference.overlap_of(text, slow)
                assert value["evals"] == bool(overlap.items)
                assert value["evals_overlap"] == pytest.approx(overlap.covered / overlap.words, abs=1e-6)
                names = sorted({"ab"[item >= 6] for item in overlap.items})
                assert value["evals_sets"] == ("+".join(names) or None)
                # Tokens with a byte of a range: their texts are the range's with what straddles its borders.
                borders = value["evals_ranges"] or []
                covered = [
                    tokenizer.decode(value["tokens"][a:b]) for a, b in zip(borders[::2], borders[1::2], strict=True)
                ]
                expected = [text[a:b] for a, b in zip(overlap.ranges[::2], overlap.ranges[1::2], strict=True)]
                assert "".join(covered).replace(" ", "") == "".join(expected).replace(" ", "")
                contaminated += value["evals"]
    assert 12 < contaminated < 100


def test_special_tokens_of_a_chat_are_between_its_texts(config: Config) -> None:
    values = [value for (source, _, _), value in made(config, "evals").items() if source == "chat"]
    start = small.reference_tokenizer().get_vocab_size()
    masked = [value for value in values if value["evals"]]
    assert len(values) == 60
    assert len(masked) > 3
    for value in masked:
        assert value["tokens"][0] == start
        assert value["evals_ranges"][0] > 0
        assert value["evals_ranges"][-1] < len(value["tokens"])


def test_the_same_bytes_with_two_workers_and_in_another_order(config: Config, tmp_path: Path) -> None:
    made(config, "evals")
    other = config_of(tmp_path, shuffled=True)
    small.prepare_quietly(other)
    made(other, "evals", workers=2)
    ours, others = file_bytes(config, "evals"), file_bytes(other, "evals")
    arrow = [name for name in ours if name.endswith(".arrow")]
    assert len(arrow) == 4
    assert {name: ours[name] for name in arrow} == {name: others[name] for name in others if name.endswith(".arrow")}
    settings, other_settings = (
        json.loads(next(content for name, content in files.items() if name.endswith(".json")))["summary"]
        for files in (ours, others)
    )
    assert {**settings, "lines": [], "not_checked": []} == {**other_settings, "lines": [], "not_checked": []}
    assert settings["sets"]["a"]["items"] == 6


def test_the_tokens_are_masked_in_a_build(config: Config, tmp_path: Path) -> None:
    rows = made(config, "evals")
    ranges = [value["evals_ranges"] for value in rows.values() if value["evals"]]
    masked = sum(sum(borders[1::2]) - sum(borders[::2]) for borders in ranges)
    phase = config.phases[0].model_copy(update={"mask": []})
    unmasked = config.model_copy(update={"output": str(tmp_path / "unmasked"), "phases": [phase]})
    trained = []
    for settings in (config, unmasked):
        build(settings, RunnerSettings(workers=1), small.quiet())
        assert verify(settings.output, 1000, None, RunnerSettings(workers=1), small.quiet()) == 0
        shards = byline.open(settings.output)
        trained.append(int(shards.batch(range(len(shards)))["loss_mask"].sum()))
    # Some of them are cut off with the ends of sequences, or masked by the formatter.
    assert masked / 2 < trained[1] - trained[0] <= masked


def test_changed_files_make_it_anew(config: Config, folder: Path) -> None:
    made(config, "evals")
    before = set(file_bytes(config, "evals"))
    pq.write_table(pa.table({"text": ["bread and bread and bread and bread"]}), folder / "evals/b.parquet")
    make_named(config, ["evals"], RunnerSettings(workers=1), small.quiet())
    assert set(file_bytes(config, "evals")) > before
