"""Runs: sorted by shuffle key, cut by tokens, described in full, and the same bytes however often they are written."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas import store
from byline.schemas.documents import MASKED, RANGE_WEIGHTS, WEIGHED, info_of
from byline.schemas.store import RunInfo
from byline.transforms.store.field_counting import count_fields
from byline.transforms.store.runs import cut_for_reading, run_name, sort_by_shuffle_key, write_run
from byline.transforms.store.runs_transform import WriteRuns
from tests.reference import hashing
from tests.support.small import FINGERPRINT, StoredRow, tokenized_batch


def batch_of(rows: int, size: int = 3, **settings: Any) -> pa.RecordBatch:
    return tokenized_batch("a", "x.jsonl", [StoredRow(row, [row % 256] * size) for row in range(rows)], **settings)


def read(uri: str) -> pa.Table:
    with pa.memory_map(uri) as source:
        return pa.ipc.open_file(source).read_all()


def test_sorted_by_shuffle_key() -> None:
    batch = batch_of(50)
    ordered = sort_by_shuffle_key(batch)
    expected = sorted((hashing.shuffle_key("a", "x.jsonl", row), row) for row in range(50))
    assert list(zip(ordered["shuffle_key"].to_pylist(), ordered["row"].to_pylist(), strict=True)) == expected
    assert ordered["tokens"].to_pylist() == [[row] * 3 for _, row in expected]
    assert ordered.schema.names == ["shuffle_key", *batch.schema.names]
    assert info_of(ordered) == info_of(batch)


def test_masked_ranges_stay_with_their_documents(tmp_path: Path) -> None:
    rows = [
        StoredRow(row, [1] * 9, masked=[(0, row % 4), (5, 6)][row % 3 :], weighed=[(0, row % 9, 0.5 + row)][row % 2 :])
        for row in range(40)
    ]
    batch = tokenized_batch("a", "x.jsonl", rows)
    expected = {row.row: [border for pair in row.masked or () for border in pair] for row in rows}
    weights = {row.row: [weight for _, _, weight in row.weighed or ()] for row in rows}
    for found in (
        pa.Table.from_batches([sort_by_shuffle_key(batch)]),
        read(write_run(batch, FINGERPRINT, str(tmp_path))),
    ):
        assert found.schema.field("masked") == MASKED
        assert dict(zip(found["row"].to_pylist(), found["masked"].to_pylist(), strict=True)) == expected
        assert [found.schema.field(name) for name in ("weighed", "range_weights")] == [WEIGHED, RANGE_WEIGHTS]
        assert dict(zip(found["row"].to_pylist(), found["range_weights"].to_pylist(), strict=True)) == weights


def test_equal_shuffle_keys_are_in_order_of_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "byline.transforms.store.runs.shuffle_keys", lambda source, path, rows: (rows % 2).astype(np.uint64)
    )
    assert sort_by_shuffle_key(batch_of(6))["row"].to_pylist() == [0, 2, 4, 1, 3, 5]


@given(st.lists(st.integers(0, 12), max_size=30), st.sampled_from([pa.uint16(), pa.int32()]))
def test_cut_where_the_tokens_before_a_document_pass_a_multiple(sizes: list[int], ids: pa.DataType) -> None:
    rows = [StoredRow(row, [0] * size) for row, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BATCH_TOKEN_BYTES", 40)
        chunks = cut_for_reading(tokenized_batch("a", "x", rows, ids=ids))
    expected: list[list[int]] = []
    before, last = 0, None
    for row, size in enumerate(sizes):
        if before // 40 != last:
            expected.append([])
        expected[-1].append(row)
        last, before = before // 40, before + size * ids.byte_width
    assert [chunk["row"].to_pylist() for chunk in chunks] == expected


def test_a_run_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BATCH_TOKEN_BYTES", 20)
    batch = batch_of(10, chunk=2, last=False)
    uri = write_run(batch, FINGERPRINT, str(tmp_path))
    with pa.memory_map(uri) as source:
        reader = pa.ipc.open_file(source)
        info = RunInfo.from_schema(reader.schema, uri)
        firsts = [reader.get_batch(n)["shuffle_key"][0].as_py() for n in range(reader.num_record_batches)]
    assert info == RunInfo(
        fingerprint=FINGERPRINT, source="a", path="x.jsonl", chunk=2, last=False, input_size=1000, rows_read=11,
        bytes_read=10, dropped={"empty_text": 1}, special_text=0, rows=10, text_bytes=90, tokens=30,
        batch_shuffle_keys=firsts, uri=uri, fields=count_fields(batch),
    )  # fmt: skip
    assert len(firsts) == 3
    assert firsts == sorted(firsts)
    assert read(uri)["row"].to_pylist() == sort_by_shuffle_key(batch)["row"].to_pylist()
    assert uri == str(tmp_path / run_name("a", "x.jsonl", 2))


def test_a_run_written_again_has_the_same_bytes(tmp_path: Path) -> None:
    first = Path(write_run(batch_of(20), FINGERPRINT, str(tmp_path / "one"))).read_bytes()
    # Another layout in memory: a slice of a larger batch.
    metadata = batch_of(20).schema.metadata
    sliced = pa.concat_batches([batch_of(7), batch_of(20)]).slice(7, 20).replace_schema_metadata(metadata)
    second = Path(write_run(sliced, FINGERPRINT, str(tmp_path / "two"))).read_bytes()
    assert first == second
    assert Path(write_run(batch_of(20), FINGERPRINT, str(tmp_path / "one"))).read_bytes() == first
    assert len(list((tmp_path / "one").iterdir())) == 1


def test_a_run_without_documents(tmp_path: Path) -> None:
    uri = write_run(batch_of(0), FINGERPRINT, str(tmp_path))
    table = read(uri)
    info = RunInfo.from_schema(table.schema, uri)
    assert (table.num_rows, info.rows, info.tokens, info.text_bytes, info.batch_shuffle_keys) == (0, 0, 0, 0, [])


def test_names_of_runs() -> None:
    names = {run_name(*key) for key in [("a", "b/c", 0), ("a", "b/c", 1), ("a", "../c", 0), ("b", "b/c", 0)]}
    assert len(names) == 4
    assert all(name.endswith(("-00000.arrow", "-00001.arrow")) and "/" not in name for name in names)
    assert all(len(name) == 32 + len("-00000.arrow") for name in names)


def test_a_file_that_is_no_run(tmp_path: Path) -> None:
    schema = pa.schema([("shuffle_key", pa.uint64())])
    with pytest.raises(
        BylineError, match=r"x\.arrow: not a run of the token store of version 4 \(found None\); delete it"
    ):
        RunInfo.from_schema(schema, str(tmp_path / "x.arrow"))


def test_write_runs_gives_each_source_its_folder_and_fingerprint(tmp_path: Path) -> None:
    batches = [batch_of(3), tokenized_batch("b", "y.jsonl", [StoredRow(0, [1])])]
    folders = {name: str(tmp_path / name) for name in "ab"}
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        created = pipeline | beam.Create(batches).with_output_types(pa.RecordBatch)
        runs = created | WriteRuns(folders, {"a": "1", "b": "2"})
        assert runs.element_type is str
        expected = [f"{folders[s]}/{run_name(s, p, 0)}" for s, p in (("a", "x.jsonl"), ("b", "y.jsonl"))]
        assert_that(runs, equal_to(expected))
    assert [RunInfo.from_schema(read(uri).schema, uri).fingerprint for uri in expected] == ["1", "2"]
