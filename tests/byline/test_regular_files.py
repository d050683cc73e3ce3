"""Only files are opened as files."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from byline import locations
from byline.errors import BylineError
from byline.regular_files import NotRegularError, TooLargeError, check_regular, open_regular, read_regular
from byline.transforms.files import storage


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    with open_regular(path) as file:
        assert file.read() == b"content"
    assert read_regular(path, 7) == b"content"
    with pytest.raises(TooLargeError, match="more than the 6 bytes that are read of such a file"):
        read_regular(path, 6)
    (tmp_path / "link").symlink_to(path)
    assert read_regular(tmp_path / "link") == b"content"


@pytest.mark.parametrize("read", [check_regular, open_regular, read_regular])
def test_anything_else(tmp_path: Path, pipe: Path, read: Callable[[str | Path], object]) -> None:
    named = socket.socket(socket.AF_UNIX)
    named.bind(str(tmp_path / "s"))
    kinds = {tmp_path: "a folder", pipe: "a named pipe", Path("/dev/zero"): "a device", tmp_path / "s": "a socket"}
    for path, kind in kinds.items():
        with pytest.raises(NotRegularError, match=f"^{kind}, not a file$"):
            read(path)
    named.close()
    for name in ("a\0b", "\ud800"):
        with pytest.raises(OSError, match="no file has such a name"):
            read(name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


def test_all_that_opens_files_refuses_a_pipe(pipe: Path) -> None:
    for read in (storage.open_random, storage.read_bytes):
        with pytest.raises(BylineError, match=r"pipe: cannot be opened \(a named pipe, not a file\)$"):
            read(str(pipe))
    for open_location in (locations.open_file, locations.read_bytes):
        with pytest.raises(NotRegularError):
            open_location(str(pipe))
