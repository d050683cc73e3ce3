"""The order in which files are synced and named, and files that are ended behind their writer."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.transforms.files import durable, storage
from byline.transforms.files.durable import WriteBehind


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every sync and rename, in order, with the file's path below the folder and without what makes it temporary."""
    made: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def shown(path: str) -> str:
        folder, _, name = os.path.relpath(path, tmp_path).rpartition("/")
        return f"{folder}/tmp" if name.startswith(storage.TEMPORARY_PREFIX) else f"{folder}/{name}"

    def synced(descriptor: int) -> None:
        made.append(("sync", shown(os.readlink(f"/proc/self/fd/{descriptor}"))))
        sync(descriptor)

    def replaced(old: str, new: str) -> None:
        made.append(("name", shown(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return made


def write(path: Path, content: bytes = b"a", behind: WriteBehind | None = None) -> None:
    with storage.write_file(str(path), behind) as sink:
        sink.write(content)


def test_bytes_then_the_name_then_the_folder(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    write(tmp_path / "out/main/0.arrow")
    assert [(kind, os.path.normpath(path.lstrip("/"))) for kind, path in calls] == [
        ("sync", "out"),
        ("sync", "."),
        ("sync", "out/main/tmp"),
        ("name", "out/main/0.arrow"),
        ("sync", "out/main"),
    ]
    del calls[:]
    write(tmp_path / "out/main/1.arrow")
    assert [kind for kind, _ in calls] == ["sync", "name", "sync"]


def test_what_serves_a_running_step_alone_is_not_synced(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    (tmp_path / "byline-plan-abcd1234").mkdir()
    write(tmp_path / storage.temporary_name("inputs.jsonl"))
    write(tmp_path / "byline-plan-abcd1234/counts.arrow")
    assert [kind for kind, _ in calls] == ["name", "name"]


def test_a_writer_goes_on_while_its_last_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    give_name = durable.give_name

    def waits(*names: Any) -> None:
        assert may_end.wait(20)
        give_name(*names)

    monkeypatch.setattr(durable, "give_name", waits)
    behind, order = WriteBehind(), []
    write(tmp_path / "a", behind=behind)
    behind.then(lambda: order.append((tmp_path / "a").exists()))
    assert not (tmp_path / "a").exists()
    may_end.set()
    write(tmp_path / "b", behind=behind)
    assert order == [True]
    behind.finish()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_an_error_behind_is_raised_by_the_next_call_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "give_name", full)
    behind, called = WriteBehind(), []
    write(tmp_path / "a", behind=behind)
    behind.then(lambda: called.append(1))
    with pytest.raises(BylineError, match=r"a: cannot be written \(No space left on device\)"):
        behind.finish()
    behind.finish()
    assert (called, os.listdir(tmp_path)) == ([], [])


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuses)
    write(tmp_path / "a/b")
    assert (tmp_path / "a/b").read_bytes() == b"a"
