"""The files of a disk that patterns match: links followed, each file once.

```
in/a.jsonl                      a.jsonl
in/b.jsonl -> a.jsonl           the same file: not given
in/sub/loop -> ..               the same folder: not opened again
in/c.jsonl -> ../blobs/7        c.jsonl, with the size of ../blobs/7
in/d.jsonl -> ../blobs/8        an error where there is no ../blobs/8
in/pipe.jsonl                   an error: a named pipe is no file
```

A file is known by device and inode, so a hard link is no other file. Of several paths that lead to one file, that
without a link counts, and of such the first in order of bytes; a folder is opened once for all that may match in it.
"""

import errno
import heapq
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from byline.errors import BylineError
from byline.printable import printable
from byline.regular_files import NotRegularError, check_mode
from byline.transforms.corpora.matching import Names, States


@dataclass(frozen=True)
class ListedFile:
    """One file, or one object.

    Attributes:
        path: where it is in its file system, as the pattern has it.
        uri: where to open it.
        size: in bytes.
        modified: when it was last changed, in nanoseconds since 1970.
        identity: what all paths that lead to it have in common.
        is_linked: whether a link leads to it below the head of its pattern.
    """

    path: str
    uri: str
    size: int
    modified: int
    identity: tuple[object, ...]
    is_linked: bool = False


def matching_files(folder: str, names: Names) -> Iterator[ListedFile]:
    """The files below a folder that match, some of them more than once.

    Raises:
        BylineError: a folder cannot be listed; or what matches is no file, leads nowhere, may not be read, or has a
            name that is not UTF-8.
    """
    opened: set[tuple[object, ...]] = set()
    # In order, and those behind a link last: they are opened only where nothing else leads to them.
    waiting = [(False, os.fsencode(folder), folder, names.start)] if os.path.isdir(folder) else []
    while waiting:
        is_linked, _, path, states = heapq.heappop(waiting)
        identity, entries = _opened(path)
        if (*identity, states) in opened:
            continue
        opened.add((*identity, states))
        for entry in entries:
            after = names.after(states, entry.name)
            status = _status(entry, names, after) if after else None
            if status is None:
                continue
            is_behind = is_linked or entry.is_symlink()
            if not stat.S_ISDIR(status.st_mode):
                if names.is_match(after):
                    yield _file(entry.path, status, is_behind)
            elif names.leads_on(after):
                heapq.heappush(waiting, (is_behind, os.fsencode(entry.path), entry.path, after))


def named_file(path: str) -> ListedFile | None:
    """The file of a name, or None where there is nothing. Raises: BylineError, as `matching_files`."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise _leads_nowhere(path) from None
        return None
    except OSError as error:
        raise _leads_nowhere(path) if error.errno == errno.ELOOP else _unreadable(path, error) from None
    return _file(path, status, os.path.islink(path))


def each_once(files: Iterable[ListedFile]) -> list[ListedFile]:
    """Of the paths that lead to one file the one that counts."""
    chosen: dict[tuple[object, ...], ListedFile] = {}
    for file in files:
        known = chosen.setdefault(file.identity, file)
        if (file.is_linked, os.fsencode(file.path)) < (known.is_linked, os.fsencode(known.path)):
            chosen[file.identity] = file
    return list(chosen.values())


def _opened(folder: str) -> tuple[tuple[object, ...], list[os.DirEntry[str]]]:
    """What a folder is known by, and what is in it."""
    try:
        with os.scandir(folder) as entries:
            return _identity(folder, os.stat(folder)), list(entries)
    except OSError as error:
        raise BylineError(f"{_shown(folder)}: cannot be listed ({error.strerror}); check its permissions") from None


def _status(entry: os.DirEntry[str], names: Names, after: States) -> os.stat_result | None:
    """What stands under a name; None where that does not matter."""
    try:
        return entry.stat()
    except OSError as error:
        if not names.is_match(after) and not names.is_named(after):
            return None
        if entry.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise _leads_nowhere(entry.path) from None
        if error.errno == errno.ENOENT:
            raise BylineError(f"{_shown(entry.path)}: is gone since its folder was listed; list it again") from None
        raise _unreadable(entry.path, error) from None


def _file(path: str, status: os.stat_result, is_linked: bool) -> ListedFile:
    """Raises: BylineError: it is no file, may not be read, or has a name that cannot be kept."""
    try:
        check_mode(status.st_mode)
    except NotRegularError as error:
        raise BylineError(f"{_shown(path)}: is {error}; remove it, or write a pattern that does not match it") from None
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BylineError(
            f"{_shown(path)}: the name is not UTF-8, and a document is known by its file's name; rename the file"
        ) from None
    if not os.access(path, os.R_OK):
        raise _unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return ListedFile(path, path, status.st_size, status.st_mtime_ns, _identity(path, status), is_linked)


def _identity(path: str, status: os.stat_result) -> tuple[object, ...]:
    # Some file systems number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else (os.path.realpath(path),)


def _leads_nowhere(path: str) -> BylineError:
    target = os.readlink(path)
    is_there = os.path.lexists(os.path.join(os.path.dirname(path), target))
    what = "which leads back to itself or to nothing" if is_there else "which is not there"
    return BylineError(
        f"{_shown(path)}: is a link to {_shown(target)}, {what}; mend it or remove it, or write a pattern that does "
        "not match it"
    )


def _unreadable(path: str, error: OSError) -> BylineError:
    return BylineError(
        f"{_shown(path)}: cannot be read ({error.strerror}); check its permissions, or write a pattern that does not "
        "match it"
    )


def _shown(path: str) -> str:
    """The path with bytes that are not UTF-8 as `\\xff`, and nothing that a terminal obeys."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))
