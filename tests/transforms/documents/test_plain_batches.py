"""The steps of preparing take batches of another pipeline, or say in a line what these lack."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from byline.errors import BylineError
from byline.schemas.corpora import Classifier, FormatterSettings, Tokenizer
from byline.schemas.documents import ROW, TEXT, BatchInfo, info_of, with_columns, with_info
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.metadata_transform import ExtractMetadata
from byline.transforms.filters.filtering import filter_documents
from byline.transforms.filters.filtering_transform import FilterDocuments
from byline.transforms.filters.sizes import Words
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.formatting_transform import FormatDocuments
from byline.transforms.formatters.opening import open_formatter
from byline.transforms.scores.scoring import open_scorer, score_batch
from byline.transforms.scores.scoring_transform import ScoreQuality
from byline.transforms.store.runs import sort_by_shuffle_key, write_run
from byline.transforms.store.runs_transform import WriteRuns
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch
from byline.transforms.tokens.tokenizing_transform import Tokenize
from tests.support.fasttext_models import train
from tests.support.small import FINGERPRINT, tokenizer_file

TEXTS = ["good", "", None, "bad so"]


def plain(texts: list[str | None] = TEXTS) -> pa.RecordBatch:
    """As another pipeline makes one: no metadata, strings and integers of its own width."""
    rows = pa.array(range(len(texts)), pa.int32())
    return pa.record_batch({"row": rows, "text": pa.array(texts, pa.string())})


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(file=tokenizer_file(tmp_path), eos="<eos>")


def test_a_batch_without_info_has_rows_that_were_read() -> None:
    assert info_of(plain()) == BatchInfo(source="", path="", chunk=0, last=True, rows_read=4)


def test_filter_documents() -> None:
    kept = filter_documents(plain())
    assert kept["row"].to_pylist() == [0, 3]
    assert info_of(kept) == BatchInfo(rows_read=4, dropped={"empty_text": 1, "missing_text": 1})


def test_tokenize_batch(tokenizer: Tokenizer) -> None:
    batch = tokenize_batch(filter_documents(plain()), shared_tokenizer(tokenizer))
    assert batch.schema.names == ["row", "num_bytes", "num_tokens", "tokens"]
    assert batch["num_bytes"].to_pylist() == [4, 6]


def test_score_batch(tmp_path: Path) -> None:
    model = Classifier(model=train(tmp_path, "two"), label="__label__0")
    batch = score_batch(plain(), [open_scorer("quality", model, str(tmp_path / "cache"))])
    assert batch.schema.names == ["row", "text", "quality"]
    assert [value is None for value in batch["quality"].to_pylist()] == [False, False, True, False]
    assert score_batch(batch, []) is batch


def test_format_batch() -> None:
    formatter = open_formatter("mine", FormatterSettings(name="fim", options={"rate": 0}))
    assert format_batch(plain(), formatter).schema.names == ["row", "text", "loss_spans", "special_spans"]


def test_a_run_needs_a_source_and_a_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    batch = tokenize_batch(filter_documents(plain()), shared_tokenizer(tokenizer))
    expected = (
        "WriteRuns: the batch does not say which source and file it is from; give it that with "
        "byline.schemas.documents.with_info(batch, BatchInfo(source=..., path=..., chunk=...))"
    )
    for step in (sort_by_shuffle_key, lambda batch: write_run(batch, FINGERPRINT, str(tmp_path / "runs"))):
        assert told(step, batch) == expected
    named = with_info(batch, BatchInfo(source="mine", path="a.jsonl", rows_read=4))
    uri = write_run(named, FINGERPRINT, str(tmp_path / "runs"))
    assert Path(uri).is_file()
    assert sorted(sort_by_shuffle_key(named)["row"].to_pylist()) == [0, 3]


def told(step: Callable[[pa.RecordBatch], Any], batch: pa.RecordBatch) -> str:
    with pytest.raises(BylineError) as error:
        step(batch)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_column_is_one_line(tokenizer: Tokenizer, tmp_path: Path) -> None:
    lacks = "the batch has no column"
    bare = pa.record_batch({"body": ["a"]})
    named = with_info(pa.record_batch({"row": [0]}), BatchInfo("mine", "a.jsonl"))
    assert told(filter_documents, bare) == (
        f"FilterDocuments: {lacks} 'text' (large_string), which ReadCorpus or FormatDocuments makes; it has body"
    )
    assert told(extract_metadata, bare) == (
        f"ExtractMetadata: {lacks} 'url' (large_string), which ReadCorpus makes; it has body"
    )
    assert told(lambda batch: tokenize_batch(batch, shared_tokenizer(tokenizer)), bare) == (
        f"Tokenize: {lacks} 'row' (int64), which ReadCorpus makes; it has body"
    )
    assert told(lambda batch: write_run(batch, FINGERPRINT, str(tmp_path)), named) == (
        f"WriteRuns: {lacks} 'num_bytes' (int64), which Tokenize makes; it has row"
    )
    chat = open_formatter("mine", FormatterSettings(name="chat"))
    assert told(lambda batch: format_batch(batch, chat), named).startswith(
        f"FormatDocuments: {lacks} 'messages' (list<item: struct<role: string, content: string>>), which ReadCor"
    )


def test_a_column_of_another_type_is_one_line(tokenizer: Tokenizer) -> None:
    batch = pa.record_batch({"row": [0.5], "text": [1]})
    assert told(filter_documents, batch) == (
        "FilterDocuments: expected a column 'text' of type large_string, found int64"
    )
    assert told(lambda batch: tokenize_batch(batch, shared_tokenizer(tokenizer)), batch) == (
        "Tokenize: expected a column 'row' of type int64, found double"
    )
    assert told(lambda batch: tokenize_batch(batch, shared_tokenizer(tokenizer)), plain()) == (
        "Tokenize: 1 of 4 texts are null; FilterDocuments drops such documents"
    )


def test_columns_as_documented_are_left_as_they_are() -> None:
    batch = with_columns(with_info(plain(), BatchInfo("mine", "a.jsonl")), "Tokenize", ROW, TEXT)
    assert batch.schema.field("row") == ROW
    assert batch.schema.field("text") == TEXT
    assert info_of(batch) == BatchInfo("mine", "a.jsonl")
    assert with_columns(batch, "Tokenize", ROW, TEXT) is batch


# ------------------------------------------------------------------------------------------------- as transforms


def test_transforms_over_plain_batches(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = Classifier(model=train(tmp_path, "two"), label="__label__0")
    url = pa.array(["http://a.org/"] * 4)

    def named(batch: pa.RecordBatch) -> pa.RecordBatch:
        return with_info(batch, BatchInfo(source="mine", path="a.jsonl", rows_read=4))

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = (
            pipeline
            | beam.Create([plain().append_column("url", url)]).with_output_types(pa.RecordBatch)
            | ExtractMetadata()
            | ScoreQuality({"quality": model})
            | FormatDocuments({})
            | FilterDocuments()
            | Tokenize(tokenizer)
        )
        named_batches = batches | beam.Map(named).with_output_types(pa.RecordBatch)
        written = named_batches | WriteRuns({"mine": str(tmp_path / "runs")}, {"mine": FINGERPRINT})
        assert_that(written | beam.Map(lambda uri: Path(uri).is_file()), equal_to([True]))


def test_what_depends_on_the_source_asks_for_it(tmp_path: Path) -> None:
    for step in (
        FormatDocuments({"mine": FormatterSettings(name="fim")}),
        FilterDocuments({"mine": [Words(at_least=2)]}),
        WriteRuns({"mine": str(tmp_path)}, {"mine": FINGERPRINT}),
    ):
        with pytest.raises(Exception, match="the batch does not say which source and file it is from"):
            run(step, plain())
    stray = with_info(plain(), BatchInfo("other", "a.jsonl"))
    with pytest.raises(Exception, match="WriteRuns: no folder or no fingerprint is given for source 'other'"):
        run(WriteRuns({"mine": str(tmp_path)}, {"mine": FINGERPRINT}), stray)


def run(step: beam.PTransform, batch: pa.RecordBatch) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create([batch]).with_output_types(pa.RecordBatch) | step
