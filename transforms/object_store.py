"""Object stores (`s3://`, `gs://`) as a file system that tries again, reads in ranges and writes whole objects only.

```
read 20 MiB at 0      GET bytes 0..8M    GET 8M..16M    GET 16M..20M       at the same time, each tried again by itself
                                         503, wait, GET 8M..16M
write                 a file on the local disk  ->  one PUT or one multi-part upload  ->  the object, all of it
```

An object has no name before it is whole, so there is nothing to rename; an upload that fails leaves no object and
keeps the old one. Nothing here makes folders: they are only what names have in common.

Addresses are `s3://bucket/key` with special characters escaped (`%20`), without options. Credentials, endpoint and
region come from the environment or the usual files (docs/object_stores.md), never from an address or a configuration.
"""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from byline.errors import BylineError

SCHEMES = ("s3", "gs")
# Large enough that the wait for an answer is small beside the transfer, small enough to be worth reading again.
RANGE_BYTES = 8 << 20
# The end of a file is fetched once as one piece: Arrow and Parquet read its footer there in three or more reads.
TAIL_BYTES = 64 << 10
# A read of one caller never has more ranges under way than this; what it holds is the bytes it was asked for.
_READERS = 8
# The client tries a single call five times, about 8 s; it alone can repeat one part of an upload.
_CLIENT_ATTEMPTS = 5
# Around that, a store may be away for a minute or two: 0.5 + 1 + ... + 16 s of waiting besides.
_TRIES = 7
_FIRST_WAIT = 0.5
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 30

# What no second try changes, as the client names it; a 404 is not here, it is no error where a file may be missing.
_REFUSED = re.compile(
    "ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|"
    "UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|NO_CREDENTIALS|INVALID_BUCKET_NAME|HTTP status 40[013]"
)

Answer = TypeVar("Answer")


def is_object_address(uri: str) -> bool:
    """Whether an address is one of an object store."""
    return uri.partition("://")[0] in SCHEMES and "://" in uri


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and `bucket/key`; equal for all addresses of one store.

    Raises:
        BylineError: the address has options, a user or no bucket, or the region of its bucket cannot be found.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket or "?" in rest:
        raise BylineError(
            f"{_without_secrets(uri)}: expected {scheme}://bucket/key without user or options; "
            "credentials, endpoint and region come from the environment (docs/object_stores.md)"
        )
    path = "/".join([bucket, *(part for part in unquote(key).split("/") if part)])
    if scheme == "gs":
        return fs.PyFileSystem(_Retrying("gs", _gcs())), path
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        region = "us-east-1" if endpoint else _region_of(bucket)
    return fs.PyFileSystem(_Retrying("s3", _s3(endpoint, region))), path


def address(scheme: str, path: str) -> str:
    """The address of `bucket/key`, special characters escaped."""
    return f"{scheme}://{quote(path)}"


def upload(filesystem: fs.PyFileSystem, path: str, file: str) -> None:
    """Writes a local file as an object that appears, or replaces the old one, when all of it is there.

    Args:
        filesystem: from `resolve`.
        path: `bucket/key`.
        file: path of the local file.

    Raises:
        BylineError: it did not succeed; the object is what it was before.
    """
    handler = filesystem.handler
    content = pa.memory_map(file).read_buffer() if os.path.getsize(file) else pa.py_buffer(b"")

    def put() -> None:
        # One write: the client completes an upload even from a destructor, so no half of it may ever be handed over.
        sink = handler.store.open_output_stream(path, compression=None, buffer_size=None)
        sink.write(content)
        sink.close()

    # In another thread, where Ctrl-C cannot come between opening and writing and leave an empty object.
    _pool().submit(handler.retry, path, "written", put).result()


