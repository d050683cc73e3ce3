"""Which documents are dropped, and that each is counted."""

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.documents import LOSS_SPANS, ROW, SPECIAL_SPANS, TEXT, BatchInfo, info_of, with_info
from byline.schemas.reasons import DropReason
from byline.transforms.filters.filtering import apply_reasons, drop_reasons, filter_documents
from byline.transforms.filters.filtering_transform import FilterDocuments
from tests.reference.documents import RawDocument, drop_reason

INFO = BatchInfo("a", "x.jsonl", 0, True, 10, 5, 9, {"malformed": 2, "empty_text": 1})


def batch_of(texts: list[str | None]) -> pa.RecordBatch:
    columns = [pa.array(range(len(texts)), pa.int64()), pa.array(texts, pa.large_string())]
    return with_info(pa.RecordBatch.from_arrays(columns, ["row", "text"]), INFO)


def test_reasons() -> None:
    texts = ["a cat", "", "\n \t", None, " a", "\u2003\u00a0"]
    reasons = [None, "empty_text", "empty_text", "missing_text", None, "empty_text"]
    assert drop_reasons(pa.array(texts, pa.large_string())).to_pylist() == reasons


SPACES = [chr(point) for point in range(0x110000) if chr(point).isspace()]


@pytest.mark.parametrize("space", [*SPACES, "\u200b", "\ufeff", "\u180e", "\0"], ids=ascii)
def test_white_space_is_pythons(space: str) -> None:
    expected = "empty_text" if space.isspace() else None
    assert drop_reasons(pa.array([space * 2], pa.large_string())).to_pylist() == [expected]


@given(st.lists(st.none() | st.text(alphabet=st.sampled_from(["a", *SPACES, "\u200b"]), max_size=4)))
def test_reasons_are_those_of_the_reference(texts: list[str | None]) -> None:
    expected = [drop_reason(RawDocument("a", "x", 0, text, None, {})) for text in texts]
    assert drop_reasons(pa.array(texts, pa.large_string())).to_pylist() == expected


def test_dropped_documents_are_added_to_the_counts() -> None:
    found = filter_documents(batch_of(["a", "", None, " ", "b"]))
    assert found["row"].to_pylist() == [0, 4]
    assert info_of(found).dropped == {"malformed": 2, "empty_text": 3, "missing_text": 1}
    assert info_of(found).rows_read == 5


def test_a_batch_without_reasons_is_passed_on_as_it_is() -> None:
    batch = batch_of(["a", "b"])
    assert filter_documents(batch) is batch
    assert filter_documents(batch_of([])).num_rows == 0


def test_a_batch_may_lose_every_document() -> None:
    found = filter_documents(batch_of(["", None]))
    assert found.num_rows == 0
    assert found.schema.names == ["row", "text"]
    assert info_of(found).dropped == {"malformed": 2, "empty_text": 2, "missing_text": 1}


def test_any_reason_is_counted() -> None:
    found = apply_reasons(batch_of(["a", "b"]), pa.array([None, DropReason.NO_TOKENS.value]))
    assert found["text"].to_pylist() == ["a"]
    assert info_of(found).dropped["no_tokens"] == 1


def test_spans_stay_with_their_documents() -> None:
    columns = [
        pa.array(range(4), pa.int64()),
        pa.array(["", "ab", None, "c"], pa.large_string()),
        pa.array([[0, 0], [0, 1, 1, 2], None, None], LOSS_SPANS.type),
        pa.array([None, [1, 2], [], None], SPECIAL_SPANS.type),
    ]
    schema = pa.schema([ROW, TEXT, LOSS_SPANS, SPECIAL_SPANS])
    found = filter_documents(with_info(pa.RecordBatch.from_arrays(columns, schema=schema), INFO))
    found.validate(full=True)
    assert found.schema.remove_metadata() == schema
    assert [list(row.values()) for row in found.to_pylist()] == [[1, "ab", [0, 1, 1, 2], [1, 2]], [3, "c", None, None]]


def test_filter_documents_is_a_map_over_batches() -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = pipeline | beam.Create([batch_of(["a", ""])]).with_output_types(pa.RecordBatch) | FilterDocuments()
        assert batches.element_type is pa.RecordBatch
        assert_that(batches | beam.Map(lambda batch: batch["text"].to_pylist()), equal_to([["a"]]))
