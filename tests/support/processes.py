"""Other processes, as the system sees them, and waiting for what they do.

```python
wait_until(lambda: not is_running(pid), "every worker gone")     # TimeoutError: not every worker gone after 180 s
```
"""

import time
from collections.abc import Callable
from pathlib import Path

# For a part of a job on a machine that does much else.
PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.02


def wait_until(is_so: Callable[[], bool], what: str = "what was waited for", seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for something that has to come.

    Raises:
        TimeoutError: it did not.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"not {what} after {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


def is_running(pid: int) -> bool:
    """Whether a process lives, and is not only waiting to be asked how it ended."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in "ZX"


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (proc(5)); None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
