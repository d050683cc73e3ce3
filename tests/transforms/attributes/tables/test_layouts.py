"""Rows of tables in each layout, and what is wrong with them."""

import gzip
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from byline.errors import BylineError
from byline.schemas.attribute_kinds.table import TableAttribute
from byline.schemas.documents import InputFile
from byline.transforms.attributes.tables.layouts import TableShape, read_rows, value_names


def written(folder, content, name="t.jsonl"):
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path, row_group_size=2)
    else:
        path.write_bytes(content if isinstance(content, bytes) else lines(content))
    return InputFile("", name, str(path), path.stat().st_size)


def lines(rows):
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def settings(**values):
    return TableAttribute(**{"kind": "table", "path": "t", "by": "url", "column": "topic", **values})


def read(file, key_type=None, **values):
    shape = TableShape(settings(**values), "topic", pa.string() if key_type is None else key_type)
    names = dict(zip(value_names(len(shape.values)), shape.values, strict=True))
    rows = [row for batch in read_rows(file, shape) for row in batch.to_pylist()]
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def test_plain_by_url_from_json_lines_and_parquet(tmp_path):
    rows = [{"url": "http://ü.org/☃", "topic": "bread"}, {"url": None, "topic": "x"}, {"url": "http://a"}]
    expected = [
        {"row": 0, "key": "http://ü.org/☃", "topic": "bread"},
        {"row": 1, "key": None, "topic": "x"},
        {"row": 2, "key": "http://a", "topic": None},
    ]
    assert read(written(tmp_path, rows)) == expected
    assert read(written(tmp_path, gzip.compress(lines(rows)), "t.gz")) == expected
    assert read(written(tmp_path, pa.Table.from_pylist(rows), "t.parquet")) == expected


def test_columns_at_paths_with_types(tmp_path):
    row = {"id": 7, "text": "t", "scores": {"q": "0.5", "n": 3.0}, "ok": "true", "meta": '{"url": "u"}'}
    columns = {
        "text": {},
        "url": {"path": "meta.url"},
        "q": {"path": "scores.q", "type": "float"},
        "n": {"path": "scores.n", "type": "int"},
        "ok": {"type": "bool"},
    }
    expected = {"row": 0, "text": "t", "url": "u", "q": 0.5, "n": 3, "ok": True}
    given = {"by": "id", "column": None, "columns": columns}
    for file in (written(tmp_path, [row]), written(tmp_path, pa.Table.from_pylist([row]), "t.parquet")):
        assert read(file, **given) == [{**expected, "key": "7"}]
        assert read(file, pa.int64(), **given) == [{**expected, "key": 7}]


def test_plain_by_row(tmp_path):
    rows = [{"source": "web", "path": "a/b.gz", "row": 3, "topic": "x"}, {"path": "b", "row": "4", "topic": None}]
    assert read(written(tmp_path, rows), by="row") == [
        {"row": 0, "source": "web", "path": "a/b.gz", "document": 3, "topic": "x"},
        {"row": 1, "source": None, "path": "b", "document": 4, "topic": None},
    ]


DOLMA = [
    {"id": "x1", "attributes": {"exp__tox.v2__doc": [[0, 52, 0.25]], "exp__lang__en": [[0, 52, 3.0]]}},
    {"id": "x2", "attributes": {"exp__tox.v2__doc": [], "exp__lang__en": [[0, 7, 2.5]]}},
    {"id": "x3", "attributes": {"exp__tox.v2__doc": [[0, 0, None]]}},
]


def test_dolma(tmp_path):
    columns = {"tox": {"path": "exp__tox.v2__doc"}, "lang": {"path": "exp__lang__en", "type": "int"}}
    assert read(written(tmp_path, DOLMA), layout="dolma", by="id", column=None, columns=columns) == [
        {"row": 0, "key": "x1", "tox": 0.25, "lang": 3},
        {"row": 1, "key": "x2", "tox": None, "lang": None},
        {"row": 2, "key": "x3", "tox": None, "lang": None},
    ]


def test_numbers_among_dolmas_attributes_are_plain(tmp_path):
    file = written(tmp_path, [{"id": "x", "attributes": {"toxicity": 0.7}}])
    column = {"path": "attributes.toxicity", "type": "float"}
    assert read(file, by="id", column=column) == [{"row": 0, "key": "x", "topic": 0.7}]


SIGNALS = {"ccnet_perplexity": [[0, 1234, 345.1]], "rps_lines_num_words": [[0, 25, 2], [25, 247, 3]]}
REDPAJAMA = {
    "id": "2023-06/0003/en_head.json.gz/1",
    "id_int": 7972430436813205988,
    "metadata": {"url": "http://a.org/x", "snapshot_id": "2023-06"},
    "quality_signals": SIGNALS,
}


