"""JSON lines: what a record means, that both parsers agree on it, and that no result depends on how the file is cut."""

import gzip
import math
import re

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import ANSWER, MESSAGES, QUESTION, InputFile
from byline.transforms.corpora import json_lines, json_objects
from byline.transforms.corpora.decompressing import line_bounds
from byline.transforms.corpora.record_values import leads_of, wants_of

SCHEMA = pa.schema(
    [
        ("text", pa.large_string()),
        ("url", pa.large_string()),
        ("score", pa.float32()),
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("deep", pa.int64()),
    ]
)
PATHS = {"text": "text", "url": "m.u", "score": "score", "i": "i", "f": "f", "s": "s", "b": "b", "deep": "m.i"}
TEXT_ONLY = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])
TEXT = pa.schema([("text", pa.large_string())])
BROKEN = b'{"text": 1}'


def write(folder, content, name="a.jsonl"):
    path = folder / name
    path.write_bytes(content)
    return InputFile("mine", name, str(path), len(content))


def columns_of(schema, paths):
    return json_objects.JsonColumns(leads_of(wants_of(schema, paths)))


def read(file, schema=SCHEMA, paths=PATHS, malformed=Malformed.DROP, block_bytes=1 << 24):
    """All records: a dictionary of what is not null, or None where malformed."""
    rows = []
    for batch, mask, *_ in json_lines.read_json_lines(file, schema, paths, malformed, block_bytes):
        batch.validate(full=True)
        assert batch.schema == schema
        values = [{key: value for key, value in row.items() if value is not None} for row in batch.to_pylist()]
        assert not any(row for row, bad in zip(values, mask, strict=True) if bad)
        rows += [None if bad else row for row, bad in zip(values, mask, strict=True)]
    return rows


