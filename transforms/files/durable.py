"""Files that survive a loss of power: their bytes are on the disk before they get their name, and then the name is.

```
.tmp-91c3...-a.arrow written  ->  fsync of the file  ->  a.arrow  ->  fsync of the folder
```

Without the first, a file system may keep a new name and lose the bytes: an empty file under the name of a whole one.
Syncing waits for the disk, so a step that writes many files hands each over to a `WriteBehind` and works on; only one
file of a `WriteBehind` is under way at a time, so files appear in order.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

# Threads of a process that wait for disks; each `WriteBehind` uses at most one at a time.
_THREADS = 16
# What file systems say whose folders cannot be synced.
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOTSUP, errno.EISDIR)


def make_folder(path: str) -> list[str]:
    """Makes a folder and those above it, as far as they do not exist; their names are on the disk afterwards.

    Returns:
        Those that did not exist, the lowest first.

    Raises:
        OSError: it cannot be made.
    """
    missing = []
    while path not in ("", "/") and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    if missing:
        os.makedirs(missing[0], exist_ok=True)
    for made in missing:
        sync_folder(os.path.dirname(made))
    return missing


def give_name(temporary: str, path: str) -> None:
    """Renames a file in its folder once its bytes are on the disk, and then syncs the folder.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Syncs the names in a folder, where the file system can.

    Raises:
        OSError: the disk fails.
    """
    try:
        descriptor = os.open(path or "/", os.O_RDONLY)
    except PermissionError:
        # A folder that may be written to and not be listed.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


class WriteBehind:
    """Ends files in another thread, one after the other.

    ```python
    for batch in batches:
        with write_file(uri, behind) as sink:      # waits here for the file before, if that is still under way
            ...
    behind.finish()                                # the last file has its name
    ```
    """

    def __init__(self) -> None:
        self._last: Future[None] | None = None

    def submit(self, end: Callable[[], None]) -> None:
        """Has `end` called in another thread, after the one before.

        Raises:
            BylineError: the file before could not be ended.
        """
        self.finish()
        self._last = _threads().submit(end)

    def then(self, call: Callable[[], None]) -> None:
        """Has `call` called once the file under way has its name; the next call of this object raises its errors."""
        last = self._last

        def follow() -> None:
            if last is not None:
                last.result()
            call()

        # It begins to wait after what it waits for has begun, so that threads that wait never keep all others out.
        self._last = _threads().submit(follow)

    def finish(self) -> None:
        """Waits for the file that is under way; errors as `submit`."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "byline-disk")
