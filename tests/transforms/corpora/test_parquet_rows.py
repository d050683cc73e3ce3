"""Parquet: what a row means, for every type a column may have, and that no result depends on how the file is cut."""

import datetime
import decimal
import io
import json
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import ANSWER, MESSAGES, QUESTION, InputFile
from byline.transforms.corpora import json_lines, parquet_rows
from tests.support.thorough import examples

TEXT_ONLY = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])
KINDS = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "score": pa.float32(), "bool": pa.bool_()}


def write(folder, columns, **options):
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return InputFile("mine", "a.parquet", str(path), path.stat().st_size)


def read(file, schema=TEXT_ONLY, paths=None, malformed=Malformed.DROP, batch_bytes=1 << 24):
    """All records as dictionaries, or None where malformed."""
    paths = {name: (paths or {}).get(name, name) for name in schema.names}
    rows = []
    for batch, mask, *_ in parquet_rows.read_parquet(file, schema, paths, malformed, batch_bytes):
        batch.validate(full=True)
        assert batch.schema == schema
        assert not any(set(row.values()) - {None} for row, bad in zip(batch.to_pylist(), mask, strict=True) if bad)
        rows += [None if bad else row for row, bad in zip(batch.to_pylist(), mask, strict=True)]
    return rows


DICTIONARIES = [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.binary())]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), *DICTIONARIES],
)
def test_text_of_every_kind(tmp_path, kind):
    value = pa.dictionary(kind.index_type, pa.string()) if pa.types.is_dictionary(kind) else kind
    text = pa.array(["a", None, "", "é\0"]).cast(value).cast(kind)
    file = write(tmp_path, {"content": text, "url": text, "other": [1, 2, 3, 4]})
    expected = [{"text": value, "url": value} for value in ("a", None, "", "é\0")]
    assert read(file, paths={"text": "content"}) == expected


def test_fixed_size_text(tmp_path):
    text = pa.array([b"ab", None, b"\xff\xff"], pa.binary(2))
    assert read(write(tmp_path, {"text": text})) == [{"text": "ab", "url": None}, {"text": None, "url": None}, None]


def test_text_that_is_all_null(tmp_path):
    assert read(write(tmp_path, {"text": pa.nulls(2)})) == [{"text": None, "url": None}] * 2


def test_structs(tmp_path):
    inner = [{"u": "x", "n": {"i": 1}}, None, {"u": None, "n": None}, {"u": "y", "n": {"i": None}}]
    schema = pa.schema([*TEXT_ONLY, ("i", pa.int64()), ("none", pa.int64()), ("far", pa.bool_()), ("m", pa.string())])
    paths = {"text": "m.u", "url": "m.u", "i": "m.n.i", "none": "m.z", "far": "m.u.x"}
    rows = read(write(tmp_path, {"m": inner, "z": ["a"] * 4}), schema, paths)
    assert [row["text"] for row in rows] == [row["url"] for row in rows] == ["x", None, None, "y"]
    assert [row["i"] for row in rows] == [1, None, None, None]
    assert [row["m"] for row in rows] == [
        '{"u":"x","n":{"i":1}}',
        None,
        '{"u":null,"n":null}',
        '{"u":"y","n":{"i":null}}',
    ]
    assert {(row["none"], row["far"]) for row in rows} == {(None, None)}


def test_absent_columns_are_null(tmp_path):
    schema = pa.schema([*TEXT_ONLY, *KINDS.items()])
    (row,) = read(write(tmp_path, {"text": ["a"]}), schema)
    assert row == {"text": "a", "url": None, "string": None, "int": None, "float": None, "score": None, "bool": None}


def test_url_that_is_no_string_is_null(tmp_path):
    assert read(write(tmp_path, {"text": ["a"], "url": [7]})) == [{"text": "a", "url": None}]


