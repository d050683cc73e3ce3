"""Tries the footers of Parquet files in a process that may end by them, before this process uses them.

```
footer               the process that tries it                          the file
as it should be      answers                                            is read by this process
damaged              answers: what is raised there is raised here       refused by whoever reads it
made to crash        ends, by SIGABRT or SIGSEGV, as does another       refused: an `ArrowInvalid` that says how
without an end       ends after 120 s                                   the same
```

One process is kept for all files, one after another. It takes 0.3 s to start and 60 MB, and a trial takes about as long
as reading the footer does. It ends with this process, also if that is killed: then its input ends.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import pyarrow as pa

from byline.errors import BylineError
from byline.transforms.corpora import parquet_footer
from byline.transforms.corpora.parquet_footer import ANSWER, MOST_SECONDS, Tail
from byline.transforms.files.refusals import reason

_LOG_BYTES = 1 << 12


class _EndedError(Exception):
    """The process has ended; the text says how."""

    def __init__(self, text: str, *, was_killed: bool) -> None:
        super().__init__(text)
        self.was_killed = was_killed


class _Process:
    """The process, from its start to its end."""

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        self._popen = subprocess.Popen(
            [sys.executable, "-I", parquet_footer.__file__, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            # A library of numpy's reserves room for each of its threads.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            # Ctrl-C in a terminal reaches all processes; only this one handles it.
            start_new_session=True,
        )

    def answer(self, trial: bytes = b"") -> None:
        """Gives it a trial and waits for the answer; without a trial, for its start.

        Raises:
            _EndedError: it has ended instead.
        """
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.write(trial)
            self._popen.stdin.flush()
        if self._popen.stdout.read(len(ANSWER)) != ANSWER:
            raise self._ended()

    def _ended(self) -> _EndedError:
        status = self._popen.wait()
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _LOG_BYTES))
        lines = self._log.read().decode(errors="replace").splitlines()
        said = [line.partition("what():")[2].strip() for line in lines if "what():" in line] or lines
        if status == -signal.SIGALRM:
            return _EndedError(f"takes more than {MOST_SECONDS} s", was_killed=False)
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        return _EndedError(": ".join([f"ends a process {how}", *said[-1:]]), was_killed=status == -signal.SIGKILL)

    def close(self) -> None:
        """Ends it."""
        self._popen.kill()
        self._popen.wait()
        self.leave()

    def leave(self) -> None:
        """Lets go of it, in a process that is not the one that started it."""
        for file in (self._popen.stdin, self._popen.stdout, self._log):
            assert file is not None
            with suppress(BrokenPipeError):
                file.close()


class _Trials:
    """The process of this one, which is started when a footer is to be tried."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def run(self, trial: bytes) -> None:
        """Raises `_EndedError` where there is no answer to a trial."""
        with self._lock:
            try:
                if self._process is None:
                    self._process = _started()
                self._process.answer(trial)
            except BaseException:
                # After an interrupt, too: the next answer would be that to this trial.
                self._end()
                raise

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def leave(self) -> None:
        """In a copy of this process that `os.fork` has made: the process stays the other's."""
        if self._process is not None:
            self._process.leave()


def _started() -> _Process:
    try:
        process = _Process()
    except OSError as error:
        raise BylineError(f"a process that tries Parquet files cannot be started ({reason(error)})") from None
    try:
        process.answer()
    except _EndedError as error:
        process.close()
        raise BylineError(f"a process that tries Parquet files cannot be started (its start {error})") from None
    return process


_trials = _Trials()
# What copies of a process got from it, so that nothing is said of a process that they cannot wait for.
_left: list[_Trials] = []


def _after_fork() -> None:
    global _trials
    _left.append(_trials)
    _trials.leave()
    _trials = _Trials()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _trials.close())


def try_tail(tail: Tail, is_whole: bool, paths: Sequence[str] | None = None) -> None:
    """Tries the footer of a file.

    Args:
        tail: of the file.
        is_whole: as in `open_parquet`.
        paths: of the columns that will be read; None if only the schema and the first rows will be.

    Raises:
        pa.ArrowInvalid: using it ends a process; any other fault is left to who uses it.
        BylineError: there is no process to try it in, or it was killed.
    """
    settings = {
        "tail_bytes": len(tail.content),
        "file_bytes": tail.file_bytes,
        "is_whole": is_whole,
        "paths": None if paths is None else list(paths),
    }
    trial = json.dumps(settings).encode() + b"\n" + tail.content
    for last in (False, True):
        try:
            _trials.run(trial)
            return
        except _EndedError as error:
            if not last:
                continue
            if error.was_killed:
                raise BylineError(
                    "the process that tries Parquet files was killed (SIGKILL), which is what a system does when "
                    "memory runs out; use fewer workers, or make memory free"
                ) from None
            raise pa.ArrowInvalid(f"its footer {error}") from None
