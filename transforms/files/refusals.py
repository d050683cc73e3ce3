"""A disk that refuses to be written: full, read-only, not this user's. Each refusal is one line that names the file.

```
out/a.arrow: cannot be written (No space left on device); make room there and run the same command again: ...
s3://bucket/a: cannot be kept in /tmp (No space left on device); make room there or set TMPDIR to another folder, ...
```

Whoever writes a file runs inside the block of `storage.write_file`, and may fail to read another one there. So it is
the file itself (`Sink`) that tells what was refused, and an `OSError` of the block stays what it is.
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

_AGAIN = "and run the same command again: what is whole stays"
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
# What is in a `scratch_folder`. Not by `gettempdir`: where TMPDIR is full, a process that begins takes another folder.
_IN_SCRATCH = re.compile(r"/byline-(?:plan|sample|verify)-[a-z0-9_]{8}/")


def reason(error: OSError) -> str:
    """What the system says of an error; Arrow's own text names the file once more."""
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())


def refusal(uri: str, what: str, error: OSError) -> BylineError:
    """The line for a file or folder that cannot be `what` (written, deleted)."""
    advice = _SCRATCH if _IN_SCRATCH.search(uri) else _ADVICE.get(error.errno or 0, _NOT_ALLOWED)
    return BylineError(f"{uri}: cannot be {what} ({reason(error)}); {advice}")


def no_scratch(uri: str, error: OSError) -> BylineError:
    """The line for a file that there is no room for in the folder of temporary files."""
    return BylineError(f"{uri}: cannot be kept in {_scratch()} ({reason(error)}); {_SCRATCH}")


def _scratch() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        # Nothing that it reads there can be written.
        return os.environ.get("TMPDIR", "/tmp")


@contextmanager
def refusing(refused: Callable[[OSError], BylineError]) -> Iterator[None]:
    """Turns every `OSError` of the block into the line for it."""
    try:
        yield
    except OSError as error:
        raise refused(error) from None


@contextmanager
def scratch_folder(step: Literal["plan", "sample", "verify"]) -> Iterator[str]:
    """A folder of this machine for the block, deleted afterwards.

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
    """A file that is written. What the disk refuses is a `BylineError`, which Arrow's writers pass on as it is.

    Arrow takes it for a file object of Python's: buffers come as they are, and none is copied.

    Args:
        file: the file, open for writing.
        refused: the line for an error of it.
    """

    def __init__(self, file: pa.NativeFile, refused: Callable[[OSError], BylineError]) -> None:
        self._file = file
        self._refused = refused

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, data: Any) -> int:
        """Writes all of some bytes: `bytes`, or anything that has a buffer."""
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
