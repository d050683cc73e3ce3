"""Disks that are too small: a limit on the size of files, or a file system of some size in place of a folder.

```python
disk = SmallDisk(folder=Path("out"), size=40_960)
with disk.mounted():                 # in the command's own process: nobody else sees it
    ...                              # a write to `out` may end with ENOSPC
disk.put_back()                      # in this process: `out` has what the command left there
```

A file system can be mounted by root of Linux.
"""

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Of <sched.h>.
_CLONE_NEWNS = 0x00020000


@dataclass(frozen=True)
class SmallFiles:
    """A limit: no file may become larger than `size` bytes."""

    size: int
    reason = "(ulimit -f)"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """For the rest of this process."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))
        yield

    def put_back(self) -> None:
        """Nothing has to be."""


@dataclass(frozen=True)
class SmallDisk:
    """A file system of `size` bytes in place of a folder."""

    folder: Path
    size: int
    reason = "(No space left on device); make room there"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mounts it with what the folder has, for this process and those that it starts."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "no namespace")
        _run("mount", "--make-rprivate", "/")
        before = self._copy("before")
        _run("mount", "-t", "tmpfs", "-o", f"size={self.size}", "none", str(self.folder))
        shutil.copytree(before, self.folder, dirs_exist_ok=True)
        try:
            yield
        finally:
            self._copy("after")

    def _copy(self, name: str) -> Path:
        copy = self._beside(name)
        shutil.copytree(self.folder, copy)
        return copy

    def _beside(self, name: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}-{name}")

    def put_back(self) -> None:
        """Gives the folder what the command left."""
        shutil.rmtree(self.folder)
        self._beside("after").rename(self.folder)
        shutil.rmtree(self._beside("before"))


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None)
        os._exit(0 if libc.unshare(_CLONE_NEWNS) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
