"""Opens files of this machine that are files: no pipe that waits for a writer, no device without an end.

```
recipe.yaml       opened
/dev/zero         is a device, not a file
pipe              is a named pipe, not a file
out/              is a folder, not a file
```
"""

import os
import stat
from typing import BinaryIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class NotRegularError(OSError):
    """Something else than a file stands under the name; the text says what."""


class TooLargeError(OSError):
    """A file is larger than what is read whole; the text says so."""


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuses what is there and is no file.

    Raises:
        NotRegularError: it is a folder, a pipe, a device or a socket.
        OSError: there is nothing of that name, or it may not be known.
    """
    check_mode(os.stat(_system_path(path)).st_mode)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file to read its bytes; raises as `check_regular`, before anything else is opened."""
    check_regular(path)
    # Without waiting, should the file have become a pipe since.
    descriptor = os.open(_system_path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        check_mode(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The content of a file.

    Args:
        path: of the file.
        most: bytes that it may have; None for any number.

    Raises:
        TooLargeError: it has more.
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise TooLargeError(f"more than the {most:,} bytes that are read of such a file")
    return content


def _system_path(path: str | os.PathLike[str]) -> str:
    """The path, where the system can have one of that spelling."""
    text = os.fspath(path)
    try:
        if b"\0" not in os.fsencode(text):
            return text
    except UnicodeEncodeError:
        pass
    raise OSError("no file has such a name")


def check_mode(mode: int) -> None:
    """Refuses the mode of what is no file. Raises: NotRegularError."""
    if not stat.S_ISREG(mode):
        raise NotRegularError(f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
