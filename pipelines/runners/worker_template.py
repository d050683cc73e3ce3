"""Local workers forked from one process, the template, that has imported all that they need and does nothing else.

```
driver                           template                              worker
starts it, once for a command -> imports Beam and every step (2.5 s)
fork_worker(environment)      -> forks                              -> takes the environment, works
                              <- its process id
kill()                        -> kills                              -> ends
                              <- its exit status
end of the channel, or its own -> ends                              -> is killed with its parent
```

A worker that starts as a program imports for longer than a small build takes, and a build starts some for each of its
jobs. What is imported is also in memory once for all of them.

A worker inherits from the template what it would inherit from its driver: standard streams, and what `Inherited` names.
A driver in which something of that has changed starts another template.
"""

import atexit
import ctypes
import json
import os
import resource
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from byline.pipelines.runners import worker

# A process in which these libraries are loaded is forked safely on Linux alone, and if it has no threads but those of
# OpenBLAS and jemalloc, which take care of forks.
IS_SAFE = sys.platform == "linux"
_STREAMS = (0, 1, 2)
# Of <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
# Beam's options are the largest part of a message.
_MESSAGE_BYTES = 1 << 20
_DRIVER_SECONDS = 0.5
# Of /proc/self/status.
_TRAITS = ("Umask:", "Uid:", "Gid:", "Groups:", "Cpus_allowed:")
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


@dataclass(frozen=True)
class Inherited:
    """What a process has of its parent when it starts.

    Attributes:
        environment: its variables.
        folder: the current one; "" if it has been deleted.
        limits: of `getrlimit`.
        traits: its nice value; its lines of `_TRAITS`; its control groups.
    """

    environment: dict[str, str]
    folder: str
    limits: list[tuple[int, int]]
    traits: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> "Inherited":
        """What one that it starts now would have."""
        try:
            folder = os.getcwd()
        except FileNotFoundError:
            folder = ""
        limits = [resource.getrlimit(limit) for limit in _LIMITS]
        kept = [line for line in _read_lines("/proc/self/status") if line.startswith(_TRAITS)]
        nice = str(os.getpriority(os.PRIO_PROCESS, 0))
        return cls(dict(os.environ), folder, limits, (nice, *kept, *_read_lines("/proc/self/cgroup")))


def _read_lines(file: str) -> list[str]:
    """Of a file of the system's, which not every sandbox has."""
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


class ForkedWorker:
    """A worker process: what `Popen` has that is used of one.

    Attributes:
        pid: its process id.
        returncode: as `Popen.returncode`; None while it runs.
    """

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._channel = channel
        self._has_ended = threading.Event()

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.returncode

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        self._has_ended.wait()
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """Kills it, if it runs."""
        if self.returncode is None:
            # The template does it, as it alone knows whether this process id is still the worker's.
            with suppress(OSError):
                self._channel.send(json.dumps({"kill": self.pid}).encode(), socket.MSG_NOSIGNAL)

    def end(self, status: int) -> None:
        """Notes that it has ended."""
        self.returncode = status
        self._has_ended.set()


class WorkerTemplate:
    """The driver's side of a template.

    Args:
        channel: to the template; each message stays whole.
        pid: the template's process id.
        process: the same, if it was started as a program.
    """

    def __init__(self, channel: socket.socket, pid: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        # Python would wait for one that nobody holds, and forget its status.
        self._process = process
        self.is_alive = True
        self._has_ended = False
        # Of workers that it is no longer there to fork.
        self._status: int = -signal.SIGKILL
        self._channel = channel
        self._inherited = Inherited.of_this_process()
        self._workers: dict[int, ForkedWorker] = {}
        self._started: list[ForkedWorker] = []
        self._answered = threading.Condition()
        threading.Thread(target=self._listen, name="worker_template", daemon=True).start()

    @classmethod
    def start(cls) -> "WorkerTemplate":
        """Starts a process for it."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            module = module_command("byline.pipelines.runners.worker_template")
            words = [*module, str(there.fileno()), str(os.getpid())]
            # Ctrl-C in a terminal reaches workers, too; from the start they leave it to the driver.
            process = subprocess.Popen(f"trap '' INT; exec {shlex.join(words)}", shell=True, pass_fds=[there.fileno()])
        return cls(here, process.pid, process)

    def is_like_this_process(self) -> bool:
        """Whether its workers would inherit what this process's own would."""
        return self._inherited == Inherited.of_this_process()

    def fork_worker(self, environment: Mapping[str, str], *, is_verbose: bool) -> ForkedWorker:
        """Has it fork a worker.

        Args:
            environment: the worker's.
            is_verbose: whether Beam's log is shown.

        Returns:
            The worker; one that has ended as the template did if it is gone.
        """
        # All else it has; what a message may take is limited.
        own = {name: value for name, value in environment.items() if self._inherited.environment.get(name) != value}
        message = json.dumps({"environment": own, "is_verbose": is_verbose}).encode()
        with self._answered:
            self._send(message)
            self._answered.wait_for(lambda: self._started or self._has_ended)
            if self._started:
                return self._started.pop()
        lost = ForkedWorker(self.pid, self._channel)
        lost.end(self._status)
        return lost

    def _send(self, message: bytes) -> None:
        streams = list(map(_copy, _STREAMS))
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", streams))
            # A program may have SIGPIPE end it.
            self._channel.sendmsg([message], [rights], socket.MSG_NOSIGNAL)
        except OSError:
            # Without an answer from it there is no worker.
            self.close()
        finally:
            for stream in streams:
                os.close(stream)

    def close(self) -> None:
        """Ends it, and its workers with it."""
        self.is_alive = False
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """Keeps nothing of it, in a fork of its driver: it would not end with the driver."""
        self.is_alive = False
        self._channel.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while message := self._channel.recv(_MESSAGE_BYTES):
                self._note(json.loads(message))
        with suppress(ChildProcessError):
            # A status of its own it has if it could not import.
            self._status = self._wait() or self._status
        with self._answered:
            self.is_alive, self._has_ended = False, True
            self._answered.notify_all()
        for lost in self._workers.values():
            lost.end(-signal.SIGKILL)
        self._channel.close()

    def _wait(self) -> int:
        if self._process is not None:
            return self._process.wait()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _note(self, message: dict[str, int]) -> None:
        pid = message["pid"]
        if "status" in message:
            self._workers.pop(pid).end(message["status"])
            return
        self._workers[pid] = ForkedWorker(pid, self._channel)
        with self._answered:
            self._started.append(self._workers[pid])
            self._answered.notify_all()


def _copy(stream: int) -> int:
    """Another descriptor of it; of nothing where this process was started without it."""
    try:
        return os.dup(stream)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)


