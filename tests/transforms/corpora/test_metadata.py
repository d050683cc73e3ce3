"""Hosts and registered domains as columns of the document batch."""

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from byline.schemas import documents
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.metadata_transform import ExtractMetadata
from byline.transforms.corpora.suffix_snapshot import snapshot_id
from byline.transforms.documents.coder import RecordBatchCoder

INFO = documents.BatchInfo("mine", "a.jsonl", 0, True, 100, 3, 30)
SCHEMA = pa.schema([documents.ROW, documents.TEXT, documents.URL, pa.field("license", pa.string())])
ROWS = [
    {"row": 0, "text": "one", "url": "https://News.example.co.uk/a", "license": "by"},
    {"row": 1, "text": None, "url": None, "license": None},
    {"row": 3, "text": "two", "url": "http://[::1]/", "license": "by"},
]
FOUND = [
    {**ROWS[0], "host": "news.example.co.uk", "registered_domain": "example.co.uk"},
    {**ROWS[1], "host": None, "registered_domain": None},
    {**ROWS[2], "host": "[::1]", "registered_domain": None},
]


def make_batch(rows):
    return documents.with_info(pa.RecordBatch.from_pylist(rows, schema=SCHEMA), INFO)


def test_adds_two_columns_and_keeps_the_rest():
    found = extract_metadata(make_batch(ROWS))
    assert found.to_pylist() == FOUND
    assert list(found.schema) == [*SCHEMA, documents.HOST, documents.REGISTERED_DOMAIN]
    assert documents.info_of(found) == INFO
    found.validate(full=True)


def test_takes_a_slice_and_no_rows():
    batch = make_batch(ROWS)
    assert extract_metadata(batch.slice(2)).to_pylist() == FOUND[2:]
    empty = extract_metadata(batch.slice(0, 0))
    assert empty.num_rows == 0
    assert empty.schema.equals(extract_metadata(batch).schema, check_metadata=True)


def test_names_the_suffix_list():
    assert len(snapshot_id()) == 16
    assert int(snapshot_id(), 16) >= 0
    assert snapshot_id() == snapshot_id()


def test_the_name_changes_with_the_list(monkeypatch):
    before = snapshot_id()
    monkeypatch.setattr("byline.transforms.corpora.suffix_snapshot.Path.read_bytes", lambda path: b"com\n")
    assert before != snapshot_id() == "03b795529d1bb07b"


def test_transform_gives_one_batch_for_each():
    def check(batches):
        assert [batch.to_pylist() for batch in batches] == [FOUND]
        assert documents.info_of(batches[0]) == INFO

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        found = pipeline | "Create" >> beam.Create([make_batch(ROWS)]) | "ExtractMetadata" >> ExtractMetadata()
        assert found.element_type is pa.RecordBatch
        assert isinstance(beam.coders.registry.get_coder(found.element_type), RecordBatchCoder)
        assert_that(found, check)
