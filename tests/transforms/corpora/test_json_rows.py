"""Some records of JSON lines are those that reading all of them gives."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.corpora import Source
from byline.transforms.corpora import json_rows
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.reading import read_batches, read_texts
from tests.support.thorough import examples

# What becomes no document, or is no record at all, between those that do.
LINES = [b"", b" \t", b"null", b"{", b'{"body": 3}', b'{"body": "A\\u00e9\\ud83d\\ude00", "n": NaN}', b'{"body": ""}\r']


def source_of(folder: Path) -> Source:
    values = {"format": "jsonl", "path": str(folder / "*"), "fields": {"text": "body"}, "malformed": "drop"}
    return Source.model_validate({**values, "max_rejected": 1})


RECORDS = st.text("ab é", max_size=9).map(lambda text: json.dumps({"body": text}).encode())


@given(
    st.lists(st.one_of(st.sampled_from(LINES), RECORDS), min_size=1, max_size=30),
    st.integers(1, 200),
    st.integers(0, 2**30),
)
@examples(60)
def test_they_are_those_of_all_records(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block_bytes: int, drawn: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join([*lines, b'{"body": "last"}'])))
    source = source_of(folder)
    (file,) = list_inputs("web", source)
    (whole,) = read_batches(file, source)
    usable = whole.filter(whole["text"].is_valid())
    chosen = [bool(drawn >> number % 30 & 1) for number in range(usable.num_rows)]
    wanted = usable.filter(pa.array(chosen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "BLOCK_BYTES", block_bytes)
        texts = read_texts(file, source, wanted["row"].to_numpy())
        assert texts is not None
        pieces = list(texts)
    assert [text for piece in pieces for text in piece.to_pylist()] == wanted["text"].to_pylist()


def test_what_is_behind_the_last_is_not_read(tmp_path: Path) -> None:
    lines = b"".join(b'{"body": "%d"}\n' % number for number in range(200_000))
    whole = gzip.compress(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    source = source_of(tmp_path)
    (file,) = list_inputs("web", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "BLOCK_BYTES", 1000)
        texts = read_texts(file, source, np.array([3, 5]))
        assert texts is not None
        assert [text for piece in texts for text in piece.to_pylist()] == ["3", "5"]


def test_a_formatted_source_and_parquet_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "q", "answer": "a"}\n')
    values = {"format": "jsonl", "path": str(tmp_path / "*"), "formatter": "qa"}
    source = Source.model_validate({**values, "fields": {"question": "question", "answer": "answer"}})
    (file,) = list_inputs("web", source)
    assert read_texts(file, source, np.array([0])) is None
    parquet = Source.model_validate({"format": "parquet", "path": str(tmp_path / "*")})
    assert read_texts(file, parquet, np.array([0])) is None
