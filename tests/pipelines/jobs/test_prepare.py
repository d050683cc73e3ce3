"""Preparing sources that are formatted or made: what is in their runs, beside sources that are only read."""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.corpora import Malformed
from byline.transforms.store.state import StoreState
from tests.reference import documents, layout
from tests.support import small

START, END = "<|im_start|>", "<|im_end|>"
ADDED = [START, END, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


def config_of(folder: Path, **changes: Any) -> Config:
    small.tokenizer_file(folder)
    sources = {
        "add": {"format": "arithmetic", "arithmetic": {"style": "reverse", "examples": 50, "per_document": 3}},
        "chat": {
            "format": "jsonl",
            "path": str(folder / "chat/*"),
            "fields": {"messages": "c.m"},
            "formatter": {"name": "chat", "begin": START, "end": END},
            "malformed": "drop",
        },
        "qa": {
            "format": "jsonl",
            "path": str(folder / "qa/*"),
            "fields": {"question": "q", "answer": "a"},
            "keep": ["license"],
            "formatter": "qa",
        },
        "fim": {"format": "jsonl", "path": str(folder / "plain/*"), "formatter": {"name": "fim", "rate": 0.8}},
        "plain": {"format": "jsonl", "path": str(folder / "plain/*")},
    }
    small.write_jsonl(
        folder / "chat/a.jsonl",
        [{"c": {"m": [{"from": "human", "value": f"q{n} é"}, {"from": "gpt", "value": "😀\r\n ok"}]}} for n in range(9)]
        + [{"c": {"m": [{"role": "nobody", "content": "x"}]}}, {"c": {"m": []}}],
    )
    small.write_jsonl(folder / "qa/a.jsonl", [{"q": f"q{n}", "a": "x é", "license": "m"} for n in range(9)])
    small.write_jsonl(folder / "plain/a.jsonl", [{"text": f"The quick é fox {n}"} for n in range(20)] + [{"text": " "}])
    tokenizer = {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD, "add": ADDED}
    return small.small_config(folder, sources={**sources, **changes}, tokenizer=tokenizer)


def rows_of(state: StoreState, source: str) -> pa.Table:
    tables = [pa.ipc.open_file(run.uri).read_all() for run in state.runs if run.source == source]
    return pa.concat_tables([table.replace_schema_metadata() for table in tables])


def test_runs_are_those_of_the_reference(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    state = small.prepare_quietly(config)
    reference = small.reference_tokenizer()
    names = {name: reference.get_vocab_size() + number for number, name in enumerate(ADDED)}
    for source, settings in config.sources.items():
        expected = {}
        for file in (file for file in state.inputs if file.source == source):
            if source == "add":
                raws = documents.made_documents(source, file.path, settings.made)
            else:
                raws = documents.read_documents(source, "jsonl", [(file.path, file.uri)], settings.fields)
            for raw in raws:
                text, loss, special = documents.formatted(raw, settings)
                if text is not None and text.strip():
                    expected[raw.row] = layout.tokenize_marked(reference, text, loss, special, names)
        found = rows_of(state, source)
        assert dict(zip(found["row"].to_pylist(), found["tokens"].to_pylist(), strict=True)) == {
            row: ids for row, (ids, _) in expected.items()
        }
        assert ("masked" in found.schema.names) == (source != "plain")
        if source != "plain":
            masked = {row: [border for pair in ranges for border in pair] for row, (_, ranges) in expected.items()}
            assert dict(zip(found["row"].to_pylist(), found["masked"].to_pylist(), strict=True)) == masked
    assert rows_of(state, "qa")["license"].to_pylist() == ["m"] * 9
    assert rows_of(state, "add").num_rows == 17
    assert {run.source: run.dropped for run in state.runs if run.dropped} == {
        "chat": {"malformed": 2}, "fim": {"empty_text": 1}, "plain": {"empty_text": 1},
    }  # fmt: skip


def test_a_source_that_is_only_read_has_the_same_bytes_beside_others(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    (together,) = [run.uri for run in small.prepare_quietly(config).runs if run.source == "plain"]
    content = Path(together).read_bytes()
    alone = config.model_copy(update={"sources": {"plain": config.sources["plain"]}, "store": str(tmp_path / "other")})
    (run,) = small.prepare_quietly(alone).runs
    assert Path(run.uri).read_bytes() == content


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    before = {run.uri: Path(run.uri).stat().st_mtime_ns for run in small.prepare_quietly(config).runs}
    console = small.quiet()
    prepare(config, RunnerSettings(workers=1), console)
    assert "nothing to do: 5 files" in console.file.getvalue()
    gone = next(uri for uri in before if "/add/" in uri)
    content = Path(gone).read_bytes()
    Path(gone).unlink()
    console = small.quiet()
    prepare(config, RunnerSettings(workers=1), console)
    assert console.file.getvalue().startswith("prepare   add: 50 additions\n")
    assert Path(gone).read_bytes() == content
    assert all(Path(uri).stat().st_mtime_ns == time for uri, time in before.items() if uri != gone)


def test_a_changed_function_prepares_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = tmp_path / "module_of_test_prepare.py"
    source = {"format": "jsonl", "path": str(tmp_path / "plain/*"), "formatter": "module_of_test_prepare:f"}
    config = config_of(tmp_path, mine=source)

    def prepared(end: str) -> tuple[list[int], str]:
        module.write_text(f"def f(batch): return {{'text': [str(text) + {end!r} for text in batch['text']]}}\n")
        sys.modules.pop(module.stem, None)
        console = small.quiet()
        state = prepare(config, RunnerSettings(workers=1), console)
        return rows_of(state, "mine")["tokens"].to_pylist()[0], console.file.getvalue()

    first, _ = prepared("!")
    second, said = prepared("??")
    assert first[:-1] == second[:-2]
    assert "prepared before with another configuration, changed: sources.mine.formatter.module" in " ".join(
        said.split()
    )
    module.unlink()
    with pytest.raises(BylineError, match=r"sources\.mine\.formatter: there is no module module_of_test_prepare;"):
        small.prepare_quietly(config)


def test_a_malformed_record_stops_with_its_file_and_row(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    strict = config.sources["chat"].model_copy(update={"malformed": Malformed.ERROR})
    config = config.model_copy(update={"sources": {"chat": strict}})
    with pytest.raises(
        BylineError, match=r"^a\.jsonl: row 9: message 1 is of the role 'nobody', which .*; fix the file"
    ):
        small.prepare_quietly(config)
    missing = config.tokenizer.model_copy(update={"add": [START]})
    loose = config.sources["chat"].model_copy(update={"malformed": Malformed.DROP})
    with pytest.raises(
        BylineError, match=r"^a\.jsonl of source chat, row \d: special_spans: .* no token '<\|im_end\|>'"
    ):
        small.prepare_quietly(config.model_copy(update={"sources": {"chat": loose}, "tokenizer": missing}))
