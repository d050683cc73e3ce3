"""A run is what it was when it was written: damage, other runs under its name, and descriptions that do not fit it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from byline.errors import BylineError
from byline.schemas import store
from byline.schemas.store import RunFile
from byline.transforms.files.sealed_files import check_sealed
from byline.transforms.store.compacting import MergeGroup, merge_runs
from byline.transforms.store.run_checks import check_batch, check_run
from byline.transforms.store.run_names import check_fingerprints, check_name
from byline.transforms.store.run_reading import Run
from byline.transforms.store.store_index import read_files, read_run_info
from tests.support.seals import rewrite_run
from tests.support.small import FINGERPRINT, StoredRow, write_run_of

ROWS = [StoredRow(row, [row] * (row + 1), host=f"{row}.org", masked=[(0, 1)]) for row in range(12)]


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of several record batches."""
    monkeypatch.setattr(store, "BATCH_TOKEN_BYTES", 60)
    return write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS)[0]


def read(uri: str) -> pa.Table:
    return pa.ipc.open_file(Path(uri).read_bytes()).read_all()


def test_whole_runs(uri: str, tmp_path: Path) -> None:
    check_sealed(uri)
    assert check_run(uri, FINGERPRINT).chunks == [read_run_info(uri)]
    other = write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS[:3], chunk=1)[0]
    empty = write_run_of(tmp_path, "a", "y.jsonl", 0, [])[0]
    group = MergeGroup.of(read_files(str(tmp_path)), str(tmp_path))
    merge_runs([uri, other, empty], group.target)
    check_sealed(group.target)
    assert [chunk.rows for chunk in check_run(group.target, FINGERPRINT).chunks] == [12, 3, 0]


def test_another_run_under_its_name(uri: str, tmp_path: Path) -> None:
    other = write_run_of(tmp_path / "other", "a", "x.jsonl", 0, ROWS, chunk=1)[0]
    Path(uri).write_bytes(Path(other).read_bytes())
    message = rf"{uri}: holds chunk 1 of a/x.jsonl, whose name is \w+-00001.arrow; move it back, or delete it"
    for check in (lambda: check_run(uri, FINGERPRINT), lambda: read_files(str(tmp_path))):
        with pytest.raises(BylineError, match=message):
            check()


def test_a_run_of_other_settings(uri: str) -> None:
    with pytest.raises(BylineError, match=r"was prepared with other settings than its folder is for \(0+\)"):
        check_run(uri, "1" * 64)
    with pytest.raises(BylineError, match="other settings"):
        check_fingerprints([RunFile([read_run_info(uri)], [], 0, uri)], "1" * 64)


def test_a_merged_run_under_another_name(uri: str) -> None:
    chunks = [read_run_info(uri), replace(read_run_info(uri), chunk=1)]
    with pytest.raises(BylineError, match=r"holds a merged run of other chunks, whose name is merged-"):
        check_name(RunFile(chunks, [], 0, uri), "folder/merged-0.arrow")


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pa.Table], pa.Table]:
    """A table with one column of numbers changed."""

    def apply(table: pa.Table) -> pa.Table:
        number, field = table.schema.names.index(name), table.schema.field(name)
        return table.set_column(number, field, pa.array(change(table[name].to_numpy().copy()), field.type))

    return apply


