"""Trainings in processes of their own: what a kill leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# A task's file that never comes, so that the process waits until it is ended.
BEGIN = """
import multiprocessing, sys, time
from byline.lab import tasks
context = multiprocessing.get_context("forkserver")
process = context.Process(target=tasks._run, args=(sys.argv[1],))
process.start()
print(process.pid, flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_training_ends_with_the_command_that_was_killed(tmp_path):
    task = tmp_path / "task.json"
    os.mkfifo(task)
    begun = subprocess.Popen([sys.executable, "-c", BEGIN, str(task)], stdout=subprocess.PIPE, text=True)
    assert begun.stdout is not None
    pid = int(begun.stdout.readline())
    deadline = time.monotonic() + 30
    while not (tmp_path / "log.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_running(pid)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
