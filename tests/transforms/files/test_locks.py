"""Who may write to a folder: one command at a time, and the next when the one before has ended, however it did."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.transforms.files import locks, storage
from byline.transforms.files.locks import LOCK_NAME, Owner, folder_lock, remove_abandoned
from tests.support.builds import ROOT

HOLDS = """
import sys, time
from byline.transforms.files.locks import folder_lock
with folder_lock(sys.argv[1], print):
    print("held", flush=True)
    sys.stdin.read(1)
"""


@contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of a folder until it is told to end."""
    words = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def take(folder: Path | str) -> list[str]:
    """What is said when the lock is taken, and given back."""
    said: list[str] = []
    with folder_lock(str(folder), said.append):
        pass
    return said


def write_lock(folder: Path, age: float, **changes: Any) -> Path:
    """A lock that nobody holds by `flock`, as if another machine had written it `age` seconds ago."""
    owner = replace(Owner.this(), **changes)
    path = folder / LOCK_NAME
    path.write_bytes(owner.to_bytes())
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    out = tmp_path / "a/out"
    with holder(out) as process:
        with pytest.raises(BylineError) as caught, folder_lock(str(out), print):
            raise AssertionError
        said = Owner.read((out / LOCK_NAME).read_bytes())
        assert said is not None
        assert str(caught.value) == (
            f"{out}/{LOCK_NAME}: process {process.pid} on {said.host} (-c {out}) since {said.since} writes here; wait "
            "until it has ended, or end it"
        )
        process.communicate("x")
    assert not (tmp_path / "a").exists()
    assert take(out) == []
    assert not (tmp_path / "a").exists()


def test_what_a_killed_command_leaves_is_taken_over(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    owner = Owner.read((tmp_path / LOCK_NAME).read_bytes())
    assert take(tmp_path) == [f"{tmp_path}: took over the lock of {owner}, which has ended"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_leaves_is_removed_where_nothing_is_to_be_written(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert remove_abandoned(str(tmp_path)) is None
        process.kill()
        process.wait()
        owner = remove_abandoned(str(tmp_path))
    assert owner is not None
    assert owner.process == process.pid
    assert list(tmp_path.iterdir()) == []
    assert remove_abandoned(str(tmp_path)) is None
    with folder_lock(str(tmp_path), print):
        assert remove_abandoned(str(tmp_path)) is None
        assert (tmp_path / LOCK_NAME).exists()
    path = write_lock(tmp_path, 10, host="elsewhere", boot="other")
    assert remove_abandoned(str(tmp_path)) is None
    assert path.exists()


def test_a_process_goes_on_with_a_lock_that_it_has(tmp_path: Path) -> None:
    with folder_lock(str(tmp_path), print):
        assert take(tmp_path) == []
        assert json.loads((tmp_path / LOCK_NAME).read_bytes())["process"] == os.getpid()
    assert take(tmp_path) == []


def test_a_lock_that_was_not_written_to_its_end_is_nobodys(tmp_path: Path) -> None:
    for content in (b"", b'{"host": "no', b"[]"):
        (tmp_path / LOCK_NAME).write_bytes(content)
        assert take(tmp_path) == []


@pytest.mark.parametrize(
    ("age", "changes"),
    [
        (301, {"host": "elsewhere", "boot": "another"}),
        (61, {"boot": "before"}),
        (0, {"process": 2**22 + 1}),
        (0, {"started": "1"}),
    ],
)
def test_owners_that_have_ended(tmp_path: Path, age: float, changes: dict[str, Any]) -> None:
    write_lock(tmp_path, age, **changes)
    (line,) = take(tmp_path)
    assert line.endswith(", which has ended")


@pytest.mark.parametrize(
    ("age", "changes"), [(280, {"host": "elsewhere", "boot": "another"}), (40, {"boot": "before"})]
)
def test_owners_of_which_was_heard(tmp_path: Path, age: float, changes: dict[str, Any]) -> None:
    path = write_lock(tmp_path, age, **changes)
    with pytest.raises(BylineError, match=r"writes here; last heard of \d+ s ago; wait until .*, or delete the file"):
        take(tmp_path)
    assert os.listdir(tmp_path) == [path.name]


def test_a_process_of_another_container_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shares the machine's start, and its process id means another process here, or none."""
    path = write_lock(tmp_path, 0, host="pod-2", namespace="pid:[1]", process=2**22 + 1)
    # With flock, it would have the file locked if it were there.
    assert take(tmp_path) != []

    def no_flock(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_flock)
    write_lock(tmp_path, 0, host="pod-2", namespace="pid:[1]", process=2**22 + 1)
    with pytest.raises(BylineError, match=r"process 4194305 on pod-2 .* writes here; last heard of 0 s ago"):
        take(tmp_path)
    assert os.listdir(tmp_path) == [path.name]


def test_a_lock_that_was_taken_over_is_left_to_its_owner(tmp_path: Path) -> None:
    """A command that was stopped for longer than others wait, on a file system of another host."""
    path = tmp_path / LOCK_NAME
    with folder_lock(str(tmp_path), print):
        taken = replace(Owner.this(), host="elsewhere", boot="another").to_bytes()
        path.write_bytes(taken)
    assert path.read_bytes() == taken


def test_without_flock_the_process_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_flock(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_flock)
    # A process that lives: this one's parent.
    write_lock(tmp_path, 1000, process=os.getppid(), started=locks._start_of(os.getppid()))
    with pytest.raises(BylineError, match="wait until it has ended, or end it"):
        take(tmp_path)
    write_lock(tmp_path, 0, process=os.getppid(), started="1")
    assert len(take(tmp_path)) == 1


def test_an_owner_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.01)
    with folder_lock(str(tmp_path), print):
        path = tmp_path / LOCK_NAME
        os.utime(path, (1, 1))
        ends = time.monotonic() + 20
        while path.stat().st_mtime < 1e9:
            assert time.monotonic() < ends
            time.sleep(0.01)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BylineError, match=r"file: cannot be written \(File exists\); there is a file where"):
        take(tmp_path / "file")


def test_a_lock_in_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a folder in place of the store: what it does with whole files is the same."""
    monkeypatch.setattr(locks, "is_object_address", lambda _: True)
    monkeypatch.setattr(locks, "_PAUSE_SECONDS", 0.0)
    with folder_lock(str(tmp_path), print):
        path = tmp_path / LOCK_NAME
        assert Owner.read(path.read_bytes()) is not None
    assert list(tmp_path.iterdir()) == []
    write_lock(tmp_path, 0, host="elsewhere", boot="another")
    with pytest.raises(BylineError, match="last heard of 0 s ago"):
        take(tmp_path)
    write_lock(tmp_path, 301, host="elsewhere", boot="another")
    assert len(take(tmp_path)) == 1

    # Another command looked at the same time, and wrote later.
    def another(_: float) -> None:
        path.write_bytes(replace(Owner.this(), host="elsewhere", boot="another").to_bytes())

    monkeypatch.setattr(locks.time, "sleep", another)
    with pytest.raises(BylineError, match=r"on elsewhere .* writes here"):
        take(tmp_path)
    assert storage.exists(str(path))
