"""Raw values as fields of every configured type, columns of them, and what is said of a malformed record."""

import math

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.documents import MESSAGES
from byline.transforms.documents import values
from tests.support.thorough import examples

NAN, INF = float("nan"), float("inf")
KINDS = [pa.string(), pa.int64(), pa.float64(), pa.bool_()]
CASES = [
    # what a record has, then what it is as string, int, float, bool
    (None, None, None, None, None),
    ("3", "3", 3, 3.0, None),
    ("-0.5", "-0.5", None, -0.5, None),
    ("3.0", "3.0", 3, 3.0, None),
    ("1e2", "1e2", 100, 100.0, None),
    ("true", "true", None, None, True),
    ("false", "false", None, None, False),
    ("True", "True", None, None, None),
    ("", "", None, None, None),
    (" 3", " 3", None, None, None),
    ("3\n", "3\n", None, None, None),
    ("+3", "+3", None, None, None),
    ("01", "01", None, None, None),
    ("1.", "1.", None, None, None),
    ("٣", "٣", None, None, None),
    ("NaN", "NaN", None, None, None),
    ("1e400", "1e400", None, None, None),
    ("9223372036854775808", "9223372036854775808", None, 2.0**63, None),
    (3, "3", 3, 3.0, None),
    (-(2**63), str(-(2**63)), -(2**63), -(2.0**63), None),
    (2**63, str(2**63), None, 2.0**63, None),
    (3.0, "3.0", 3, 3.0, None),
    (1.5, "1.5", None, 1.5, None),
    (2.0**53, "9007199254740992.0", 2**53, 2.0**53, None),
    (-(2.0**53), "-9007199254740992.0", -(2**53), -(2.0**53), None),
    (2.0**53 + 2, "9007199254740994.0", None, 2.0**53 + 2, None),
    (INF, None, None, INF, None),
    (True, "true", None, None, True),
    (False, "false", None, None, False),
    ([1, {"a": None}], '[1,{"a":null}]', None, None, None),
    ({}, "{}", None, None, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case[0]))
def test_one_value(case):
    value, *expected = case
    converted = [values.converter(kind)(value) for kind in KINDS]
    assert converted == expected
    assert [type(item) for item in converted] == [type(item) for item in expected]  # True is not 1, nor 3.0 an int
    assert values.converter(pa.float32())(value) == expected[2]


def test_not_a_number():
    assert values.converter(pa.string())(NAN) is values.converter(pa.int64())(NAN) is None
    assert math.isnan(values.converter(pa.float64())(NAN))  # `finite` makes it null


def test_what_is_nested_too_deep_for_json_is_null():
    value = []
    for _ in range(2000):
        value = [value]
    assert values.converter(pa.string())(value) is None


@given(st.one_of(st.text("0123456789.eE+-", max_size=6), st.text(max_size=3)))
@examples(300)
def test_a_string_is_a_number_where_json_says_so(text):
    try:
        number = orjson.loads(text) if text == text.strip() else None
    except orjson.JSONDecodeError:
        number = None
    expected = float(number) if type(number) in (int, float) else None
    assert values.converter(pa.float64())(text) == expected


def test_finite():
    doubles = pa.array([0.5, -0.0, NAN, INF, -INF, 1e39, None, 1 + 2**-24 + 2**-52])
    for kind, large, near in ((pa.float64(), 1e39, 1 + 2**-24 + 2**-52), (pa.float32(), None, 1 + 2**-23)):
        rounded = values.finite(doubles, kind)
        assert rounded.type == kind
        assert rounded.to_pylist() == [0.5, 0.0, None, None, None, large, None, near]
        assert math.copysign(1, rounded[1].as_py()) == 1


def test_malformed():
    np.testing.assert_array_equal(values.malformed_mask({2: "why", 0: "so"}, 4), [True, False, True, False])
    assert values.malformed_mask({}, 2).tolist() == [False, False]
    error = values.malformed_error("/data/a", "mine", "row 7", "found nothing")
    assert str(error).startswith("/data/a: row 7: found nothing; fix the file, or set `malformed: drop` for source 'mi")


def test_messages() -> None:
    fields = [(key, pa.string()) for key in ("role", "content", "from", "value")]
    rows = [
        [{"role": "user", "content": "a", "from": "x", "value": "y"}, {"from": "human", "value": "b"}],
        None,
        [],
        [None, {"role": "user", "value": "c"}, {}],
    ]
    raw = pa.array([[{"role": "z"}], *rows], pa.list_(pa.struct(fields))).slice(1)
    messages = values.as_messages(raw)
    messages.validate(full=True)
    assert messages.type == MESSAGES.type
    assert [None if row is None else [tuple(each.values()) for each in row] for row in messages.to_pylist()] == [
        [("user", "a"), ("human", "b")],
        None,
        [],
        [(None, None), ("user", "c"), (None, None)],
    ]
    narrow = pa.array([[{"from": "gpt"}]], pa.large_list(pa.struct([("from", pa.large_string())])))
    assert values.as_messages(narrow).to_pylist() == [[{"role": "gpt", "content": None}]]
