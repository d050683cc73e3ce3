"""Worker processes that a command has ready, forked from it before it does anything.

```
command         forks spares    ...    Beam starts a worker: a spare becomes it    ...    ends
spare           waits at a pipe        byline.pipelines.runners.worker                    ends at the pipe's end
```

A worker that starts as a program imports for three seconds, which is most of a small build. To its driver a spare is
the same: a child process with the worker's environment, which is waited for, and may be killed. When all are used,
programs are started.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# What a worker imports.
from apache_beam.runners.worker import log_handler, sdk_worker_main

from byline.pipelines.runners import interrupts, worker

IMPORTED = (log_handler, sdk_worker_main)
_POLL_SECONDS = 0.01


class Spare:
    """A process that may become a worker: the methods of `Popen` that are used of one."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid, self._pipe, self._lock = pid, pipe, threading.Lock()
        self.returncode: int | None = None

    def begin(self, environment: dict[str, str]) -> None:
        """Lets it work."""
        with os.fdopen(self._pipe, "w") as pipe:
            json.dump(environment, pipe)

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = None if pid == 0 else os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        while (status := self.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return status

    def kill(self) -> None:
        """Kills it, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def make_spares(count: int, folder: Path) -> None:
    """Forks spares of this process, which has no other thread yet, and has Beam use them.

    Args:
        count: how many.
        folder: gets an empty file for each that has become a worker, its process id as the name.
    """
    folder.mkdir()
    driver, spares = os.getpid(), list[Spare]()
    pipes: list[int] = []
    for _ in range(count):
        source, sink = os.pipe()
        pipes.append(sink)
        pid = os.fork()
        if pid == 0:
            for pipe in pipes:
                os.close(pipe)
            _become_worker(source, driver)
        os.close(source)
        spares.append(Spare(pid, sink))

    def start(command: str, *, shell: bool, env: dict[str, str]) -> Any:
        if not spares:
            return subprocess.Popen(command, shell=shell, env=env)
        spare = spares.pop()
        (folder / str(spare.pid)).touch()
        spare.begin(env)
        return spare

    vars(interrupts)["subprocess"] = SimpleNamespace(Popen=start)


def _become_worker(source: int, driver: int) -> None:
    """Waits for an environment, and is a worker until it ends; if none comes, ends."""
    status = 1
    try:
        with os.fdopen(source) as pipe:
            text = pipe.read()
        if text:
            os.environ.clear()
            os.environ.update(json.loads(text))
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.argv = ["worker", str(driver)]
            worker.main()
        status = 0
    finally:
        os._exit(status)
