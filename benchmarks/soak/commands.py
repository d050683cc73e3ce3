"""Commands of Byline in processes of their own, watched from outside.

```python
command = Command(folder, ["assemble", "c.yaml", "--workers", "2"])
command.workers()                    # process ids of Beam's workers, [] before they start
command.end()                        # Ended(status=0, out="...", errors=[]); nothing is left running
```

A command is forked from this process, which has imported all of Byline but runs none of it: to import it again takes
longer than a small build.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.disks import SmallDisk, SmallFiles
from benchmarks.soak.forked_template import fork_template
from benchmarks.soak.recipes import SALT
from benchmarks.soak.slow_disk import sitecustomize
from byline.pipelines import cli
from byline.pipelines.jobs import assemble, build, compact, plan, prepare, verify
from tests.support.builds import ROOT

# What the commands import when they are called.
JOBS = (assemble, build, compact, plan, prepare, verify)

Disk = SmallDisk | SmallFiles
LIMIT_SECONDS = 180.0
_LEFT_SECONDS = 10.0
# What a command may say on standard error.
_LINES = ("note ", "warning ", "error ")


class WrongError(Exception):
    """An outcome that is not allowed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: as `Popen.returncode`.
        out: standard output.
        errors: lines of standard error.
    """

    status: int
    out: str
    errors: list[str]

    @property
    def error(self) -> str:
        """The line that it ended with; "" if it did not fail."""
        return next((line for line in self.errors if line.startswith("error ")), "")

    @property
    def has_lost_worker(self) -> bool:
        """Whether it says that a worker was killed."""
        return any("worker process" in line for line in self.errors)

    def __str__(self) -> str:
        return "\n".join([f"status {self.status}", *self.errors[-20:], self.out[-2000:]])


class Command:
    """A command that runs, in a process group of its own.

    Args:
        folder: a new one, for its output and scratch files.
        words: of the command line.
        scans_are_jobs: whether even a small plan is made by jobs, as that of a large store is.
        disk: where it has no room; None for enough.
        is_slow: whether each file takes a while to get its name.
    """

    def __init__(
        self,
        folder: Path,
        words: list[str],
        *,
        scans_are_jobs: bool = False,
        disk: Disk | None = None,
        is_slow: bool = False,
    ) -> None:
        self.words, self.scratch = words, folder / "scratch"
        self.scratch.mkdir(parents=True)
        self._outputs = [folder / "out.txt", folder / "errors.txt"]
        self._status: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._run(
                    nullcontext() if disk is None else disk.mounted(), scans_are_jobs=scans_are_jobs, is_slow=is_slow
                )
            finally:
                os._exit(70)

    def _run(self, disk: AbstractContextManager[None], *, scans_are_jobs: bool, is_slow: bool) -> None:
        """In the new process: the command, and its end."""
        os.setsid()
        os.chdir(ROOT)
        for number, path in enumerate([Path(os.devnull), *self._outputs]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), number)
        os.environ.update(TMPDIR=str(self.scratch), COLUMNS="200", BYLINE_SALT=SALT)
        tempfile.tempdir = None
        sys.argv = ["byline", *self.words]
        if is_slow:
            sitecustomize.be_slow()
            folders = [str(Path(sitecustomize.__file__).parent), os.environ.get("PYTHONPATH", "")]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
        if scans_are_jobs:
            vars(plan)["is_worth_a_job"] = lambda size: True
        status = 0
        try:
            with disk:
                if self.words[-1] != "1":
                    fork_template()
                cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    @property
    def is_running(self) -> bool:
        """Whether its driver is."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = None if pid == 0 else os.waitstatus_to_exitcode(status)
        return self._status is None

    def kill(self) -> None:
        """Kills the driver, if it runs."""
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Process ids of its worker processes, which are children of a child, their template."""
        return [worker for child in _children(self.pid) for worker in _children(child)]

    def end(self) -> Ended:
        """Waits for its end.

        Raises:
            WrongError: it does not end, or leaves processes, or says other than a command may.
        """
        ends = time.monotonic() + LIMIT_SECONDS
        while self.is_running:
            if time.monotonic() > ends:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise WrongError(f"{self.words[0]}: no end\n{self._ended(-signal.SIGKILL)}")
            time.sleep(0.02)
        ends = time.monotonic() + _LEFT_SECONDS
        while _has_group(self.pid):
            if time.monotonic() > ends:
                os.killpg(self.pid, signal.SIGKILL)
                raise WrongError(f"{self.words[0]}: processes are left over")
            time.sleep(0.1)
        assert self._status is not None
        ended = self._ended(self._status)
        check_ended(self.words[0], ended)
        return ended

    def _ended(self, status: int) -> Ended:
        out, errors = (path.read_text(encoding="utf-8", errors="replace") for path in self._outputs)
        return Ended(status, out, errors.splitlines())


def check_ended(step: str, ended: Ended) -> None:
    """Checks that a command ended as one may that was not killed: 0, or 1 and one line.

    Raises:
        WrongError: it did not.
    """
    if ended.status == -signal.SIGKILL:
        # What was being printed may be cut.
        return
    others = [line for line in ended.errors if not line.startswith(_LINES)]
    errors = sum(line.startswith("error ") for line in ended.errors)
    # `verify` has its findings on standard output; 2: not all could be compared.
    statuses = (0, 1, 2) if step == "verify" else (0, 1)
    is_told = errors == 0 if ended.status == 0 else errors == 1 or step == "verify"
    if others or errors > 1 or ended.status not in statuses or not is_told:
        raise WrongError(f"{step}: not as a command may end\n{ended}")


def _children(process: int) -> list[int]:
    """Its child processes, whichever of its threads started them."""
    children: list[int] = []
    try:
        for thread in os.scandir(f"/proc/{process}/task"):
            children += map(int, Path(thread.path, "children").read_text().split())
    except OSError:
        # It has ended.
        return []
    return children


def _has_group(group: int) -> bool:
    """Whether a process of a group runs."""
    shown = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(line.split()[0]) == group and line.split()[1][0] != "Z" for line in shown.splitlines())
