"""Reading: what a chunk is, how the layouts map to columns, and that the transform can be wired."""

import gzip
import json

import apache_beam as beam
import mmh3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import BatchInfo, InputFile, info_of
from byline.transforms.corpora import chunks, json_lines, reading
from byline.transforms.corpora.reading_transform import ReadCorpus
from byline.transforms.documents.coder import InputFileCoder, RecordBatchCoder


@pytest.fixture(autouse=True)
def texts_alone(monkeypatch):
    """Chunks are cut by texts alone, so that a test can count."""
    monkeypatch.setattr(chunks, "RECORD_BYTES", 0)


def write_lines(folder, records, name="a.jsonl"):
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    (folder / name).write_bytes(content)
    return InputFile("mine", name, str(folder / name), len(content))


# --- layouts


def rows_of(file, source, target=1 << 20):
    batches = list(reading.read_batches(file, source, target))
    return [row for batch in batches for row in batch.to_pylist()], [info_of(batch) for batch in batches]


@pytest.mark.parametrize("format", ["dclm", "c4", "jsonl"])
def test_json_layouts(tmp_path, format):
    records = [{"text": "a", "url": "x", "timestamp": "t"}, {"text": "b", "metadata": {}}, {"url": "y"}]
    rows, infos = rows_of(write_lines(tmp_path, records), Source(format=format, path="x"), 1)
    assert rows == [
        {"row": 0, "text": "a", "url": "x"},
        {"row": 1, "text": "b", "url": None},
        {"row": 2, "text": None, "url": "y"},
    ]
    assert [info.chunk for info in infos] == [0, 1, 2]


@pytest.mark.parametrize(("format", "text"), [("refinedweb", "content"), ("parquet", "text")])
def test_parquet_layouts(tmp_path, format, text):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({text: ["a", None], "url": ["x", None], "dump": ["d", "d"]}), path)
    rows, infos = rows_of(InputFile("mine", "a.parquet", str(path), 9), Source(format=format, path="x"))
    assert rows == [{"row": 0, "text": "a", "url": "x"}, {"row": 1, "text": None, "url": None}]
    checksum = mmh3.mmh3_x64_128_digest(path.read_bytes()).hex()
    assert infos == [BatchInfo("mine", "a.parquet", 0, True, 9, 2, 1, input_checksum=checksum)]


@pytest.mark.parametrize("format", ["c4", "refinedweb"])
def test_fields_scores_and_kept(tmp_path, format):
    source = Source(
        format=format,
        path="x",
        fields={"text": "body", "url": "meta.link"},
        keep={"lang": "string", "meta.n": "int", "gone": "bool"},
        score={"quality": "meta.q", "rank": "r"},
    )
    records = [
        {"body": "a", "meta": {"link": "x", "n": 3, "q": 0.1}, "lang": "en", "r": 2},
        {"body": None, "meta": None},
    ]
    if format == "c4":
        file = write_lines(tmp_path, records)
    else:
        pq.write_table(pa.Table.from_pylist(records), tmp_path / "a")
        file = InputFile("mine", "a", str(tmp_path / "a"), 1)
    (batch,) = reading.read_batches(file, source)
    assert batch.schema.names == ["row", "text", "url", "quality", "rank", "lang", "meta.n", "gone"]
    assert batch.schema.types[3:] == [pa.float32(), pa.float32(), pa.string(), pa.int64(), pa.bool_()]
    assert [list(row.values()) for row in batch.to_pylist()] == [
        [0, "a", "x", float(np.float32(0.1)), 2.0, "en", 3, None],
        [1, *[None] * 7],
    ]


def test_empty_files(tmp_path):
    source = Source(format="jsonl", path="x", keep=["lang"])
    for content in (b"", b"\n \n", gzip.compress(b"")):
        (tmp_path / "a").write_bytes(content)
        (batch,) = reading.read_batches(InputFile("mine", "a", str(tmp_path / "a"), len(content)), source)
        assert batch.num_rows == 0
        assert batch.schema.names == ["row", "text", "url", "lang"]
        checksum = mmh3.mmh3_x64_128_digest(content).hex()
        assert info_of(batch) == BatchInfo("mine", "a", 0, True, len(content), 0, 0, input_checksum=checksum)


def test_malformed(tmp_path):
    file = write_lines(tmp_path, [{"text": "a"}, {"text": 1}, 3, {"text": "b"}])
    with pytest.raises(BylineError, match=r"row 1 \(byte 14 of the decompressed file\): the text is a number"):
        rows_of(file, Source(format="jsonl", path="x"))
    rows, (found,) = rows_of(file, Source(format="jsonl", path="x", malformed="drop"))
    assert [(row["row"], row["text"]) for row in rows] == [(0, "a"), (3, "b")]
    assert (found.rows_read, found.bytes_read, found.dropped) == (4, 2, {"malformed": 2})


