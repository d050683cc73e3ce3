"""Which runs are there, which input files are pending, and what changed."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.store import store_index
from tests.support.small import StoredRow, write_run_of


def run(path: str = "x", chunk: int = 0, last: bool = True, size: int = 10, source: str = "a") -> RunInfo:
    return RunInfo("f", source, path, chunk, last, size, 1, 1, {}, 0, 1, 1, 1, [0])


def merged(*chunks: RunInfo) -> RunFile:
    """A file with these chunks: a run, or a merged one."""
    uri = "-".join(f"{chunk.path}{chunk.chunk}.{chunk.input_size}" for chunk in chunks)
    return RunFile([replace(chunk, uri=uri) for chunk in chunks], [0], 1, uri)


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


def test_what_is_of_a_file_that_has_another_size_now_is_stale() -> None:
    old, new, with_old = merged(run(size=10)), merged(run(size=11)), merged(run("w"), run(size=10))
    assert store_index.stale_files([file(size=11)], [old, new, with_old]) == [old, with_old]


def test_a_file_of_another_time_is_another_one() -> None:
    touched = replace(file(size=10), modified=7)
    assert store_index.pending_files([touched], [run(size=10)]) == [touched]
    assert store_index.pending_files([touched], [replace(run(size=10), input_modified=7)]) == []
    assert store_index.stale_files([touched], [merged(run())]) == [merged(run())]
    assert store_index.changed_inputs([touched, file("y", size=2)], [merged(run()), merged(run("y", size=1))]) == [
        "a: 2 files have changed since they were prepared (first: x: another modification time, the same size)"
    ]
    assert store_index.changed_inputs([file("y", size=2)], [merged(run("y", size=1))]) == [
        "a: 1 file has changed since it was prepared (first: y: another size)"
    ]
    assert store_index.changed_inputs([file()], [merged(run()), merged(run("gone"))]) == []


def test_runs_of_files_that_are_gone_are_not_stale() -> None:
    assert store_index.stale_files([file("x")], [merged(run("y", size=3)), merged(run("x"), run("y"))]) == []


# ------------------------------------------------------------------------------------------- merged runs and others


def used(files: list[RunFile], *inputs: InputFile) -> list[RunFile]:
    return store_index.choose_files(files, store_index.identities_of(inputs))


def test_of_files_that_share_chunks_the_largest_is_used() -> None:
    x, y, z = (run(path) for path in "xyz")
    files = [merged(x), merged(y), merged(z), merged(x, y), merged(x, y, z), merged(run("w"))]
    inputs = [file(path) for path in "wxyz"]
    assert used(files, *inputs) == [merged(run("w")), merged(x, y, z)]
    assert used(files[:4], *inputs) == [merged(x, y), merged(z)]
    assert store_index.superseded(files, [merged(x, y, z)]) == [item.uri for item in files[:4]]
    assert store_index.superseded(files, [merged(x, y)]) == [merged(x).uri, merged(y).uri]


def test_a_merged_run_with_a_chunk_of_no_input_file_is_not_used() -> None:
    x, y = run("x"), run("y")
    assert used([merged(x, y)], file("x")) == []
    assert used([merged(x, y)], file("x"), file("y", size=11)) == []
    assert used([merged(x, y), merged(x)], file("x"), file("y", size=11)) == [merged(x)]
    assert store_index.choose_files([merged(x, y), merged(x)], None) == [merged(x, y)]


def test_a_run_of_other_content_is_not_superseded() -> None:
    assert store_index.superseded([merged(run(size=11))], [merged(run(size=10), run("y"))]) == []


def test_says_which_file_makes_others_be_prepared_again() -> None:
    merged_run = merged(run("x"), run("y"), run("z", chunk=1))
    files = [file("x"), file("y", size=11), file("z")]
    assert store_index.merged_in_vain(files, [], [merged_run]) == [
        "a: y has changed; 2 other chunks that were merged with it are prepared again"
    ]
    assert store_index.merged_in_vain([file("x"), file("z")], [run("x")], [merged_run]) == [
        "a: y is no longer an input file; 1 other chunks that were merged with it are prepared again"
    ]
    there = [run("x"), run("z", chunk=1)]
    assert store_index.merged_in_vain(files, there, [merged_run]) == []


def test_merged_runs_that_share_a_chunk_after_a_file_went_away_and_came_back() -> None:
    x, y, z = (run(path) for path in "xyz")
    files, inputs = [merged(x, y), merged(x, z)], [file(path) for path in "xyz"]
    chosen = used(files, *inputs)
    assert chosen == [merged(x, y)]
    runs = store_index.runs_of(chosen)
    assert store_index.pending_files(inputs, runs) == [file("z")]
    assert store_index.merged_in_vain(inputs, runs, [merged(x, z)]) == [
        "a: x is in another merged run, too; 1 other chunks that were merged with it are prepared again"
    ]
    # When z is there again, nothing needs the one that shares.
    assert used([*files, merged(z)], *inputs) == [merged(x, y), merged(z)]
    assert store_index.superseded(files, [merged(x, y), merged(z)]) == [merged(x, z).uri]


def test_chunks_of_merged_runs_are_in_order_and_files_named_once() -> None:
    one, two = merged(run("b", 0, False), run("c")), merged(run("a"), run("b", 1))
    runs = store_index.runs_of([one, two])
    assert [(item.path, item.chunk) for item in runs] == [("a", 0), ("b", 0), ("b", 1), ("c", 0)]
    assert store_index.run_uris(runs) == [two.uri, one.uri]
    assert store_index.pending_files([file(path) for path in "abc"], runs) == []


@given(st.data())
def test_nested_files_are_used_so_that_no_chunk_is_there_twice_or_missing(data: st.DataObject) -> None:
    """Every level merges some neighbours of the level below; of any of these files some are there."""
    level = [[run(f"{number:02}")] for number in range(data.draw(st.integers(1, 12)))]
    made = list(level)
    while len(level) > 1:
        start = data.draw(st.integers(0, len(level) - 2))
        end = data.draw(st.integers(start + 2, len(level)))
        level[start:end] = [[chunk for chunks in level[start:end] for chunk in chunks]]
        made.append(level[start])
    files = [merged(*chunks) for chunks in made if data.draw(st.booleans())]
    inputs = [file(f"{number:02}") for number in range(12)]
    runs = store_index.runs_of(used(files, *inputs))
    assert [item.path for item in runs] == sorted({chunk.path for item in files for chunk in item.chunks})
    left = {item.uri for item in files} - set(store_index.superseded(files, used(files, *inputs)))
    assert left == {item.uri for item in used(files, *inputs)}


# ----------------------------------------------------------------------------------------------------- the folder


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
    store_index.write_settings(folder, {"x": 1})
    for path, chunk in (("é", 0), ("b/c", 1), ("b/c", 0)):
        write_run_of(Path(folder), "a", path, 0, [StoredRow(chunk, [1, 2])], chunk=chunk)
    run_infos = store_index.read_runs(folder)
    assert [(info.path, info.chunk) for info in run_infos] == [("b/c", 0), ("b/c", 1), ("é", 0)]
    assert all(replace(store_index.read_run_info(info.uri), uri=info.uri) == info for info in run_infos)
    assert {info.tokens for info in run_infos} == {2}


def test_a_file_that_is_no_run(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, pa.schema([])):
        pass
    with pytest.raises(BylineError, match=r"x\.arrow: cannot be read as a run \(no seal before its footer"):
        store_index.read_runs(str(tmp_path))


def test_the_nearest_configuration_says_what_changed(tmp_path: Path) -> None:
    store = str(tmp_path)
    assert store_index.nearest_change(store, "a", {"x": 1}) == []
    store_index.write_settings(f"{store}/a/1", {"x": 1, "y": 1, "z": 1})
    store_index.write_settings(f"{store}/a/2", {"x": 2, "y": 2, "z": 2})
    store_index.write_settings(f"{store}/b/1", {"x": 2, "y": 2, "z": 3})
    assert store_index.nearest_change(store, "a", {"x": 2, "y": 2, "z": 3}) == ["z"]
    assert store_index.nearest_change(store, "a", {"x": 1, "y": 1, "w": 1}) == ["w", "z"]


def test_parts_are_written_once(tmp_path: Path) -> None:
    store_index.write_settings(str(tmp_path), {"x": 1})
    store_index.write_settings(str(tmp_path), {"x": 2})
    assert (tmp_path / store_index.SOURCE_FILE).read_text() == '{\n "x": 1\n}'
