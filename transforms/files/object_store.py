"""Object stores (`s3://`, `gs://`) as a file system that retries, reads in ranges and writes only whole objects.

```
read 20 MiB at 0      GET bytes 0..8M    GET 8M..16M    GET 16M..20M       at the same time, each retried on its own
                                         503, wait, GET 8M..16M
write                 a file on the local disk  ->  one PUT or one multi-part upload  ->  the whole object
```

An object appears only once it is complete, so there is nothing to rename; a failed upload leaves the old object, or
none. Nothing here makes folders: in an object store they are only common beginnings of names.

`byline.object_stores` has addresses, clients and the retries.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache, partial
from mmap import ACCESS_READ, mmap
from typing import BinaryIO, TypeVar

import pyarrow as pa
from pyarrow import fs

from byline import object_stores
from byline.addresses import address
from byline.object_stores import ObjectFile, RangeFile

# Large enough that latency is small beside the transfer, small enough that a retry costs little.
RANGE_BYTES = 8 << 20
# One caller's read has at most this many ranges under way; it holds only the bytes that it was asked for.
_READERS = 8
# Small reads spend far more time waiting for an answer (30 ms) than working, so many run at the same time.
AT_ONCE = 64

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# One entry for each retry, because neither appending to a deque nor popping from it needs a lock.
_retries: deque[str] = deque()


def take_retries() -> int:
    """How many retries this process made since this was last called."""
    count = 0
    while _retries:
        _retries.pop()
        count += 1
    return count


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and `bucket/key`; file systems of the same store compare equal.

    Raises:
        BylineError: the address has options, a user or no bucket, or the region of its bucket cannot be found.
    """
    scheme, path = object_stores.split_address(uri)
    # The client opens as many connections as Arrow has I/O threads (8 by default), but at least 25.
    if pa.io_thread_count() < AT_ONCE:
        pa.set_io_thread_count(AT_ONCE)
    return fs.PyFileSystem(_Retrying(scheme, object_stores.client(scheme, path, writes=True))), path


def upload(filesystem: fs.PyFileSystem, path: str, file: BinaryIO) -> None:
    """Uploads a local file as an object that appears, or replaces the old one, only once it is complete.

    Args:
        filesystem: from `resolve`.
        path: `bucket/key`.
        file: the local file, open for reading; it may be unlinked already.

    Raises:
        BylineError: the upload failed; the object is what it was before.
    """
    handler = filesystem.handler
    # An empty file cannot be mapped.
    is_empty = os.fstat(file.fileno()).st_size == 0
    content = pa.py_buffer(b"" if is_empty else mmap(file.fileno(), 0, access=ACCESS_READ))

    def put() -> None:
        # One write: the client completes an upload even in its destructor, so it must never hold only half of it.
        try:
            sink = handler.store.open_output_stream(path, compression=None, buffer_size=None)
            sink.write(content)
            sink.close()
        except FileNotFoundError as error:
            # It is the upload that is not found: an earlier try finished it, and the answer was lost.
            raise OSError(str(error)) from None

    # In another thread, so that Ctrl-C cannot interrupt between opening and writing and leave an empty object.
    _pool().submit(handler.retry, path, "written", put).result()


def open_ranges(uri: str) -> ObjectFile:
    """Opens an object for small reads; one request, to learn its size.

    Raises:
        FileNotFoundError: there is none.
        BylineError: it cannot be opened.
    """
    filesystem, path = resolve(uri)
    return filesystem.handler.open_ranges(path)


def in_order(
    call: Callable[[Item], Answer], items: Iterable[Item], threads: Executor | None = None
) -> Iterator[Answer]:
    """`map` with up to `AT_ONCE` calls under way.

    Args:
        call: must not wait for another call that runs in these threads.
        items: taken only as answers are taken, so that at most `AT_ONCE` answers are held.
        threads: instead of those that this process shares, for calls that wait for calls in the shared ones.
    """
    threads = threads or _callers()
    waiting: deque[Future[Answer]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(call, item))
            if len(waiting) == AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class _Retrying(fs.FileSystemHandler):
    """Retries every call on an object store; writing is left to `upload`."""

    def __init__(self, scheme: str, store: fs.FileSystem) -> None:
        self.scheme = scheme
        self.store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Retrying) and self.store == other.store

    def __hash__(self) -> int:
        return hash(self.scheme)

    def retry(self, path: str, what: str, call: Callable[[], Answer]) -> Answer:
        """As `object_stores.retry`; counts the retries."""
        return object_stores.retry(address(self.scheme, path), what, call, lambda: _retries.append(path))

    def get_type_name(self) -> str:
        return f"byline-{self.scheme}"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self.retry(path, "looked up", partial(self.store.get_file_info, path)) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return self.retry(selector.base_dir, "listed", lambda: self.store.get_file_info(selector))

    def open_ranges(self, path: str) -> ObjectFile:
        uri = address(self.scheme, path)
        return ObjectFile(uri, lambda: self.store.open_input_file(path), lambda: _retries.append(path))

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(_Ranges(self.open_ranges(path)), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        # In ranges too: a stream that is cut off could not resume.
        return self.open_input_file(path)

    def delete_file(self, path: str) -> None:
        self._delete(path, lambda: self.store.delete_file(path))

    def delete_dir(self, path: str) -> None:
        self._delete(path, lambda: self.store.delete_dir(path))

    def _delete(self, path: str, call: Callable[[], None]) -> None:
        try:
            self.retry(path, "deleted", call)
        except FileNotFoundError:
            # An earlier try deleted it, and the answer was lost.
            return

    def create_dir(self, path: str, recursive: bool) -> None:
        """Does nothing; a folder would be an empty object."""

    def delete_dir_contents(self, path: str, missing_dir_ok: bool) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def move(self, src: str, dest: str) -> None:
        raise NotImplementedError("an object store has no rename")

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        raise NotImplementedError("objects are written by `upload`")

    def open_append_stream(self, path: str, metadata: object) -> pa.NativeFile:
        raise NotImplementedError("an object cannot be appended to")


class _Ranges(RangeFile):
    """Reads long ranges in several requests at the same time."""

    def read_range(self, start: int, end: int) -> bytes:
        starts = range(start, end, RANGE_BYTES)
        reads = (_pool().map if len(starts) > 1 else map)(
            lambda start: self._file.read_at(start, min(start + RANGE_BYTES, end)), starts
        )
        return b"".join(reads)


@lru_cache(maxsize=1)
def _callers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, "byline-in-order")


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads for this process's range reads and uploads; none of them ever waits for another."""
    return ThreadPoolExecutor(_READERS, "byline-object-store")
