"""A disk that refuses a write because it is full, read-only or another user's: each is one line that names the file.

```
out/a.arrow: cannot be written (No space left on device); make room there and run the same command again: ...
s3://bucket/a: cannot be kept in /tmp (No space left on device); make room there or set TMPDIR to another folder, ...
```

The code inside a `storage.write_file` block may also fail to read another file. So the file being written (`Sink`)
reports its own errors, and any other `OSError` in the block is left as it is.
"""

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from byline.errors import BylineError
from byline.printable import one_line

_AGAIN = "and run the same command again: what is finished is kept"
_ROOM = f"make room there {_AGAIN}"
_NO_FOLDER = "there is a file where a folder is expected: choose another location"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f) {_AGAIN}",
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.EISDIR: "there is a folder of this name: choose another location",
    errno.ENAMETOOLONG: "choose a shorter path",
}
_NOT_ALLOWED = "choose another location, or let this user write there"
_SCRATCH = f"make room there or set TMPDIR to another folder, {_AGAIN}"
# Matches a path in a `scratch_folder`. Not by `gettempdir`: a process that starts when TMPDIR is full picks another.
_IN_SCRATCH = re.compile(r"/byline-(?:plan|sample|verify)-[a-z0-9_]{8}/")


def reason(error: OSError) -> str:
    """The system's text for an error; Arrow's own would name the file again."""
    return os.strerror(error.errno) if error.errno else one_line(error)


def is_scratch(path: str) -> bool:
    """Whether a path is in a `scratch_folder`, of which nobody needs anything when its step has ended."""
    return _IN_SCRATCH.search(path) is not None


def refusal(uri: str, what: str, error: OSError) -> BylineError:
    """The error for a file or folder that cannot be `what` (written, deleted)."""
    advice = _SCRATCH if is_scratch(uri) else _ADVICE.get(error.errno or 0, _NOT_ALLOWED)
    return BylineError(f"{uri}: cannot be {what} ({reason(error)}); {advice}")


def no_scratch(uri: str, error: OSError) -> BylineError:
    """The error for a file that the folder for temporary files has no room for."""
    return BylineError(f"{uri}: cannot be kept in {_scratch()} ({reason(error)}); {_SCRATCH}")


def _scratch() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        # None of the folders that it tries can be written.
        return os.environ.get("TMPDIR", "/tmp")


@contextmanager
def refusing(refused: Callable[[OSError], BylineError]) -> Iterator[None]:
    """Turns every `OSError` of the block into `refused` of it."""
    try:
        yield
    except OSError as error:
        raise refused(error) from None


@contextmanager
def scratch_folder(step: Literal["plan", "sample", "verify", "doctor"]) -> Iterator[str]:
    """A folder on this machine for the block, deleted afterwards.

    Args:
        step: for its name.

    Raises:
        BylineError: there is no room for it.
    """
    with refusing(lambda error: no_scratch(f"what {step} writes", error)):
        folder = tempfile.TemporaryDirectory(prefix=f"byline-{step}-")
    with folder as path:
        yield path


class Sink:
    """A file being written. If the disk refuses, it raises a `BylineError`, which Arrow's writers pass on unchanged.

    To Arrow this is a Python file object: it hands over its buffers without a copy.

    Args:
        file: the file, open for writing.
        refused: makes the error to raise from an `OSError` of the file.
    """

    def __init__(self, file: pa.NativeFile, refused: Callable[[OSError], BylineError]) -> None:
        self._file = file
        self._refused = refused

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: Any) -> int:
        """Writes all the bytes of `data`: `bytes`, or any object with a buffer."""
        try:
            return self._file.write(data)
        except OSError as error:
            raise self._refused(error) from None

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        with refusing(self._refused):
            self._file.flush()

    def close(self) -> None:
        with refusing(self._refused):
            self._file.close()