def put(index: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[index] = value
        return values

    return change


# Each is found though the run has the right checksums.
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(1), "documents|shuffle keys are not in order|1 record batches"),
        (lambda table: table.drop_columns("row"), "no column row"),
        (lambda table: table.drop_columns("tokens"), "no column tokens"),
        (
            lambda table: table.set_column(0, "shuffle_key", pc.cast(table["row"], pa.int32())),
            "its column shuffle_key is int32",
        ),
        (changed("row", put(3, -1)), "a row that is not between 0 and 4,294,967,296"),
        (changed("row", put(3, 99)), "a shuffle key that is not that of its row of a/x.jsonl"),
        (changed("shuffle_key", put(3, 0)), "its shuffle keys are not in order"),
        (changed("num_tokens", put(3, 4000)), "its num_tokens are not the lengths of its tokens"),
        (changed("num_bytes", put(3, 4000)), "bytes of text of x.jsonl, there are"),
        (changed("num_bytes", put(3, -4)), "a num_bytes that is not between"),
    ],
)
def test_documents_that_are_no_runs(tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    uri, _ = write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS)
    rewrite_run(uri, change(read(uri)))
    check_sealed(uri)
    with pytest.raises(BylineError, match=message):
        check_run(uri, FINGERPRINT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 11}, "its metadata says 11 documents of x.jsonl, there are 12"),
        ({"tokens": 5}, "says 5 tokens of x.jsonl"),
        ({"text_bytes": 10**30}, "bytes of text of x.jsonl"),
        ({"rows_read": 12}, "its metadata says 12 records of x.jsonl, there are 13"),
        ({"batch_shuffle_keys": []}, "1 record batches, its metadata says 0"),
        ({"rows": "12"}, r"its metadata is not that of a run \(rows: "),
        ({"rows": 12.0}, r"its metadata is not that of a run \(rows: "),
        ({"dropped": ["empty_text"]}, r"its metadata is not that of a run \(dropped: "),
        ({"batch_shuffle_keys": [2**64]}, r"its metadata is not that of a run \(batch_shuffle_keys.0: "),
        ({"last": None}, r"its metadata is not that of a run \(last: "),
        ({"chunk": float("nan")}, r"its metadata is not that of a run \(chunk: "),
    ],
)
def test_descriptions_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    uri, _ = write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS)
    rewrite_run(uri, read(uri), replace(read_run_info(uri), **changes))
    with pytest.raises(BylineError, match=message) as error:
        check_run(uri, FINGERPRINT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b"7", b"[" * 100_000, b'{"version": 4}', b'{"version": 4, "chunks": []}']
)
def test_metadata_that_is_none(tmp_path: Path, metadata: bytes) -> None:
    uri, _ = write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS)
    rewrite_run(uri, read(uri).replace_schema_metadata({b"byline.run": metadata}))
    for read_it in (lambda: check_run(uri, FINGERPRINT), lambda: Run(uri, ("row",)), lambda: read_files(str(tmp_path))):
        with pytest.raises(BylineError, match=rf"^{uri}: (its metadata is not|not a run of the token store)") as error:
            read_it()
        assert len(str(error.value)) < 400


def test_masked_ranges_and_offsets_that_would_be_foreign_memory() -> None:
    key = pa.array([1], pa.uint64())
    tokens = pa.array([[1, 2]], pa.large_list(pa.uint16()))

    def batch(masked: list[int]) -> pa.RecordBatch:
        columns = [key, pa.array([2], pa.int32()), pa.array([masked], pa.list_(pa.int32())), tokens]
        return pa.RecordBatch.from_arrays(columns, ["shuffle_key", "num_tokens", "masked", "tokens"])

    check_batch(batch([0, 1, 1, 2]), 1, 1)
    for masked in ([0, 3], [-1, 1], [1, 0], [0]):
        with pytest.raises(ValueError, match="masked ranges that are not within"):
            check_batch(batch(masked), 1, 1)
    ranges, weights = (pa.list_(kind) for kind in (pa.int32(), pa.float64()))

    def weighed(borders: list[int], own: list[float]) -> pa.RecordBatch:
        columns = [key, pa.array([2], pa.int32()), pa.array([borders], ranges), pa.array([own], weights)]
        return pa.RecordBatch.from_arrays(columns, ["shuffle_key", "num_tokens", "weighed", "range_weights"])

    check_batch(weighed([0, 1, 1, 2], [0.5, 65504]), 1, 1)
    for borders, own, message in (
        ([0, 3], [1.5], "weighed ranges that are not within"),
        ([0, 1], [], "not as many as"),
        ([0, 1], [2, 3], "not as many as"),
        ([0, 1], [-1], "a weight that is not from"),
        ([0, 1], [np.nan], "a weight that is not from"),
        ([0, 1], [65505], "a weight that is not from"),
    ):
        with pytest.raises(ValueError, match=message):
            check_batch(weighed(borders, own), 1, 1)
    offsets = pa.py_buffer(np.array([0, 2**40, 2], np.int64))
    lists = pa.Array.from_buffers(tokens.type, 2, [None, offsets], children=[pa.array([1, 2], pa.uint16())])
    with pytest.raises(pa.ArrowInvalid):
        check_batch(pa.RecordBatch.from_arrays([lists], ["tokens"]), 1, 1)


def test_compaction_takes_no_damaged_run(uri: str, tmp_path: Path) -> None:
    other = write_run_of(tmp_path, "a", "x.jsonl", 0, ROWS[:3], chunk=1)[0]
    content = Path(uri).read_bytes()
    position = content.index(np.array([11] * 12, np.uint16).tobytes())
    Path(uri).write_bytes(content[:position] + b"\0" + content[position + 1 :])
    with pytest.raises(BylineError, match=rf"{uri}: cannot be read as a run \(its contents are damaged"):
        merge_runs([uri, other], str(tmp_path / "merged.arrow"))
    assert not (tmp_path / "merged.arrow").exists()
