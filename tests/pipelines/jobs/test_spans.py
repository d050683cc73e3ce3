"""The kind spans over a token store: by row, URL and field, in both layouts, formatted sources, workers, mistakes."""

import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byline.errors import BylineError
from byline.pipelines.jobs.attribute_list import remove_attributes
from byline.schemas.config import Config
from byline.transforms.attributes.spans import kind
from byline.transforms.attributes.tables.groups import groups_of
from tests.reference import loss_spans
from tests.support import small
from tests.support.attribute_files import file_bytes, made

Span = tuple[str, str, int, int, int, str]
SOURCES = {"web": 2, "wiki": 1}
LABELS = ("email", "ip", "name")


def text_of(draw: random.Random) -> str:
    return " ".join(draw.choices(["the", "fox", "é", "😀", "jumps", "e\u0301", "over.", "\n"], k=draw.randrange(1, 30)))


def write_corpora(folder: Path) -> dict[tuple[str, str, int], str]:
    """Documents by source, path and row."""
    draw, documents = random.Random(1), {}
    for source, files in SOURCES.items():
        for number in range(files):
            texts = [f"{text_of(draw)} x" for _ in range(25)]
            records = [
                {"text": text, "id": f"{source}-{number}-{row}", "url": f"http://{source}.org/{number}/{row % 20}"}
                for row, text in enumerate(texts)
            ]
            small.write_jsonl(folder / source / f"{number}.jsonl", records)
            documents.update({(source, f"{number}.jsonl", row): text for row, text in enumerate(texts)})
    return documents


def spans_of(documents: dict[tuple[str, str, int], str]) -> list[Span]:
    draw, spans = random.Random(2), []
    for (source, path, row), text in documents.items():
        if row % 3 == 0:
            for _ in range(draw.randrange(1, 4)):
                start, stop = sorted(draw.choices(range(len(text) + 1), k=2))
                spans.append((source, path, row, start, stop, draw.choice(LABELS)))
    draw.shuffle(spans)
    return spans


def config_of(folder: Path, settings: dict[str, Any]) -> Config:
    small.tokenizer_file(folder)
    plain = {"format": "jsonl", "keep": ["id"]}
    return small.small_config(
        folder,
        sources={name: {**plain, "path": str(folder / f"{name}/*")} for name in SOURCES},
        attributes={"secrets": {"kind": "spans", **settings}},
    )


def by_row(folder: Path, spans: list[Span]) -> dict[str, Any]:
    names = ("source", "path", "row", "begin", "end", "type")
    for number in range(2):
        columns = zip(*spans[number::2], strict=True)
        pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), folder / f"spans-{number}.parquet")
    return {"path": str(folder / "spans-*"), "by": "row", "start": "begin", "stop": "end", "label": "type"}


def by_url(folder: Path, spans: list[Span]) -> dict[str, Any]:
    lines = [
        {"page": f"http://{source}.org/{path[0]}/{row}", "start": start, "stop": stop, "label": label}
        for source, path, row, start, stop, label in spans
    ]
    small.write_jsonl(folder / "spans.jsonl", lines)
    return {"path": str(folder / "spans.jsonl"), "by": "url", "key": "page", "label": "label"}


def by_id(folder: Path, spans: list[Span]) -> dict[str, Any]:
    records: dict[str, dict[str, list[list[float]]]] = {}
    for source, path, row, start, stop, label in spans:
        attributes = records.setdefault(f"{source}-{path[0]}-{row}", {})
        attributes.setdefault(f"pii__{label}", []).append([start, stop, 0.9])
        attributes.setdefault("pii__email", []).append([0, 1, 0.1])
    small.write_jsonl(folder / "spans.jsonl", [{"id": key, "attributes": of} for key, of in records.items()])
    names = [f"pii__{label}" for label in LABELS]
    return {"path": str(folder / "spans.jsonl"), "by": "id", "layout": "dolma", "attributes": names, "least_score": 0.5}


