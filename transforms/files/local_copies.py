"""Local paths for libraries that open files only by path: a file on a disk is itself, an object is copied.

```
model.bin               -> model.bin
s3://bucket/model.bin   -> $TMPDIR/byline-copies-k3x9/0-model.bin     `local_copy`: once, until the process ends
s3://bucket/0.arrow     -> $TMPDIR/byline-copy-p51c                   `fetched`: until the block ends
```
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial

import pyarrow as pa

from byline.addresses import is_object_address
from byline.transforms.files.refusals import Sink, no_scratch, refusing
from byline.transforms.files.storage import open_random

_STEP = 64 << 20

_copies: dict[str, str] = {}
_lock = threading.Lock()


def local_copy(uri: str) -> str:
    """A path to the file on this machine.

    Raises:
        BylineError: there is no such file, it may not be read, or this machine has no room for it.
    """
    if not is_object_address(uri):
        return uri
    with _lock:
        if uri not in _copies:
            _copies[uri] = _fetch(uri, f"{len(_copies)}-{uri.rpartition('/')[2]}")
        return _copies[uri]


@contextmanager
def fetched(uri: str) -> Iterator[str]:
    """A path to the file on this machine for the block; an object is downloaded once. Errors as `local_copy`."""
    if not is_object_address(uri):
        yield uri
        return
    with refusing(partial(no_scratch, uri)):
        descriptor, path = tempfile.mkstemp(prefix="byline-copy-")
    os.close(descriptor)
    try:
        _copy(uri, path)
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _fetch(uri: str, name: str) -> str:
    with refusing(partial(no_scratch, uri)):
        path = os.path.join(_folder().name, name)
    try:
        _copy(uri, path)
    except BaseException:
        # Half a copy must not take up room.
        with suppress(OSError):
            os.unlink(path)
        raise
    return path


def _copy(uri: str, path: str) -> None:
    refused = partial(no_scratch, uri)
    with open_random(uri) as source:
        with refusing(refused):
            file = pa.OSFile(path, "wb")
        with file:
            sink = Sink(file, refused)
            while content := source.read(_STEP):
                sink.write(content)
            sink.close()


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="byline-copies-")