VALUES = [
    # what the file has, then what it is as string, int, float, score, bool
    (pa.array(["3", "x", "true", "1e400", " 1", "-0.5", None]),
     ["3", "x", "true", "1e400", " 1", "-0.5", None], [3, *[None] * 6], [3.0, *[None] * 4, -0.5, None],
     [3.0, *[None] * 4, -0.5, None], [None, None, True, *[None] * 4]),
    (pa.array([b"7", b"z"]), ["7", "z"], [7, None], [7.0, None], [7.0, None], [None, None]),
    (pa.array([1, -2, None], pa.int8()), ["1", "-2", None], [1, -2, None], [1.0, -2.0, None], [1.0, -2.0, None],
     [None] * 3),
    (pa.array([5, 2**64 - 1], pa.uint64()), ["5", str(2**64 - 1)], [5, None], [5.0, 2.0**64], [5.0, 2.0**64],
     [None] * 2),
    (pa.array([0.5, -0.0, 3.0, float("nan"), float("inf"), 1e39, 2.0**53, 2.0**53 + 2]),
     ["0.5", "-0.0", "3.0", None, None, "1e+39", "9007199254740992.0", "9007199254740994.0"],
     [None, 0, 3, None, None, None, 2**53, None], [0.5, 0.0, 3.0, None, None, 1e39, 2.0**53, 2.0**53 + 2],
     [0.5, 0.0, 3.0, None, None, None, 2.0**53, 2.0**53], [None] * 8),
    (pa.array([0.25, None], pa.float16()), ["0.25", None], [None, None], [0.25, None], [0.25, None], [None, None]),
    (pa.array([True, False, None]), ["true", "false", None], [None] * 3, [None] * 3, [None] * 3, [True, False, None]),
    (pa.array([decimal.Decimal("1.50"), None]), ["1.5", None], [None, None], [1.5, None], [1.5, None], [None, None]),
    (pa.array([datetime.datetime(2023, 5, 1, 2, 3), None], pa.timestamp("ns")), ["2023-05-01 02:03:00.000000000", None],
     [None, None], [None, None], [None, None], [None, None]),
    (pa.array([5, None], pa.timestamp("us", "America/New_York")), ["1970-01-01 00:00:00.000005Z", None],
     [None, None], [None, None], [None, None], [None, None]),
    (pa.array([{"t": 1}, {"t": None}], pa.struct([("t", pa.timestamp("us"))])),
     ['{"t":"1970-01-01T00:00:00.000001"}', '{"t":null}'], *[[None] * 2] * 4),
    (pa.array([{"t": 2**62}], pa.struct([("t", pa.timestamp("us"))])), *[[None]] * 5),
    (pa.array([datetime.date(2023, 5, 1)]), ["2023-05-01"], [None], [None], [None], [None]),
    (pa.array([["a", None], [], None]), ['["a",null]', "[]", None], [None] * 3, [None] * 3, [None] * 3, [None] * 3),
    (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), ['[["k",1]]', None], *[[None] * 2] * 4),
    (pa.nulls(2), *[[None] * 2] * 5),
    (pa.array(["3", "3", None]).dictionary_encode(), ["3", "3", None], [3, 3, None], [3.0, 3.0, None], [3.0, 3.0, None],
     [None] * 3),
]  # fmt: skip


@pytest.mark.parametrize("case", VALUES, ids=lambda case: str(case[0].type))
def test_conversion(tmp_path, case):
    values, *expected = case
    schema = pa.schema([*TEXT_ONLY, *KINDS.items()])
    rows = read(write(tmp_path, {"text": ["a"] * len(values), "v": values}), schema, dict.fromkeys(KINDS, "v"))
    for kind, column in zip(KINDS, expected, strict=True):
        found = [row[kind] for row in rows]
        assert found == column, kind
        assert str(found) == str(column), kind  # -0 is not 0


def column_of(values, kind):
    return st.lists(st.one_of(st.none(), values), min_size=1, max_size=8).map(lambda items: pa.array(items, kind))


columns = st.one_of(
    column_of(st.integers(-(2**63), 2**63 - 1), pa.int64()),
    column_of(st.floats(allow_nan=False, allow_infinity=False), pa.float64()),
    column_of(st.sampled_from(["3", "-0.0", "1.50", "true", "a", "é", "9223372036854775808", "1e999"]), pa.string()),
    column_of(st.booleans(), pa.bool_()),
    column_of(st.lists(st.sampled_from(["3", None])), pa.list_(pa.string())),
)


