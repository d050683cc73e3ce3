"""Workers that die: the work is done again with a line, or the command ends with one; nothing is left running.

Each command is a real process with worker processes. Its step kills its own process, as the system does when memory
runs out, or waits to be killed from outside.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.pipelines.runners.local_workers import LostWorker
from byline.pipelines.runners.worker_template import IS_SAFE
from tests.support.processes import stat_fields, wait_until

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 240.0

COMMAND = """
import sys
from byline.pipelines import cli

def app():
    import dying
    from byline.pipelines.runners import runner
    runner.run_pipeline(dying.wire, runner.RunnerSettings(workers=int(sys.argv[1])), 0)
    print("done", len(dying.written()))

cli.app = app
cli.main()
"""
# The step dies `deaths` times, of signal or exit status `how`, at element 7 of 20; it writes each element once.
DYING = """
import glob, os, signal, sys, time
import apache_beam as beam

HOW, DEATHS = {how!r}, {deaths!r}

def written():
    return glob.glob("written-*")

def work(number: int) -> int:
    if os.path.exists(f"written-{{number}}"):
        return number
    if number == 7:
        open(f"there-{{os.getpid()}}", "w").close()
        if len(glob.glob("there-*")) <= DEATHS:
            if HOW != "wait" and HOW < 0:
                os.kill(os.getpid(), -HOW)
            elif HOW != "wait":
                os._exit(HOW)
            time.sleep(600)
    open(f"written-{{number}}", "x").close()
    return number

def wire(pipeline: beam.Pipeline) -> object:
    return pipeline | beam.Create(range(20)) | beam.Reshuffle() | "Work" >> beam.Map(work)
"""


class Dying:
    """The command, in a group of its own."""

    def __init__(self, folder: Path, workers: int, how: int | str, deaths: int) -> None:
        self.folder = folder
        (folder / "dying.py").write_text(DYING.format(how=how, deaths=deaths))
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(workers)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def there(self) -> list[int]:
        """Workers that came to element 7."""
        return [int(path.name.removeprefix("there-")) for path in self.folder.glob("there-*")]

    def end(self) -> tuple[int, str, list[str]]:
        """Exit status, standard output, and the lines of standard error without process ids."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        for pid in self.there():
            err = err.replace(str(pid), "PID")
        return self.process.returncode, out, err.splitlines()

    def left(self) -> list[str]:
        """What still runs of the command's group."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,stat=", "-g", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [line for line in listed.stdout.splitlines() if line.split()[1][:1] != "Z"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int, int | str, int], Dying]]:
    begun: list[Dying] = []

    def begin(workers: int, how: int | str, deaths: int) -> Dying:
        begun.append(Dying(tmp_path, workers, how, deaths))
        return begun[-1]

    yield begin
    for command in begun:
        if command.process.poll() is None:
            os.killpg(command.process.pid, signal.SIGKILL)


KILLED = "worker process PID was killed by signal 9 (SIGKILL), which is what a system does when memory runs out"
KEPT = "what is written is kept, and the same command goes on from there"
GOES_ON = "what is written is kept, and the work goes on with"


def test_the_work_of_killed_workers_is_done_again_by_fewer(start: Callable[..., Dying]) -> None:
    command = start(2, -signal.SIGKILL, 2)
    notes = [f"note {KILLED}; {GOES_ON} 1 worker"] * 2
    assert command.end() == (0, "done 20\n", notes)
    assert len(command.there()) == 3
    wait_until(lambda: not command.left())


def test_work_that_kills_every_worker_ends_the_command(start: Callable[..., Dying]) -> None:
    command = start(2, -signal.SIGSEGV, 100)
    died = "worker process PID was killed by signal 11 (SIGSEGV)"
    notes = [f"note {died}; {GOES_ON} 2 workers"] * 2
    error = f"error {died}, as 2 before it; --workers 1 --verbose shows where; {KEPT}"
    assert command.end() == (1, "", [*notes, error])
    wait_until(lambda: not command.left())


def test_a_worker_that_exits_ends_the_command_at_once(start: Callable[..., Dying]) -> None:
    command = start(2, 0, 100)
    error = f"error worker process PID ended with exit status 0; --verbose shows its log; {KEPT}"
    assert command.end() == (1, "", [error])
    wait_until(lambda: not command.left())


@pytest.mark.skipif(not IS_SAFE, reason="workers are forked on Linux alone")
def test_the_work_goes_on_without_the_process_that_workers_were_forked_from(start: Callable[..., Dying]) -> None:
    command = start(2, "wait", 1)
    wait_until(lambda: len(command.there()) == 1)
    fields = stat_fields(command.there()[0])
    assert fields is not None
    os.kill(int(fields[1]), signal.SIGKILL)
    returncode, out, lines = command.end()
    assert (returncode, out, len(lines)) == (0, "done 20\n", 1)
    assert re.fullmatch(
        rf"note {KILLED}; {GOES_ON} 1 worker".replace("PID", "[PID0-9]+").replace("(SIGKILL)", r"\(SIGKILL\)"), lines[0]
    )
    wait_until(lambda: not command.left())


def test_workers_that_have_just_been_started_end_with_their_driver(start: Callable[..., Dying]) -> None:
    command = start(2, "wait", 1)
    wait_until(lambda: len(command.left()) >= 2)
    assert command.there() == []
    os.kill(command.process.pid, signal.SIGKILL)
    wait_until(lambda: not command.left())
    assert command.end() == (-signal.SIGKILL, "", [])


@pytest.mark.parametrize(
    ("lost", "line"),
    [
        (
            LostWorker(7, -signal.SIGKILL),
            "worker process 7 was killed by signal 9 (SIGKILL), which is what a system does when memory runs out, as 2 "
            f"before it; use fewer workers (--workers 2), or make memory free; {KEPT}",
        ),
        (
            LostWorker(7, -64),
            f"killed by signal 64 (SIGRTMAX), as 2 before it; --workers 1 --verbose shows where; {KEPT}",
        ),
        (LostWorker(7, 127), f"worker process 7 ended with exit status 127; --verbose shows its log; {KEPT}"),
    ],
)
def test_the_line_of_a_job_that_is_given_up(lost: LostWorker, line: str) -> None:
    assert lost.explain(4, before=2).endswith(line)