RECORDS = [
    (b'{"text": "a", "m": {"u": "x", "i": 3}, "z": [1, {}]}', {"text": "a", "url": "x", "deep": 3}),
    (b"{}", {}),
    (b'{"text": null, "m": null, "f": null}', {}),
    (b'{"m": {}, "text": ""}', {"text": ""}),
    (b'{"m": {"u": null, "z": 1}}', {}),
    (b' {"text": "a"}\t ', {"text": "a"}),
    (rb'{"t\u0065xt": "\u00e9\ud83d\ude00\u0000\/\n"}', {"text": "\xe9\U0001f600\0/\n"}),
    ('{"text": "é\x7f\ufeff\ufffe"}'.encode(), {"text": "é\x7f\ufeff\ufffe"}),
    (b'{"text": "a", "text": "b"}', {"text": "b"}),
    (b'{"m": {"u": "a"}, "m": {"i": 1}}', {"deep": 1}),
    (b'{"text": "b", "text": null}', {}),
    # what is no value of its field
    (b'{"text": "a", "m": 3}', {"text": "a"}),
    (b'{"text": "a", "m": {"u": 3, "i": "4"}}', {"text": "a", "deep": 4}),
    (b'{"text": "a", "m": [{"u": "x"}]}', {"text": "a"}),
    (
        b'{"s": 1.0, "i": 3.0, "f": "2", "b": "true", "score": "0.5"}',
        {"s": "1.0", "i": 3, "f": 2.0, "b": True, "score": 0.5},
    ),
    (b'{"s": [1, {"a": null}], "i": [1], "f": {}, "b": 1, "score": "high"}', {"s": '[1,{"a":null}]'}),
    (b'{"s": false, "i": true, "f": true, "b": "yes", "score": true}', {"s": "false"}),
    (b'{"i": "12", "f": "01", "score": "1e400"}', {"i": 12}),
    (b'{"i": " 12", "f": "1 ", "b": ""}', {}),
    # numbers at their limits
    (b'{"i": 9223372036854775807, "f": 9223372036854775807}', {"i": 2**63 - 1, "f": 2.0**63}),
    (b'{"i": 9223372036854775808, "f": 123456789012345678901234567890}', {"f": 123456789012345678901234567890.0}),
    (b'{"i": -9223372036854775809}', {}),
    (b'{"i": 1.5, "m": {"i": 9007199254740994.0}}', {}),
    (b'{"i": 1e3, "m": {"i": 9007199254740992.0}}', {"i": 1000, "deep": 2**53}),
    (b'{"i": -0, "f": -0, "score": -0.0}', {"i": 0, "f": 0.0, "score": 0.0}),
    (b'{"f": 1e-400, "score": 1e39}', {"f": 0.0}),
    # between 1 and the next float32, above the middle by less than a double can tell
    (b'{"score": 1.00000005960464477539062500000000000001}', {"score": 1.0}),
    # not JSON, but written by many
    (b'{"text": "NaN", "score": NaN, "f": -Infinity, "z": [Infinity]}', {"text": "NaN"}),
    (b'{"text": "a", "i": NaN, "s": NaN, "b": Inf, "m": -NaN}', {"text": "a"}),
    (b'{"text": NaN}', {}),
    (b'{"s": [NaN, "Infinity"]}', {"s": '[null,"Infinity"]'}),
    # nested deeper than orjson reads
    (b'{"text": "a", "z": ' + b"[" * 2000 + b"]" * 2000 + b"}", {"text": "a"}),
    (b'{"text": "a", "i": NaN, "z": ' + b"[" * 2000 + b"]" * 2000 + b"}", {"text": "a"}),
    (b'{"text": "a", "s": ' + b"[" * 600 + b"]" * 600 + b"}", {"text": "a"}),
    # malformed
    (b'{"text": 3}', None),
    (b'{"text": ["a"]}', None),
    (b'{"text": {}}', None),
    (b'{"text": true}', None),
    (rb'{"text": "\ud800"}', None),
    (rb'{"z": "\udc00\ud800"}', None),
    (b'{"text": "\xff"}', None),
    (b'{"text": "a", "z": "\xed\xa0\x80"}', None),
    (b'{"text": "a", "z": 1e400}', None),
    (b'{"text": "a\tb"}', None),
    (b'{"text": "a\0b"}', None),
    (b'{"text": "a"}\0', None),
    (b'{"text": "a"}\0{"text": "b"}', None),
    (b'{"text": "a"}{"text": "b"}', None),
    (b'{"text": "a"} null', None),
    (b'{"text": "a"} null {"text": "b"}', None),
    (b'{"text": "a"}\rnull\r{}', None),
    (b'{"text": "a"},', None),
    (b'{"text": "a",}', None),
    (b'{"text": "a"', None),
    (b'{"text": 01}', None),
    (b"{'text': 'a'}", None),
    (b"null", None),
    (b"1", None),
    (b'"text"', None),
    (b'[{"text": "a"}]', None),
    (b"\x0b", None),
    ('{"text": "a"}\u00a0'.encode(), None),
]


@pytest.mark.parametrize(("line", "expected"), RECORDS)
def test_record(tmp_path, line, expected):
    first = b'{"text": "first"}'
    alone = read(write(tmp_path, b"\n".join([first, line])))
    assert alone == [{"text": "first"}, expected]
    assert all(math.copysign(1, row.get("f", 0)) == 1 for row in alone if row)
    # A malformed neighbour sends the block to the other parser.
    assert read(write(tmp_path, b"\n".join([first, line, BROKEN, first]))) == [*alone, None, {"text": "first"}]


def test_both_parsers_are_tested():
    columns = columns_of(SCHEMA, PATHS)
    blocks = [line + b"\n" for line, _ in RECORDS]
    taken = sum(json_objects._parse_block(block, line_bounds(block), columns) is not None for block in blocks)
    assert 12 <= taken <= len(RECORDS) - 30