@given(columns)
@examples(60)
def test_values_are_as_in_json_lines(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("both")
    lines = folder / "a.jsonl"
    lines.write_text("\n".join(json.dumps({"text": "a", "v": value}) for value in values.to_pylist()))
    schema = pa.schema([*TEXT_ONLY, *KINDS.items()])
    paths = {"text": "text", "url": "url", **dict.fromkeys(KINDS, "v")}
    expected = []
    for name, kind in KINDS.items():  # one at a time, so that Arrow's JSON parser can take part
        only = pa.schema([*TEXT_ONLY, (name, kind)])
        ((batch, *_),) = json_lines.read_json_lines(
            InputFile("mine", "a.jsonl", str(lines), 0), only, paths, Malformed.ERROR
        )
        expected.append(batch.column(name).to_pylist())
    rows = read(write(folder, {"text": ["a"] * len(values), "v": values}), schema, paths)
    assert str([[row[name] for row in rows] for name in KINDS]) == str(expected)


texts = st.lists(st.one_of(st.none(), st.text("aé", max_size=4).map(str.encode), st.just(b"\xff")), max_size=12)


@given(texts, st.integers(1, 5), st.integers(1, 30))
@examples(60)
def test_no_result_depends_on_batches(tmp_path_factory, texts, group_rows, batch_bytes):
    column = pa.array(texts, pa.binary())
    file = write(tmp_path_factory.mktemp("cut"), {"text": column}, row_group_size=group_rows, use_dictionary=False)
    decoded = [text if text is None else text.decode(errors="replace") for text in texts]
    expected = [None if text == "\ufffd" else {"text": text, "url": None} for text in decoded]
    assert read(file, batch_bytes=batch_bytes) == expected
    assert read(file) == expected


def test_batches_hold_about_as_much_text_as_asked(tmp_path):
    file = write(tmp_path, {"text": [str(n) * 200 for n in range(1000, 2000)]}, use_dictionary=False)
    sizes = [
        batch.column("text").nbytes
        for batch, *_ in parquet_rows.read_parquet(
            file, TEXT_ONLY, {"text": "text", "url": "url"}, Malformed.ERROR, batch_bytes=100_000
        )
    ]
    assert len(sizes) == 9
    assert max(sizes) < 110_000


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"body": ["a"], "url": ["b"]},
            r"no text column 'text'; the columns are body, url; name .*sources\.mine\.fields",
        ),
        ({"text": [1]}, r"the text column 'text' is of type int64, expected string"),
        ({"text": [["a"]]}, r"is of type list<.*>, expected string"),
    ],
)
def test_no_usable_text_column(tmp_path, columns, message):
    with pytest.raises(BylineError, match=message):
        read(write(tmp_path, columns))