class _Retrying(fs.FileSystemHandler):
    """Every call on an object store, tried again; writing is left to `upload`."""

    def __init__(self, scheme: str, store: fs.FileSystem) -> None:
        self.scheme = scheme
        self.store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Retrying) and self.store == other.store

    def __hash__(self) -> int:
        return hash(self.scheme)

    def retry(self, path: str, what: str, call: Callable[[], Answer]) -> Answer:
        """Calls until it succeeds, waiting twice as long each time.

        Raises:
            FileNotFoundError: at once, for the caller to judge.
            BylineError: at once where access is refused, and after the last try.
        """
        uri = address(self.scheme, path)
        for number in range(_TRIES):
            try:
                return call()
            except FileNotFoundError:
                raise
            except OSError as error:
                cause = " ".join(str(error).split())
                if _REFUSED.search(cause):
                    raise BylineError(
                        f"{uri}: cannot be {what} ({cause}); check the bucket's name and the credentials"
                    ) from None
                if number == _TRIES - 1:
                    raise BylineError(f"{uri}: cannot be {what} after {_TRIES} tries ({cause}); run again") from None
            time.sleep(_FIRST_WAIT * 2**number)
        raise AssertionError("unreachable")

    def get_type_name(self) -> str:
        return f"byline-{self.scheme}"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return [self.retry(path, "looked up", partial(self.store.get_file_info, path)) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return self.retry(selector.base_dir, "listed", lambda: self.store.get_file_info(selector))

    def open_input_file(self, path: str) -> pa.NativeFile:
        file = self.retry(path, "opened", lambda: self.store.open_input_file(path))
        return pa.PythonFile(_Ranges(self, path, file), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        # As ranges too: a stream that is cut could not go on where it was.
        return self.open_input_file(path)

    def delete_file(self, path: str) -> None:
        self._delete(path, lambda: self.store.delete_file(path))

    def delete_dir(self, path: str) -> None:
        self._delete(path, lambda: self.store.delete_dir(path))

    def _delete(self, path: str, call: Callable[[], None]) -> None:
        try:
            self.retry(path, "deleted", call)
        except FileNotFoundError:
            # An earlier try did it and its answer was lost.
            return

    def create_dir(self, path: str, recursive: bool) -> None:
        """Does nothing; a folder of its own would be an empty object."""

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


class _Ranges:
    """A file object over range reads."""

    def __init__(self, store: _Retrying, path: str, file: pa.NativeFile) -> None:
        self._store = store
        self._path = path
        self._file = file
        self._size = file.size()
        self._position = 0
        self._tail_start = max(self._size - TAIL_BYTES, 0)
        self._tail = b""
        self.closed = False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.close()

    def flush(self) -> None:
        """Nothing is held back."""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._position, 0)
        end = self._position + (left if size < 0 else min(size, left))
        if self._position >= self._tail_start and end > self._position:
            content = self._read_tail(self._position, end)
        else:
            content = self._read_ranges(self._position, end)
        self._position = end
        return content

    def _read_tail(self, start: int, end: int) -> bytes:
        if not self._tail:
            self._tail = self._read_range(self._tail_start, self._size)
        return self._tail[start - self._tail_start : end - self._tail_start]

    def _read_ranges(self, start: int, end: int) -> bytes:
        starts = range(start, end, RANGE_BYTES)
        reads = (_pool().map if len(starts) > 1 else map)(lambda start: self._read_range(start, end), starts)
        return b"".join(reads)

    def _read_range(self, start: int, end: int) -> bytes:
        size = min(RANGE_BYTES, end - start)

        def get() -> bytes:
            piece = self._file.read_at(size, start)
            if len(piece) != size:
                raise OSError(f"{len(piece)} of {size} bytes came from byte {start} on")
            return piece

        return self._store.retry(self._path, "read", get)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads for ranges and uploads of this process; what runs in them never waits for another of them."""
    return ThreadPoolExecutor(_READERS, "byline-object-store")


@lru_cache
def _s3(endpoint: str | None, region: str) -> fs.S3FileSystem:
    parts = urlsplit(endpoint or "")
    if endpoint and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/")):
        raise BylineError(f"AWS_ENDPOINT_URL: expected http://host:port or https://host:port, found {endpoint!r}")
    return fs.S3FileSystem(
        region=region,
        scheme=parts.scheme or "https",
        endpoint_override=parts.netloc or None,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_CLIENT_ATTEMPTS),
        # A small object is then one request in place of three.
        allow_delayed_open=True,
    )


@lru_cache
def _region_of(bucket: str) -> str:
    try:
        return fs.resolve_s3_region(bucket)
    except OSError as error:
        cause = " ".join(str(error).split())
        raise BylineError(f"s3://{bucket}: its region cannot be found ({cause}); set AWS_REGION") from None


@lru_cache(maxsize=1)
def _gcs() -> fs.FileSystem:
    # By address, because the client then takes the credentials and endpoint of the environment.
    return fs.FileSystem.from_uri("gs://any")[0]


def _without_secrets(uri: str) -> str:
    return re.sub("//[^/@]*@", "//...@", uri.partition("?")[0])