def module_command(module: str) -> list[str]:
    """The command that runs a module as a program, without the current folder on its import path.

    A worker starts in the user's folder, which may contain the user's own `tokenizers.py` or `utils/`. That folder is
    searched last, for functions that a configuration names as `package.module:function`.
    """
    if sys.version_info >= (3, 11):
        return [sys.executable, "-P", "-m", module]
    program = f"import runpy, sys; del sys.path[0]; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", program]


def serve(channel: socket.socket) -> NoReturn:
    """A template, in a process without threads of its own: forks workers until the channel ends."""
    # What the driver's thread blocked when it started this process.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGALRM})
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children = set[int]()
    while True:
        readable, _, _ = select.select([channel, woken], [], [])
        if woken in readable:
            woken.recv(1024)
        for pid, status in _ended():
            # What a library started before may end here, too.
            if pid in children:
                children.remove(pid)
                _answer(channel, {"pid": pid, "status": status})
        if channel in readable:
            text, streams = _receive(channel)
            if not text:
                os._exit(0)
            message = json.loads(text)
            if "kill" in message:
                if message["kill"] in children:
                    os.kill(message["kill"], signal.SIGKILL)
                continue
            template, pid = os.getpid(), os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGALRM):
                    signal.signal(number, signal.SIG_DFL)
                for own in (channel, woken, wakes):
                    own.close()
                _become_worker(template, streams, message["environment"], is_verbose=message["is_verbose"])
            for stream in streams:
                os.close(stream)
            children.add(pid)
            _answer(channel, {"pid": pid})


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """A message and its descriptors; an empty one from a driver that is gone."""
    try:
        text, streams, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, len(_STREAMS))
    except ConnectionResetError:
        # It left answers unread.
        return b"", []
    return text, streams


def _ended() -> list[tuple[int, int]]:
    """Children that have ended since, with their exit statuses."""
    ended = []
    with suppress(ChildProcessError):
        while (waited := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((waited[0], os.waitstatus_to_exitcode(waited[1])))
    return ended


def _answer(channel: socket.socket, message: dict[str, int]) -> None:
    # That the driver is gone is seen when the channel is next read.
    with suppress(OSError):
        channel.send(json.dumps(message).encode())


def _become_worker(template: int, streams: list[int], environment: dict[str, str], *, is_verbose: bool) -> NoReturn:
    try:
        # Nobody else would end it before it notices.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number, stream in zip(_STREAMS, streams, strict=True):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.update(environment)
        # Python seeds its own generator again when it is forked, numpy does not.
        np.random.seed()
        worker.work(template, is_verbose=is_verbose)
    except BaseException:
        # As a program would, that has no more to say.
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def _end_without(driver: int, channel: socket.socket) -> None:
    """Ends this process when the channel has, also while it imports; or its driver, of which a fork may hold that."""
    ends = select.poll()
    ends.register(channel, select.POLLHUP)

    def look(*_: object) -> None:
        if os.getppid() != driver or ends.poll(0):
            os._exit(0)

    # Not a thread, as this process is forked.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _DRIVER_SECONDS, _DRIVER_SECONDS)
    # Python forgets the handler before it ends.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)


def main() -> NoReturn:
    """The template as a program; its arguments are the channel's descriptor and the driver's process id."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    _end_without(int(sys.argv[2]), channel)
    # From 3.12 on Python warns of each fork; of the threads that there are, see above.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    worker.import_all()
    serve(channel)


if __name__ == "__main__":
    main()
