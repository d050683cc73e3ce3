"""Checksums of files that many commands ask for, kept so that a file that has not changed is not read for one again.

```
STORE/models/checksums.json
  {"sha256": {"/data/quality.bin": [[824176850, 1732712345000000000, 1732712345000000000, 5242911], "62ebb8..."]}, ...}
                                     size       modified             status changed       inode      checksum
```

A kept checksum counts while the file's size, both of its times and its inode are those that it was read with; it is
what git takes to tell that a file is the same. As in git, a file that was changed just before it was read may change
again without another time, as clocks of file systems advance in steps. So only what had rested for `_REST_NS` before it
was read is kept; anything younger is read again by the next command. Of an object the store says its size and the time
of its last change, to the second and by a clock of its own, so it has to have rested for longer.

The file appears whole under its name or not at all. Of two commands that write it at once, one may undo what the other
kept, which is then read again. It is a copy: one that is damaged, or that nobody may write, is done without.
"""

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.transforms.files import storage

FILE_NAME = "checksums.json"
# The coarsest clock of a file system (FAT) advances every two seconds.
_REST_NS = 2 * 10**9
# Clocks of two machines that keep time differ by less.
_OBJECT_REST_NS = 60 * 10**9
# Of a file that is written to while it is read.
_TRIES = 3

# Size, when it was modified and when its status changed (ns since 1970), inode; of an object size and time.
_Identity = list[int]
# What `storage.modified` says of it.
_NO_FILE = [-1, 0]
# (kind, address) -> identity, checksum.
_Entries = dict[tuple[str, str], tuple[_Identity, str]]

_known: _Entries = {}
_lock = threading.Lock()
# Of a thread: another one may work for a command that keeps them.
_only_reads = ContextVar("_only_reads", default=False)


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Within it, what this thread asks for is not written: for commands that must not change what they read."""
    before = _only_reads.set(True)
    try:
        yield
    finally:
        _only_reads.reset(before)


def sha256_of(uri: str, folder: str, *, what: str = "a list or a model", keeps: bool = True) -> str:
    """The sha256 of a file (hex); see `sha256s_of`."""
    return sha256s_of([uri], folder, what=what, keeps=keeps)[0]


def sha256s_of(uris: Sequence[str], folder: str, *, what: str = "a list or a model", keeps: bool = True) -> list[str]:
    """The sha256 of files (hex), in their order.

    Args:
        uris: of the files.
        folder: where checksums are kept.
        what: a file should be, for the message.
        keeps: whether they are kept for other processes, too: workers leave that to the driver.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """

    def compute(uri: str) -> str:
        if _identity(uri) == _NO_FILE:
            raise BylineError(f"{uri}: there is no such file; expected {what}")
        # Not a copy that this process has of an object: the object may have changed since.
        return storage.file_sha256(uri)

    return checksums_of(uris, folder, "sha256", compute, keeps=keeps)


def checksums_of(
    uris: Sequence[str], folder: str, kind: str, compute: Callable[[str], str], *, keeps: bool = True
) -> list[str]:
    """The checksums of files, in their order; those that are not known are computed, many at a time.

    Args:
        uris: of the files.
        folder: where checksums are kept.
        kind: of checksum, as it is called there.
        compute: reads a file for it.
        keeps: whether they are kept for other processes, too.

    Raises:
        BylineError: a file cannot be read, or is written to all the time.
    """
    kept, began = storage.join(folder, FILE_NAME), time.time_ns()
    identities = dict(zip(uris, storage.side_by_side(_identity, uris), strict=True))
    found = _found(identities, kind, _known)
    if len(found) < len(identities):
        found |= _found({uri: identities[uri] for uri in identities if uri not in found}, kind, _read(kept))
    known: _Entries = {(kind, _name(uri)): (identities[uri], checksum) for uri, checksum in found.items()}
    unknown = [uri for uri in identities if uri not in found]
    made = storage.side_by_side(lambda uri: _computed(uri, compute, identities[uri], began), unknown)
    lasting: _Entries = {}
    for uri, (identity, checksum, has_rested) in zip(unknown, made, strict=True):
        found[uri] = checksum
        if has_rested:
            lasting[kind, _name(uri)] = identity, checksum
    with _lock:
        _known.update({**known, **lasting})
    if lasting and keeps and not _only_reads.get():
        _keep(kept, lasting)
    return [found[uri] for uri in uris]


def _found(identities: dict[str, _Identity], kind: str, entries: _Entries) -> dict[str, str]:
    """Address -> checksum of the files that are as they were."""
    known = {uri: entries.get((kind, _name(uri))) for uri in identities}
    return {uri: entry[1] for uri, entry in known.items() if entry is not None and entry[0] == identities[uri]}


def _computed(uri: str, compute: Callable[[str], str], before: _Identity, began: int) -> tuple[_Identity, str, bool]:
    """The identity of a file, the checksum of its content, and whether another content would have another identity.

    Args:
        uri: of the file.
        compute: reads it.
        before: its identity, found after `began` (ns since 1970).
    """
    for _ in range(_TRIES):
        checksum = compute(uri)
        looked, after = time.time_ns(), _identity(uri)
        if after == before:
            rest = _OBJECT_REST_NS if is_object_address(uri) else _REST_NS
            # Of some files nobody says when they changed: the time is 0.
            return before, checksum, 0 < max(before[1:3]) < began - rest
        began, before = looked, after
    raise BylineError(f"{uri}: is written to while it is read; run the command again once it is whole")


def _identity(uri: str) -> _Identity:
    if is_object_address(uri):
        return [*storage.modified(uri)]
    try:
        status = os.stat(uri)
    except (OSError, ValueError):
        # What reads it says what is wrong.
        return _NO_FILE
    if not stat.S_ISREG(status.st_mode):
        return _NO_FILE
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _name(uri: str) -> str:
    return uri if is_object_address(uri) else os.path.abspath(uri)


def _read(kept: str) -> _Entries:
    """What is kept; nothing where the file is not there, or not as it was written."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        content = json.loads(storage.read_if_there(kept) or b"{}")
        if content and content.pop("digest") == _digest(content):
            return {
                (kind, name): (list(map(int, identity)), str(checksum))
                for kind, files in content.items()
                for name, (identity, checksum) in files.items()
            }
    return {}


def _keep(kept: str, entries: _Entries) -> None:
    content: dict[str, Any] = {}
    # Read as late as possible: another command may have kept others meanwhile.
    for (kind, name), (identity, checksum) in sorted({**_read(kept), **entries}.items()):
        content.setdefault(kind, {})[name] = [identity, checksum]
    # A store that may only be read is planned from all the same.
    with suppress(BylineError), storage.write_file(kept) as sink:
        sink.write(json.dumps({**content, "digest": _digest(content)}, indent=1, sort_keys=True).encode())


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
