"""An interrupt (Ctrl-C) or a SIGTERM ends a command with one line, whatever it is doing.

```
1st    the worker processes are killed, what is half written is removed, a cluster's job is cancelled; the line
2nd    the process ends at once, with the line
```

What is raised in the middle of Beam comes out as any error, or waits for a worker; so that a signal came is noted here.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType, SimpleNamespace
from typing import Any

LINE = "stopped; run the same command again to go on where it was"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_KILL_SECONDS = 0.1
_SHOW_CURSOR = "\x1b[?25h"

_received: list[int] = []
_workers: list[subprocess.Popen[bytes]] = []


def watch() -> None:
    """Has signals noted, from now to the end of this process."""
    for number in _SIGNALS:
        signal.signal(number, _note)


def is_stopped() -> bool:
    """Whether a signal came."""
    return bool(_received)


def end_process() -> None:
    """Says so, and ends this process: 130 after an interrupt, 143 after a SIGTERM. Nothing is waited for."""
    _kill_workers()
    sys.stdout.flush()
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    sys.stderr.write(f"{cursor}{LINE}\n")
    sys.stderr.flush()
    os._exit(128 + _received[0])


def note_workers() -> None:
    """Has the worker processes that Beam starts from now on noted, to be killed when a signal comes."""
    from apache_beam.runners.portability import local_job_service

    vars(local_job_service)["subprocess"] = SimpleNamespace(Popen=_start_worker)


def _start_worker(*arguments: Any, **keywords: Any) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(*arguments, **keywords)
    _workers[:] = [*(worker for worker in _workers if worker.returncode is None), process]
    return process


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) > 1:
        end_process()
    # Beam's threads tell of each worker that is gone.
    threading.excepthook = lambda _: None
    # Again and again: Beam may be about to start one, and would wait for it.
    threading.Thread(target=_keep_killing, daemon=True).start()
    raise KeyboardInterrupt


def _keep_killing() -> None:
    while True:
        _kill_workers()
        time.sleep(_KILL_SECONDS)


def _kill_workers() -> None:
    for worker in list(_workers):
        worker.kill()
