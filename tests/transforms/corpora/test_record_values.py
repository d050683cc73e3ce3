"""Paths into records: what they lead to in JSON lines and in Parquet, and that both agree with a slow reference."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import MESSAGES, InputFile
from byline.transforms.corpora import json_lines, json_objects, parquet_rows
from tests.support.thorough import examples

URL = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])


def write_lines(folder, lines):
    path = folder / "a.jsonl"
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return InputFile("mine", "a.jsonl", str(path), path.stat().st_size)


def write_parquet(folder, columns):
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return InputFile("mine", "a.parquet", str(path), path.stat().st_size)


def values(batches, name="url"):
    """One column, None also where the record is malformed, which is checked to be null."""
    found = []
    for batch, mask, *_ in batches:
        batch.validate(full=True)
        assert not any(value for value, bad in zip(batch[name].to_pylist(), mask, strict=True) if bad)
        found += batch[name].to_pylist()
    return found


def urls_of_lines(folder, lines, path, **options):
    paths = {"text": "text", "url": path}
    return values(json_lines.read_json_lines(write_lines(folder, lines), URL, paths, Malformed.ERROR, **options))


def urls_of_table(folder, columns, path):
    rows = len(next(iter(columns.values())))
    file = write_parquet(folder, {"text": ["t"] * rows, **columns})
    return values(parquet_rows.read_parquet(file, URL, {"text": "text", "url": path}, Malformed.ERROR))


# --- one record a line

LINES = [
    # what stands at the name of a record, the path below it, and the URL
    ({"m": {"url": "a"}}, "m.url", "a"),
    ({"m": {"url": "a"}}, "m.link", None),
    ({"m": '{"url": "a"}'}, "m.url", "a"),
    ({"m": '{"x": {"url": "a"}, "n": 1e3}'}, "m.x.url", "a"),
    ({"m": '{"x": "{\\"url\\": \\"a\\"}"}'}, "m.x.url", "a"),
    ({"m": ' {"url": "a"} '}, "m.url", "a"),
    ({"m": '{\n  "url": "a"\n}'}, "m.url", "a"),
    ({"m": json.dumps('{"url": "a"}')}, "m.url", "a"),
    ({"m": '{"url": 7}'}, "m.url", None),
    ({"m": '{"url": "a", "n": NaN}'}, "m.url", "a"),
    ({"m": '{"url": "a"'}, "m.url", None),
    ({"m": '{"url": "a\nb"}'}, "m.url", None),
    ({"m": '{"x": 1},"url": {"url": "a"}'}, "m.url", None),
    ({"m": '{"x": 1} {"url": "a"}'}, "m.url", None),
    ({"m": "not JSON"}, "m.url", None),
    ({"m": ""}, "m.url", None),
    ({"m": "null"}, "m.url", None),
    ({"m": None}, "m.url", None),
    ({"m": 3}, "m.url", None),
    ({"m": {"h": '["a", "b"]'}}, "m.h[1]", "b"),
    ({"m": '[{"url": "a"}]'}, "m.0.url", "a"),
    ({"m": {"Host": "a"}}, "m.Host", "a"),
    ({"m": [{"key": "Host", "value": "a"}]}, "m.Host", "a"),
    ({"m": [{"key": "Host", "value": "a"}, {"key": "Host", "value": "b"}, {"key": "X", "value": "c"}]}, "m.Host", "b"),
    ({"m": [{"name": "Host", "value": "a"}]}, "m.Host", "a"),
    ({"m": [["Host", "a"], ["X", "b"]]}, "m.Host", "a"),
    ({"m": '[{"key": "Host", "value": "a"}]'}, "m.Host", "a"),
    ({"m": [{"key": "a.b", "value": "c"}]}, "m.a.b", "c"),
    ({"m": [{"key": "a", "value": {"b": "c"}}]}, "m.a.b", "c"),
    ({"m": [{"key": 5, "value": "a"}]}, "m.x", None),
    ({"m": [3, None, "x", [], {"key": "Host"}]}, "m.Host", None),
    ({"urls": ["a", "b"]}, "urls[0]", "a"),
    ({"urls": ["a", "b"]}, "urls.1", "b"),
    ({"urls": ["a", "b"]}, "urls[2]", None),
    ({"urls": []}, "urls[0]", None),
    ({"urls": {"0": "a"}}, "urls[0]", "a"),
    ({"urls": [{"link": ["a", "b"]}]}, "urls[0].link[1]", "b"),
    ({"urls": [None, {"link": "b"}]}, "urls.1.link", "b"),
    ({"urls[0]": "a", "urls": ["b"]}, "urls[0]", "a"),
    ({"urls": [["a"], ["b", "c"]]}, "urls[1][1]", "c"),
    ({"m.url": "a"}, "m.url", "a"),
    ({"m.url": "a", "m": {"url": "b"}}, "m.url", "a"),
    ({"m.url": None, "m": {"url": "b"}}, "m.url", "b"),
    ({"m.url": "a", "m": {"url": "b"}}, '"m"."url"', "b"),
    ({"m.url": "a", "m": {"url": "b"}}, '"m.url"', "a"),
    ({"m": {"a.b": {"c": "d"}}}, "m.a.b.c", "d"),
    ({"m": {"a": {"b.c": "d"}}}, "m.a.b.c", "d"),
    ({"m": {"a.b": "c", "a": {"b": "d"}}}, 'm."a.b"', "c"),
    ({'say "hi"': "a"}, 'say "hi"', "a"),
    ({'"x': "a"}, '"""x"', "a"),
    ({"": {"": "a"}}, ".", "a"),
    ({"m": {"é\0": "a"}}, "m.é\0", "a"),
    ({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": "i"}}}}}}}}, "a.b.c.d.e.f.g.h", "i"),
]


@pytest.mark.parametrize(("record", "path", "url"), LINES)
def test_a_line(tmp_path, record, path, url):
    line = json.dumps({"text": "t", **record})
    assert urls_of_lines(tmp_path, [line] * 3, path) == [url] * 3
    # Beside others, which the parser takes for something else.
    others = ['{"text": "t"}', '{"text": "t", "m": 3, "urls": 3, "a": 3, "": 3}']
    assert urls_of_lines(tmp_path, [line, *others, line], path) == [url, None, None, url]
    assert urls_of_lines(tmp_path, [*others * 20, line, *others * 20], path) == [None] * 40 + [url] + [None] * 40


@pytest.mark.parametrize(("record", "path", "url"), LINES)
def test_a_line_of_which_another_is_kept(tmp_path, record, path, url):
    """All of the field that a path goes into is kept, too."""
    (name, *_) = record
    schema = pa.schema([*URL, ("kept", pa.string())])
    paths = {"text": "text", "url": path, "kept": '"' + name.replace('"', '""') + '"'}
    file = write_lines(tmp_path, [json.dumps({"text": "t", **record})] * 2)
    assert values(json_lines.read_json_lines(file, schema, paths, Malformed.ERROR)) == [url] * 2


# --- one column of a table

HEADERS = pa.map_(pa.string(), pa.string())
TABLES = [
    # columns, path, URLs
    ({"m": [{"url": "a"}, None, {"url": None}]}, "m.url", ["a", None, None]),
    ({"m": ['{"url": "a"}', None, "", "x", '{"url": 3}', "[]"]}, "m.url", ["a", *[None] * 5]),
    ({"m": pa.array(['{"url": "a"}', None], pa.large_string())}, "m.url", ["a", None]),
    ({"m": pa.array(['{"url": "a"}', None], pa.string_view())}, "m.url", ["a", None]),
    ({"m": pa.array([b'{"url": "a"}', None], pa.binary())}, "m.url", ["a", None]),
    ({"m": pa.array(['{"url": "a"}', None], pa.json_())}, "m.url", ["a", None]),
    ({"m": pa.array(['{"url": "a"}', None, '{"url": "a"}', "x"]).dictionary_encode()}, "m.url", ["a", None, "a", None]),
    ({"m": [{"j": '{"x": ["a", "b"]}'}, None]}, "m.j.x[1]", ["b", None]),
    (
        {"m": pa.array([[("Host", "a"), ("X", "b")], None, [], [("X", "c")]], HEADERS)},
        "m.Host",
        ["a", None, None, None],
    ),
    ({"m": pa.array([[("Host", "a"), ("Host", "b")], [("Host", None)]], HEADERS)}, "m.Host", ["b", None]),
    ({"m": pa.array([[("a.b", "c")], [("a", "d")]], HEADERS)}, "m.a.b", ["c", None]),
    ({"m": pa.array([[(5, "a")], [(6, "b")]], pa.map_(pa.int64(), pa.string()))}, "m.6", [None, "b"]),
    (
        {"m": pa.array([[("x", {"u": "a"})], None], pa.map_(pa.large_string(), pa.struct([("u", pa.large_string())])))},
        "m.x.u",
        ["a", None],
    ),
    ({"m": pa.array([[("x", '{"u": "a"}')], [("x", "")]], HEADERS)}, "m.x.u", ["a", None]),
    ({"m": [[{"key": "Host", "value": "a"}], None, [], [{"key": "X", "value": "b"}]]}, "m.Host", ["a", *[None] * 3]),
    ({"m": [[{"name": "X", "value": "a"}, {"name": "Host", "value": "b"}]]}, "m.Host", ["b"]),
    ({"urls": [["a", "b"], None, [], ["c"]]}, "urls[0]", ["a", None, None, "c"]),
    ({"urls": pa.array([["a", "b"], None, ["c"]], pa.large_list(pa.large_string()))}, "urls.1", ["b", None, None]),
    ({"urls": pa.array([["a", "b"], ["c", "d"]], pa.list_(pa.string(), 2))}, "urls.1", ["b", "d"]),
    ({"urls": pa.array([["a", "b"], None, ["c"]], pa.list_view(pa.string()))}, "urls.1", ["b", None, None]),
    ({"urls": [[{"l": [["a"]]}], None, [{"l": None}]]}, "urls[0].l[0][0]", ["a", None, None]),
    ({"urls": [["a"]]}, "urls.host", [None]),
    ({"urls": [["a"]]}, "urls[99999999999]", [None]),
    ({"m.url": ["a", None]}, "m.url", ["a", None]),
    ({"m.url": ["a", None], "m": [{"url": "b"}, {"url": "c"}]}, "m.url", ["a", "c"]),
    ({"m.url": ["a"], "m": [{"url": "b"}]}, '"m"."url"', ["b"]),
    ({"m.url": ["a"], "m": [{"url": "b"}]}, '"m.url"', ["a"]),
    ({"m.x": [{"y.z": "a"}]}, "m.x.y.z", ["a"]),
    ({"m": [{"x.y": {"z": "a"}}]}, "m.x.y.z", ["a"]),
    ({"urls[0]": ["a"], "urls": [["b"]]}, "urls[0]", ["a"]),
    ({"m": [3]}, "m.url", [None]),
]


@pytest.mark.parametrize(("columns", "path", "urls"), TABLES)
def test_a_table(tmp_path, columns, path, urls):
    assert urls_of_table(tmp_path, columns, path) == urls


def test_several_columns_of_one_string(tmp_path):
    schema = pa.schema(
        [
            *URL,
            ("n", pa.int64()),
            ("score", pa.float32()),
            ("all", pa.string()),
            ("deep", pa.bool_()),
            ("l", pa.string()),
        ]
    )
    paths = {"text": "m.t", "url": "m.u", "n": "m.n", "score": "m.s", "all": "m", "deep": "m.d.e", "l": "m.l"}
    texts = [
        '{"t": "text", "u": "a", "n": 3, "s": 0.5, "d": {"e": true}, "l": [1, {"x": null}]}',
        '{"t": "text", "u": 5, "n": "4", "s": "0.25", "d": "{\\"e\\": \\"false\\"}"}',
        "{}",
    ]
    file = write_parquet(tmp_path, {"m": texts * 1000})
    lines = write_lines(tmp_path, [json.dumps({"m": text}) for text in texts * 1000])
    expected = [
        {"text": "text", "url": "a", "n": 3, "score": 0.5, "all": texts[0], "deep": True, "l": '[1,{"x":null}]'},
        {"text": "text", "url": None, "n": 4, "score": 0.25, "all": texts[1], "deep": False, "l": None},
        {**dict.fromkeys(schema.names), "all": "{}"},
    ]
    for batches in (
        parquet_rows.read_parquet(file, schema, paths, Malformed.ERROR),
        json_lines.read_json_lines(lines, schema, paths, Malformed.ERROR),
    ):
        rows = [row for batch, *_ in batches for row in batch.to_pylist()]
        assert rows == expected * 1000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "expected JSON"),
        ("", "expected JSON"),
        ('{"t": 3}', "the text is a number, expected a string"),
        ('{"t": "a"} x', "expected JSON"),
        ('{"t": "\\ud800"}', "expected one JSON object a line"),
    ],
)
def test_a_text_in_a_string_that_is_none_is_malformed(tmp_path, text, told):
    file = write_parquet(tmp_path, {"m": ['{"t": "a"}', text, None]})
    lines = write_lines(tmp_path, [json.dumps({"m": value}) for value in ('{"t": "a"}', text, None)])
    paths = {"text": "m.t", "url": "m.u"}
    for read, of in ((parquet_rows.read_parquet, file), (json_lines.read_json_lines, lines)):
        with pytest.raises(BylineError, match=r"row 1.*") as error:
            list(read(of, URL, paths, Malformed.ERROR))
        assert "fix the file, or set `malformed: drop`" in str(error.value)
        assert told in str(error.value) or read is json_lines.read_json_lines
        batches = list(read(of, URL, paths, Malformed.DROP))
        assert [mask.tolist() for _, mask, *_ in batches] == [[False, True, False]]
        assert values(batches, "text") == ["a", None, None]


