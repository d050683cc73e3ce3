"""The one module that lists, opens and writes files, all through `pyarrow.fs`.

A file is written under a temporary name in the same folder and renamed when it is complete, so neither a reader nor a
command that is run again ever meets half a file:

```
with write_file("out/store/a.arrow") as sink:     out/store/.tmp-91c3...-a.arrow  ->  out/store/a.arrow
    ...                                           (an error removes the temporary file and leaves the old one)
```

A loss of power leaves no such half file either (transforms/files/durable.py).

An object store has no rename and needs none: the file is written to a local disk and uploaded when it is complete
(transforms/files/object_store.py). What a process that is killed cannot remove, transforms/files/leftovers.py does.
"""

import errno
import hashlib
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from byline import locations
from byline.addresses import address, is_object_address
from byline.errors import BylineError
from byline.regular_files import check_regular
from byline.transforms.files import durable, object_store
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.refusals import Sink, is_scratch, no_scratch, reason, refusal, refusing

TEMPORARY_PREFIX = ".tmp-"
# Names as `temporary_name` makes them; any other with the prefix is not ours.
TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{16}-.")
# Of a stream, one read: a request to an object store.
_STREAM_BYTES = 1 << 20
_HASHED_BYTES = 4 << 20

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or address, and the path in it.

    Raises:
        BylineError: the address is of an unknown kind, or malformed.
    """
    if is_object_address(uri):
        return object_store.resolve(uri)
    locations.check(uri)
    return fs.LocalFileSystem(), os.path.abspath(uri)


def join(folder: str, *parts: str) -> str:
    """Joins parts with `/`, for paths and URIs alike."""
    return "/".join([folder.rstrip("/"), *parts])


def list_files(folder: str, *, recursive: bool = True) -> list[fs.FileInfo]:
    """All files below a folder except temporary ones, in order of path; none if the folder does not exist.

    Args:
        folder: the folder.
        recursive: whether files in folders of it are listed, too.

    Returns:
        One `FileInfo` a file; its `path` is what the other functions here open: a path, or an address in an object
        store.

    Raises:
        BylineError: it is not a folder, or may not be read.
    """
    filesystem, path = resolve(folder)
    with _told(folder, "listed"):
        infos = filesystem.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
    files = [
        info for info in infos if info.type == fs.FileType.File and not info.base_name.startswith(TEMPORARY_PREFIX)
    ]
    files.sort(key=lambda info: info.path.encode())
    if not is_object_address(folder):
        return files
    scheme = folder.partition("://")[0]
    return [fs.FileInfo(address(scheme, info.path), info.type, size=info.size) for info in files]


def exists(uri: str) -> bool:
    """Whether there is a file of this name.

    Raises:
        BylineError: the system cannot tell, because a folder may not be read or the name is too long.
    """
    return _type(uri) == fs.FileType.File


def file_size(uri: str) -> int | None:
    """The size of a file in bytes; None if there is none. Errors as `exists`."""
    info = _info(uri)
    return info.size if info.type == fs.FileType.File else None


def file_sha256(uri: str) -> str:
    """The sha256 of a file's content (hex), a few MB of it in memory at a time; errors as `open_random`."""
    digest = hashlib.sha256()
    # Not mapped: a file that is cut while it is read would end the process.
    with open_unmapped(uri) as source:
        while content := source.read(_HASHED_BYTES):
            digest.update(content)
    return digest.hexdigest()


def _type(uri: str) -> fs.FileType:
    return _info(uri).type


def _info(uri: str) -> fs.FileInfo:
    filesystem, path = resolve(uri)
    with _told(uri, "looked up"):
        return filesystem.get_file_info(path)


def _resolved_file(uri: str) -> tuple[fs.FileSystem, str]:
    """As `resolve`; raises as `check_regular` where a pipe or a device stands under a name on a disk."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        check_regular(path)
    return filesystem, path


@contextmanager
def _told(uri: str, done: str) -> Iterator[None]:
    """Tells a system's error as one of a file that cannot be `done`."""
    try:
        yield
    except OSError as error:
        raise BylineError(f"{uri}: cannot be {done} ({reason(error)})") from None


def open_random(uri: str) -> pa.NativeFile:
    """Opens a file for reads at any offset: a memory map on a local disk, range reads elsewhere.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """
    with _told(uri, "opened"):
        filesystem, path = _resolved_file(uri)
        is_local = isinstance(filesystem, fs.LocalFileSystem)
        return pa.memory_map(path) if is_local else filesystem.open_input_file(path)


def open_unmapped(uri: str) -> pa.NativeFile:
    """As `open_random`, never mapped: when a file is cut while it is read, a map of it ends the process."""
    with _told(uri, "opened"):
        filesystem, path = _resolved_file(uri)
        return filesystem.open_input_file(path)


def open_stream(uri: str) -> pa.NativeFile:
    """Opens a file to be read from its first byte to its last; errors as `open_random`."""
    with _told(uri, "opened"):
        filesystem, path = _resolved_file(uri)
        return filesystem.open_input_stream(path, compression=None, buffer_size=_STREAM_BYTES)


def modified(uri: str) -> tuple[int, int]:
    """Size in bytes, and time of the last change in nanoseconds since 1970, of a file; (-1, 0) if there is none."""
    info = _info(uri)
    return (info.size, time_of(uri, info)) if info.type == fs.FileType.File else (-1, 0)


def time_of(uri: str, info: fs.FileInfo) -> int:
    """When a file was last changed, in nanoseconds since 1970; 0 if nobody can say.

    An object store tells the time of one object in seconds, and in a listing in milliseconds: there, seconds count.
    """
    time_ns = info.mtime_ns or 0
    return time_ns // 10**9 * 10**9 if is_object_address(uri) else time_ns


