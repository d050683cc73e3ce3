"""Files that are something else than their layout says: named as what they are, with what to do."""

import bz2
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from byline.errors import BylineError
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import InputFile
from byline.transforms.corpora.reading import read_batches

LINES = '{"text": "a", "url": "é"}\n{"text": "b"}\n'


def mistake(folder, content, layout, malformed=Malformed.ERROR):
    path = folder / "a"
    path.write_bytes(content)
    source = Source(format=layout, path="x", malformed=malformed)
    with pytest.raises(BylineError) as error:
        list(read_batches(InputFile("mine", "a", str(path), len(content)), source))
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "malformed: drop" not in message
    return message


def ipc(**options):
    sink = pa.BufferOutputStream()
    with options["new"](sink, pa.schema([("text", pa.string())])):
        pass
    return sink.getvalue().to_pybytes()


OTHERS = [
    (LINES.encode("utf-16"), "UTF-16 text; turn it into UTF-8, with `iconv -f UTF-16 -t UTF-8 FILE`"),
    (LINES.encode("utf-16-le"), "UTF-16LE text"),
    (LINES.encode("utf-16-be"), "UTF-16BE text"),
    (("[\n" + LINES).encode("utf-16-le"), "UTF-16LE text"),
    (LINES.encode("utf-32"), "UTF-32 text"),
    (LINES.encode("utf-32-le"), "UTF-32 text"),
    (LINES.encode("utf-32-be"), "UTF-32 text"),
    (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "HTML or XML"),
    (b'\xef\xbb\xbf\n<?xml version="1.0"?>\n<a/>\n', "HTML or XML"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a pointer of Git LFS"),
    (b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "a WARC file"),
    (ipc(new=pa.ipc.new_file), "an Arrow IPC file"),
    (ipc(new=pa.ipc.new_stream), "an Arrow IPC stream"),
    (b"FEA1....", "a Feather file"),
    (b"\x1e" + LINES.encode(), "a JSON text sequence"),
]


@pytest.mark.parametrize(("content", "kind"), OTHERS)
def test_what_is_neither(tmp_path, content, kind):
    for malformed in Malformed:
        assert f"expected JSON lines, found {kind}" in mistake(tmp_path, content, "jsonl", malformed)
        assert f"expected JSON lines, found in the gzip data {kind}" in mistake(
            tmp_path, gzip.compress(content), "jsonl"
        )
        assert f"expected Parquet, found {kind}" in mistake(tmp_path, content, "parquet", malformed)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"text,url\na,b\n", "CSV, most likely; write its rows as JSON lines or Parquet"),
        (b'text;url\n"a ""b""";c\n', "CSV, most likely"),
        (b"text\turl\na, b\tc\n", "TSV, most likely"),
        (b"Once upon a time\nthere was\n", "plain text, most likely"),
        (b"a", "plain text, most likely"),
        (b"\x80\x04\x95\0\0\0\0", "binary data"),
    ],
)
def test_what_is_only_likely(tmp_path, content, kind):
    assert f"expected JSON lines, found {kind}" in mistake(tmp_path, content, "jsonl")
    assert f"expected Parquet, found {kind}" in mistake(tmp_path, content, "parquet")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'[{"text": "a"}]\n' * 2, "an array of objects; write each on a line of its own, with `jq -c '.[]' FILE`"),
        (b'[null, {"text": "a"}]', "an array of objects"),
        (b'["a", "b"]', "an array whose items are no objects; write each record as one, with its text under a key"),
        (b'[\n"a",\n"b"\n]', "an array whose items are no objects"),
        (b'[["a", "b"],\n["c", "d"]]', "an array whose items are no objects"),
        (
            b'{"text": "\xc3\xa9"}{"text": "b"}\n',
            "several objects on one line; write each on its own, with `jq -c . FILE`",
        ),
        (b'{"text": "a"} {"text": "b"}\n{"text": "c"}\n', "several objects on one line"),
        (b'{"text": "a"},\r\n{"text": "b"}\r\n', "a comma behind each object; remove them, with `sed"),
    ],
)
def test_what_is_almost_json_lines(tmp_path, content, kind):
    assert f"expected JSON lines, found {kind}" in mistake(tmp_path, content, "jsonl")


def test_compressed_twice(tmp_path):
    once = gzip.compress(LINES.encode())
    message = mistake(tmp_path, bz2.compress(once), "jsonl")
    assert "expected JSON lines, found in the bz2 data gzip data: it is compressed twice; decompress it once" in message
    assert "gzip data zstd data: it is compressed twice" in mistake(
        tmp_path, gzip.compress(zstandard.compress(LINES.encode())), "jsonl"
    )


def test_parquet_and_json_the_wrong_way_round(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "b")
    parquet = (tmp_path / "b").read_bytes()
    assert "expected JSON lines, found a Parquet file; set `format: parquet`" in mistake(tmp_path, parquet, "jsonl")
    for content in (LINES.encode(), b"[" + LINES.encode(), b"\xef\xbb\xbf {}"):
        assert "expected Parquet, found JSON; set `format: jsonl`" in mistake(tmp_path, content, "parquet")
    assert "expected Parquet, found compressed with gzip" in mistake(tmp_path, gzip.compress(parquet), "parquet")
    assert "expected Parquet, found an empty file" in mistake(tmp_path, b"", "parquet")
    assert "fetch the file again" in mistake(tmp_path, parquet[:-9], "parquet")


def test_one_object_around_all_records(tmp_path):
    content = b'{"version": 1, "data": [{"text": "a"}, {"text": "b"}]}'
    for malformed in Malformed:
        message = mistake(tmp_path, content, "jsonl", malformed)
        assert 'is one JSON object, whose "data" is an array of objects; if those are the records' in message
        assert """`jq -c '.["data"][]' FILE`""" in message
    assert 'whose "data" is an array' in mistake(tmp_path, content.replace(b", ", b",\n"), "jsonl")


def test_a_record_that_is_wrong_is_told_as_a_record(tmp_path):
    path = tmp_path / "a"
    for content in (b"# a comment\n" + LINES.encode(), b"null\n" + LINES.encode()):
        path.write_bytes(content)
        source = Source(format="jsonl", path="x")
        with pytest.raises(BylineError, match=r"row 0 .*set `malformed: drop`"):
            list(read_batches(InputFile("mine", "a", str(path), len(content)), source))
