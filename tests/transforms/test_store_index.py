"""Which runs are there, which input files are pending, and what changed."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from schemas.documents import InputFile
from schemas.store import RunInfo
from tests.small import StoredRow, write_run_of
from transforms import store_index


def run(path: str = "x", chunk: int = 0, last: bool = True, size: int = 10, source: str = "a") -> RunInfo:
    return RunInfo("f", source, path, chunk, last, size, 1, 1, {}, 0, 1, 1, 1, [0])


def file(path: str = "x", size: int = 10, done: tuple[int, ...] = (), source: str = "a") -> InputFile:
    return InputFile(source, path, f"/data/{path}", size, done)


def test_a_file_is_whole_with_its_chunks_up_to_the_last() -> None:
    assert store_index.pending_files([file()], [run()]) == []
    assert store_index.pending_files([file()], []) == [file()]
    assert store_index.pending_files([file()], [run(chunk=0, last=False)]) == [file(done=(0,))]
    assert store_index.pending_files([file()], [run(chunk=1)]) == [file(done=(1,))]
    assert store_index.pending_files([file()], [run(chunk=0, last=False), run(chunk=1)]) == []


def test_runs_of_another_size_do_not_count() -> None:
    assert store_index.pending_files([file(size=11)], [run(size=10)]) == [file(size=11)]
    both = [run(size=10), run(size=11)]
    assert store_index.pending_files([file(size=11)], both) == []
    assert store_index.stale_runs([file(size=11)], both) == [run(size=10)]


def test_runs_of_files_that_are_gone_are_not_stale() -> None:
    assert store_index.stale_runs([file("x")], [run("y", size=3)]) == []


def test_files_of_one_path_in_two_sources() -> None:
    files = [file(source="a"), file(source="b")]
    assert store_index.pending_files(files, [run(source="b")]) == [file(source="a")]
    assert store_index.whole_files([run(source="b"), run("y", last=False)]) == {("b", "x")}


@given(st.integers(1, 6), st.data())
def test_a_file_is_pending_for_as_long_as_any_chunk_is_missing(chunks: int, data: st.DataObject) -> None:
    runs = [run(chunk=chunk, last=chunk == chunks - 1) for chunk in range(chunks)]
    there = data.draw(st.permutations(runs))[: data.draw(st.integers(0, chunks))]
    pending = store_index.pending_files([file()], there)
    if len(there) == chunks:
        assert pending == []
    else:
        assert [set(item.done) for item in pending] == [{item.chunk for item in there}]


def test_reads_the_runs_of_a_folder_by_path_and_chunk(tmp_path: Path) -> None:
    folder = store_index.source_folder(str(tmp_path), "a", "0123456789abcdef0123")
    assert folder == f"{tmp_path}/a/0123456789abcdef"
    assert store_index.read_runs(folder) == []
    store_index.write_parts(folder, {"x": 1})
    for path, chunk in (("é", 0), ("b/c", 1), ("b/c", 0)):
        write_run_of(Path(folder), "a", path, 0, [StoredRow(chunk, [1, 2])], chunk=chunk)
    found = store_index.read_runs(folder)
    assert [(info.path, info.chunk) for info in found] == [("b/c", 0), ("b/c", 1), ("é", 0)]
    assert all(replace(store_index.read_run_info(info.uri), uri=info.uri) == info for info in found)
    assert {info.tokens for info in found} == {2}


def test_a_file_that_is_no_run(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.schema([])):
        pass
    with pytest.raises(BylineError, match=r"x\.arrow: not a run of store version 1"):
        store_index.read_runs(str(tmp_path))


def test_the_nearest_configuration_says_what_changed(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert store_index.nearest_change(store, "a", {"x": 1}) == []
    store_index.write_parts(f"{store}/a/1", {"x": 1, "y": 1, "z": 1})
    store_index.write_parts(f"{store}/a/2", {"x": 2, "y": 2, "z": 2})
    store_index.write_parts(f"{store}/b/1", {"x": 2, "y": 2, "z": 3})
    assert store_index.nearest_change(store, "a", {"x": 2, "y": 2, "z": 3}) == ["z"]
    assert store_index.nearest_change(store, "a", {"x": 1, "y": 1, "w": 1}) == ["w", "z"]


def test_parts_are_written_once(tmp_path: Path) -> None:
    store_index.write_parts(str(tmp_path), {"x": 1})
    store_index.write_parts(str(tmp_path), {"x": 2})
    assert (tmp_path / store_index.SOURCE_FILE).read_text() == '{\n "x": 1\n}'
