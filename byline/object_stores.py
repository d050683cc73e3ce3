"""Object stores (`s3://`, `gs://`): clients, retried calls, and objects as files.

```
read 20 kB at 5 MB    GET bytes 5000000-5019999        a 503 or a cut transfer: wait, then the same request again
```

`byline.addresses` says what an address is. Credentials, endpoint and region come from the environment or the usual
files (docs/object_stores.md), never from an address or a configuration.
"""

import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from byline.addresses import split_address, without_secrets
from byline.errors import BylineError
from byline.printable import one_line

# The end of a file is fetched once, in one request: Arrow and Parquet take three or more reads to get its footer.
TAIL_BYTES = 64 << 10
# The client itself tries a call five times (about 8 s), on `gs://` for 30 s; only it can repeat one part of an upload.
_CLIENT_ATTEMPTS = 5
_CLIENT_SECONDS = 30
# Our own tries around that bridge an outage of a minute or two: they add 0.5 + 1 + ... + 16 s of waiting.
_TRIES = 7
_FIRST_WAIT = 0.5
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 30

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_EMULATOR_VARIABLE = "CLOUD_STORAGE_EMULATOR_ENDPOINT"
_REGION_OF_ENDPOINT = "us-east-1"

# Errors, in the clients' words, that trying again does not help. No 404: where a file may be missing it is no error.
_REFUSED = re.compile(
    "ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|"
    "UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|NO_CREDENTIALS|INVALID_BUCKET_NAME|HTTP status (301|40[013])|"
    "PERMISSION_DENIED|UNAUTHENTICATED|OAuth2 access token|CreateResumableUpload.*HTTP status code: 40[0-4]"
)
# What a read of an object says if the object was deleted after it was opened. The last one appears when the range is
# too short to hold the store's answer, but for other reasons too.
_MAY_BE_GONE = re.compile("NO_SUCH_KEY|RESOURCE_NOT_FOUND|Failed to flush response stream")

Answer = TypeVar("Answer")


def client(scheme: str, path: str, *, writes: bool = False) -> fs.FileSystem:
    """The client for a bucket; a process has one for each store.

    Args:
        scheme: of the store.
        path: `bucket/key`.
        writes: whether the client must also write, which needs pyarrow 21.

    Raises:
        BylineError: the endpoint in the environment is malformed, or the bucket's region cannot be found.
    """
    if scheme == "gs":
        return _gcs(os.environ.get(_EMULATOR_VARIABLE), os.getpid())
    endpoint, region = _setting(_ENDPOINT_VARIABLES), _setting(_REGION_VARIABLES)
    if region is None:
        region = _REGION_OF_ENDPOINT if endpoint else _region_of(path.partition("/")[0])
    return _s3(endpoint, region, writes, os.getpid())


def retry(uri: str, what: str, call: Callable[[], Answer], on_retry: Callable[[], object] = lambda: None) -> Answer:
    """Calls `call` until it succeeds, waiting twice as long each time.

    Args:
        uri: for messages.
        what: what is being done with it, for messages: `read`.
        call: the call.
        on_retry: called before each retry.

    Raises:
        FileNotFoundError: at once; the caller knows what it means.
        BylineError: at once if access is refused, else after the last try.
    """
    for number in range(_TRIES):
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError as error:
            cause = one_line(error)
            if _REFUSED.search(cause):
                raise BylineError(
                    f"{uri}: cannot be {what} ({cause}); check the bucket's name, the credentials, and {_server(uri)}"
                ) from None
            if number == _TRIES - 1:
                raise BylineError(
                    f"{uri}: cannot be {what} after {_TRIES} tries ({cause}); check {_server(uri)}, and run again"
                ) from None
        on_retry()
        time.sleep(_FIRST_WAIT * 2**number)
    raise AssertionError("unreachable")


def open_object(uri: str) -> pa.PythonFile:
    """Opens an object; each read is one request, retried on its own.

    Raises:
        FileNotFoundError: there is none.
        BylineError: it cannot be opened.
    """
    return pa.PythonFile(RangeFile(object_file(uri)), mode="r")


def object_file(uri: str) -> "ObjectFile":
    """Opens an object, to read ranges of it from any number of threads; raises as `open_object`."""
    scheme, path = split_address(uri)
    store = client(scheme, path)
    return ObjectFile(uri, lambda: store.open_input_file(path))


def object_sizes(folder: str) -> dict[str, int]:
    """Name -> bytes of every object right below an address, by requests of 1,000 each; none if there are none.

    Raises:
        BylineError: it cannot be listed.
    """
    scheme, path = split_address(folder)
    selector = fs.FileSelector(path, allow_not_found=True)
    infos = retry(folder, "listed", lambda: client(scheme, path).get_file_info(selector))
    return {info.base_name: info.size for info in infos if info.type == fs.FileType.File}


