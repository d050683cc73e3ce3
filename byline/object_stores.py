"""Object stores (`s3://`, `gs://`): addresses, clients, calls that are tried again, and objects as files.

```
read 20 kB at 5 MB    GET bytes 5000000-5019999        503, or cut half way: wait, and the same again
```

Addresses are `s3://bucket/key` with special characters escaped (`%20`), without options, and without an empty name
between two slashes, which Arrow cannot open; `byline.locations` refuses what is meant for an address and is none.
Credentials, endpoint and region come from the environment or the usual files (docs/object_stores.md), never from an
address or a configuration.
"""

import os
import re
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from byline.errors import BylineError

SCHEMES = ("s3", "gs")
# The end of a file is fetched once as one piece: Arrow and Parquet read its footer there in three or more reads.
TAIL_BYTES = 64 << 10
# The client tries a single call five times, about 8 s, or so long (`gs://`); it alone can repeat a part of an upload.
_CLIENT_ATTEMPTS = 5
_CLIENT_SECONDS = 30
# Around that, a store may be away for a minute or two: 0.5 + 1 + ... + 16 s of waiting besides.
_TRIES = 7
_FIRST_WAIT = 0.5
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 30

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_EMULATOR_VARIABLE = "CLOUD_STORAGE_EMULATOR_ENDPOINT"
_REGION_OF_ENDPOINT = "us-east-1"

# What no second try changes, as the clients name it; a 404 is not here, it is no error where a file may be missing.
_REFUSED = re.compile(
    "ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|"
    "UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|NO_CREDENTIALS|INVALID_BUCKET_NAME|HTTP status (301|40[013])|"
    "PERMISSION_DENIED|UNAUTHENTICATED|OAuth2 access token|CreateResumableUpload.*HTTP status code: 40[0-4]"
)
# What a read says of an object that was deleted after it was opened; the last one is for a range that has no room for
# the store's answer, and of other things too.
_MAY_BE_GONE = re.compile("NO_SUCH_KEY|RESOURCE_NOT_FOUND|Failed to flush response stream")

Answer = TypeVar("Answer")


def is_object_address(location: str) -> bool:
    """Whether this is an address of an object store, not a path."""
    return location.partition("://")[0] in SCHEMES and "://" in location


