"""Messages, questions and answers in JSON lines, which a formatter makes a text of: both parsers agree on them, too."""

import re

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import ANSWER, MESSAGES, QUESTION
from byline.transforms.corpora import json_blocks
from byline.transforms.corpora.decompressing import line_bounds
from tests.support.json_records import as_object, columns_of, hold_parsers_together, read, write
from tests.support.thorough import examples

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
    assert sum(json_blocks.parse_block(block, line_bounds(block), columns) is not None for block in blocks) >= 5


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
@examples(200)
def test_parsers_agree_on_messages(lines):
    hold_parsers_together(lines, columns_of(CHATS, CHAT_PATHS))