def test_chunks_come_while_the_file_is_read(tmp_path, monkeypatch):
    """Memory holds about one chunk: the first is given before the rest of the file is looked at."""
    file = write_lines(tmp_path, [{"text": "a" * 100}] * 50)
    asked = []
    read = json_lines.read_json_lines

    def small_blocks(*arguments, **named):
        for batch, *masks in read(*arguments, **{**named, "block_bytes": 300}):
            asked.append(len(batch))
            yield batch, *masks

    monkeypatch.setattr(json_lines, "read_json_lines", small_blocks)
    next(iter(reading.read_batches(file, Source(format="jsonl", path="x"), 500)))
    assert sum(asked) < 10


# --- what a formatter reads


def source_of(format="jsonl", **values):
    return Source(format=format, path="x", **values)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_columns_for_a_formatter(tmp_path, format):
    records = [
        {"m": [{"role": "u", "content": "é"}, {"role": "a", "content": "b"}], "q": "x", "a": "yz", "n": 1, "text": "t"},
        {"m": None, "q": "", "a": None, "n": 2, "text": "uu"},
    ]
    if format == "jsonl":
        file = write_lines(tmp_path, records)
    else:
        pq.write_table(pa.Table.from_pylist(records), tmp_path / "a")
        file = InputFile("mine", "a", str(tmp_path / "a"), 1)
    fields = {"messages": "m", "question": "q", "answer": "a"}
    source = source_of(format, formatter="chat", fields=fields, keep={"n": "int"})
    (batch,) = reading.read_batches(file, source)
    assert batch.schema.names == ["row", "url", "n", "messages", "question", "answer"]
    assert batch["messages"].to_pylist() == [[{"role": "u", "content": "é"}, {"role": "a", "content": "b"}], None]
    assert (batch["question"].to_pylist(), batch["answer"].to_pylist()) == (["x", ""], ["yz", None])
    assert info_of(batch).bytes_read == 6
    # Named, the text is read as well, and without such fields as ever.
    (batch,) = reading.read_batches(file, source_of(format, formatter="a:b", fields={"text": "text", "messages": "m"}))
    assert batch.schema.names == ["row", "text", "url", "messages"]
    assert info_of(batch).bytes_read == 6
    (batch,) = reading.read_batches(file, source_of(format, formatter="fim"))
    assert batch.schema.names == ["row", "text", "url"]


def test_chunks_are_cut_by_all_that_a_document_is_made_of(tmp_path):
    records = [{"m": [{"role": "user", "content": "é" * size}] * 2, "q": "x" * size} for size in (0, 1, 2, 3)]
    file = write_lines(tmp_path, records)
    source = source_of(formatter="chat", fields={"messages": "m", "question": "q"})
    batches = list(reading.read_batches(file, source, 5))
    assert [(batch["row"].to_pylist(), info_of(batch).bytes_read) for batch in batches] == [
        ([0, 1], 5), ([2], 10), ([3], 15),
    ]  # fmt: skip
    whole = list(reading.read_batches(file, source))
    assert [row for batch in batches for row in batch.to_pylist()] == whole[0].to_pylist()


def test_additions_are_read_in_chunks():
    source = Source(format="arithmetic", arithmetic={"examples": 2000, "style": "reverse"})
    file = InputFile("add", "additions-00000", "", 2000)
    (whole,) = reading.read_batches(file, source)
    assert whole.schema.names == ["row", "text", "url", "loss_spans", "special_spans", "problem"]
    assert whole["row"].to_pylist() == list(range(2000))
    assert info_of(whole) == BatchInfo("add", "additions-00000", 0, True, 2000, 2000, info_of(whole).bytes_read)
    assert info_of(whole).bytes_read == sum(len(text) for text in whole["text"].to_pylist())
    parts = list(reading.read_batches(file, source, 5000))
    assert len(parts) > 3
    assert [row for batch in parts for row in batch.to_pylist()] == whole.to_pylist()
    resumed = reading.read_batches(InputFile("add", "additions-00000", "", 2000, done=(0, 2)), source, 5000)
    kept = [batch for number, batch in enumerate(parts) if number not in (0, 2)]
    assert [batch.to_pylist() for batch in resumed] == [batch.to_pylist() for batch in kept]


# --- the transform


def test_transform(tmp_path):
    files = [write_lines(tmp_path, [{"text": f"{name}{n}"} for n in range(3)], name) for name in "ab"]
    expected = [
        (name, chunk, [[chunk, f"{name}{chunk}", None]], last)
        for name in "ab"
        for chunk, last in [(0, False), (1, False), (2, True)]
    ]

    def check(batches):
        found = [
            (
                info_of(batch).path,
                info_of(batch).chunk,
                [list(row.values()) for row in batch.to_pylist()],
                info_of(batch).last,
            )
            for batch in batches
        ]
        assert sorted(found) == expected

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = pipeline | beam.Create(files) | ReadCorpus({"mine": Source(format="jsonl", path="x")}, 2)
        assert batches.element_type is pa.RecordBatch
        assert isinstance(beam.coders.registry.get_coder(batches.element_type), RecordBatchCoder)
        assert isinstance(beam.coders.registry.get_coder(batches.producer.inputs[0].element_type), InputFileCoder)
        assert_that(batches, check)