class ObjectFile:
    """An open object whose bytes can be read anywhere; it caches nothing.

    Attributes:
        size: in bytes.
    """

    def __init__(self, uri: str, opened: Callable[[], pa.NativeFile], on_retry: Callable[[], object] = lambda: None):
        self._uri, self._opened, self._on_retry = uri, opened, on_retry
        self._file = retry(uri, "opened", opened, on_retry)
        self.size: int = retry(uri, "opened", lambda: self._call(lambda file: file.size()), on_retry)

    def read_at(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` (at most the object's size), in one request.

        Raises:
            BylineError: they cannot be read, or the object was deleted after it was opened.
        """

        def get() -> bytes:
            try:
                piece = self._call(lambda file: file.read_at(end - start, start))
            except OSError as error:
                if self._is_gone(error):
                    raise BylineError(
                        f"{self._uri}: was deleted while it was read (by `byline compact`, perhaps); "
                        "run the same command again, it goes on from there"
                    ) from None
                raise
            if len(piece) != end - start:
                raise OSError(f"{len(piece)} of {end - start} bytes came from byte {start} on")
            return piece

        return retry(self._uri, "read", get, self._on_retry)

    def close(self) -> None:
        self._file.close()

    def _is_gone(self, error: OSError) -> bool:
        if isinstance(error, FileNotFoundError):
            return True
        if not _MAY_BE_GONE.search(str(error)):
            return False
        try:
            self._opened().close()
        except FileNotFoundError:
            return True
        except OSError:
            pass
        return False

    def _call(self, call: Callable[[pa.NativeFile], Answer]) -> Answer:
        try:
            return call(self._file)
        except ValueError as error:
            if isinstance(error, pa.ArrowException):
                raise
            # On `gs://` the client starts to fetch the whole object when a file is first used, and considers the file
            # closed if that fails.
            self._file = self._opened()
            raise OSError(f"the client closed it: {error}") from None


class RangeFile:
    """A Python file object over an `ObjectFile`; it keeps the object's tail once it has read from there."""

    def __init__(self, file: ObjectFile) -> None:
        self._file = file
        self._position = 0
        self._tail_start = max(file.size - TAIL_BYTES, 0)
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
        """Does nothing; nothing is buffered."""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        remaining = max(self._file.size - self._position, 0)
        content = self._read(self._position, self._position + (remaining if size < 0 else min(size, remaining)))
        # Only now: a read that failed may be repeated.
        self._position += len(content)
        return content

    def _read(self, start: int, end: int) -> bytes:
        if start == end:
            return b""
        if start < self._tail_start:
            return self.read_range(start, end)
        if not self._tail:
            self._tail = self._file.read_at(self._tail_start, self._file.size)
        return self._tail[start - self._tail_start : end - self._tail_start]

    def read_range(self, start: int, end: int) -> bytes:
        """One request, however long the range; a subclass may make several."""
        return self._file.read_at(start, end)


def _server(uri: str) -> str:
    """Which server an address is looked up on, and which variables say so, for messages."""
    if uri.startswith("gs:"):
        return f"endpoint {_described((_EMULATOR_VARIABLE,), 'of Google')}"
    default_region = _REGION_OF_ENDPOINT if _setting(_ENDPOINT_VARIABLES) else "of the bucket"
    endpoint, region = _described(_ENDPOINT_VARIABLES, "of Amazon"), _described(_REGION_VARIABLES, default_region)
    return f"endpoint {endpoint} and region {region}"


def _described(variables: tuple[str, ...], default: str) -> str:
    """The value of the first variable that is set and its name, or the default and the names that are not set."""
    name = next((name for name in variables if os.environ.get(name)), None)
    if name is None:
        return f"{default} (no {' or '.join(variables)} is set)"
    return f"{without_secrets(os.environ[name])} ({name})"


def _setting(variables: tuple[str, ...]) -> str | None:
    """The value of the first of these environment variables that is set and not empty."""
    return next((value for name in variables if (value := os.environ.get(name))), None)


# `process` is part of the key because a forked process must not use its parent's connections.
@lru_cache
def _s3(endpoint: str | None, region: str, writes: bool, process: int) -> fs.S3FileSystem:
    parts = urlsplit(endpoint or "")
    if endpoint and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/")):
        shown = without_secrets(endpoint)
        raise BylineError(f"AWS_ENDPOINT_URL: expected http://host:port or https://host:port, found {shown!r}")
    # So that a small object is written in one request instead of three.
    delayed_open = {"allow_delayed_open": True} if writes else {}
    return fs.S3FileSystem(
        region=region,
        scheme=parts.scheme or "https",
        endpoint_override=parts.netloc or None,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_CLIENT_ATTEMPTS),
        **delayed_open,
    )


@lru_cache
def _region_of(bucket: str) -> str:
    try:
        return fs.resolve_s3_region(bucket)
    except OSError as error:
        cause = one_line(error)
        raise BylineError(f"s3://{bucket}: its region cannot be found ({cause}); set AWS_REGION") from None


@lru_cache
def _gcs(emulator: str | None, process: int) -> fs.FileSystem:
    # The client reads the endpoint from the environment itself; an emulator wants no credentials.
    return fs.GcsFileSystem(anonymous=emulator is not None, retry_time_limit=timedelta(seconds=_CLIENT_SECONDS))
