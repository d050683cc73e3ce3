"""Progress bars that follow files, not workers: what is written is done, whoever wrote it.

```
prepare   ████████████████━━━━━━━━  512 MB of 800 MB   141 MB/s   0:00:02
```
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
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

_POLL_SECONDS = 0.5


@contextmanager
def progress_bar(
    console: Console, name: str, total: int, done: Callable[[], int], unit: str = "bytes"
) -> Iterator[None]:
    """Shows a bar while the block runs, in a terminal; in a pipe, nothing.

    Args:
        console: where to.
        name: of the step.
        total: bytes or things to do.
        done: how many are done now; asked twice a second from another thread.
        unit: `bytes`, or what the things are called.
    """
    size: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
    )
    columns = [
        TextColumn(f"[bold]{name:<9}"),
        BarColumn(),
        *size,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=total)
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(_POLL_SECONDS):
                bars.update(task, completed=min(done(), total))

        thread = threading.Thread(target=follow, daemon=True)
        if not bars.disable:
            thread.start()
        try:
            yield
            bars.update(task, completed=total)
        finally:
            stop.set()
            if thread.is_alive():
                thread.join()
