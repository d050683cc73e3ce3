"""The names that records have."""

import pyarrow as pa

from byline.transforms.corpora.record_names import add_column_names, add_names, has_name

RECORD = {
    "url": "a",
    "meta": '{"lang": "en", "x": {"y": null}}',
    "tags": [None, "b"],
    "headers": [{"key": "Host", "value": "c"}],
    "a.b": {"c": 1},
    "text": "{no JSON",
}


def test_names_of_a_record():
    values = {}
    add_names(RECORD, values)
    add_names({"url": "z", "tags": ["y"], "more": 1}, values)
    add_names([1], values)
    add_names("x", values)
    names = ("url", "meta.lang", "meta.x.y", "tags.0", "tags.1")
    assert [values[name] for name in names] == ["a", "en", None, "y", "b"]
    assert [values[name] for name in ("headers.Host", "headers.0.key", '"a.b".c', "more")] == ["c", "Host", 1, 1]
    assert "text.0" not in values


def test_names_inside_of_a_string_as_python_writes_it():
    values = {}
    add_names({"meta": '{"q": NaN, "lang": "en"}'}, values)
    assert (values["meta.lang"], values["meta.q"]) == ("en", None)


def test_names_of_a_table_with_a_malformed_record():
    text = pa.array([b"\xff", b'{"a": 1}'], pa.binary()).view(pa.string())
    values = {}
    add_column_names(pa.schema([("m", pa.string())]), pa.RecordBatch.from_arrays([text], ["m"]), values)
    assert values == {"m": '{"a": 1}', "m.a": 1}


def test_names_of_a_table():
    columns = {"m": [None], "h": pa.array([[("Host", "a")]], pa.map_(pa.string(), pa.string()))}
    rows = pa.RecordBatch.from_pydict({**columns, "m": pa.array([None], pa.struct([("x", pa.int64())]))})
    values = {}
    add_column_names(rows.schema, rows, values)
    assert values == {"m": None, "m.x": None, "h": {"Host": "a"}, "h.Host": "a"}


def test_which_paths_have_a_name():
    values = {}
    add_names(RECORD, values)
    for path in ("url", "meta.lang", "meta.x", "tags[1]", "headers.Host", "a.b.c", '"a.b".c', "a.b", '"meta"."lang"'):
        assert has_name(path, values), path
    for path in ("link", "meta.url", "tags[2]", '"meta.lang"', '"a"."b".c', "a.c", "headers.X"):
        assert not has_name(path, values), path


def test_names_are_not_endless():
    values = {}
    deep = {}
    for _ in range(50):
        deep = {"a": deep}
    add_names(deep, values)
    assert max(name.count(".") for name in values) < 10
    add_names({str(number): number for number in range(30_000)}, values)
    assert len(values) <= 10_000
