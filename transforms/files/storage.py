"""The one place where files are listed, opened and written, all through `pyarrow.fs`.

A file is written under a temporary name beside its own and renamed when it is whole, so a reader, or a run started
again, never meets half a file:

```
with write_file("out/store/a.arrow") as sink:     out/store/.tmp-91c3...-a.arrow  ->  out/store/a.arrow
    ...                                           (an error removes the temporary file and leaves the old one)
```

An object store has no rename and needs none: the file is written to a local disk and uploaded when it is whole
(transforms/files/object_store.py).
"""

import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from byline.errors import BylineError
from byline.stores import address, is_object_address
from transforms.files import object_store

TEMPORARY_PREFIX = ".tmp-"

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path in it.

    Raises:
        BylineError: a URI of a kind that is not known, or one of an object store that is not well-formed.
    """
    if "://" not in uri:
        return fs.LocalFileSystem(), os.path.abspath(uri)
    if is_object_address(uri):
        return object_store.resolve(uri)
    try:
        return fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BylineError(f"{uri}: no file system for this address ({error})") from None


def join(folder: str, *parts: str) -> str:
    """Joins parts with `/`, for paths and URIs alike."""
    return "/".join([folder.rstrip("/"), *parts])


def list_files(folder: str) -> list[fs.FileInfo]:
    """All files below a folder but temporary ones, in order of path; none where the folder does not exist.

    Returns:
        What is known of each; `path` is what the other functions here open: a path, or an address in an object store.
    """
    filesystem, path = resolve(folder)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    files = [
        info for info in found if info.type == fs.FileType.File and not info.base_name.startswith(TEMPORARY_PREFIX)
    ]
    files.sort(key=lambda info: info.path.encode())
    if not is_object_address(folder):
        return files
    scheme = folder.partition("://")[0]
    return [fs.FileInfo(address(scheme, info.path), info.type, size=info.size) for info in files]


def exists(uri: str) -> bool:
    """Whether there is a file of this name."""
    filesystem, path = resolve(uri)
    return filesystem.get_file_info(path).type == fs.FileType.File


def open_random(uri: str) -> pa.NativeFile:
    """Opens a file for reads at any offset: a memory map on a local disk, range reads elsewhere.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """
    filesystem, path = resolve(uri)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            return pa.memory_map(path)
        return filesystem.open_input_file(path)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({_reason(error)})") from None


def open_ranges(uri: str) -> object_store.ObjectFile:
    """Opens a file of an object store for small reads, each one request; errors as `open_random`."""
    try:
        return object_store.open_ranges(uri)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({_reason(error)})") from None


def read_bytes(uri: str) -> bytes:
    """The whole content of a (small) file; errors as `open_random`."""
    filesystem, path = resolve(uri)
    try:
        with filesystem.open_input_file(path) as file:
            # With its size: without, Arrow reads in pieces of 256 kB, each a request to an object store.
            return file.read(file.size())
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({_reason(error)})") from None


def temporary_name(name: str) -> str:
    """A name for a file that is not to be taken for a whole one; no two processes, on any machine, get the same."""
    return f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:16]}-{name}"


@contextmanager
def write_file(uri: str) -> Iterator[pa.NativeFile]:
    """Opens a file for writing that appears under its name only when the block ends without an error."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, fs.PyFileSystem):
        yield from _write_object(filesystem, path)
        return
    folder, name = path.rsplit("/", 1)
    temporary = f"{folder}/{temporary_name(name)}"
    filesystem.create_dir(folder, recursive=True)
    sink = filesystem.open_output_stream(temporary, compression=None)
    try:
        yield sink
        sink.close()
        filesystem.move(temporary, path)
    except BaseException:
        if not sink.closed:
            sink.close()
        if filesystem.get_file_info(temporary).type == fs.FileType.File:
            filesystem.delete_file(temporary)
        raise


class DigestedSink:
    """Passes what is written on to a sink, and counts and digests it; a file object for `pa.PythonFile`."""

    closed = False

    def __init__(self, sink: pa.NativeFile) -> None:
        self._sink = sink
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of all that was written (hex)."""
        return self._sha256.hexdigest()

    def write(self, data: pa.Buffer) -> int:
        """Writes all of some bytes."""
        self._sink.write(data)
        self._sha256.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        """Leaves the sink open, for whoever opened it."""
        self.closed = True


def _write_object(filesystem: fs.PyFileSystem, path: str) -> Iterator[pa.NativeFile]:
    with tempfile.NamedTemporaryFile(prefix="byline-upload-") as spool:
        with pa.OSFile(spool.name, "wb") as sink:
            yield sink
        object_store.upload(filesystem, path, spool.name)


def side_by_side(call: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """`call` of each item, in their order, many at a time: a call on an object store waits more than it works.

    The first error ends it, and calls that were not begun are not made.
    """
    return list(object_store.in_order(call, items))


def delete_file(uri: str) -> None:
    """Deletes a file; none there is no error."""
    filesystem, path = resolve(uri)
    # Not looked for before: that is a request more for each file.
    with suppress(FileNotFoundError, IsADirectoryError):
        filesystem.delete_file(path)


def delete_folder(uri: str) -> None:
    """Deletes a folder and what is in it; none there is no error."""
    filesystem, path = resolve(uri)
    if filesystem.get_file_info(path).type == fs.FileType.Directory:
        filesystem.delete_dir(path)


def _reason(error: OSError) -> str:
    # Arrow's own text names the file once more.
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())
