"""What another token store is made for, and what not."""

import sys
from pathlib import Path
from typing import Any

import pytest

from byline.schemas.config import Config
from byline.transforms.store.fingerprint import changed_keys, fingerprint, source_settings
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from tests.support import small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small.tokenizer_file(tmp_path)
    return tmp_path


def parts_of(config: Config, source: str = "a") -> dict[str, Any]:
    return source_settings(config, source)


def source(**changes: Any) -> dict[str, Any]:
    return {"format": "jsonl", "path": "x/*.jsonl", "keep": ["license"], "score": {"quality": "quality"}, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"sequence": {"length": 64, "packing": "concat"}},
        {"tokens": 4096},
        {"mixture": {"a": 1}},
        {"phases": [{"name": "p", "share": 1, "condition": {"template": "{host}"}}]},
        {"output": "elsewhere"},
        {"shard": {"sequences": 7}},
        {"sources": {"a": source(path="y/*.jsonl")}},
        {"sources": {"a": source(), "b": source(format="c4")}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_recipes_paths_and_other_sources_leave_the_store_as_it_is(folder: Path, changes: dict[str, Any]) -> None:
    before = small.small_config(folder, sources={"a": source(), "b": source()})
    after = small.small_config(folder, **{"sources": {"a": source(), "b": source()}, **changes})
    assert parts_of(after) == parts_of(before)


def test_problems_of_additions_are_part_of_it(folder: Path) -> None:
    made = {"a": {"format": "arithmetic"}, "b": {"format": "arithmetic", "arithmetic": {"per_document": 2}}}
    config = small.small_config(folder, sources=made)
    assert parts_of(config)["sources.a, made fields"] == {"problem": "string"}
    # As it was before documents had a problem.
    assert "sources.b, made fields" not in parts_of(config, "b")


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"format": "c4"}, ["sources.a.format"]),
        ({"keep": []}, ["sources.a.keep"]),
        ({"keep": {"license": "int"}}, ["sources.a.keep"]),
        ({"score": {}}, ["sources.a.score"]),
        ({"fields": {"text": "body"}}, ["sources.a.fields"]),
        ({"malformed": "drop"}, ["sources.a.malformed"]),
    ],
)
def test_a_changed_source_is_named(folder: Path, change: dict[str, Any], keys: list[str]) -> None:
    before = parts_of(small.small_config(folder, sources={"a": source()}))
    after = parts_of(small.small_config(folder, sources={"a": source(**change)}))
    assert changed_keys(before, after) == keys
    assert fingerprint(before) != fingerprint(after)


def test_a_formatter_counts_with_its_options_and_the_tokens_it_may_name(folder: Path) -> None:
    def chunks(add: list[str], **changes: Any) -> dict[str, Any]:
        tokenizer = {"file": str(folder / "tokenizer.json"), "pad": small.PAD, "add": add}
        return parts_of(small.small_config(folder, sources={"a": source(**changes)}, tokenizer=tokenizer))

    before = chunks([], formatter="fim")
    assert changed_keys(chunks([]), before) == ["sources.a.formatter", "tokenizer.add"]
    assert changed_keys(before, chunks([], formatter={"name": "fim", "rate": 0.9})) == ["sources.a.formatter"]
    named = {"name": "fim", "prefix": "<P>"}
    with_p = chunks(["<P>"], formatter=named)
    assert changed_keys(chunks([], formatter=named), with_p) == ["tokenizer.add"]
    assert chunks(["<P>"]) == chunks([])
    # What stands behind the last of a formatter's tokens changes no id of it, what stands before it does.
    assert chunks(["<P>", "<|hidden|>"], formatter=named) == with_p
    assert changed_keys(with_p, chunks(["<|hidden|>", "<P>"], formatter=named)) == ["tokenizer.add"]
    chat = {"formatter": "chat", "fields": {"messages": "m"}}
    assert chunks(["<|hidden|>"], **chat) == chunks([], **chat)
    # One of one's own may name any.
    own = {"formatter": "tests.support.own_formatters:WEIGHING"}
    assert changed_keys(chunks([], **own), chunks(["<|hidden|>"], **own)) == ["tokenizer.add"]
    assert "sources.a.formatter.module" not in before


def test_the_file_of_a_function_of_ones_own_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = folder / "module_of_a_fingerprint.py"
    module.write_text("def f(batch): ...")
    config = small.small_config(folder, sources={"a": source(formatter="module_of_a_fingerprint:f")})
    before = parts_of(config)
    module.write_text("def f(batch): return batch")
    assert changed_keys(before, parts_of(config)) == ["sources.a.formatter.module"]


def test_the_tokenizers_content_counts_and_not_its_name(folder: Path) -> None:
    def chunks(name: str, content: str) -> dict[str, Any]:
        (folder / name).write_text(content, encoding="utf-8")
        return parts_of(small.small_config(folder, tokenizer={"file": str(folder / name), "pad": small.PAD}))

    before = chunks("one.json", small.tokenizer_json())
    assert chunks("two.json", small.tokenizer_json()) == before
    assert changed_keys(before, chunks("three.json", small.tokenizer_json() + " ")) == ["tokenizer.file"]


def test_special_tokens_and_library_do_not_count(folder: Path) -> None:
    file = str(folder / "tokenizer.json")
    plain = small.small_config(folder, tokenizer={"file": file, "pad": small.PAD, "library": "tokenizers"})
    assert parts_of(plain) == parts_of(small.small_config(folder))


def test_a_classifiers_model_and_label_count_where_it_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byline.transforms.store.fingerprint.sha256_of", lambda path, folder, what: f"of {path}")

    def config(**classifier: str) -> Config:
        sources = {"a": source(score={}), "b": source()}
        return small.small_config(folder, sources=sources, classifiers={"quality": classifier})

    before = config(model="one.bin", label="x")
    assert changed_keys(parts_of(before), parts_of(config(model="two.bin", label="x"))) == ["classifiers.quality.model"]
    assert changed_keys(parts_of(before), parts_of(config(model="one.bin"))) == ["classifiers.quality.label"]
    # b gives the score itself.
    assert parts_of(before, "b") == parts_of(config(model="two.bin"), "b")


def test_changed_keys() -> None:
    assert changed_keys({"a": 1, "b": 2, "c": None}, {"b": 3, "d": None}) == ["a", "b", "c", "d"]
    assert changed_keys({"a": 1}, {"a": 1}) == []


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len(fingerprint({})) == 64


def test_one_copy_of_a_tokenizer_a_process(folder: Path) -> None:
    first, second = small.small_config(folder), small.small_config(folder, seed=1)
    assert shared_tokenizer(first.tokenizer) is shared_tokenizer(second.tokenizer)
