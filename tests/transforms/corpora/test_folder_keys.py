"""Fields in the names of folders."""

import json

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.transforms.corpora.folder_keys import folder_keys, keys_of, keys_of_root
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.reading import read_batches


@pytest.mark.parametrize(
    ("folder", "keys"),
    [
        ("language=de", {"language": "de"}),
        ("year=2024/month=05", {"year": "2024", "month": "05"}),
        ("a=1/b/a=2", {"a": "2"}),
        ("city=New%20York", {"city": "New York"}),
        ("the%3Dkey=a%2Fb", {"the=key": "a/b"}),
        ("x=a=b", {"x": "a=b"}),
        ("x=__HIVE_DEFAULT_PARTITION__", {"x": None}),
        ("x=", {"x": ""}),
        ("=x/plain", {}),
        ("x=%ff", {"x": "%ff"}),
        ("x=100%", {"x": "100%"}),
        ("x=%e9%BA%A6", {"x": "麦"}),
    ],
)
def test_keys(folder, keys):
    assert keys_of(folder.split("/")) == keys


def test_keys_of_a_file():
    below = InputFile("s", "language=de/0.jsonl", "/data/x=1/language=de/0.jsonl", 1)
    assert folder_keys(below) == {"x": "1", "language": "de"}
    quoted = InputFile("s", "a=b%20c/0.jsonl", "s3://bucket/x=1/a%3Db%2520c/0.jsonl", 1)
    assert folder_keys(quoted) == {"x": "1", "a": "b c"}
    assert folder_keys(InputFile("s", "0.jsonl", "0.jsonl", 1)) == {}


def write(folder, layout, rows):
    folder.mkdir(parents=True)
    if layout == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")
    else:
        (folder / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(source):
    rows = []
    for file in list_inputs("mine", source):
        for batch in read_batches(file, source):
            rows += [{**row, "path": file.path} for row in batch.to_pylist()]
    return rows


@pytest.mark.parametrize("layout", ["jsonl", "parquet"])
def test_keys_are_fields(tmp_path, layout):
    rows = [{"text": "a", "own": "x"}, {"text": "b", "own": None}]
    write(tmp_path / "lang=de" / "own=folder" / "n=03", layout, rows)
    write(tmp_path / "lang=__HIVE_DEFAULT_PARTITION__" / "n=many", layout, rows)
    keep = {"lang": "string", "n": "int", "own": "string", "other": {"path": "n", "type": "float"}}
    source = Source.model_validate(
        {"format": layout, "path": f"{tmp_path}/**/*", "keep": keep, "score": {"q": "n"}, "fields": {"url": "lang"}}
    )
    kept = [(row["lang"], row["n"], row["own"], row["other"], row["q"], row["url"]) for row in read(source)]
    assert kept == [
        (None, None, "x", None, None, None),
        (None, None, None, None, None, None),
        ("de", 3, "x", 3.0, 3.0, "de"),
        ("de", 3, "folder", 3.0, 3.0, "de"),
    ]


def test_a_malformed_record_has_no_keys(tmp_path):
    (tmp_path / "lang=de").mkdir()
    (tmp_path / "lang=de" / "0.jsonl").write_text('{"text": "a"}\nx\n{"text": "b"}\n')
    source = Source.model_validate(
        {"format": "jsonl", "path": f"{tmp_path}/*/*", "keep": ["lang"], "malformed": "drop"}
    )
    assert [(row["row"], row["lang"]) for row in read(source)] == [(0, "de"), (2, "de")]


def test_a_text_is_none_of_a_folder(tmp_path):
    write(tmp_path / "text=de", "jsonl", [{"text": None}, {"text": "a"}])
    source = Source.model_validate({"format": "jsonl", "path": f"{tmp_path}/*/*"})
    assert [row["text"] for row in read(source)] == [None, "a"]


def test_as_arrow_writes_them(tmp_path):
    table = pa.table({"text": ["a", "b", "c", "d"], "k": ["New York", "a/b=c", None, "Ω%"]})
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=["k"], partitioning_flavor="hive")
    source = Source.model_validate({"format": "parquet", "path": f"{tmp_path}/**/*.parquet", "keep": ["k"]})
    assert {row["text"]: row["k"] for row in read(source)} == dict(zip("abcd", table["k"].to_pylist(), strict=True))


def test_keys_before_the_wildcard(tmp_path):
    """They are fields, and as no document's path has them, the source's fingerprint has."""
    write(tmp_path / "lang=de" / "x=1", "jsonl", [{"text": "a"}])
    pattern = f"{tmp_path}/lang=de/*/*"
    source = Source.model_validate({"format": "jsonl", "path": pattern, "keep": ["lang", "x"]})
    assert [(row["lang"], row["x"], row["path"]) for row in read(source)] == [("de", "1", "x=1/0.jsonl")]
    assert keys_of_root(source) == {"lang": "de"}
    assert keys_of_root(Source.model_validate({"format": "jsonl", "path": pattern})) == {}
    assert keys_of_root(Source.model_validate({"format": "jsonl", "path": "s3://b/lang=en/*", "keep": ["lang"]})) == {
        "lang": "en"
    }
