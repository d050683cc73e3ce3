"""A lock on a folder that one command at a time may write to: a small file that says who writes.

```
OUT/.byline-lock     {"host": "node-3", "process": 4711, "started": "18430211", "boot": "f3c1...",
                      "namespace": "pid:[4026531836]", "command": "byline build c.yaml", "since": "2026-..."}

the lock's owner                                                        another command
has the file locked (flock)                                             is refused: who writes, since when
on this machine, and has ended (killed, too: nothing of it stays)       takes the lock over, and says so
of this host before it was started again, silent for a minute           the same
on another host, last heard of within five minutes                      is refused; the line says what to delete
on another host, silent for longer                                      takes the lock over, and says so
on this machine, ended, and nothing is left to write                    deletes the lock, and says so
```

An owner touches the file every 20 seconds, which is how other hosts hear of it; ages on a disk are told by the clock of
the machine that has it. `flock` makes it exact among processes of one machine, and of several where the network file
system passes it on; where it does not exist, the process id and its start time tell whether an owner on this machine is
alive. Containers of one machine do not see each other's processes; without `flock` they are other hosts to each other.

Object stores: Arrow cannot write an object on condition that there is none. So a lock is written if there is none, and
after a pause read again; of two commands that start within a second, the later writer keeps it. A command that takes
longer than the pause between looking and writing (a stopped process, an outage) may still hold it beside another.
"""

import contextlib
import errno
import fcntl
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache

from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.transforms.files import storage
from byline.transforms.files.durable import make_folder
from byline.transforms.files.refusals import refusal, refusing

