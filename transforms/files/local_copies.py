"""Files that a library opens by path, wherever they are: on a disk as they are, of an object store a copy.

```
model.bin               -> model.bin
s3://bucket/model.bin   -> $TMPDIR/byline-copies-k3x9/0-model.bin     `local_copy`: once, deleted when the process ends
s3://bucket/0.arrow     -> $TMPDIR/byline-copy-p51c                   `fetched`: deleted when the block ends
```
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO

from byline.stores import is_object_address
from transforms.files.storage import open_random

_STEP = 64 << 20

_copies: dict[str, str] = {}
_lock = threading.Lock()


def local_copy(uri: str) -> str:
    """The path of a file on this machine.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """
    if not is_object_address(uri):
        return uri
    with _lock:
        if uri not in _copies:
            _copies[uri] = _fetch(uri, f"{len(_copies)}-{uri.rpartition('/')[2]}")
        return _copies[uri]


@contextmanager
def fetched(uri: str) -> Iterator[str]:
    """The path of a file on this machine for the block, read from an object store once; errors as `local_copy`."""
    if not is_object_address(uri):
        yield uri
        return
    with tempfile.NamedTemporaryFile(prefix="byline-copy-") as copy:
        _copy(uri, copy)
        copy.flush()
        yield copy.name


def _fetch(uri: str, name: str) -> str:
    path = os.path.join(_folder().name, name)
    with open(path, "wb") as copy:
        _copy(uri, copy)
    return path


def _copy(uri: str, target: IO[bytes]) -> None:
    with open_random(uri) as source:
        while content := source.read(_STEP):
            target.write(content)


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="byline-copies-")
