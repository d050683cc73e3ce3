"""Records of JSON lines: what each means, and that both parsers agree on it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.corpora import json_blocks, json_objects
from byline.transforms.corpora.decompressing import line_bounds
from byline.transforms.corpora.json_values import has_path
from tests.support.json_records import (
    BROKEN,
    PATHS,
    SCHEMA,
    as_object,
    columns_of,
    hold_parsers_together,
    read,
    write,
)
from tests.support.thorough import examples

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
    taken = sum(json_blocks.parse_block(block, line_bounds(block), columns) is not None for block in blocks)
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
    assert json_blocks.parse_block(block, line_bounds(block), columns) is None


def test_arrow_reads_ordinary_blocks():
    columns = columns_of(SCHEMA, PATHS)
    for block in (b'{"text": "a"}\n' * 3, b'{"text": "a"}\r\n' * 3, b'\n{"text": "a"}\n \n\r\n{"text": "a"}\n{}\n'):
        arrays = json_blocks.parse_block(block, line_bounds(block), columns)
        assert arrays is not None
        assert [len(array) for array in arrays] == [3] * len(PATHS)


def test_lines_that_are_no_json_are_tried_once(monkeypatch):
    """Many of them are dropped as fast as others are read."""
    tried = []

    def parse_block(*arguments):
        tried.append(arguments)
        return json_blocks.parse_block(*arguments)

    monkeypatch.setattr(json_objects, "parse_block", parse_block)
    block = b'{"text": "a"\n' * 1000
    arrays, reasons = json_objects.parse_lines(block, line_bounds(block), columns_of(SCHEMA, PATHS))
    assert len(reasons) == 1000
    assert arrays[0].null_count == 1000
    assert len(tried) < 10


def test_a_line_deeper_than_orjson_goes_is_read():
    deep = b'{"text": "a", "z": ' + b"[" * 1024 + b"]" * 1024 + b"}\n"
    block = BROKEN + b"\n" + deep
    arrays, reasons = json_objects.parse_lines(block, line_bounds(block), columns_of(SCHEMA, PATHS))
    assert ([*reasons], arrays[0].to_pylist()) == ([0], [None, "a"])


def test_a_nul_never_reaches_arrow():
    block = b'{"text": "a"}\0{"text": "b"}\n'
    assert not json_blocks._one_object_a_line(block, line_bounds(block))
    assert json_blocks._one_object_a_line(block.replace(b"\0", b" "), line_bounds(block))


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
@examples(300)
def test_parsers_agree(lines):
    hold_parsers_together(lines, columns_of(SCHEMA, PATHS))


def test_a_path_may_be_behind_a_string_that_is_no_json():
    assert has_path({"a.b": "no JSON", "a": {"b": {"c": None}}}, "a.b.c")
    assert has_path({"a": '{"b": NaN}'}, "a.b")
    assert not has_path({"a.b": "no JSON", "a": "{"}, "a.b.c")