LOCK_NAME = ".byline-lock"
_BEAT_SECONDS = 20.0
# Without a sign of life: of a host that was started again, and of another one.
_RESTARTED_SECONDS = 60.0
_OTHER_SECONDS = 300.0
# On an object store, between writing a lock and reading it again: longer than from looking for one to writing it.
_PAUSE_SECONDS = 2.0
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: its name.
        process: id.
        started: when the process was, in the units of its machine; "" where it is not known.
        boot: id of the machine's start; "" where it is not known.
        namespace: in which its process ids count; "" where it is not known.
        command: as it was given.
        since: when the lock was taken, for people.
    """

    host: str
    process: int
    started: str
    boot: str
    namespace: str
    command: str
    since: str

    @classmethod
    def this(cls) -> "Owner":
        """This process."""
        words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        process, command = os.getpid(), shlex.join(words)[:200]
        return cls(socket.gethostname(), process, _start_of(process), _boot(), _namespace(), command, since)

    @classmethod
    def read(cls, content: bytes) -> "Owner | None":
        """The owner that a lock names; None for one that was not written to its end."""
        try:
            values = json.loads(content)
            return cls(**{name: kind(values[name]) for name, kind in cls.__annotations__.items()})
        except (ValueError, LookupError, TypeError):
            return None

    def to_bytes(self) -> bytes:
        """What `read` takes."""
        return json.dumps(asdict(self)).encode()

    @property
    def is_of_this_start(self) -> bool:
        """Whether it is, or was, a process that this one can see, of this machine since it was started."""
        if not self.boot:
            return self.host == socket.gethostname()
        return self.is_of_this_machine and self.namespace == _namespace()

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it is, or was, a process of this machine since it was started, in whatever container."""
        return self.boot != "" and self.boot == _boot()

    @property
    def is_alive_here(self) -> bool:
        """Whether there is such a process on this machine."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return not self.started or _start_of(self.process) == self.started

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} ({self.command}) since {self.since}"


@lru_cache(maxsize=1)
def _boot() -> str:
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return ""


@lru_cache(maxsize=1)
def _namespace() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _start_of(process: int) -> str:
    """When a process started, in clock ticks since the machine did; "" where the system has no /proc."""
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{process}/stat", "rb") as file:
        # The name, in brackets, may have spaces.
        return file.read().rpartition(b")")[2].split()[19].decode()
    return ""


@contextlib.contextmanager
def folder_lock(folder: str, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of a folder for the block; a process that has it already goes on with it.

    Args:
        folder: it is made if need be.
        say: is told in one line when the lock of a command that has ended is taken over.

    Raises:
        BylineError: another command holds it, or it cannot be written.
    """
    uri = storage.join(folder, LOCK_NAME)
    key = storage.resolve(uri)[1]
    if key in _held:
        yield
        return
    lock = _ObjectLock(uri) if is_object_address(folder) else _FileLock(uri)
    taken_over = lock.take()
    _held.add(key)
    if taken_over is not None:
        say(f"{folder}: took over the lock of {taken_over}, which has ended")
    stop = threading.Event()
    beat = threading.Thread(target=_keep_beating, args=(lock, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        _held.discard(key)
        lock.release()


def remove_abandoned(folder: str) -> Owner | None:
    """Deletes the lock of a command that was killed, where nothing is left to write; returns its owner.

    Leaves a lock whose owner may live, one that this process may not delete, and those of object stores.
    """
    uri = storage.join(folder, LOCK_NAME)
    if is_object_address(folder) or storage.resolve(uri)[1] in _held or not storage.exists(uri):
        return None
    lock = _FileLock(uri)
    try:
        owner = lock.take()
    except BylineError:
        return None
    lock.release()
    return owner


# Folders whose lock this process has.
_held: set[str] = set()


def _keep_beating(lock: "_FileLock | _ObjectLock", stop: threading.Event) -> None:
    while not stop.wait(_BEAT_SECONDS):
        # The next beat may succeed; the work goes on.
        with contextlib.suppress(OSError, BylineError):
            lock.beat()


def _refused(uri: str, owner: Owner | None, age: float) -> BylineError:
    who = "another command" if owner is None else str(owner)
    if owner is not None and owner.is_of_this_start:
        advice = "wait until it has ended, or end it"
    else:
        advice = f"last heard of {age:.0f} s ago; wait until it has ended, or delete the file if it has"
    return BylineError(f"{uri}: {who} writes here; {advice}")


def _is_gone(owner: Owner | None, age: float, *, here: bool) -> bool:
    """Whether an owner has ended.

    Args:
        owner: what the lock says.
        age: seconds since its last sign of life.
        here: whether an owner on this machine has ended.
    """
    if owner is None:
        return age > _RESTARTED_SECONDS
    if owner.is_of_this_start:
        return here
    return age > (_RESTARTED_SECONDS if owner.host == socket.gethostname() else _OTHER_SECONDS)


class _FileLock:
    """A lock on a disk."""

    def __init__(self, uri: str) -> None:
        self._uri, self._path = uri, storage.resolve(uri)[1]
        self._content = Owner.this().to_bytes()
        self._descriptor = -1
        self._made: list[str] = []

    def take(self) -> Owner | None:
        """Takes the lock; returns the owner that it was taken over from."""
        with refusing(lambda error: refusal(self._uri.rpartition("/")[0], "written", error)):
            self._made = make_folder(os.path.dirname(self._path))
            while True:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    if self._try(descriptor):
                        break
                except BaseException:
                    os.close(descriptor)
                    raise
                # It was released, and so deleted, after it was opened.
                os.close(descriptor)
            self._descriptor = descriptor
            content = os.pread(descriptor, 1 << 16, 0)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._content, 0)
            os.fsync(descriptor)
        return Owner.read(content) if content else None

    def _try(self, descriptor: int) -> bool:
        has_flock = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refused(descriptor) from None
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            has_flock = False
        try:
            if os.stat(self._path).st_ino != os.fstat(descriptor).st_ino:
                return False
        except FileNotFoundError:
            return False
        content = os.pread(descriptor, 1 << 16, 0)
        owner = Owner.read(content)
        is_over = owner is None or has_flock or not owner.is_alive_here
        # With flock, whoever of this machine had it has ended; one without a whole text was killed as it began.
        is_free = has_flock and (owner is None or owner.is_of_this_machine)
        if content and not is_free and not _is_gone(owner, self._age(descriptor), here=is_over):
            raise self._refused(descriptor)
        return True

    def _refused(self, descriptor: int) -> BylineError:
        return _refused(self._uri, Owner.read(os.pread(descriptor, 1 << 16, 0)), self._age(descriptor))

    def _age(self, descriptor: int) -> float:
        """Seconds since the last sign of life, by the clock of the machine that has the disk."""
        beside = storage.join(os.path.dirname(self._path), storage.temporary_name("now"))
        try:
            with open(beside, "x"):
                now = os.stat(beside).st_mtime
        finally:
            with contextlib.suppress(OSError):
                os.unlink(beside)
        return max(now - os.fstat(descriptor).st_mtime, 0.0)

    def beat(self) -> None:
        """A sign of life; none if the lock has been taken over."""
        if self._is_ours():
            os.utime(self._descriptor)

    def release(self) -> None:
        """Deletes the lock."""
        with contextlib.suppress(OSError):
            if self._is_ours() and os.stat(self._path).st_ino == os.fstat(self._descriptor).st_ino:
                os.unlink(self._path)
        os.close(self._descriptor)
        # A mistake that is told before anything is written leaves nothing behind.
        with contextlib.suppress(OSError):
            for folder in self._made:
                os.rmdir(folder)

    def _is_ours(self) -> bool:
        return os.pread(self._descriptor, 1 << 16, 0) == self._content


class _ObjectLock:
    """A lock in an object store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._content = Owner.this().to_bytes()

    def take(self) -> Owner | None:
        """Takes the lock; returns the owner that it was taken over from."""
        content = storage.read_bytes(self._uri) if storage.exists(self._uri) else b""
        owner = Owner.read(content)
        if content:
            age = max(time.time() - storage.modified(self._uri)[1] / 1e9, 0.0)
            if not _is_gone(owner, age, here=owner is not None and not owner.is_alive_here):
                raise _refused(self._uri, owner, age)
        self._write()
        time.sleep(_PAUSE_SECONDS)
        there = storage.read_bytes(self._uri)
        if there != self._content:
            raise _refused(self._uri, Owner.read(there), 0.0)
        return owner

    def beat(self) -> None:
        """A sign of life; none if the lock has been taken over."""
        if self._is_ours():
            self._write()

    def release(self) -> None:
        """Deletes the lock."""
        if self._is_ours():
            storage.delete_file(self._uri)

    def _is_ours(self) -> bool:
        return storage.exists(self._uri) and storage.read_bytes(self._uri) == self._content

    def _write(self) -> None:
        with storage.write_file(self._uri) as sink:
            sink.write(self._content)
