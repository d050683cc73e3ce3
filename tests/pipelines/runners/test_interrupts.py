"""Ctrl-C and SIGTERM, sent to a real process: the exit status, one line, and nothing left running."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.pipelines.runners.interrupts import LINE
from tests.support.processes import is_running, wait_until

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 60.0

# A command of one step, in which every process says that it is there and then works for minutes.
COMMAND = """
import sys
from byline.pipelines import cli

def app():
    import held
    from byline.pipelines.runners import runner
    if sys.argv[1] == "0":
        held.work(0)
    held.begin(lambda: runner.run_pipeline(held.wire, runner.RunnerSettings(workers=int(sys.argv[1])), 0))

cli.app = app
cli.main()
"""
HELD = """
import os, time
import apache_beam as beam

def work(number: int) -> int:
    open(f"there-{os.getpid()}", "w").close()
    time.sleep(600)
    return number

def wire(pipeline: beam.Pipeline) -> object:
    return pipeline | beam.Create(range(20)) | beam.Reshuffle() | "Work" >> beam.Map(work)

def begin(run):
    try:
        run()
    finally:
        open("cleaned", "w").close()
        while os.path.exists("stay"):
            time.sleep(0.01)
"""


class Command:
    """A process in a group of its own, as a shell starts it."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        (folder / "held.py").write_text(HELD)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(workers)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def there(self) -> list[int]:
        """The processes that are in the step."""
        return [int(path.name.removeprefix("there-")) for path in self.folder.glob("there-*")]

    def end(self) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], Command]]:
    begun: list[Command] = []

    def begin(workers: int) -> Command:
        begun.append(Command(tmp_path, workers))
        wait_until(lambda: len(begun[0].there()) >= max(workers, 1))
        return begun[0]

    yield begin
    for command in begun:
        if command.process.poll() is None:
            os.killpg(command.process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("workers", "number", "whole_group", "status"),
    [
        (0, signal.SIGINT, True, 130),
        (1, signal.SIGINT, True, 130),
        (2, signal.SIGINT, True, 130),
        (2, signal.SIGINT, False, 130),
        (1, signal.SIGTERM, False, 143),
        (2, signal.SIGTERM, False, 143),
    ],
)
def test_one_line_and_nothing_left(
    start: Callable[[int], Command], workers: int, number: signal.Signals, whole_group: bool, status: int
) -> None:
    command = start(workers)
    if whole_group:
        os.killpg(command.process.pid, number)
    else:
        command.process.send_signal(number)
    assert command.end() == (status, "", f"{LINE}\n")
    wait_until(lambda: not any(map(is_running, command.there())))
    if workers:
        assert (command.folder / "cleaned").exists()


def test_the_second_one_waits_for_nothing(start: Callable[[int], Command]) -> None:
    command = start(2)
    (command.folder / "stay").touch()
    command.process.send_signal(signal.SIGINT)
    wait_until((command.folder / "cleaned").exists)
    assert command.process.poll() is None
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.end() == (130, "", f"{LINE}\n")
    wait_until(lambda: not any(map(is_running, command.there())))


def test_workers_of_a_driver_that_was_killed_end_without_a_word(start: Callable[[int], Command]) -> None:
    command = start(2)
    command.process.kill()
    # Their standard error is the driver's; it ends when they do.
    assert command.end() == (-signal.SIGKILL, "", "")
    wait_until(lambda: not any(map(is_running, command.there())))