@pytest.mark.parametrize(
    "block",
    [
        b'{"text": "a"} {"z":\n1}\n',
        b'{"text":\n"a"}\n',
        b'{"z": 1} {"z": {}}\n{"z": 1}}\n',
        b'{"text": "a"} {"z":\n{}}\n',
        b'null\n{"text": "a"}\n',
        b"[\n{}\n]\n",
    ],
)
def test_objects_that_are_not_one_a_line_are_not_taken(block):
    columns = columns_of(SCHEMA, PATHS)
    assert json_objects._parse_block(block, line_bounds(block), columns) is None


def test_arrow_reads_ordinary_blocks():
    columns = columns_of(SCHEMA, PATHS)
    for block in (b'{"text": "a"}\n' * 3, b'{"text": "a"}\r\n' * 3, b'\n{"text": "a"}\n \n\r\n{"text": "a"}\n{}\n'):
        arrays = json_objects._parse_block(block, line_bounds(block), columns)
        assert arrays is not None
        assert [len(array) for array in arrays] == [3] * len(PATHS)


def test_a_nul_never_reaches_arrow():
    block = b'{"text": "a"}\0{"text": "b"}\n'
    assert not json_objects._one_object_a_line(block, line_bounds(block))
    assert json_objects._one_object_a_line(block.replace(b"\0", b" "), line_bounds(block))


KEYS = ['"text"', '"m"', '"score"', '"i"', '"f"', '"s"', '"b"', '"z"', '"u"', r'"t\u0065xt"']
STRINGS = [
    '""',
    '"a"',
    '"é"',
    '"}"',
    '"} {"',
    r'"\""',
    r'"\\"',
    r'"\u0000"',
    r'"\ud83d\ude00"',
    r'"\ud800"',
    '"NaN"',
    '"3"',
]
INTEGERS = ["0", "-0", "1", "16777217", "9223372036854775807", "9223372036854775808", "18446744073709551616", "01"]
NUMBERS = [*INTEGERS, "3.0", "-0.0", "1e3", "0.1", "1.00000005960464477539062500000000001", "1e308", "1e309", "1.", "-"]
LITERALS = ["true", "false", "null", "NaN", "-Infinity", "Inf", "nul"]


def as_object(items):
    return "{" + ",".join(f"{key}: {value}" for key, value in items) + "}"


values = st.recursive(
    st.sampled_from(STRINGS + NUMBERS + LITERALS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=3).map(as_object),
    ),
    max_leaves=4,
)
FITTING = {
    '"text"': [*STRINGS, "null"],
    '"m"': ["null", "{}", '{"u": "x", "i": 3}', '{"z": NaN}', '{"u": null}'],
    '"score"': NUMBERS + LITERALS,
    '"f"': [*NUMBERS, "NaN", "null"],
    '"i"': [*NUMBERS, "null"],
    '"b"': ["true", "false", "null"],
    '"z"': STRINGS + NUMBERS + LITERALS,
}
fitting = st.lists(
    st.sampled_from(sorted(FITTING)).flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(FITTING[key]))),
    max_size=4,
    unique_by=lambda item: item[0],
).map(as_object)
anything = st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=4).map(as_object)
joined = st.tuples(anything, st.sampled_from(["", " ", "null", ",", "\r", " null "]), anything).map("".join)
record = st.one_of(fitting, fitting, fitting, anything, joined).map(str.encode)