@pytest.mark.parametrize("name", ["text", "url"])
def test_a_column_that_is_there_twice(tmp_path, name):
    path = str(tmp_path / "x.parquet")
    columns = [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", name, "url"]), path)
    with pytest.raises(BylineError, match=f"several columns are called '{name}'; write the file with one of them"):
        read(InputFile("mine", "x.parquet", path, 1))


def test_times_of_a_zone_that_is_not_known(tmp_path):
    times = pa.array([[1], []], pa.list_(pa.timestamp("us", "Foo/Bar")))
    file = write(tmp_path, {"text": ["a", "b"], "x": times})
    schema = pa.schema([*TEXT_ONLY, ("x", pa.string())])
    assert [row["x"] for row in read(file, schema)] == [None, "[]"]


def test_malformed_is_an_error(tmp_path):
    text = pa.array([b"a", None, b"b", b"cd\xff", b"\xff"], pa.binary())
    file = write(tmp_path, {"text": text, "url": pa.array([b"x", b"\xe9", b"", b"", b""])}, row_group_size=2)
    message = r"a\.parquet: row 1: 'url' is not UTF-8 \(.* at byte 0 of it\); .*`malformed: drop` for source 'mine'"
    with pytest.raises(BylineError, match=message):
        read(file, malformed=Malformed.ERROR)
    assert read(file) == [{"text": "a", "url": "x"}, None, {"text": "b", "url": ""}, None, None]
    with pytest.raises(BylineError, match=r"row 3: 'text' is not UTF-8 \(invalid start byte at byte 2 of it\)"):
        read(write(tmp_path, {"text": text}, row_group_size=2), malformed=Malformed.ERROR)


def test_only_what_is_needed_is_read(tmp_path):
    file = write(tmp_path, {"text": ["a"], "url": ["b"], "big": ["c"], "m": [{"u": 1, "v": 2}]})
    schema = pa.schema([*TEXT_ONLY, ("u", pa.int64())])
    asked = mock.Mock(wraps=parquet_rows._batches)
    with mock.patch.object(parquet_rows, "_batches", asked):
        assert read(file, schema, {"u": "m.u"}) == [{"text": "a", "url": "b", "u": 1}]
    assert asked.call_args.args[1] == ["m.u", "text", "url"]


def test_no_rows(tmp_path):
    assert read(write(tmp_path, {"text": pa.array([], pa.string())})) == []


def test_damaged_file(tmp_path):
    options = {"row_group_size": 10, "write_page_checksum": True, "compression": "none", "use_dictionary": False}
    file = write(tmp_path, {"text": [f"text number {n}" for n in range(100)]}, **options)
    path = tmp_path / "a.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"number 55", b"nummer 55", 1))
    with pytest.raises(BylineError, match=r"a\.parquet: cannot be read as Parquet from row 50 on \(.*CRC.*\); fetch"):
        read(file)
    for content in (b"", whole[:-20], whole[:4] + whole[200:], b'{"text": "a"}\n' * 10):
        path.write_bytes(content)
        with pytest.raises(BylineError, match=r"cannot be read as Parquet from row 0 on \(|expected Parquet, found "):
            read(file)
    path.unlink()
    with pytest.raises(BylineError, match=r"cannot be opened"):
        read(file)


def test_names_of_columns_that_are_no_utf_8(tmp_path):
    file = write(tmp_path, {"text": ["a"], "other": ["b"]})
    path = tmp_path / "a.parquet"
    path.write_bytes(path.read_bytes().replace(b"other", b"\xffther"))
    with pytest.raises(
        BylineError, match=r"^\S+a\.parquet: cannot be read as Parquet from row 0 on \(.*; fetch"
    ) as error:
        read(file)
    assert "\n" not in str(error.value)


def test_a_row_group_without_its_rows(tmp_path):
    file = write(tmp_path, {"text": ["a", "a"]})
    nothing = mock.patch.object(pq.ParquetFile, "iter_batches", return_value=iter(()))
    with nothing, pytest.raises(BylineError, match=r"from row 0 on \(row group 0 has 0 rows, .* says 2\); fetch"):
        read(file)


def test_an_object_store_is_asked_for_a_row_group_once(tmp_path):
    texts = [f"{number:08}" * 128 for number in range(8000)]
    file = write(tmp_path, {"text": texts}, compression="none")
    sizes = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            data = super().read(size)
            sizes.append(len(data))
            return data

    opened = mock.patch.object(parquet_rows.storage, "open_unmapped", lambda uri: pa.PythonFile(Counted(uri), "r"))
    with opened, mock.patch.object(parquet_rows, "is_object_address", return_value=True):
        assert [row["text"] for row in read(file)] == texts
    # With the first page of each row group, of which the lengths of its dictionary are taken.
    assert sum(sizes) < 1.5 * file.size


# --- what a formatter reads

CHATS = pa.schema([MESSAGES, QUESTION, ANSWER])
CHAT_PATHS = {"messages": "c.m", "question": "q"}
TEXTS = [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())]


def chat_file(folder, rows, kind, list_of=pa.list_):
    inner = pa.struct([("m", list_of(kind))])
    count = len(rows)
    columns = {"c": pa.array([None if row is None else {"m": row[0]} for row in rows], inner)}
    return write(folder, {**columns, "q": ["a"] * count, "answer": pa.array(["b"] * count, pa.binary())})


