"""Chunks: where they are cut follows from the records alone, and no record of any kind comes for nothing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import BatchInfo, InputFile, info_of
from byline.schemas.layouts import Records
from byline.transforms.corpora import chunks as cutting
from byline.transforms.documents.coder import RecordBatchCoder
from tests.support.thorough import examples

SCHEMA = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])
SOURCE = Source(format="jsonl", path="x")


@pytest.fixture(autouse=True, scope="module")
def texts_alone():
    """Chunks are cut by texts alone, so that a test can count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "RECORD_BYTES", 0)
        yield


def block(texts):
    """A block of the readers; a text `None` is null, and `0` is a malformed record."""
    values = [text if isinstance(text, str) else None for text in texts]
    batch = pa.record_batch(
        [pa.array(values, pa.large_string()), pa.nulls(len(texts), pa.large_string())], schema=SCHEMA
    )
    return Records(batch, np.array([text == 0 for text in texts], bool))


def chunks(blocks, target, done=(), source=SOURCE):
    file = InputFile("mine", "a", "/a", 7, done)
    batches = list(cutting.cut_chunks(blocks, file, source, SCHEMA, target))
    for batch in batches:
        batch.validate(full=True)
        assert batch.schema.remove_metadata() == pa.schema([pa.field("row", pa.int64(), nullable=False), *SCHEMA])
    return [(info_of(batch), batch["row"].to_pylist(), batch["text"].to_pylist()) for batch in batches]


def info(chunk, last, rows, size, malformed=0):
    return BatchInfo("mine", "a", chunk, last, 7, rows, size, {"malformed": malformed} if malformed else {})


def test_cut():
    texts = ["a" * 4, "b" * 5, "c" * 7, "d" * 25, None, "e" * 3, 0]
    expected = [
        (info(0, False, 3, 16), [0, 1, 2], ["a" * 4, "b" * 5, "c" * 7]),
        (info(1, False, 1, 25), [3], ["d" * 25]),
        (info(2, True, 3, 3, malformed=1), [4, 5], [None, "e" * 3]),
    ]
    assert chunks([block(texts)], 10) == expected
    assert chunks([block([text]) for text in texts], 10) == expected
    assert chunks([block(texts)], 10, done=(0, 2)) == expected[1:2]
    assert chunks([block(texts)], 10, done=(2,)) == expected[:2]


def test_bytes_are_counted_in_utf_8():
    assert [rows for _, rows, _ in chunks([block(["é", "é", "é"])], 3)] == [[0, 1], [2]]


def test_no_records_are_one_empty_chunk():
    assert chunks([], 10) == [(info(0, True, 0, 0), [], [])]
    assert chunks([], 10, done=(0,)) == []


def test_only_malformed_records():
    assert chunks([block([0, 0])], 10) == [(info(0, True, 2, 0, malformed=2), [], [])]


def cut_slowly(texts, target):
    """The rule, record by record: (rows read, bytes, malformed, rows kept) of each chunk."""
    found, quotient, before = [[0, 0, 0, []]], 0, 0
    for row, text in enumerate(texts):
        if before // target != quotient:
            found.append([0, 0, 0, []])
        quotient = before // target
        size = len(text.encode()) if isinstance(text, str) else 0
        found[-1][0] += 1
        found[-1][1] += size
        found[-1][2] += text == 0
        found[-1][3] += [] if text == 0 else [row]
        before += size
    return found


@given(
    st.lists(st.one_of(st.text("aé", max_size=9), st.none(), st.just(0)), max_size=30),
    st.integers(1, 20),
    st.lists(st.integers(1, 6), min_size=30, max_size=30),
    st.sets(st.integers(0, 8)),
)
@examples(300)
def test_cut_depends_on_the_records_alone(texts, target, sizes, done):
    blocks, at = [], 0
    for size in sizes:
        if texts[at : at + size]:
            blocks.append(block(texts[at : at + size]))
        at += size
    expected = cut_slowly(texts, target)
    found = chunks(blocks, target)
    assert [
        [info.rows_read, info.bytes_read, info.dropped.get("malformed", 0), rows] for info, rows, _ in found
    ] == expected
    assert [info.chunk for info, _, _ in found] == list(range(len(expected)))
    assert [info.last for info, _, _ in found] == [False] * (len(expected) - 1) + [True]
    assert [text for _, rows, column in found for text in column] == [text for text in texts if text != 0]
    assert chunks(blocks, target, tuple(sorted(done))) == [chunk for chunk in found if chunk[0].chunk not in done]


def test_a_chunk_is_sent_without_the_rest_of_its_block():
    blocks = [block(["a" * 5000, "b" * 5000])]
    _, second = cutting.cut_chunks(blocks, InputFile("mine", "a", "/a", 7), SOURCE, SCHEMA, 5000)
    encoded = RecordBatchCoder().encode(second)
    assert len(encoded) < 7000
    assert RecordBatchCoder().decode(encoded).equals(second)


def test_every_record_has_bytes(monkeypatch):
    monkeypatch.setattr(cutting, "RECORD_BYTES", 64)
    texts = ["a" * 4, "b" * 40, "c" * 10, "d" * 125, None, "e" * 3, 0]
    found = chunks([block(texts)], 100)
    assert [rows for _, rows, _ in found] == [[0, 1], [2], [3], [4, 5], []]
    assert [info.bytes_read for info, _, _ in found] == [44, 10, 125, 3, 0]
    assert [len(rows) for _, rows, _ in chunks([block([""] * 500)], 6400)] == [100] * 5
    assert [info.rows_read for info, _, _ in chunks([block([0] * 500)], 6400)] == [100] * 5


def test_urls_kept_texts_and_messages_count():
    kept = ["k" * 10, None, "k" * 5]
    fields = [*SCHEMA, ("kept", pa.string()), ("n", pa.int64())]
    batch = pa.record_batch(
        [
            pa.array(["a", "b", "c"], pa.large_string()),
            pa.array([None, "u" * 7, ""], pa.large_string()),
            kept,
            [1, 2, 3],
        ],
        schema=pa.schema(fields),
    )
    file = InputFile("mine", "a", "/a", 7)
    blocks = [Records(batch, np.zeros(3, bool))]
    found = list(cutting.cut_chunks(blocks, file, SOURCE, batch.schema, 10))
    assert [piece["row"].to_pylist() for piece in found] == [[0], [1, 2]]
    assert [info_of(piece).bytes_read for piece in found] == [1, 2]


def test_a_document_that_is_too_long():
    source = SOURCE.model_copy(update={"max_document": 10})
    with pytest.raises(BylineError, match=r"/a: row 1: 11 bytes, and sources\.mine\.max_document allows 10; raise it"):
        chunks([block(["a" * 10, "é" * 5 + "b", "c"])], 100, source=source)
    source = Source(format="jsonl", path="x", malformed="drop", max_document=10)
    ((info, rows, _),) = chunks([block(["a" * 10, "é" * 5 + "b", 0, "c"])], 1000, source=source)
    assert (rows, info.dropped, info.bytes_read) == ([0, 3], {"malformed": 1, "too_long": 1}, 11)


@pytest.mark.parametrize(("value", "size"), [(5, 5), ("5", 5), ("32MiB", 32 << 20), ("4 MB", 4_000_000), ("2kB", 2000)])
def test_sizes_may_have_a_unit(value, size):
    assert Source(format="jsonl", path="x", max_document=value).max_document == size


@pytest.mark.parametrize("value", ["x", "1.5MB", True, -1, "2GiB", None])
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match="max_document"):
        Source(format="jsonl", path="x", max_document=value)