@given(st.lists(record, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_parsers_agree(lines):
    hold_parsers_together(lines, columns_of(SCHEMA, PATHS))


def hold_parsers_together(lines, columns):
    block = b"\n".join([*lines, b""])
    bounds = line_bounds(block)
    fast = json_objects._parse_block(block, bounds, columns)
    slow, reasons = json_objects._read_lines(block, bounds, columns)
    if fast is not None:
        assert not reasons
        assert all(array.equals(other) for array, other in zip(fast, slow, strict=True))


def obvious(content):
    """Row by row: the text, or None where malformed."""
    rows = []
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip(b" \t\r"):
            rows.append(line.strip(b" \t\r").removeprefix(b'{"text": "').removesuffix(b'"}').decode())
    return [None if text == BROKEN.decode() else {"text": text} for text in rows]


good_line = st.text("aé}{ ", max_size=12).map(lambda text: f'{{"text": "{text}"}}'.encode())
any_line = st.one_of(good_line, good_line, st.sampled_from([b"", b" ", b"\t\r", b"\r", BROKEN]))


@given(
    lines=st.lists(st.tuples(any_line, st.sampled_from([b"\n", b"\r\n", b" \n"])), max_size=12),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    trailing=st.booleans(),
    block_bytes=st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_no_result_depends_on_blocks(tmp_path_factory, lines, bom, trailing, block_bytes):
    content = b'{"text": "-"}\n' + b"".join(line + end for line, end in lines)
    content = bom + (content if trailing else content.removesuffix(b"\n"))
    file = write(tmp_path_factory.mktemp("blocks"), content)
    assert read(file, block_bytes=block_bytes) == obvious(content)
    assert read(file) == obvious(content)


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_no_records(tmp_path, content):
    assert read(write(tmp_path, content)) == []


def test_compressed(tmp_path):
    whole = gzip.compress(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n')
    assert read(write(tmp_path, whole)) == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(BylineError, match=r"a\.jsonl: the gzip data is damaged or cut short"):
        read(write(tmp_path, whole[:-9]))


# --- errors


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 24])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (BROKEN, "the text is a number, expected a string"),
        (b"[1]", "expected a JSON object, found an array"),
        (b'{"text": "a}', r"expected one JSON object a line, found: .*\(character \d+ of the line\)"),
        (b'{"text": "\xff"}', "found bytes that are not UTF-8 at byte 10 of the line"),
    ],
)
def test_malformed_is_an_error(tmp_path, block_bytes, line, reason):
    file = write(tmp_path, b'\xef\xbb\xbf{"text": "a"}\r\n\n{"text": "b"}\n' + line + b'\n{"text": 2}\n{"text": "c"}\n')
    where = rf"^{file.uri}: row 2 \(byte 33 of the decompressed file\): "
    with pytest.raises(BylineError, match=where + ".*" + reason + ".*`malformed: drop` for source 'mine'"):
        read(file, malformed=Malformed.ERROR, block_bytes=block_bytes)
    assert read(file, block_bytes=block_bytes) == [{"text": "a"}, {"text": "b"}, None, None, {"text": "c"}]


def test_text_field_that_is_in_no_record(tmp_path):
    paths = {"text": "m.body", "url": "url"}
    file = write(tmp_path, b'{"content": "a", "id": 1}\n{"m": {"b": 1}, "body": "a"}\n')
    with pytest.raises(BylineError, match=r"'m\.body'; the first has content, id; name .* sources\.mine\.fields\.text"):
        read(file, TEXT_ONLY, paths, Malformed.ERROR)
    assert read(file, TEXT_ONLY, paths) == [{}, {}]
    assert read(write(tmp_path, b'{"id": 1}\n{"m": {"body": null}}\n'), TEXT_ONLY, paths) == [{}, {}]
    assert read(write(tmp_path, b'{"id": 1}\n{"m": {"body": "a"}}\n'), TEXT_ONLY, paths) == [{}, {"text": "a"}]
    # a later block may lack it, and nothing but malformed records says nothing
    later = write(tmp_path, b'{"m": {"body": "a"}}\n{"id": 1}\n')
    assert read(later, TEXT_ONLY, paths, block_bytes=1) == [{"text": "a"}, {}]
    assert read(write(tmp_path, b"{\n"), TEXT_ONLY, paths) == [None]


def test_one_value_as_two_types(tmp_path):
    schema = pa.schema([("text", pa.large_string()), ("url", pa.large_string()), ("m", pa.string()), ("n", pa.int64())])
    paths = {"text": "text", "url": "m.u", "m": "m", "n": "text"}
    file = write(tmp_path, b'{"text": "7", "m": {"u": "x"}}\n{"m": "y", "text": "a"}\n')
    assert read(file, schema, paths) == [{"text": "7", "url": "x", "m": '{"u":"x"}', "n": 7}, {"text": "a", "m": "y"}]