def expected(text: str, spans: list[tuple[int, int, str]], prefix: str = "") -> dict[str, Any]:
    """The columns of a document with spans, token by token."""
    covered = {at for start, stop, _ in spans for at in range(start, stop)}
    one_by_one = [border for at in sorted(covered) for border in (at, at + 1)]
    tokens = loss_spans.trained_tokens(small.reference_tokenizer(), text, one_by_one, None, {})
    flags = [0, *(flag for _, flag in tokens), 0]
    ranges = [at for at in range(len(flags) - 1) if flags[at] != flags[at + 1]]
    labels = sorted({prefix + label for start, stop, label in spans if start < stop})
    return {
        "secrets": bool(covered),
        "secrets_ranges": ranges,
        "secrets_labels": "+".join(labels) or None,
        "tokens": [token for token, _ in tokens],
    }


@pytest.mark.parametrize("write", [by_row, by_id])
def test_spans_become_ranges_of_tokens(tmp_path: Path, write: Callable[..., dict[str, Any]]) -> None:
    documents = write_corpora(tmp_path)
    spans = spans_of(documents)
    config = config_of(tmp_path, write(tmp_path, spans))
    small.prepare_quietly(config)
    rows = made(config, "secrets")
    assert rows.keys() == documents.keys()
    for key, text in documents.items():
        own = [span[3:] for span in spans if span[:3] == key]
        value = expected(text, own, "pii__" if write is by_id else "")
        if not own:
            value["secrets_ranges"] = None
        given = {**rows[key], "secrets_ranges": rows[key]["secrets_ranges"] or (None if not own else [])}
        assert given == value, (key, text, own)


def test_each_document_of_a_url_has_its_spans(tmp_path: Path) -> None:
    documents = write_corpora(tmp_path)
    # Rows 0 and 20 have one URL.
    spans = [("web", "0.jsonl", 0, 0, 1, "email"), ("wiki", "0.jsonl", 7, 0, 1, "ip")]
    config = config_of(tmp_path, by_url(tmp_path, spans))
    small.prepare_quietly(config)
    marked = {key: value["secrets_labels"] for key, value in made(config, "secrets").items() if value["secrets"]}
    assert documents
    assert marked == {("web", "0.jsonl", 0): "email", ("web", "0.jsonl", 20): "email", ("wiki", "0.jsonl", 7): "ip"}


def test_many_partitions_and_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A span may be of two documents, so it is in any text.
    spans = [(*span[:3], 0, 1 + span[3] % 2, span[5]) for span in spans_of(write_corpora(tmp_path))]
    config = config_of(tmp_path, by_url(tmp_path, spans))
    small.prepare_quietly(config)
    whole = made(config, "secrets")
    remove_attributes(config, ["secrets"], small.quiet())
    monkeypatch.setattr(kind, "partitions_for", lambda rows: 8)
    monkeypatch.setattr(kind, "groups_of", partial(groups_of, most=30))
    assert made(config, "secrets") == whole
    assert len({value["secrets_labels"] for value in whole.values()}) > 4


def test_the_same_bytes_with_two_workers_and_in_another_order(tmp_path: Path) -> None:
    files = []
    for number, name in enumerate("ab"):
        documents = write_corpora(tmp_path / name)
        spans = spans_of(documents)
        config = config_of(tmp_path / name, by_row(tmp_path / name, spans[::-1] if number else spans))
        small.prepare_quietly(config)
        made(config, "secrets", workers=number + 1)
        files.append({Path(file).name: content for file, content in file_bytes(config, "secrets").items()})
    arrow = [name for name in files[0] if name.endswith(".arrow")]
    assert len(arrow) == 3
    assert all(files[0][name] == files[1][name] for name in arrow)
    assert json.loads(files[0]["attribute.json"])["summary"] == json.loads(files[1]["attribute.json"])["summary"]


