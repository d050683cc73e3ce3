"""JSON arrays and objects over several lines: read as JSON lines are, wherever the content is cut."""

import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import InputFile
from byline.transforms.corpora.json_framing import as_lines
from byline.transforms.corpora.json_lines import read_json_lines
from tests.support.thorough import examples

SCHEMA = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])


def texts(folder, content, malformed=Malformed.ERROR, block_bytes=1 << 24):
    path = folder / "a.json"
    path.write_bytes(content)
    file = InputFile("mine", "a.json", str(path), len(content))
    paths = {"text": "text", "url": "m.url"}
    return [
        None if bad else row["text"]
        for batch, mask, *_ in read_json_lines(file, SCHEMA, paths, malformed, block_bytes)
        for row, bad in zip(batch.to_pylist(), mask, strict=True)
    ]


def mistake(folder, content, malformed=Malformed.ERROR):
    with pytest.raises(BylineError) as error:
        texts(folder, content, malformed)
    return str(error.value)


RECORDS = [{"text": f"page {number}", "m": {"url": "a"}, "x": [1, {"y": '[{\\"\n,'}]} for number in range(5)]
PAGES = [record["text"] for record in RECORDS]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        json.dumps(RECORDS, indent="\t") + "\n\n",
        json.dumps(RECORDS, separators=(",", ":")),
        "\ufeff" + json.dumps(RECORDS, indent=0),
        " \r\n[\r\n" + ",\r\n".join(json.dumps(record) for record in RECORDS) + "\r\n]\r\n",
        "[" + "\n,".join(json.dumps(record) for record in RECORDS) + "]",
        "[" + json.dumps(RECORDS[0]) + "\n," + json.dumps(RECORDS[1:])[1:],
        "\n".join(json.dumps(record, indent=4) for record in RECORDS),
        "\n\n".join(json.dumps(record, indent=1) for record in RECORDS) + "\n",
        "  ".join(json.dumps(record, indent=2) for record in RECORDS),
        "\r\n".join(json.dumps(record, indent=2).replace("\n", "\r\n") for record in RECORDS),
        "{\n" + "\n{\n".join(json.dumps(record)[1:] for record in RECORDS),
        "\n".join(json.dumps(record) for record in RECORDS),
    ],
)
def test_records(tmp_path, content):
    for encoded in (content.encode(), gzip.compress(content.encode())):
        assert texts(tmp_path, encoded) == PAGES
        assert texts(tmp_path, encoded, block_bytes=7) == PAGES


def test_an_empty_array(tmp_path):
    for content in (b"[]", b" [\n] \n", b"[ ]"):
        assert texts(tmp_path, content) == []


def test_what_is_no_record_of_an_array_is_malformed(tmp_path):
    content = b'[{"text": "a"}, 3, "x", null, {"text": 1}, [{"text": "b"}], {"text": "c"}]'
    assert texts(tmp_path, content, Malformed.DROP) == ["a", None, None, None, None, None, "c"]
    message = mistake(tmp_path, content)
    assert "row 1 (byte 16 of the decompressed file): expected a JSON object, found a number" in message


