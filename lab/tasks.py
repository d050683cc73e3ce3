"""Trainings, each in a process of its own.

```
OUT/runs/conditioned/0.5M/seed-0/task.json       what to train, on which rows, evaluated on which
                                 losses.csv      the training loss by source
                                 metrics.csv     what the evaluations measured
                                 state.pt        to go on from
                                 finished.json   is there when it has finished
                                 log.txt         what the process said
```

A process has one thread: on two cores, two trainings of small models side by side are faster than one on both. They are
forked from one that has imported everything, which takes longer than a small training. They end with the command that
began them, however that ends. A training that was stopped goes on, and gives what it would have given.
"""

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from rich.console import Console

import byline
from byline.errors import BylineError
from byline.lab.training.evaluating import EvaluationRows
from byline.lab.training.loop import TrainingSettings, train
from byline.lab.training.objectives import objective_of
from byline.transforms.files.storage import write_file

# Between two questions whether a process has ended.
_SECONDS = 0.2
# Between two lines of progress.
_LINE_SECONDS = 15.0


@dataclass(frozen=True)
class EvaluatedRows:
    """Rows of a build on which is evaluated: the first `sequences` of what is held out, or of all."""

    name: str
    out: str
    is_holdout: bool
    sequences: int

    def rows(self) -> EvaluationRows:
        shards = byline.open(self.out)
        if self.is_holdout:
            shards = byline.open(self.out, branch=shards.holdout)
        return EvaluationRows.of(shards[: self.sequences])


@dataclass(frozen=True)
class Task:
    """A training.

    Attributes:
        folder: for all that it writes.
        out: the build that it reads, its timeline or up to the end of a `branch`.
        settings: of the training.
        evaluations: what is evaluated on.
        start: a checkpoint of another training to begin from, which read the same rows before.
        rows_per_step: `n/d` where it is not the rows divided by the steps.
        objective: another than the mean loss: its `kind` and what that takes.
    """

    folder: str
    out: str
    settings: TrainingSettings
    evaluations: tuple[EvaluatedRows, ...]
    branch: str | None = None
    start: str | None = None
    rows_per_step: str | None = None
    objective: Mapping[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        return Path(self.folder, "finished.json").exists()

    def run(self) -> None:
        """Trains in this process."""
        evaluations = {one.name: one.rows() for one in self.evaluations}
        train(
            self.settings,
            byline.open(self.out, branch=self.branch),
            evaluations,
            Path(self.folder),
            start=None if self.start is None else Path(self.start),
            rows_per_step=None if self.rows_per_step is None else Fraction(self.rows_per_step),
            objective=None if self.objective is None else objective_of(self.objective, Path(self.folder)),
        )

    def write(self) -> Path:
        """`task.json`.

        Raises:
            BylineError: another training began there.
        """
        path = Path(self.folder, "task.json")
        text = json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BylineError(f"{self.folder}: is of another training; remove it, or give another --output")
        with write_file(str(path)) as sink:
            sink.write(text.encode())
        return path

    @classmethod
    def read(cls, path: Path) -> "Task":
        values = json.loads(path.read_text(encoding="utf-8"))
        values["settings"] = TrainingSettings(**values["settings"])
        values["evaluations"] = tuple(EvaluatedRows(**one) for one in values["evaluations"])
        return cls(**values)


def run_tasks(tasks: Sequence[Task], workers: int, console: Console) -> None:
    """Trains what is not finished, `workers` at a time, in the order given.

    Raises:
        BylineError: one of them failed; the others that run are ended, and go on the next time.
    """
    waiting = [task for task in tasks if not task.is_finished]
    running: dict[str, ForkServerProcess] = {}
    done, total = len(tasks) - len(waiting), len(tasks)
    began = last_line = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                task = waiting.pop(0)
                running[task.folder] = _start(task)
            for folder, process in list(running.items()):
                if process.is_alive():
                    continue
                del running[folder]
                if process.exitcode != 0:
                    killed = process.exitcode is not None and process.exitcode < 0
                    said = "was killed, perhaps for want of memory" if killed else _last_line(folder)
                    raise BylineError(f"{folder}: {said} (log.txt has all)")
                done += 1
            if time.monotonic() - last_line > _LINE_SECONDS:
                last_line = time.monotonic()
                _show(done, total, running, last_line - began, console)
            time.sleep(_SECONDS)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


def _start(task: Task) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(str(task.write()),))
    process.start()
    return process


def _run(path: str) -> None:
    """Trains what a file says; all that is said goes to the log, a user's mistake as its last line."""
    log = os.open(str(Path(path).with_name("log.txt")), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        Task.read(Path(path)).run()
    except BylineError as error:
        sys.exit(str(error))
    except Exception:
        sys.exit(traceback.format_exc())


def _end_with_parent() -> None:
    """Ends this process when the command that began it was killed: it would write beside that which goes on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _last_line(folder: str) -> str:
    log = Path(folder, "log.txt")
    # A process that was just started has none.
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else ""


def _show(done: int, total: int, running: Iterable[str], seconds: float, console: Console) -> None:
    console.print(f"training  {done} of {total} finished, {seconds:,.0f} s", highlight=False)
    for folder in running:
        name = " ".join(Path(folder).parts[-3:])
        console.print(f"          {name}: {_last_line(folder)}", highlight=False, markup=False)
