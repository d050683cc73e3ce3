"""The times of input files stand beside the runs: literal files in, literal times out."""

from pathlib import Path

import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.schemas.documents import BatchInfo, InputFile, with_info
from byline.transforms.store import input_times, runs_transform
from byline.transforms.store.store_index import read_files
from tests.support import small


def file(path: str, modified: int) -> InputFile:
    return InputFile("a", path, f"/raw/{path}", 1000, modified=modified)


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert input_times.read_times(folder) == {}
    input_times.note_times(folder, [file("x", 5), file("y", 6)])
    input_times.note_times(folder, [file("y", 7), file("z", 8)])
    assert input_times.read_times(folder) == {"x": 5, "y": 7, "z": 8}


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    input_times.note_times(str(tmp_path), [file("x", 5)])
    written = (tmp_path / "times.json").stat().st_mtime_ns
    input_times.note_times(str(tmp_path), [file("x", 5)])
    assert (tmp_path / "times.json").stat().st_mtime_ns == written


@pytest.mark.parametrize("content", ["", "[1]", '{"x": null}', "{"])
def test_damaged_times_are_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "times.json").write_text(content)
    with pytest.raises(BylineError, match=r"times\.json: expected times by path, as JSON; delete it, and"):
        input_times.read_times(str(tmp_path))


def test_runs_get_their_times_when_they_are_listed(tmp_path: Path) -> None:
    uri, _ = small.write_run_of(tmp_path, "a", "x.jsonl", 0, [])
    before = Path(uri).read_bytes()
    assert [run.input_modified for run in read_files(str(tmp_path))[0].chunks] == [0]
    input_times.note_times(str(tmp_path), [file("x.jsonl", 5)])
    assert [run.input_modified for run in read_files(str(tmp_path))[0].chunks] == [5]
    assert Path(uri).read_bytes() == before


def test_a_job_whose_file_has_changed_writes_no_run(tmp_path: Path) -> None:
    step = runs_transform._WriteRunsFn({"a": str(tmp_path)}, {"a": small.FINGERPRINT})
    batch: pa.RecordBatch = small.tokenized_batch("a", "x.jsonl", [])
    input_times.note_times(str(tmp_path), [file("x.jsonl", 5)])
    step.start_bundle()
    with pytest.raises(BylineError, match=r"^x\.jsonl: has changed, and another command prepares it"):
        step.process(with_info(batch, BatchInfo("a", "x.jsonl", input_size=1000, input_modified=4)))
    assert list(tmp_path.glob("*.arrow")) == []
    step.process(with_info(batch, BatchInfo("a", "x.jsonl", input_size=1000, input_modified=5)))
    assert len(list(step.finish_bundle())) == len(list(tmp_path.glob("*.arrow"))) == 1