def test_messages_in_a_string(tmp_path):
    schema = pa.schema([pa.field("url", pa.large_string()), MESSAGES])
    text = '{"conversation": [{"from": "human", "value": "Hi"}]}'
    file = write_parquet(tmp_path, {"m": [text]})
    paths = {"url": "url", "messages": "m.conversation"}
    batches = list(parquet_rows.read_parquet(file, schema, paths, Malformed.ERROR))
    assert values(batches, "messages") == [[{"role": "human", "content": "Hi"}]]


def test_a_string_that_holds_json_is_parsed_at_once(tmp_path, monkeypatch):
    """Not row by row, whatever a few rows are."""
    one_by_one = []
    row = json_objects._row
    monkeypatch.setattr(json_objects, "_row", lambda line, columns: one_by_one.append(line) or row(line, columns))
    texts = [f'{{"url": "{number}", "x": {{"y": [1]}}}}' for number in range(5000)]
    texts[2000] = '{"url": 3}'
    expected = [str(number) if number != 2000 else None for number in range(5000)]
    assert urls_of_table(tmp_path, {"m": texts}, "m.url") == expected
    assert len(one_by_one) <= 256
    one_by_one.clear()
    assert urls_of_lines(tmp_path, [json.dumps({"text": "t", "m": text}) for text in texts], "m.url") == expected
    assert len(one_by_one) <= 512


