"""What a disk refuses is one line that names the file; nothing half written stays, and the old file does."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from byline.errors import BylineError
from byline.transforms.files import local_copies, storage
from byline.transforms.files.refusals import Sink, refusal, scratch_folder
from tests.support.object_server import BUCKET, ObjectServer, object_server
from tests.support.refused import limited

AGAIN = "and run the same command again: what is finished is kept"
TOO_LARGE = f"(File too large); raise the limit on the size of files (ulimit -f) {AGAIN}"
BATCH = pa.record_batch({"id": np.arange(10_000)})


def write_bytes(sink: Sink) -> None:
    sink.write(bytes(100_000))


def write_pieces(sink: Sink) -> None:
    for _ in range(100):
        sink.write(bytes(1000))


def write_batches(sink: Sink) -> None:
    with pa.ipc.new_file(sink, BATCH.schema) as writer:
        writer.write_batch(BATCH)


def write_digested(sink: Sink) -> None:
    with pa.PythonFile(storage.HashingSink(sink), "w") as out, pa.ipc.new_file(out, BATCH.schema) as writer:
        writer.write_batch(BATCH)


def write_parquet(sink: Sink) -> None:
    pq.write_table(pa.table(BATCH), sink)


def write(uri: str, content: bytes = bytes(100_000)) -> None:
    with storage.write_file(uri) as sink:
        sink.write(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def line_of(call: Callable[[], object]) -> str:
    with pytest.raises(BylineError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [write_bytes, write_pieces, write_batches, write_digested, write_parquet])
def test_a_file_that_there_is_no_room_for(tmp_path: Path, content: Callable[[Sink], None]) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")

    def write_all() -> None:
        with storage.write_file(str(file)) as sink:
            content(sink)

    with limited(20_000):
        assert line_of(write_all) == f"{file}: cannot be written {TOO_LARGE}"
    assert (names(tmp_path), file.read_bytes()) == (["a.bin"], b"old")
    write_all()
    assert file.stat().st_size > 20_000


class Full(fs.LocalFileSystem):
    """A disk on which files can be opened, and that is full; it may let none be deleted, either."""

    deletes = True

    def open_output_stream(self, path: str, **options: Any) -> pa.NativeFile:
        super().open_output_stream(path, **options).close()
        return pa.OSFile("/dev/full", "wb")

    def delete_file(self, path: str) -> None:
        if not self.deletes:
            raise OSError(errno.EIO, path)
        super().delete_file(path)


@pytest.mark.parametrize("deletes", [True, False])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deletes: bool) -> None:
    full = Full()
    full.deletes = deletes
    monkeypatch.setattr(storage, "resolve", lambda uri: (full, uri))
    line = f"{tmp_path}/a.bin: cannot be written (No space left on device); make room there {AGAIN}"
    assert line_of(lambda: write(f"{tmp_path}/a.bin")) == line
    assert len(names(tmp_path)) == (0 if deletes else 1)


def test_what_the_block_fails_at_is_not_told_as_a_refusal(tmp_path: Path) -> None:
    def read_another() -> None:
        with storage.write_file(str(tmp_path / "a.bin")) as sink:
            sink.write(b"new")
            open(tmp_path / "none", "rb").close()

    with pytest.raises(FileNotFoundError) as error:
        read_another()
    assert error.value.filename == str(tmp_path / "none")
    assert names(tmp_path) == []


ELSEWHERE = "choose another location"
NO_FOLDER = f"there is a file where a folder is expected: {ELSEWHERE}"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("file/a", f"file/a: cannot be written (File exists); {NO_FOLDER}"),
        ("file/b/a", f"file/b/a: cannot be written (Not a directory); {NO_FOLDER}"),
        ("folder", f"folder: cannot be written (Is a directory); there is a folder of this name: {ELSEWHERE}"),
        ("x" * 300, f"{'x' * 300}: cannot be written (File name too long); choose a shorter path"),
        # A list; nobody knows it by its name.
        ("file/.tmp-0123456789abcdef-runs.txt", f"file: cannot be written (File exists); {NO_FOLDER}"),
    ],
)
def test_a_location_that_there_cannot_be(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    assert line_of(lambda: write(f"{tmp_path}/{name}")) == f"{tmp_path}/{line}"
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_that_this_user_may_not_write_to() -> None:
    line = refusal("out/a", "written", PermissionError(errno.EACCES, "x"))
    assert str(line) == (
        "out/a: cannot be written (Permission denied); choose another location, or let this user write there"
    )


class Refusing(fs.LocalFileSystem):
    """A disk that may only be read, and says so before it looks."""

    def delete_file(self, path: str) -> None:
        raise OSError(errno.EROFS, path)

    def delete_dir(self, path: str) -> None:
        raise OSError(errno.EROFS, path)


def test_what_may_not_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"")
    monkeypatch.setattr(storage, "resolve", lambda uri: (Refusing(), uri))
    why = "cannot be deleted (Read-only file system); choose another location, or let this user write there"
    assert line_of(lambda: storage.delete_file(f"{tmp_path}/a")) == f"{tmp_path}/a: {why}"
    assert line_of(lambda: storage.delete_folder(str(tmp_path))) == f"{tmp_path}: {why}"
    # What is not there need not be deleted.
    storage.delete_file(f"{tmp_path}/none")
    storage.delete_folder(f"{tmp_path}/none")


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    long = f"{tmp_path}/{'x' * 300}"
    assert line_of(lambda: storage.exists(long)) == f"{long}: cannot be looked up (File name too long)"
    (tmp_path / "file").write_bytes(b"")
    line = f"{tmp_path}/file: cannot be listed (Not a directory)"
    assert line_of(lambda: storage.list_files(f"{tmp_path}/file")) == line


class Spy:
    """A file that remembers where what is written lies in memory."""

    closed = False

    def __init__(self) -> None:
        self.addresses: list[int] = []

    def write(self, data: Any) -> int:
        self.addresses.append(pa.py_buffer(data).address)
        return len(data)

    def tell(self) -> int:
        return 0


def test_large_buffers_are_not_copied() -> None:
    spy = Spy()
    with pa.ipc.new_file(Sink(spy, partial(refusal, "a", "written")), BATCH.schema) as writer:
        writer.write_batch(BATCH)
    assert BATCH["id"].buffers()[1].address in spy.addresses


# ------------------------------------------------------------------------------------------------- temporary folders


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as running:
        yield running


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What `TMPDIR` is, here."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    local_copies._folder.cache_clear()
    yield tmp_path
    local_copies._folder.cache_clear()


def no_room(uri: str, scratch: Path | str, why: str) -> str:
    return f"{uri}: cannot be kept in {scratch} ({why}); make room there or set TMPDIR to another folder, {AGAIN}"


def test_an_upload_that_there_is_no_room_for(server: ObjectServer, scratch: Path) -> None:
    uri = f"s3://{BUCKET}/a.bin"
    server.put("a.bin", b"old")
    with limited(20_000):
        assert line_of(lambda: write(uri)) == no_room(uri, scratch, "File too large")
    assert (names(scratch), server.content("a.bin")) == ([], b"old")
    write(uri, b"new")
    assert server.content("a.bin") == b"new"


def read_fetched(uri: str) -> bytes:
    with local_copies.fetched(uri) as path:
        return Path(path).read_bytes()


def read_local_copy(uri: str) -> bytes:
    return Path(local_copies.local_copy(uri)).read_bytes()


@pytest.mark.parametrize("read", [read_fetched, read_local_copy])
def test_a_copy_that_there_is_no_room_for(server: ObjectServer, scratch: Path, read: Callable[[str], bytes]) -> None:
    uri, content = f"s3://{BUCKET}/{read.__name__}.bin", os.urandom(100_000)
    server.put(f"{read.__name__}.bin", content)
    with limited(20_000):
        assert line_of(lambda: read(uri)) == no_room(uri, scratch, "File too large")
    assert [path for path in scratch.rglob("*") if path.is_file()] == []
    assert read(uri) == content


def test_a_copy_of_what_is_not_there_leaves_nothing(server: ObjectServer, scratch: Path) -> None:
    uri = f"s3://{BUCKET}/none.bin"
    for read in (read_fetched, read_local_copy):
        assert line_of(partial(read, uri)) == f"{uri}: cannot be opened (No such file or directory)"
    assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_no_folder_for_temporary_files(server: ObjectServer, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", f"{scratch}/none")
    uri = f"s3://{BUCKET}/b.bin"
    server.put("b.bin", b"1")
    line = no_room(uri, f"{scratch}/none", "No such file or directory")
    for call in (partial(write, uri), partial(read_fetched, uri), partial(read_local_copy, uri)):
        assert line_of(call) == line

    def enter() -> None:
        with scratch_folder("verify"):
            raise AssertionError("there is none")

    assert line_of(enter) == no_room("what verify writes", f"{scratch}/none", "No such file or directory")


def test_a_temporary_folder_that_is_full_can_be_another(scratch: Path) -> None:
    with scratch_folder("verify") as folder:
        assert Path(folder).parent == scratch
        with limited(20_000):
            line = line_of(lambda: write(f"{folder}/0.arrow"))
    advice = f"make room there or set TMPDIR to another folder, {AGAIN}"
    assert line == f"{folder}/0.arrow: cannot be written (File too large); {advice}"
    assert names(scratch) == []
