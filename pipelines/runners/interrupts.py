"""An interrupt (Ctrl-C) or a SIGTERM ends a command with one line, whatever it is doing.

```
1st    kills the worker processes, removes half-written files, cancels a cluster's job, then prints the line
2nd    prints the line and ends the process at once
```

An exception raised inside Beam may come out as any other error, or wait for a worker; so this module records that a
signal came.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Protocol

LINE = "stopped; run the same command again to continue where it was"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_KILL_SECONDS = 0.1
_SHOW_CURSOR = "\x1b[?25h"


class WorkerProcess(Protocol):
    """What is used of a worker's process, as `Popen` has it."""

    @property
    def pid(self) -> int:
        """The process id."""

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs."""

    def poll(self) -> int | None:
        """The exit status, looked up; None while it runs."""

    def wait(self) -> int:
        """The exit status, when it has ended."""

    def kill(self) -> None:
        """Kills it, if it runs."""


_received: list[int] = []
# By the id that Beam gives a worker, which no two of this process have in common.
_workers: dict[str, WorkerProcess] = {}


def watch() -> None:
    """Records signals from now to the end of this process."""
    for number in _SIGNALS:
        signal.signal(number, _on_signal)


def is_stopped() -> bool:
    """Whether a signal came."""
    return bool(_received)


def end_process() -> None:
    """Prints the line and ends this process, with 130 after an interrupt and 143 after a SIGTERM; waits for nothing."""
    _kill_workers()
    sys.stdout.flush()
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    sys.stderr.write(f"{cursor}{LINE}\n")
    sys.stderr.flush()
    os._exit(128 + _received[0])


def note_workers(start: Callable[[str, dict[str, str]], WorkerProcess]) -> None:
    """Has Beam start worker processes so from now on, and records them, to kill them when a signal comes.

    Args:
        start: starts a process, given Beam's command and the environment.
    """
    from apache_beam.runners.portability import local_job_service

    def begin(command: str, *, shell: bool, env: dict[str, str]) -> WorkerProcess:
        process = start(command, env)
        _workers[env["WORKER_ID"]] = process
        return process

    vars(local_job_service)["subprocess"] = SimpleNamespace(Popen=begin)


def worker_process(worker: str) -> WorkerProcess | None:
    """The process of a worker, by the id that Beam gives it; None if it has not been started."""
    return _workers.get(worker)


def _on_signal(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) > 1:
        end_process()
    # Beam's threads would print an error for each worker that is gone.
    threading.excepthook = lambda _: None
    # Repeatedly: Beam may be about to start another worker, and would wait for it.
    threading.Thread(target=_keep_killing, daemon=True).start()
    raise KeyboardInterrupt


def _keep_killing() -> None:
    while True:
        _kill_workers()
        time.sleep(_KILL_SECONDS)


def _kill_workers() -> None:
    for worker in list(_workers.values()):
        # Of one that has been waited for, nothing is left that could be killed.
        worker.kill()