def open_ranges(uri: str) -> object_store.ObjectFile:
    """Opens a file in an object store for small reads, each one request; errors as `open_random`."""
    with _told(uri, "opened"):
        return object_store.open_ranges(uri)


def read_bytes(uri: str) -> bytes:
    """The whole content of a (small) file; errors as `open_random`."""
    with _told(uri, "opened"):
        return _content(uri)


def read_if_there(uri: str) -> bytes | None:
    """As `read_bytes`; None if there is no such file."""
    with _told(uri, "opened"):
        try:
            return _content(uri)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _content(uri: str) -> bytes:
    filesystem, path = _resolved_file(uri)
    with filesystem.open_input_file(path) as file:
        # Given no size, Arrow reads 256 kB at a time, each a request to an object store.
        return file.read(file.size())


def temporary_name(name: str) -> str:
    """A name that marks a file as unfinished; no two processes, on any machine, get the same one."""
    return f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:16]}-{name}"


@contextmanager
def write_file(uri: str, behind: WriteBehind | None = None) -> Iterator[Sink]:
    """Opens a file for writing that appears under its name only when the block ends without an error.

    On a disk its bytes are synced first, unless it only serves a step that runs (a list, a file of a scratch folder).

    Args:
        uri: of the file.
        behind: what ends the file while the caller goes on; None to end it here. An object is always ended here.

    Raises:
        BylineError: it cannot be written; the old file is as it was.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, fs.PyFileSystem):
        yield from _write_object(uri, filesystem, path)
        return
    folder, name = path.rsplit("/", 1)
    temporary = f"{folder}/{temporary_name(name)}"
    # A list keeps such a name, which means nothing to a user, so a message names its folder.
    refused = partial(refusal, uri.rpartition("/")[0] if TEMPORARY.match(name) else uri, "written")
    with refusing(refused):
        durable.make_folder(folder)
        file = filesystem.open_output_stream(temporary, compression=None)
    sink = Sink(file, refused)
    give_name = os.replace if TEMPORARY.match(name) or is_scratch(path) else durable.give_name

    def end() -> None:
        try:
            with refusing(refused):
                give_name(temporary, path)
        except BaseException:
            is_deleted(filesystem, temporary)
            raise

    try:
        yield sink
        sink.close()
    except BaseException:
        # Neither step may hide the original error.
        with suppress(OSError):
            file.close()
        is_deleted(filesystem, temporary)
        raise
    if behind is None:
        end()
    else:
        behind.submit(end)


class HashingSink:
    """Passes what is written on to a sink, counting and hashing it; a file object for `pa.PythonFile`.

    Args:
        sink: what it passes on to.
        hasher: what hashes it (`update`); sha256 if None.
    """

    closed = False

    def __init__(self, sink: Sink, hasher: Any = None) -> None:
        self._sink = sink
        self.hasher = hashlib.sha256() if hasher is None else hasher
        self.size = 0

    def write(self, data: pa.Buffer) -> int:
        """Writes all the bytes of `data`."""
        self._sink.write(data)
        self.hasher.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        """Leaves the sink open, for whoever opened it."""
        self.closed = True


def _write_object(uri: str, filesystem: fs.PyFileSystem, path: str) -> Iterator[Sink]:
    refused = partial(no_scratch, uri)
    with refusing(refused):
        descriptor, name = tempfile.mkstemp(prefix="byline-upload-")
    with open(descriptor, "rb") as spool:
        try:
            with refusing(refused):
                file = pa.OSFile(name, "wb")
        finally:
            # Without a name, its room is freed when it is closed, even by SIGKILL.
            os.unlink(name)
        with file:
            sink = Sink(file, refused)
            yield sink
            sink.close()
        object_store.upload(filesystem, path, spool)


def check_writable(folder: str) -> None:
    """Checks that files can be written to a folder, before hours are spent on what is to go there.

    In an object store a file is written and deleted again. On a disk, where the folder may not exist yet, only the
    permissions of the nearest existing folder are checked: a mistake must not leave a folder behind.

    Raises:
        BylineError: they cannot be written.
    """
    if is_object_address(folder):
        uri = join(folder, temporary_name("written"))
        with write_file(uri):
            pass
        delete_file(uri)
        return
    path = PurePath(resolve(folder)[1])
    existing = next(ancestor for ancestor in (path, *path.parents) if os.path.lexists(ancestor))
    if not os.path.isdir(existing):
        raise refusal(folder, "written", NotADirectoryError(errno.ENOTDIR, ""))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise refusal(folder, "written", PermissionError(errno.EACCES, ""))


def side_by_side(call: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """`call` of each item, in order, many at the same time: a call on an object store mostly waits.

    The first error ends it; calls that have not started are not made.
    """
    return list(object_store.in_order(call, items))


def delete_file(uri: str) -> None:
    """Deletes a file; a missing one is no error.

    Raises:
        BylineError: it may not be deleted.
    """
    filesystem, path = resolve(uri)
    # No check that it exists first: that would be one more request a file.
    try:
        filesystem.delete_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    except OSError as error:
        # A read-only disk refuses before it checks whether the file exists.
        if exists(uri):
            raise refusal(uri, "deleted", error) from None


def delete_folder(uri: str) -> None:
    """Deletes a folder and everything in it; a missing one is no error.

    Raises:
        BylineError: it, or something in it, may not be deleted.
    """
    filesystem, path = resolve(uri)
    if _type(uri) == fs.FileType.Directory:
        with refusing(partial(refusal, uri, "deleted")):
            filesystem.delete_dir(path)


def is_deleted(filesystem: fs.FileSystem, path: str) -> bool:
    """Deletes a file if it can; whether it did."""
    try:
        filesystem.delete_file(path)
    except (OSError, BylineError):
        return False
    return True
