"""The one module that lists, opens and writes files, all through `pyarrow.fs`.

A file is written under a temporary name in the same folder and renamed when it is complete, so neither a reader nor a
command that is run again ever meets half a file:

```
with write_file("out/store/a.arrow") as sink:     out/store/.tmp-91c3...-a.arrow  ->  out/store/a.arrow
    ...                                           (an error removes the temporary file and leaves the old one)
```

A loss of power leaves no such half file either (transforms/files/durable.py).

An object store has no rename and needs none: the file is written to a local disk and uploaded when it is complete
(transforms/files/object_store.py).

A process that is killed cannot remove what it was writing. `remove_unfinished` does so once nobody can be using it:

```
out/store/.tmp-08a1...-inputs.jsonl             a list that a job reads: removed once unchanged for two weeks
out/store/c4/5f3e.../.tmp-91c3...-a.arrow       half a file: removed once unchanged for a day
out/store/c4/5f3e.../.tmp-a                     not a name that is made here: left alone
```
"""

import errno
import hashlib
import os
import re
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from byline import locations
from byline.errors import BylineError
from byline.object_stores import address, is_object_address
from byline.regular_files import check_regular
from byline.transforms.files import durable, object_store
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.refusals import Sink, is_scratch, no_scratch, reason, refusal, refusing

TEMPORARY_PREFIX = ".tmp-"
# Names as `temporary_name` makes them; any other with the prefix is not ours.
_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{16}-.")
# A file that is being written changes every few seconds, and none takes a day; clock differences add minutes.
_WRITTEN_SECONDS = 24 * 3600
# A list does not change while a job reads it, and a job that an engine restarts, perhaps long after its driver was
# killed, reads it again. Lists are small, so there is no hurry.
_LIST_SECONDS = 14 * 24 * 3600
# Of a stream, one read: a request to an object store.
_STREAM_BYTES = 1 << 20
# store/source/fingerprint, output/phase: anything deeper is the user's own, and may be large.
_DEPTH = 2
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
    try:
        infos = filesystem.get_file_info(fs.FileSelector(path, recursive=recursive, allow_not_found=True))
    except OSError as error:
        raise BylineError(f"{folder}: cannot be listed ({reason(error)})") from None
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
    try:
        return filesystem.get_file_info(path)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be looked up ({reason(error)})") from None


def open_random(uri: str) -> pa.NativeFile:
    """Opens a file for reads at any offset: a memory map on a local disk, range reads elsewhere.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """
    filesystem, path = resolve(uri)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            check_regular(path)
            return pa.memory_map(path)
        return filesystem.open_input_file(path)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({reason(error)})") from None


def open_unmapped(uri: str) -> pa.NativeFile:
    """As `open_random`, never mapped: when a file is cut while it is read, a map of it ends the process."""
    filesystem, path = resolve(uri)
    try:
        return filesystem.open_input_file(path)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({reason(error)})") from None


def open_stream(uri: str) -> pa.NativeFile:
    """Opens a file to be read from its first byte to its last; errors as `open_random`."""
    filesystem, path = resolve(uri)
    try:
        return filesystem.open_input_stream(path, compression=None, buffer_size=_STREAM_BYTES)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({reason(error)})") from None


def modified(uri: str) -> tuple[int, int]:
    """Size in bytes, and time of the last change in nanoseconds since 1970, of a file; (-1, 0) if there is none."""
    filesystem, path = resolve(uri)
    try:
        info = filesystem.get_file_info(path)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be looked up ({reason(error)})") from None
    return (info.size, time_of(uri, info)) if info.type == fs.FileType.File else (-1, 0)


def time_of(uri: str, info: fs.FileInfo) -> int:
    """When a file was last changed, in nanoseconds since 1970; 0 if nobody can say.

    An object store tells the time of one object in seconds, and in a listing in milliseconds: there, seconds count.
    """
    time_ns = info.mtime_ns or 0
    return time_ns // 10**9 * 10**9 if is_object_address(uri) else time_ns


def open_ranges(uri: str) -> object_store.ObjectFile:
    """Opens a file in an object store for small reads, each one request; errors as `open_random`."""
    try:
        return object_store.open_ranges(uri)
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({reason(error)})") from None


