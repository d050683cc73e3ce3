"""The names that records have."""

import pyarrow as pa
import pytest

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


TEXT, INTEGER = pa.string(), pa.int32()
# What Python's own values cannot hold, or has no names for.
ODD_COLUMNS = {
    "nanoseconds": (pa.array([1], pa.timestamp("ns")), []),
    "a year beyond 9999": (pa.array([2**62], pa.timestamp("us")), []),
    "a day beyond 9999": (pa.array([2**30], pa.date32()), []),
    "a time zone that is not known": (pa.array([1], pa.timestamp("us", "Foo/Bar")), []),
    "a long duration": (pa.array([2**62], pa.duration("s")), []),
    "keys that are numbers": (pa.array([[(7, "a")]], pa.map_(INTEGER, TEXT)), ["x.7"]),
    "keys that are bytes": (pa.array([[(b"k", "a")]], pa.map_(pa.binary(), TEXT)), ["x.k"]),
    "keys that are structs": (pa.array([[({"a": 1}, "v")]], pa.map_(pa.struct([("a", INTEGER)]), TEXT)), []),
    "a name twice": (pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"])], ["u", "u"]), ["x.u"]),
    "beside a time": (
        pa.array([{"t": 1, "m": [("k", "a")]}], pa.struct([("t", pa.timestamp("ns")), ("m", pa.map_(TEXT, TEXT))])),
        ["x.t", "x.m", "x.m.k"],
    ),
}


@pytest.mark.parametrize("kind", ODD_COLUMNS)
def test_names_beside_values_that_python_cannot_hold(kind):
    column, names = ODD_COLUMNS[kind]
    rows = pa.RecordBatch.from_arrays([column, pa.array(["http://a.org"])], ["x", "url"])
    values = {}
    add_column_names(rows.schema, rows, values)
    assert {name for name in values if name not in ("x.0", "x.0.key", "x.0.value")} == {"x", "url", *names}
    assert values["url"] == "http://a.org"
