"""What a task that runs again leaves out."""

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from byline.schemas.documents import InputFile
from byline.transforms.store.resuming import without_written
from byline.transforms.store.resuming_transform import LeaveOutWritten
from byline.transforms.store.store_index import read_run_info
from tests.support.small import StoredRow, write_run_of


def write(folder: Path, path: str, chunk: int, last: bool) -> int:
    """Writes a run; returns the size that it has of its input file."""
    uri, _ = write_run_of(folder, "a", path, 0, [StoredRow(chunk, [1, 2])], chunk=chunk, last=last)
    return read_run_info(uri).input_size


@pytest.fixture
def size(tmp_path: Path) -> int:
    return write(tmp_path / "other", "x", 0, True)


def listed(size: int, *done: int, path: str = "x") -> InputFile:
    return InputFile("a", path, f"/data/{path}", size, done)


@pytest.mark.parametrize(
    ("listed_then", "written", "left"),
    [
        ([], [], []),
        ([], [(0, False)], [0]),
        ([], [(0, False), (1, False)], [0, 1]),
        ([0], [(0, False), (1, False)], [0, 1]),
        # Chunk 2 of a try that was lost before it had chunk 1.
        ([2], [(0, False), (2, False)], [0, 2]),
        ([], [(0, True)], None),
        ([0], [(0, False), (1, True)], None),
    ],
)
def test_chunks_written_since_are_left_out(
    tmp_path: Path, size: int, listed_then: list[int], written: list[tuple[int, bool]], left: list[int] | None
) -> None:
    for chunk, last in written:
        write(tmp_path, "x", chunk, last)
    expected = None if left is None else listed(size, *left)
    assert without_written(listed(size, *listed_then), str(tmp_path)) == expected


def test_runs_of_a_file_of_another_size_count_for_nothing(tmp_path: Path, size: int) -> None:
    write(tmp_path, "x", 0, True)
    assert without_written(listed(size + 1), str(tmp_path)) == listed(size + 1)


def test_whole_files_are_left_out_of_the_list(tmp_path: Path, size: int) -> None:
    write(tmp_path, "x", 0, True)
    write(tmp_path, "y", 0, False)
    files = [listed(size, path=path) for path in "xyz"]
    with beam.Pipeline("FnApiRunner") as pipeline:
        remaining = pipeline | beam.Create(files) | LeaveOutWritten({"a": str(tmp_path)})
        assert_that(remaining, equal_to([listed(size, 0, path="y"), listed(size, path="z")]))
