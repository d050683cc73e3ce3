"""Documents read from small files in each format against literal ones, and why a document is dropped."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.reference import documents

LINES = [
    b'{"text": "one\\u2028two", "url": "http://a.org/", "n": 1}\n',
    b"\n",
    b"  \t\r\n",
    b'{"text": "two\xe2\x80\xa8", "url": null}\r\n',
    b'{"url": "http://b.org/"}\n',
    b'{"text": null}\n',
    b'{"text": ""}\n',
    b'{"text": " \\u00a0\\n\\u2003"}\n',
    b"not json\n",
    b'["a list"]\n',
    b'{"text": 5}\n',
    b'{"text": "\\ud800"}\n',
    b'{"text": "\xff"}\n',
    b'{"text": "x", "score": NaN}\n',
    b'{"text": "the last line has no end"}',
]
EXPECTED = [
    (0, "one\u2028two", "http://a.org/", None),
    (1, "two\u2028", None, None),
    (2, None, "http://b.org/", "missing_text"),
    (3, None, None, "missing_text"),
    (4, "", None, "empty_text"),
    (5, " \u00a0\n\u2003", None, "empty_text"),
    *[(row, None, None, "malformed") for row in range(6, 12)],
    (12, "the last line has no end", None, None),
]


def summaries(read: list[documents.RawDocument]) -> list[tuple[int, str | None, str | None, str | None]]:
    return [(document.row, document.text, document.url, documents.drop_reason(document)) for document in read]


@pytest.mark.parametrize("layout_name", ["dclm", "c4", "jsonl"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json.gz", ".jsonl.zst"])
def test_json_lines(layout_name: str, suffix: str, tmp_path: Path) -> None:
    compressors: dict[str, Callable[[bytes], bytes]] = {
        ".jsonl": bytes,
        ".json.gz": gzip.compress,
        ".jsonl.zst": zstandard.ZstdCompressor().compress,
    }
    compress = compressors[suffix]
    file = tmp_path / f"x{suffix}"
    # Two frames, or members: both are read.
    file.write_bytes(compress(b"".join(LINES[:5])) + compress(b"".join(LINES[5:])))
    read = list(documents.read_documents("s", layout_name, [(f"sub/x{suffix}", file)]))
    assert summaries(read) == EXPECTED
    assert {(document.source, document.path) for document in read} == {("s", f"sub/x{suffix}")}
    assert read[0].record == {"text": "one\u2028two", "url": "http://a.org/", "n": 1}


def test_rows_begin_anew_in_each_file(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text('{"text": "x"}\n{"text": "y"}\n')
    read = documents.read_documents("s", "jsonl", [(name, tmp_path / name) for name in "ab"])
    assert [(document.path, document.row) for document in read] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_fields_in_structs(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"body": {"main": "x"}, "meta": {"url": "u"}},
        {"body": {"main": "y"}, "meta": None},
        {"body": None},
        {"body": "z"},
    ]
    (tmp_path / "a").write_text("\n".join(map(json.dumps, records)))
    fields = {"text": "body.main", "url": "meta.url"}
    read = list(documents.read_documents("s", "jsonl", [("a", tmp_path / "a")], fields))
    assert summaries(read) == [
        (0, "x", "u", None),
        (1, "y", None, None),
        (2, None, None, "missing_text"),
        (3, None, None, "malformed"),
    ]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"content": ["a", None, " ", *["b"] * 600], "url": ["u", *[None] * 602], "extra": range(603)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    files = [("x.parquet", tmp_path / "x.parquet")]
    read = list(documents.read_documents("s", "refinedweb", files))
    assert summaries(read)[:4] == [
        (0, "a", "u", None),
        (1, None, None, "missing_text"),
        (2, " ", None, "empty_text"),
        (3, "b", None, None),
    ]
    assert [document.row for document in read] == list(range(603))
    assert read[602].record == {"content": "b", "url": None, "extra": 602}
    assert list(documents.read_documents("s", "parquet", files, {"text": "content"})) == read


def test_a_document_without_tokens_is_dropped() -> None:
    document = documents.RawDocument("s", "p", 0, "x", None, {})
    assert documents.drop_reason(document, []) == "no_tokens"
    assert documents.drop_reason(document, [1]) is None
