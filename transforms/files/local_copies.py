"""Files that a library opens by path, wherever they are: on a disk as they are, of an object store a copy.

```
model.bin               -> model.bin
s3://bucket/model.bin   -> $TMPDIR/byline-copies-k3x9/0-model.bin     once a process, deleted when it ends
```
"""

import os
import tempfile
import threading
from functools import lru_cache

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


def _fetch(uri: str, name: str) -> str:
    path = os.path.join(_folder().name, name)
    with open_random(uri) as source, open(path, "wb") as copy:
        while content := source.read(_STEP):
            copy.write(content)
    return path


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="byline-copies-")
