"""Files of JSON lines: no result depends on how one is cut, and what is wrong with one is said."""

import gzip

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.transforms.corpora import json_lines
from tests.support.json_records import BROKEN, read, write
from tests.support.thorough import examples

TEXT_ONLY = pa.schema([("text", pa.large_string()), ("url", pa.large_string())])
TEXT = pa.schema([("text", pa.large_string())])


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
@examples(150)
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
