"""Sources that are formatted or made: what goes together, and what a mistake says."""

from typing import Any

import pytest
from pydantic import ValidationError

from byline.schemas.corpora import Arithmetic, ArithmeticStyle, Source

JSONL = {"format": "jsonl", "path": "x"}


def mistake(**values: Any) -> str:
    with pytest.raises(ValidationError) as error:
        Source.model_validate(values)
    return error.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("written", "name", "options"),
    [
        ("fim", "fim", {}),
        ({"name": "fim", "rate": 0.9}, "fim", {"rate": 0.9}),
        ({"name": "my.module:f", "options": {"a": 1}}, "my.module:f", {"a": 1}),
        ({"name": "m:f_1", "a": [1], "b": {}}, "m:f_1", {"a": [1], "b": {}}),
    ],
)
def test_a_formatter_and_its_options(written: Any, name: str, options: dict[str, Any]) -> None:
    source = Source.model_validate({**JSONL, "formatter": written})
    assert source.formatter is not None
    assert (source.formatter.name, source.formatter.options) == (name, options)
    assert source.is_formatted
    assert Source.model_validate(source.model_dump(mode="json")) == source


@pytest.mark.parametrize("name", ["chatt", "", "module.f", "my-module:f", ":f", "m:", "m:f:g", "m:f()"])
def test_names_that_are_none(name: str) -> None:
    assert mistake(**JSONL, formatter=name) == f"expected chat, qa, fim or package.module:object, found {name!r}"


@pytest.mark.parametrize("field", ["messages", "question", "answer"])
def test_fields_that_only_a_formatter_reads(field: str) -> None:
    expected = f"fields.{field}: only a source with a `formatter` reads it; name one"
    assert mistake(**JSONL, fields={field: "x"}) == expected
    assert Source.model_validate({**JSONL, "fields": {field: "x"}, "formatter": "m:f"}).fields == {field: "x"}


def test_fields_that_a_formatter_needs() -> None:
    expected = "formatter: chat needs fields.messages: where it stands in a record"
    assert mistake(**JSONL, formatter="chat") == expected
    assert mistake(**JSONL, formatter="chat", fields={"question": "x"}) == expected
    expected = "formatter: qa needs fields.answer: where it stands in a record"
    assert mistake(**JSONL, formatter="qa", fields={"question": "x"}) == expected


def test_additions() -> None:
    source = Source(format="arithmetic")
    assert source.made == Arithmetic(style=ArithmeticStyle.PLAIN, digits=3, examples=10_000, per_document=1, seed=0)
    assert source.is_formatted
    assert source.patterns == []
    assert Source.model_validate({"format": "arithmetic", "arithmetic": {"style": "reverse"}}).made.style == "reverse"
    assert mistake(format="arithmetic", path="x").startswith("`format: arithmetic` is made, not read")
    assert mistake(format="arithmetic", formatter="fim").startswith("`format: arithmetic` is made, not read")
    assert mistake(**JSONL, arithmetic={}) == "arithmetic: only a source of `format: arithmetic` takes it"


@pytest.mark.parametrize("path", ["", []])
def test_a_source_that_is_read_has_files(path: Any) -> None:
    expected = "path: this key is needed: a pattern of the source's files, or a list of patterns"
    assert mistake(format="c4", path=path) == mistake(format="c4") == expected


def test_a_source_as_it_is() -> None:
    source = Source.model_validate(JSONL)
    assert not source.is_formatted
    assert source.patterns == ["x"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://b", "s3://b: is a bucket; write s3://b/** for all objects in it"),
        ("gs://b/", "gs://b/: is a bucket; write gs://b/** for all objects in it"),
        ("s3://*/x", "s3://*/x: a bucket takes no wildcard; expected s3://bucket/ and a pattern of keys"),
        ("s3://u:secret@b*/x", "s3://...@b*/x: a bucket takes no wildcard; "),
        ("s3://u:secret@b/*", "s3://...@b/: expected s3://bucket/key without user or options; "),
        ("s3:///x*", "s3:///x: expected s3://bucket/key without user or options; "),
        ("s3://b/a//**", "s3://b/a//**: an empty name between slashes cannot be read; "),
        ("s3://b//a*", "s3://b//a: an empty name between two slashes can neither be read nor written; "),
        ("https://h/*.gz", "https://h/*.gz: expected a path, s3://bucket/key or gs://bucket/key; "),
        (["s3://b/a", "data/*"], "the patterns are on different file systems; make each a source of its own"),
        (["s3://b/a", "gs://b/a"], "the patterns are on different file systems; make each a source of its own"),
    ],
)
def test_patterns_that_are_none(path: Any, message: str) -> None:
    told = mistake(format="c4", path=path)
    assert told.startswith(message)
    assert "secret" not in told


@pytest.mark.parametrize("path", ["a//*.gz", "s3://b/a?.gz", "gs://b/**", "s3://b/[ab]/x/", ["s3://b/*", "s3://c/*"]])
def test_patterns(path: Any) -> None:
    assert Source.model_validate({"format": "c4", "path": path}).path == path