def test_a_record_over_several_lines_that_is_malformed(tmp_path):
    content = b'{\n  "text": "a"\n}\n{\n  "text": "b",\n}\n{\n  "text": "c"\n}\n'
    assert texts(tmp_path, content, Malformed.DROP) == ["a", None, "c"]
    assert "row 1 (byte 18 of the decompressed file): expected one JSON object" in mistake(tmp_path, content)
    # A newline inside of a string is as wrong here as in JSON lines.
    content = b'[{"text": "a"},\n{"text": "b\nb"},\n{"text": "c"}]'
    assert texts(tmp_path, content, Malformed.DROP) == ["a", None, "c"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'[{"text": "a"},\n{"text": "b"', "is one JSON array, and ends within a record that begins at byte 16"),
        (b'[{"text": "a"},\n{"text": "b"}\n', "is one JSON array, and ends within its array"),
        (b'[{"text": "a"},\n{"text": "b]}', "ends within a record that begins at byte 16"),
        (b'[{"text": "a"}]\n{"text": "b"}', "is one JSON array, but more follows behind its end at byte 16"),
        (b'[{"text": "a"}] x', "is one JSON array, but more follows behind its end at byte 16"),
        (b'[{"text": "a"}\n{"text": "b"}]', "is one JSON array, but a comma is missing before the record at byte 15"),
        (b'{\n"text": "a"\n}\n}\n', "is JSON objects over several lines, but a bracket closes nothing at byte 16"),
        (
            b'{\n"text": "a"\n}\n{\n"text":',
            "is JSON objects over several lines, and ends within a record that begins at",
        ),
    ],
)
def test_what_is_damaged_is_never_dropped(tmp_path, content, told):
    for malformed in Malformed:
        message = mistake(tmp_path, content, malformed)
        assert told in message
        assert "malformed: drop" not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"text": "a"}\n{"text": "b"', ["a", None]),
        (b'{"text": "a\n{"text": "b"}\n', [None, "b"]),
        (b'{"text": "a",\n{"text": "b"}\n{"text": "c"}\n', [None, "b", "c"]),
        (b'{"text": "a", "z": [\n{"text": "b"}\n{"text": "c"}\n', [None, "b", "c"]),
        (b'[{"text": "a"}]\n[{"text": "b"}]\n', [None, None]),
        (b'[1, 2]\n{"text": "b"}\n', [None, "b"]),
        (b'x\n{"text": "b"}\n', [None, "b"]),
        (b'{"text": "a", "n": NaN}\n"text"\n', ["a", None]),
    ],
)
def test_lines_stay_lines(tmp_path, content, expected):
    assert texts(tmp_path, content, Malformed.DROP) == expected
    if not content.startswith(b"x"):  # A block of one line that is no JSON looks like plain text.
        assert texts(tmp_path, content, Malformed.DROP, block_bytes=5) == expected


def test_a_record_longer_than_what_is_read_first(tmp_path):
    long = [{"text": "a" * (3 << 20), "m": {"url": "b"}}, {"text": "c"}]
    expected = [record["text"] for record in long]
    assert texts(tmp_path, json.dumps(long, indent=2).encode()) == expected
    assert texts(tmp_path, "\n".join(json.dumps(record, indent=2) for record in long).encode()) == expected


def test_one_object_around_all_records_is_not_held(monkeypatch):
    monkeypatch.setattr("byline.transforms.corpora.json_framing._MOST_BYTES", 1 << 20)
    lines = ['{"data": [', *(f'{{"text": "{number}"}},' for number in range(200_000)), "]}"]
    content = "\n".join(lines).encode()
    pieces = (content[start : start + 65536] for start in range(0, len(content), 65536))
    with pytest.raises(
        BylineError, match=r"with one of more than 1 MiB that begins at byte 0; .*jq -c '.data\[\]' FILE"
    ):
        list(as_lines(pieces, "a.json"))


text = st.text('ab"\\[]{},:\n\t é', max_size=8)
values = st.recursive(
    st.one_of(text, st.integers(-3, 3), st.none()),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(text, inside, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(text, values, max_size=3).map(lambda record: {**record, "text": "t"})


@given(
    st.lists(objects, min_size=1, max_size=4),
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
    st.integers(1, 30),
)
@examples(300)
def test_any_records_stay_as_they_are(records, indent, is_array, size):
    if is_array:
        content = json.dumps(records, indent=indent)
    else:
        content = "\n".join(json.dumps(record, indent=indent) for record in records)
    data = content.encode()
    framed = b"".join(as_lines((data[start : start + size] for start in range(0, len(data), size)), "a.json"))
    assert len(framed) == len(data)
    assert [json.loads(line, strict=False) for line in framed.split(b"\n") if line.strip()] == records