@pytest.mark.parametrize("text", TEXTS, ids=str)
@pytest.mark.parametrize("keys", [("role", "content"), ("from", "value"), ("role", "value")])
@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list])
def test_messages_of_every_kind(tmp_path, text, keys, list_of):
    role, content = keys
    kind = pa.struct([("z", pa.int64()), (content, text), (role, text)])
    if pa.types.is_dictionary(text):
        rows = [([],), None, (None,), ([None],)]
        expected = [[], None, None, [(None, None)]]
    else:
        value = str if text != pa.binary() else str.encode
        messages = [{role: value("u"), content: value("é")}, {role: None, content: value("")}, None]
        rows = [(messages,), None, (None,), ([],), (messages[:1],)]
        expected = [[("u", "é"), (None, ""), (None, None)], None, None, [], [("u", "é")]]
    found = read(chat_file(tmp_path, rows, kind, list_of), CHATS, CHAT_PATHS)
    assert [row["messages"] and [tuple(each.values()) for each in row["messages"]] for row in found] == expected
    assert all((row["question"], row["answer"]) == ("a", "b") for row in found)


def test_both_layouts_of_messages_in_one_file(tmp_path):
    kind = pa.struct([(key, pa.string()) for key in ("role", "content", "from", "value")])
    rows = [([{"role": "a", "content": "b"}, {"from": "c", "value": "d"}],)]
    found = read(chat_file(tmp_path, rows, kind), CHATS, CHAT_PATHS)
    assert [tuple(each.values()) for each in found[0]["messages"]] == [("a", "b"), ("c", "d")]


def test_messages_that_are_not_utf_8(tmp_path):
    kind = pa.struct([("role", pa.binary()), ("content", pa.binary())])
    good = {"role": b"u", "content": b"x"}
    rows = [([good],), None, ([],), ([good, {"role": b"u", "content": b"a\xff"}],), ([good],), ([{"role": b"\xff"}],)]
    file = chat_file(tmp_path, rows, kind)
    assert [row is None for row in read(file, CHATS, CHAT_PATHS)] == [False, False, False, True, False, True]
    message = r"row 3: 'c\.m' is not UTF-8 \(invalid start byte at byte 1 of it\)"
    with pytest.raises(BylineError, match=message):
        read(file, CHATS, CHAT_PATHS, Malformed.ERROR)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.list_(pa.string()),
        pa.list_(pa.struct([("role", pa.string())])),
        pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(pa.string()))])),
        pa.struct([("role", pa.string()), ("content", pa.string())]),
    ],
    ids=str,
)
def test_columns_that_are_no_messages(tmp_path, kind):
    file = write(tmp_path, {"m": pa.nulls(2, kind), "question": ["a", "b"], "answer": ["a", "b"]})
    message = (
        r"the messages column 'm' is of type .*, expected list<struct<role: string, content: string>>; name the right"
    )
    with pytest.raises(BylineError, match=message):
        read(file, CHATS, {"messages": "m"})


@pytest.mark.parametrize("missing", ["messages", "question", "answer"])
def test_columns_of_a_formatter_that_are_missing(tmp_path, missing):
    columns = {"messages": pa.nulls(1), "question": ["a"], "answer": ["b"]}
    columns.pop(missing)
    message = (
        rf"no {missing} column '{missing}'; the columns are .*; name the right one in sources\.mine\.fields\.{missing}"
    )
    with pytest.raises(BylineError, match=message):
        read(write(tmp_path, columns), CHATS)
    whole = write(tmp_path, {**columns, missing: pa.nulls(1)})
    assert read(whole, CHATS)[0][missing] is None


def test_batches_are_of_about_so_much_content(tmp_path):
    messages = [[{"role": "u", "content": "x" * 1000}]] * 50
    file = write(tmp_path, {"messages": messages, "question": ["a"] * 50, "answer": ["b"] * 50}, use_dictionary=False)
    paths = {name: name for name in CHATS.names}
    sizes = [len(batch) for batch, *_ in parquet_rows.read_parquet(file, CHATS, paths, Malformed.ERROR, 10_000)]
    assert sum(sizes) == 50
    assert max(sizes) <= 10