# --- what a formatter reads

CHATS = pa.schema([MESSAGES, QUESTION, ANSWER, ("url", pa.large_string())])
CHAT_PATHS = {"messages": "c.m", "question": "q", "answer": "c.a", "url": "url"}
CHAT_RECORDS = [
    (
        b'{"c": {"m": [{"role": "user", "content": "Hi", "z": 1}, {"from": "gpt", "value": "A"}], "a": "4"}, "q": "2"}',
        {"messages": [("user", "Hi"), ("gpt", "A")], "question": "2", "answer": "4"},
    ),
    (b'{"c": {"m": [{"role": "a", "from": "b", "value": ""}]}}', {"messages": [("a", "")]}),
    (
        b'{"c": {"m": [null, {}, {"role": null, "content": "x"}]}}',
        {"messages": [(None, None), (None, None), (None, "x")]},
    ),
    (b'{"c": {"m": []}, "q": ""}', {"messages": [], "question": ""}),
    (b'{"c": {"m": null}}', {}),
    (b'{"c": null, "q": null}', {}),
    (b'{"c": 3, "q": "a"}', {"question": "a"}),
    (b'{"c": {"m": [{"role": "a"}], "m": [{"role": "b", "role": "c"}]}}', {"messages": [("c", None)]}),
    (b'{"c": {"m": NaN, "a": "x"}}', {"answer": "x"}),
    (
        b'{"c": {"m": [{"role": "a", "content": "x"}]}, "z": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        {"messages": [("a", "x")]},
    ),
    (b'{"c": {"m": {"role": "a"}}}', None),
    (b'{"c": {"m": "x"}}', None),
    (b'{"c": {"m": [3]}}', None),
    (b'{"c": {"m": [{"role": 3}]}}', None),
    (b'{"c": {"m": [{"content": [{"type": "text"}]}]}}', None),
    (b'{"q": 3}', None),
    (b'{"c": {"a": ["x"]}}', None),
]


def read_chats(file, **options):
    rows = read(file, CHATS, CHAT_PATHS, **options)
    for row in rows:
        if row and "messages" in row:
            row["messages"] = [(message["role"], message["content"]) for message in row["messages"]]
    return rows


@pytest.mark.parametrize(("line", "expected"), CHAT_RECORDS)
def test_chat_record(tmp_path, line, expected):
    first = b'{"c": {"m": [{"role": "a", "content": "b"}], "a": "c"}, "q": "d"}'
    found = read_chats(write(tmp_path, b"\n".join([first, line])))
    assert found[1] == expected
    # A malformed neighbour sends the block to the other parser.
    assert read_chats(write(tmp_path, b"\n".join([first, line, b"3"]))) == [*found, None]


def test_both_parsers_read_chats():
    columns = columns_of(CHATS, CHAT_PATHS)
    blocks = [line + b"\n" for line, _ in CHAT_RECORDS]
    assert sum(json_objects._parse_block(block, line_bounds(block), columns) is not None for block in blocks) >= 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"q": 3}', "the question is a number, expected a string"),
        (b'{"c": {"a": []}}', "the answer is an array, expected a string"),
        (b'{"c": {"m": {}}}', "messages is an object, expected an array of objects"),
        (b'{"c": {"m": [{}, "x"]}}', "message 2 is a string, expected an object"),
        (b'{"c": {"m": [{"value": true}]}}', "'value' of message 1 is a boolean, expected a string"),
    ],
)
def test_malformed_chats(tmp_path, line, reason):
    file = write(tmp_path, b'{"c": {"m": [], "a": "b"}, "q": "c"}\n' + line)
    with pytest.raises(BylineError, match=rf"row 1 \(byte 37 of the decompressed file\): {re.escape(reason)}; fix"):
        read_chats(file, malformed=Malformed.ERROR)


