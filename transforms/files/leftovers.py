"""Removes what killed builds left half written in a token store or an output.

A process that is killed cannot remove what it was writing. `remove_unfinished` does so once nobody can be using it:

```
out/store/.tmp-08a1...-inputs.jsonl             a list that a job reads: removed once unchanged for two weeks
out/store/c4/5f3e.../.tmp-91c3...-a.arrow       half a file: removed once unchanged for a day
out/store/c4/5f3e.../.tmp-a                     not a name that is made here: left alone
```
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from pyarrow import fs

from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.transforms.files.storage import TEMPORARY, is_deleted, resolve

# A file that is being written changes every few seconds, and none takes a day; clock differences add minutes.
_WRITTEN_SECONDS = 24 * 3600
# A list does not change while a job reads it, and a job that an engine restarts, perhaps long after its driver was
# killed, reads it again. Lists are small, so there is no hurry.
_LIST_SECONDS = 14 * 24 * 3600
# store/source/fingerprint, output/phase: anything deeper is the user's own, and may be large.
_DEPTH = 2


def clean_store(store: str, *, writes: bool) -> tuple[int, int]:
    """Removes unfinished files from a token store.

    Args:
        store: its folder.
        writes: whether the command is about to write to it. If not, an object store is left alone: a listing is a
            request, and all it could hold is lists of a few MB. On a disk unfinished runs are removed all the same: to
            a build that is started again at once they look too young, and it may be the last that writes anything.

    Returns:
        How many were removed, and how many bytes they had.
    """
    return remove_unfinished(store) if writes or not is_object_address(store) else (0, 0)


def clean_output(output: str, *, is_finished: bool = False) -> tuple[int, int]:
    """Removes unfinished files from an output.

    An object store has none: a shard has no name there before it is whole.

    Args:
        output: its folder.
        is_finished: whether every shard is whole, so that an unfinished file is of an earlier try, however young.

    Returns:
        How many were removed, and how many bytes they had.
    """
    return (0, 0) if is_object_address(output) else remove_unfinished(output, at_once=is_finished)


def remove_unfinished(folder: str, now: float | None = None, *, at_once: bool = False) -> tuple[int, int]:
    """Deletes temporary files of a token store or an output that nobody can still be writing or reading.

    Links to other folders are not followed. In an object store the only temporary files are lists directly in the
    folder, so one listing of it is enough.

    A file that cannot be deleted, or a folder that cannot be listed, is left: it may be another user's, and the caller
    does not need it gone.

    Args:
        folder: of the token store or the output; it need not exist.
        now: seconds since 1970; None for this machine's clock.
        at_once: delete them whatever their age, because whoever wrote to the folder has ended.

    Returns:
        How many were deleted, and their bytes.
    """
    filesystem, path = resolve(folder)
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    candidates = _temporary_files(path) if is_local else _temporary_lists(filesystem, path)
    now = time.time() if now is None else now
    old = [
        file
        for file in candidates
        if at_once or now - file.changed > (_LIST_SECONDS if file.is_list else _WRITTEN_SECONDS)
    ]
    sizes = [file.size for file in old if is_deleted(filesystem, file.path)]
    return len(sizes), sum(sizes)


@dataclass(frozen=True)
class _TemporaryFile:
    """A file with a temporary name; `changed` in seconds since 1970, `size` in bytes."""

    path: str
    changed: float
    size: int
    is_list: bool


def _temporary_files(folder: str) -> Iterator[_TemporaryFile]:
    """Those on a disk. Not through Arrow, which follows links and asks for the size of all of 250,000 files."""
    for parent, folders, names in os.walk(folder):
        depth = len(PurePath(parent).parts) - len(PurePath(folder).parts)
        if depth == _DEPTH:
            folders.clear()
        for path in (os.path.join(parent, name) for name in names if TEMPORARY.match(name)):
            # It may be gone by now: renamed by its writer, or deleted by another command.
            with suppress(OSError):
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode):
                    yield _TemporaryFile(path, status.st_mtime, status.st_size, is_list=depth == 0)


def _temporary_lists(filesystem: fs.FileSystem, folder: str) -> Iterator[_TemporaryFile]:
    """Those directly in a folder of an object store."""
    try:
        infos = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    except (OSError, BylineError):
        return
    for info in infos:
        if info.type == fs.FileType.File and TEMPORARY.match(info.base_name):
            yield _TemporaryFile(info.path, info.mtime_ns / 1e9, info.size, is_list=True)
