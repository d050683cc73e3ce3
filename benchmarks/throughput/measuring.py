"""What a command takes, with all processes that it starts: time, processor time, memory, bytes read and written.

```
                        rss             shared with others       private
driver   byline build   |============================|=================|   each at its largest
worker   (forked)                 |==================|===========|         of the largest
all                     |================== pss ==================|        shared memory counted once
```

`measure` has a small process run and watch the command, which adopts what the command leaves behind (Linux's child
subreaper), so that processor time is that of every process, as the system counted it when it ended. Memory is sampled.
Both need /proc; elsewhere memory is unknown, and processes that nobody waits for are missing from processor time.
"""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.processes import stat_fields

PROC = Path("/proc")
# Seconds between two samples of memory: a walk over a process's pages takes some milliseconds for each gigabyte.
INTERVAL = 0.5
# Seconds that what a command leaves behind may go on.
_PATIENCE = 10.0
_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Memory:
    """Peaks in bytes, each its own. Pages of a mapped file are shared where another process has them, and else private.

    Attributes:
        driver_private, driver_shared: of the command's own process.
        worker_private, worker_shared: of the descendant that has most of it; 0 without any.
        workers: how many descendants there were at once.
        whole: of all processes together, shared memory counted once.
    """

    driver_private: int = 0
    driver_shared: int = 0
    worker_private: int = 0
    worker_shared: int = 0
    workers: int = 0
    whole: int = 0


@dataclass(frozen=True)
class Traffic:
    """Bytes of the command and its descendants.

    Attributes:
        read, written: by system calls, whether from the file cache or not; not what is read of a mapped file.
        from_disk, to_disk: what had to come from a disk, and what went or is to go there.
    """

    read: int
    written: int
    from_disk: int
    to_disk: int


@dataclass(frozen=True)
class Measured:
    """What a command took.

    Attributes:
        seconds: from start to end.
        cpu_seconds: of all its processes, in user and system mode.
        others: processor seconds that everything else on the machine used meanwhile; None where that is unknown.
        memory, traffic: None where they are unknown.
    """

    seconds: float
    cpu_seconds: float
    others: float | None = None
    memory: Memory | None = None
    traffic: Traffic | None = None


class CommandError(Exception):
    """A measured command failed; the message has the end of what it printed."""


def measure(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Runs a command to its end.

    Args:
        command: the program and its arguments.
        log: where its output goes.
        environment: variables beside those of this process.

    Raises:
        CommandError: its exit status is not 0.
    """
    watch = [sys.executable, "-m", __name__, str(log), *command]
    done = subprocess.run(watch, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
        raise CommandError(f"exit status {done.returncode}: {' | '.join(last)} ({log})")
    values = json.loads(done.stdout)
    memory, traffic = values.pop("memory"), values.pop("traffic")
    return Measured(**values, memory=memory and Memory(**memory), traffic=traffic and Traffic(**traffic))


# ----------------------------------------------------------------------------------- in the process that watches


def _watch(command: Sequence[str], log: Path) -> tuple[int, Measured]:
    """Runs a command; its exit status, and what it took."""
    if PROC.exists():
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    busy, started = _busy_seconds(), time.perf_counter()
    with log.open("wb") as sink:
        root = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT).pid
    seconds = cpu_seconds = 0.0
    status, traffic = 0, None
    with _Sampler(root) as sampler:
        for pid, own_status, usage, own_traffic in _ended_children(root):
            cpu_seconds += usage.ru_utime + usage.ru_stime
            traffic = _summed(traffic, own_traffic)
            if pid == root:
                seconds, status = time.perf_counter() - started, os.waitstatus_to_exitcode(own_status)
    others = None if busy is None else max(0.0, (_busy_seconds() or 0.0) - busy - cpu_seconds)
    return status, Measured(seconds, cpu_seconds, others, sampler.memory, traffic)


def _ended_children(root: int) -> Iterator[tuple[int, int, "os.struct_rusage", Traffic | None]]:  # type: ignore[name-defined]
    """Children as they end: pid, status, what the system counted of it and of those it waited for; the command's own,
    and, where this process adopts them, those that the command leaves behind."""
    if not PROC.exists():
        yield (*os.wait4(root, 0), None)
        return
    deadline = None
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | (0 if deadline is None else os.WNOHANG))
        except ChildProcessError:
            return
        if ended is None:
            if time.monotonic() > (deadline or 0.0):
                return
            time.sleep(0.02)
            continue
        # Before its status is taken: then the system forgets it.
        traffic = _traffic(ended.si_pid)
        yield (*os.wait4(ended.si_pid, 0), traffic)
        if ended.si_pid == root:
            deadline = time.monotonic() + _PATIENCE


def _traffic(pid: int) -> Traffic | None:
    try:
        lines = (PROC / str(pid) / "io").read_text().splitlines()
    except OSError:
        return None
    counts = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return Traffic(counts["rchar"], counts["wchar"], counts["read_bytes"], counts["write_bytes"])


def _summed(first: Traffic | None, second: Traffic | None) -> Traffic | None:
    if first is None or second is None:
        return first or second
    return Traffic(*(a + b for a, b in zip(vars(first).values(), vars(second).values(), strict=True)))


def _busy_seconds() -> float | None:
    """Processor seconds that the machine was busy since it started."""
    try:
        counts = [int(count) for count in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:8]]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq = counts
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class _Sampler:
    """Samples the memory of a process and of the other descendants of this one, in a thread, while its block runs."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peaks = asdict(Memory())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> "_Sampler":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def memory(self) -> Memory | None:
        """The peaks so far; None if there was nothing to see."""
        return Memory(**self._peaks) if self._peaks["whole"] else None

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        sizes = {pid: _sizes(pid) for pid in _descendants(os.getpid())}
        for pid, own in sizes.items():
            role = "driver" if pid == self._root else "worker"
            private = own.get("Private_Clean", 0) + own.get("Private_Dirty", 0)
            shared = own.get("Shared_Clean", 0) + own.get("Shared_Dirty", 0)
            self._peaks[f"{role}_private"] = max(self._peaks[f"{role}_private"], private)
            self._peaks[f"{role}_shared"] = max(self._peaks[f"{role}_shared"], shared)
        self._peaks["workers"] = max(self._peaks["workers"], sum(map(bool, sizes.values())) - 1)
        self._peaks["whole"] = max(self._peaks["whole"], sum(own.get("Pss", 0) for own in sizes.values()))


def _descendants(pid: int) -> set[int]:
    """All processes that descend from one."""
    running = [int(name) for name in os.listdir(PROC) if name.isdigit()] if PROC.exists() else []
    # State, parent, ...
    parents = {number: int(fields[1]) for number in running if (fields := stat_fields(number)) is not None}
    members: set[int] = set()
    added = {pid}
    while added:
        added = {child for child, parent in parents.items() if parent in added}
        members |= added
    return members


def _sizes(pid: int) -> dict[str, int]:
    """Bytes of a process's memory by kind; nothing of one that has ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    return {name.rstrip(":"): int(size) << 10 for name, size, *_ in map(str.split, lines[1:])}


if __name__ == "__main__":
    exit_status, result = _watch(sys.argv[2:], Path(sys.argv[1]))
    print(json.dumps(asdict(result)))
    sys.exit(1 if exit_status else 0)