def test_redpajama_by_row_and_by_url(tmp_path):
    file = written(tmp_path, gzip.compress(lines([REDPAJAMA])), "en_head.signals.json.gz")
    given = {"layout": "redpajama", "column": None, "columns": {"ccnet_perplexity": {}}}
    path = {"source": None, "path": "2023-06/0003/en_head.json.gz", "document": 1}
    assert read(file, by="row", **given) == [{"row": 0, **path, "ccnet_perplexity": 345.1}]
    assert read(file, by="url", **given) == [{"row": 0, "key": "http://a.org/x", "ccnet_perplexity": 345.1}]


def test_redpajama_as_parquet_with_strings_of_json(tmp_path):
    row = {"doc_id": REDPAJAMA["id"], "quality_signals": json.dumps(SIGNALS), "meta": "{}"}
    file = written(tmp_path, pa.Table.from_pylist([row]), "sample.parquet")
    made = read(file, layout="redpajama", by="row", key="doc_id", column="ccnet_perplexity")
    assert made == [{"row": 0, "source": None, "path": "2023-06/0003/en_head.json.gz", "document": 1, "topic": 345.1}]


# --- errors


def test_several_spans(tmp_path):
    file = written(tmp_path, [{"id": "a/0", "quality_signals": {}}, REDPAJAMA])
    with pytest.raises(BylineError, match=r"t\.jsonl: row 1: 'rps_lines_num_words' has several spans"):
        read(file, layout="redpajama", by="row", column="rps_lines_num_words")


@pytest.mark.parametrize("wrong", ["a.json.gz", "/3", "a/-1", "a/x"])
def test_an_id_that_is_no_path_and_number(tmp_path, wrong):
    file = written(tmp_path, [{"id": "a/0"}, {"id": None}, {"id": wrong}])
    with pytest.raises(BylineError, match=r"t\.jsonl: row 2: expected an id of a file's path and a number"):
        read(file, layout="redpajama", by="row", column="ccnet_perplexity")


def test_a_row_that_is_no_object(tmp_path):
    file = written(tmp_path, b'{"url": "a", "topic": "x"}\n\n[1]\n')
    with pytest.raises(BylineError, match=r"t\.jsonl: row 1 \(byte 28 of the decompressed file\): .*mend that row"):
        read(file)
    file = written(tmp_path, b'{"url": "a", "topic": "x"}\n{"url": "b", "topic": \n')
    with pytest.raises(
        BylineError, match=r"row 1 \(byte 27 of the decompressed file\): expected one JSON object a line"
    ):
        read(file)


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(BylineError, match=r"t\.jsonl: expected JSON lines, found"):
        read(written(tmp_path, b"url,topic\na,x\n"))
    with pytest.raises(BylineError, match=r"t\.jsonl: the gzip data is damaged or cut short"):
        read(written(tmp_path, gzip.compress(lines([{"url": "a"}] * 9))[:-9]))
    with pytest.raises(BylineError, match=r"t\.parquet: cannot be read as Parquet"):
        read(written(tmp_path, b"PAR1 and nothing else", "t.parquet"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"column": None}, "expected `column`, a path, or `columns`"),
        ({"columns": {"a": {}}}, "expected `column`, a path, or `columns`"),
        ({"by": "row", "key": "id"}, "has the columns `path`, `row`"),
        ({"by": "row", "layout": "dolma"}, "the rows of layout dolma have an id"),
        ({"by": "url", "layout": "dolma"}, "have no URL of their own"),
        ({"layout": "redpajama", "column": {"path": "a", "type": "string"}}, "expected float or int, found string"),
        ({"column": {"type": "date"}}, "column.type"),
        ({"max_unmatched": "120%"}, "max_unmatched"),
    ],
)
def test_settings_that_do_not_fit(values, message):
    with pytest.raises(ValidationError, match=message):
        settings(**values)


def test_a_hundred_thousand_rows_in_seconds(tmp_path):
    row = '{"id": "a/%d", "metadata": {"url": "http://a.org/%d"}, "quality_signals": {"p": [[0, 9, %d.5]]}}\n'
    content = "".join(row % (number, number, number) for number in range(100_000)).encode()
    file = written(tmp_path, content)
    started = time.process_time()
    shape = TableShape(settings(layout="redpajama", by="row", column="p"), "topic", pa.string())
    batches = list(read_rows(file, shape))
    assert time.process_time() - started < 3
    assert sum(batch.num_rows for batch in batches) == 100_000
    assert batches[-1]["value0"][-1].as_py() == 99_999.5
    assert batches[-1]["row"][-1].as_py() == 99_999