# --- against a slow reference

NAMES = ["a", "b", "a.b", "0", "1", "key", "value"]
leaf = st.sampled_from(["x", "y", None, 3, ""])


def inside(children):
    entries = st.lists(st.fixed_dictionaries({"key": st.sampled_from(NAMES), "value": children}), max_size=2)
    return st.one_of(
        st.dictionaries(st.sampled_from(NAMES), children, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), children, max_size=3),
        st.lists(children, max_size=2),
        entries,
        children.map(json.dumps),
    )


records = st.dictionaries(st.sampled_from(NAMES), st.recursive(leaf, inside, max_leaves=5), max_size=3)
parts = st.lists(st.sampled_from(["a", "b", "0", "1", "[0]", '"a"', '"a.b"', "key"]), min_size=1, max_size=4).filter(
    lambda parts: parts[0] != "[0]"
)


def ways(parts):
    """All ways to read the parts of a path as names, the longest names first."""
    if not parts:
        yield []
    for size in range(len(parts), 0, -1):
        if size == 1 or not any(part[0] in '"[' for part in parts[:size]):
            yield from ([".".join(parts[:size]).strip('"[]'), *rest] for rest in ways(parts[size:]))


def obvious(record, parts):
    for names in ways(parts):
        value = record
        for name in names:
            value = step(value, name)
        if isinstance(value, str):
            return value
    return None


def step(value, name):
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdigit():
        return value[int(name)] if int(name) < len(value) else None
    if isinstance(value, list) and not name[0].isdigit():
        entries = [item for item in value if isinstance(item, dict) and item.get("key") == name]
        return entries[-1].get("value") if entries else None
    return None


@given(st.lists(records, min_size=1, max_size=4), parts)
@examples(300)
def test_lines_and_strings_against_a_reference(tmp_path_factory, some, parts):
    path = ".".join(parts).replace(".[", "[")
    folder = tmp_path_factory.getbasetemp()
    expected = [obvious(record, parts) for record in some]
    assert urls_of_lines(folder, [json.dumps({"text": "t", **record}) for record in some], path) == expected
    below = [obvious({"m": record}, ["m", *parts]) for record in some]
    assert urls_of_table(folder, {"m": [json.dumps(record) for record in some]}, f"m.{path}") == below