def test_characters_of_a_formatted_text(tmp_path: Path) -> None:
    names = ["<|im_start|>", "<|im_end|>"]
    small.tokenizer_file(tmp_path)
    chat = [{"role": "user", "content": "call é"}, {"role": "assistant", "content": "no"}]
    small.write_jsonl(tmp_path / "chat/0.jsonl", [{"m": chat}, {"m": chat}])
    text = "<|im_start|>user\ncall é<|im_end|>\n"
    start = text.index("call")
    small.write_jsonl(tmp_path / "spans.jsonl", [{"path": "0.jsonl", "row": 1, "start": start, "stop": start + 6}])
    formatter = {"name": "chat", "begin": names[0], "end": names[1]}
    source = {"format": "jsonl", "path": str(tmp_path / "chat/*"), "fields": {"messages": "m"}, "formatter": formatter}
    config = small.small_config(
        tmp_path,
        sources={"chat": source},
        tokenizer={"file": str(tmp_path / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD, "add": names},
        attributes={"secrets": {"kind": "spans", "path": str(tmp_path / "spans.jsonl"), "by": "row"}},
    )
    small.prepare_quietly(config)
    rows = made(config, "secrets")
    assert rows["chat", "0.jsonl", 0]["secrets"] is False
    value = rows["chat", "0.jsonl", 1]
    first, last = value["secrets_ranges"]
    assert small.reference_tokenizer().decode(value["tokens"][first:last]) == "call é"
    assert "secrets_labels" not in value


def written(folder: Path, records: list[dict[str, Any]], **settings: Any) -> Config:
    write_corpora(folder)
    small.write_jsonl(folder / "spans.jsonl", records)
    config = config_of(folder, {"path": str(folder / "spans.jsonl"), "by": "id", **settings})
    small.prepare_quietly(config)
    return config


@pytest.mark.parametrize(
    ("records", "settings", "message"),
    [
        (
            [{"id": "web-0-3", "start": 0, "stop": 999}],
            {},
            "0.jsonl of source web, row 3: the range of characters 0 to 999 is",
        ),
        (
            [{"id": "web-0-3", "start": 2, "stop": 1}],
            {},
            "web, row 3: the range of characters 2 to 1 is",
        ),
        (
            [{"id": "web-0-3", "stop": 1}, {"id": "web-0-3", "start": 0, "stop": 1}],
            {},
            "row 0: expected a whole",
        ),
        ([{"id": None, "start": 0, "stop": 1}], {}, "1 of 1 spans have no id"),
        ([{"id": "nobody", "start": 0, "stop": 1}], {}, "1 of 1 spans are of no document in the token store"),
        ([{"id": "no", "start": 0, "stop": 1}], {"max_unmatched": 1}, "1 of 1 spans are of no document"),
        ([], {}, "no span in 1 files"),
        ([{"path": "9.jsonl", "row": 1, "start": 0, "stop": 1}], {"by": "row"}, "1 of 1 spans are of no document"),
        (
            [{"path": "0.jsonl", "row": 1, "start": 0, "stop": 1}],
            {"by": "row"},
            "'0.jsonl' may be web/0.jsonl",
        ),
    ],
)
def test_mistakes(tmp_path: Path, records: list[dict[str, Any]], settings: dict[str, Any], message: str) -> None:
    config = written(tmp_path, records, **settings)
    with pytest.raises(BylineError, match=re.escape(message)):
        made(config, "secrets")


def test_some_spans_may_be_of_no_document(tmp_path: Path) -> None:
    records = [{"id": "web-0-3", "start": 0, "stop": 1}, *({"id": f"{n}", "start": 0, "stop": 1} for n in range(3))]
    config = written(tmp_path, records, max_unmatched=0.8)
    assert sum(value["secrets"] for value in made(config, "secrets").values()) == 1
    summary = json.loads(next(Path(config.store).glob("web/*/attributes/secrets/*/attribute.json")).read_text("utf-8"))
    assert summary["summary"]["spans"] == {"rows": 4, "matched": 1, "unmatched": 3}
