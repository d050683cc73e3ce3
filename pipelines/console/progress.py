"""Progress that follows files, not workers: what is written is done, whoever wrote it.

```
terminal   prepare   ████████████████━━━━━━━━  512 MB of 800 MB   141 MB/s   0:00:02
a log      prepare   41 %, 4.1 TB of 10.0 TB, 310.0 MB/s, 5 h 17 min left
```

A log gets a line at each tenth of a job, at most one a minute and at least one every half hour. A job of seconds gets
none.

Measuring progress costs requests where the files are on an object store, so each measurement is followed by a pause
twenty times as long as it took. One that fails is repeated a minute later; nothing here makes a job fail or wait.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from byline.errors import BylineError

# At least so long between two measurements, for a bar and for lines.
_BAR_SECONDS, _LINES_SECONDS = 0.5, 10.0
# Measuring may take about a twentieth of the time.
_PAUSE_FACTOR = 20
_RETRY_SECONDS = 60.0
# How long a job that is over waits for a measurement that is under way.
_END_SECONDS = 1.0
# Least and most time between two lines.
_LEAST_SECONDS, _MOST_SECONDS = 60.0, 1800.0


@dataclass
class ProgressLines:
    """The lines of one job; `now` is in seconds of any clock.

    Attributes:
        name: of the step.
        total: bytes, or items of another unit, to do.
        unit: `bytes`, or what the items are called.
        started: when the job started.
    """

    name: str
    total: int
    unit: str
    started: float

    def __post_init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._said, self._tenth = self.started, 0

    def line(self, now: float, done: int) -> str | None:
        """The line for what is done by now; None while it is too early for another."""
        self._first = self._first or (now, done)
        tenth, quiet = 10 * done // max(self.total, 1), now - self._said
        if quiet < _MOST_SECONDS and (quiet < _LEAST_SECONDS or tenth <= self._tenth):
            return None
        self._said, self._tenth = now, tenth
        parts = [f"{100 * done // max(self.total, 1)} %", f"{self._amount(done)} of {self._amount(self.total, True)}"]
        since, before = self._first
        if done > before:
            rate = (done - before) / (now - since)
            parts += [self._rate(rate), f"{duration((self.total - done) / rate)} left"]
        return f"{self.name:<9} {', '.join(parts)}"

    def _amount(self, count: int, named: bool = False) -> str:
        if self.unit == "bytes":
            return decimal(count)
        return f"{count:,} {self.unit}" if named else f"{count:,}"

    def _rate(self, rate: float) -> str:
        return f"{decimal(round(rate))}/s" if self.unit == "bytes" else f"{60 * rate:,.1f} a minute"


def duration(seconds: float) -> str:
    """A time in its two largest units, as `2 h 10 min`; below an hour one is enough."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


@contextmanager
def progress_bar(
    console: Console, name: str, total: int, done: Callable[[], int], unit: str = "bytes"
) -> Iterator[None]:
    """Shows progress while the block runs: a bar in a terminal, now and then a line elsewhere.

    Args:
        console: where to.
        name: of the step.
        total: bytes, or items of another unit, to do.
        done: returns how many are done by now; called from another thread, and may fail.
        unit: `bytes`, or what the items are called.
    """
    if not console.is_terminal:
        lines = ProgressLines(name, total, unit, time.monotonic())

        def say(count: int) -> None:
            line = lines.line(time.monotonic(), min(count, total))
            if line is not None:
                console.print(line, highlight=False)

        with _followed(done, say, _LINES_SECONDS):
            yield
        return
    with Progress(*_columns(name, unit), console=console) as bars:
        task = bars.add_task(name, total=total)
        with _followed(done, lambda count: bars.update(task, completed=min(count, total)), _BAR_SECONDS):
            yield
        bars.update(task, completed=total)


def _columns(name: str, unit: str) -> list[ProgressColumn]:
    size: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
    )
    left = [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    return [TextColumn(f"[bold]{name:<9}"), BarColumn(), *size, *left]


@contextmanager
def _followed(done: Callable[[], int], show: Callable[[int], None], least_seconds: float) -> Iterator[None]:
    """Shows what is done, again and again, from a thread that ends at most one measurement after the block."""
    stop = threading.Event()

    def follow() -> None:
        pause = least_seconds
        while not stop.wait(pause):
            started = time.monotonic()
            try:
                count = done()
            except (BylineError, OSError, pa.ArrowException):
                pause = max(_RETRY_SECONDS, least_seconds)
                continue
            pause = max(_PAUSE_FACTOR * (time.monotonic() - started), least_seconds)
            if not stop.is_set():
                show(count)

    # A daemon, so that a measurement that hangs does not keep the process alive.
    thread = threading.Thread(target=follow, name="byline-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_END_SECONDS)