def read_bytes(uri: str) -> bytes:
    """The whole content of a (small) file; errors as `open_random`."""
    filesystem, path = resolve(uri)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            check_regular(path)
        with filesystem.open_input_file(path) as file:
            # Given no size, Arrow reads 256 kB at a time, each a request to an object store.
            return file.read(file.size())
    except OSError as error:
        raise BylineError(f"{uri}: cannot be opened ({reason(error)})") from None


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
    refused = partial(refusal, uri.rpartition("/")[0] if _TEMPORARY.match(name) else uri, "written")
    with refusing(refused):
        durable.make_folder(folder)
        file = filesystem.open_output_stream(temporary, compression=None)
    sink = Sink(file, refused)
    give_name = os.replace if _TEMPORARY.match(name) or is_scratch(path) else durable.give_name

    def end() -> None:
        try:
            with refusing(refused):
                give_name(temporary, path)
        except BaseException:
            _is_deleted(filesystem, temporary)
            raise

    try:
        yield sink
        sink.close()
    except BaseException:
        # Neither step may hide the original error.
        with suppress(OSError):
            file.close()
        _is_deleted(filesystem, temporary)
        raise
    if behind is None:
        end()
    else:
        behind.submit(end)


class DigestedSink:
    """Passes what is written on to a sink, counting and hashing it; a file object for `pa.PythonFile`."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of everything written so far (hex)."""
        return self._sha256.hexdigest()

    def write(self, data: pa.Buffer) -> int:
        """Writes all the bytes of `data`."""
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


def remove_unfinished(folder: str, now: float | None = None, *, at_once: bool = False) -> tuple[int, int]:
    """Deletes temporary files of a token store or an output that nobody can still be writing or reading.

    Links to other folders are not followed. In an object store the only temporary files are lists directly in the
    folder, so one listing of it is enough.

    A file that cannot be deleted, or a folder that cannot be listed, is left: it may be another user's, and the caller
    does not need it gone.

    Args:
        folder: of the token store or the output; it need not exist.
        now: seconds since 1970; None for this machine's clock.
        at_once: delete them whatever their age, because whoever wrote to the folder has ended.

    Returns:
        How many were deleted, and their bytes.
    """
    filesystem, path = resolve(folder)
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    candidates = _temporary_files(path) if is_local else _temporary_lists(filesystem, path)
    now = time.time() if now is None else now
    old = [
        file
        for file in candidates
        if at_once or now - file.changed > (_LIST_SECONDS if file.is_list else _WRITTEN_SECONDS)
    ]
    sizes = [file.size for file in old if _is_deleted(filesystem, file.path)]
    return len(sizes), sum(sizes)


@dataclass(frozen=True)
class _TemporaryFile:
    """A file with a temporary name; `changed` in seconds since 1970, `size` in bytes."""

    path: str
    changed: float
    size: int
    is_list: bool


def _temporary_files(folder: str) -> Iterator[_TemporaryFile]:
    """Those on a disk. Not through Arrow, which follows links and asks for the size of all of 250,000 files."""
    for parent, folders, names in os.walk(folder):
        depth = len(PurePath(parent).parts) - len(PurePath(folder).parts)
        if depth == _DEPTH:
            folders.clear()
        for path in (os.path.join(parent, name) for name in names if _TEMPORARY.match(name)):
            # It may be gone by now: renamed by its writer, or deleted by another command.
            with suppress(OSError):
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode):
                    yield _TemporaryFile(path, status.st_mtime, status.st_size, is_list=depth == 0)


def _temporary_lists(filesystem: fs.FileSystem, folder: str) -> Iterator[_TemporaryFile]:
    """Those directly in a folder of an object store."""
    try:
        infos = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    except (OSError, BylineError):
        return
    for info in infos:
        if info.type == fs.FileType.File and _TEMPORARY.match(info.base_name):
            yield _TemporaryFile(info.path, info.mtime_ns / 1e9, info.size, is_list=True)


def _is_deleted(filesystem: fs.FileSystem, path: str) -> bool:
    try:
        filesystem.delete_file(path)
    except (OSError, BylineError):
        return False
    return True
