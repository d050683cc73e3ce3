"""Faults are noted by workers and taken by the driver, which removes what the faulty files left."""

from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.schemas.faults import FaultyFileError
from byline.transforms.store import faults
from tests.support.small import StoredRow, write_run_of


def write(folder: Path, path: str, chunk: int) -> Path:
    return Path(write_run_of(folder, "a", path, 0, [StoredRow(chunk, [1])], chunk=chunk, last=False)[0])


def test_taking_faults_removes_what_their_files_left(tmp_path: Path) -> None:
    left, other = [write(tmp_path, "b/x", chunk) for chunk in (0, 1)], write(tmp_path, "y", 0)
    note = faults.FaultNotes({"a": str(tmp_path)})
    note("a", "b/x", FaultyFileError("x: is damaged", "byte 7", is_damage=True))
    note("a", "0", FaultyFileError("0: is no file"))
    assert faults.take_faults([str(tmp_path), str(tmp_path / "none")]) == [
        faults.NotedFault("a", "0", "0: is no file", ""),
        faults.NotedFault("a", "b/x", "x: is damaged", "byte 7"),
    ]
    assert [file.exists() for file in (*left, other)] == [False, False, True]
    assert faults.take_faults([str(tmp_path)]) == []
    assert other.exists()


def test_many_faults_of_a_source_end_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MOST_FAULTS", 3)
    for path in "xxxy":
        faults.note_fault(str(tmp_path), "a", path, FaultyFileError(f"{path}: bad"))
    with pytest.raises(BylineError, match=r"sources\.a: 3 files cannot be prepared, so no more are read; .*z: bad"):
        faults.note_fault(str(tmp_path), "a", "z", FaultyFileError("z: bad"))
    assert len(faults.take_faults([str(tmp_path)])) == 3