@pytest.mark.parametrize(("name", "path"), [("messages", "c.m"), ("question", "q"), ("answer", "c.a")])
def test_fields_of_a_formatter_that_are_in_no_record(tmp_path, name, path):
    record = {"c": {"m": [], "a": "b"}, "q": "c"}
    (record["c"] if path.startswith("c.") else record).pop(path.removeprefix("c."))
    file = write(tmp_path, orjson.dumps(record))
    with pytest.raises(
        BylineError, match=rf"no record has the {name} field '{path}'; .* sources\.mine\.fields\.{name}"
    ):
        read_chats(file, malformed=Malformed.ERROR)


message_values = st.recursive(
    st.sampled_from(['"a"', '""', "null", "3", "NaN"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(st.tuples(st.sampled_from(['"role"', '"content"', '"from"', '"z"', '"m"']), inner), max_size=3).map(
            as_object
        ),
    ),
    max_leaves=6,
)
chats = st.lists(
    st.lists(
        st.tuples(st.sampled_from(['"role"', '"value"', '"from"', '"content"']), st.sampled_from(['"a"', "null"])),
        max_size=2,
    ).map(as_object),
    max_size=3,
).map(lambda items: "[" + ",".join(items) + "]")


@given(
    st.lists(
        st.one_of(chats, message_values).map(lambda value: f'{{"c": {{"m": {value}}}}}'.encode()),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None)
def test_parsers_agree_on_messages(lines):
    hold_parsers_together(lines, columns_of(CHATS, CHAT_PATHS))


def test_lines_that_cannot_be_objects_are_not_parsed_one_by_one(tmp_path):
    lines = [b"x", b'{"text": "a"}', b"null", b'[{"text": "b"}]', b' {"text": "c"}', b"{x", BROKEN, b"\xef\xbb\xbf{}"]
    file = write(tmp_path, b"\n".join(lines))
    ((batch, malformed, too_long, _),) = json_lines.read_json_lines(file, TEXT, {"text": "text"}, Malformed.DROP)
    assert batch["text"].to_pylist() == [None, "a", None, None, "c", None, None, None]
    assert malformed.tolist() == [True, False, True, True, False, True, True, True]
    assert not too_long.any()
    with pytest.raises(BylineError, match=r"row 0 \(byte 0 of .*found: .*character 0"):
        list(json_lines.read_json_lines(file, TEXT, {"text": "text"}, Malformed.ERROR))


def test_lines_of_several_times_a_document_are_too_long_wherever_they_are_cut(tmp_path):
    fields = [b'"text": "a"', b'"x": "' + b"b" * 3000 + b'"', b'"text": "c"', b'"x": "' + b"d" * 390 + b'"']
    blank_before = b" " * 300 + b'{"text": "' + b"z" * 3000 + b'"}'
    # Blank lines are no records, however long.
    last = [b"y" * 500, b" " * 5000, b"\t" * 500, blank_before, b" " * 2000]
    lines = [*(b"{" + field + b"}" for field in fields), *last]
    file = write(tmp_path, b"\n".join(lines))
    for block_bytes in (20, 600, 1 << 20):
        found = list(
            json_lines.read_json_lines(file, TEXT, {"text": "text"}, Malformed.DROP, block_bytes, max_document=100)
        )
        texts = [text for block in found for text in block.batch["text"].to_pylist()]
        assert texts == ["a", None, "c", None, None, None]
        assert [bool(long) for block in found for long in block.too_long] == [False, True, False, False, True, True]
    with pytest.raises(
        BylineError, match=r"row 1 \(byte 14 of the decompressed file\): 3,009 bytes, and .* allows 100"
    ):
        list(json_lines.read_json_lines(file, TEXT, {"text": "text"}, Malformed.ERROR, 20, max_document=100))