def split_address(uri: str) -> tuple[str, str]:
    """The scheme of an address, and `bucket/key`.

    Raises:
        BylineError: it has options, a user, no bucket, or a key with an empty name between slashes.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket or "?" in rest:
        raise BylineError(
            f"{without_secrets(uri)}: expected {scheme}://bucket/key without user or options; "
            "credentials, endpoint and region come from the environment (docs/object_stores.md)"
        )
    path = f"{bucket}/{unquote(key)}".rstrip("/")
    if "//" in path:
        raise BylineError(
            f"{uri}: an empty name between two slashes can neither be read nor written; take one of them away, "
            "or copy what is there to other keys"
        )
    return scheme, path


def address(scheme: str, path: str) -> str:
    """The address of `bucket/key`, special characters escaped."""
    return f"{scheme}://{quote(path)}"


def client(scheme: str, path: str, *, writes: bool = False) -> fs.FileSystem:
    """The client for a bucket, one per process for all of the same store.

    Args:
        scheme: of the store.
        path: `bucket/key`.
        writes: whether it is to write too, which needs pyarrow 21.

    Raises:
        BylineError: the environment names no proper endpoint, or the region of the bucket cannot be found.
    """
    if scheme == "gs":
        return _gcs(os.environ.get(_EMULATOR_VARIABLE), os.getpid())
    endpoint, region = _setting(_ENDPOINT_VARIABLES), _setting(_REGION_VARIABLES)
    if region is None:
        region = _REGION_OF_ENDPOINT if endpoint else _region_of(path.partition("/")[0])
    return _s3(endpoint, region, writes, os.getpid())


def retry(uri: str, what: str, call: Callable[[], Answer], on_retry: Callable[[], object] = lambda: None) -> Answer:
    """Calls until it succeeds, waiting twice as long each time.

    Args:
        uri: for messages.
        what: is done with it, for messages: `read`.
        call: the call.
        on_retry: is called before each further one.

    Raises:
        FileNotFoundError: at once, for the caller to judge.
        BylineError: at once where access is refused, and after the last try.
    """
    for number in range(_TRIES):
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError as error:
            cause = " ".join(str(error).split())
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
    """Opens an object; each read is one request, tried again by itself.

    Raises:
        FileNotFoundError: there is none.
        BylineError: it cannot be opened.
    """
    scheme, path = split_address(uri)
    store = client(scheme, path)
    return pa.PythonFile(RangeFile(ObjectFile(uri, lambda: store.open_input_file(path))), mode="r")


class ObjectFile:
    """An open object, of which any bytes are read; it holds none of them.

    Attributes:
        size: in bytes.
    """

    def __init__(self, uri: str, opened: Callable[[], pa.NativeFile], on_retry: Callable[[], object] = lambda: None):
        self._uri, self._opened, self._on_retry = uri, opened, on_retry
        self._file = retry(uri, "opened", opened, on_retry)
        self.size: int = retry(uri, "opened", lambda: self._call(lambda file: file.size()), on_retry)

    def read_at(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`, which lies in the object, in one request.

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
            # On `gs://` the client begins to fetch the whole object when a file is first used, and takes the file for
            # closed if that fails.
            self._file = self._opened()
            raise OSError(f"the client closed it: {error}") from None


class RangeFile:
    """A Python file object over an `ObjectFile`, whose end it keeps once it has read from there."""

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
        """Nothing is held back."""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._file.size - self._position, 0)
        content = self._read(self._position, self._position + (left if size < 0 else min(size, left)))
        # Only now: what failed may be asked for again.
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
        """One request, however long; a subclass may make several."""
        return self._file.read_at(start, end)


def _server(uri: str) -> str:
    """Which server is asked for an address, and what says so, for messages."""
    if uri.startswith("gs:"):
        return f"endpoint {_told((_EMULATOR_VARIABLE,), 'of Google')}"
    regular = _REGION_OF_ENDPOINT if _setting(_ENDPOINT_VARIABLES) else "of the bucket"
    return f"endpoint {_told(_ENDPOINT_VARIABLES, 'of Amazon')} and region {_told(_REGION_VARIABLES, regular)}"


def _told(variables: tuple[str, ...], otherwise: str) -> str:
    name = next((name for name in variables if os.environ.get(name)), None)
    if name is None:
        return f"{otherwise} (no {' or '.join(variables)} is set)"
    return f"{without_secrets(os.environ[name])} ({name})"


def _setting(variables: tuple[str, ...]) -> str | None:
    """The first of some environment variables that is set, and not to nothing."""
    return next((value for name in variables if (value := os.environ.get(name))), None)


# A forked process gets a client of its own: connections of its parent are not its own to use.
@lru_cache
def _s3(endpoint: str | None, region: str, writes: bool, process: int) -> fs.S3FileSystem:
    parts = urlsplit(endpoint or "")
    if endpoint and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/")):
        told = without_secrets(endpoint)
        raise BylineError(f"AWS_ENDPOINT_URL: expected http://host:port or https://host:port, found {told!r}")
    # A small object is then written in one request in place of three.
    late = {"allow_delayed_open": True} if writes else {}
    return fs.S3FileSystem(
        region=region,
        scheme=parts.scheme or "https",
        endpoint_override=parts.netloc or None,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_CLIENT_ATTEMPTS),
        **late,
    )


@lru_cache
def _region_of(bucket: str) -> str:
    try:
        return fs.resolve_s3_region(bucket)
    except OSError as error:
        cause = " ".join(str(error).split())
        raise BylineError(f"s3://{bucket}: its region cannot be found ({cause}); set AWS_REGION") from None


@lru_cache
def _gcs(emulator: str | None, process: int) -> fs.FileSystem:
    # The client itself takes the endpoint from the environment; whoever answers there asks for no credentials.
    return fs.GcsFileSystem(anonymous=emulator is not None, retry_time_limit=timedelta(seconds=_CLIENT_SECONDS))


def without_secrets(uri: str) -> str:
    """An address for a message: without user, password and options."""
    return re.sub("//[^/@]*@", "//...@", uri.partition("?")[0])
