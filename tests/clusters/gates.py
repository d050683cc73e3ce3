"""Holds a step of a job where it is until a test has done its harm, so that the harm is in the middle of it.

```
elements of a step     1st    scans, and is done to its end: a run, a count, a shard
                       2nd    waits       a process waits with each
                       3rd    waits       two do: kill one of them, then open the gate
```

`Hold` does that; `Meet` holds one element until a second process comes with it; `Fall` has each process that comes end
in the middle of writing a file. They are folders that all processes see. Workers import this module from the folder
where their pool was started, which is the repository's.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apache_beam as beam

from byline.transforms.files import storage
from tests.support.processes import wait_until

POLL_SECONDS = 0.05


class Gate(Protocol):
    """What elements scan through."""

    def enter(self, element: Any) -> None:
        """Called in the worker with each element; when it returns, the element goes on."""


def is_first(path: Path) -> bool:
    """Makes a file; False if some process made it before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@dataclass(frozen=True)
class Hold:
    """Lets one element scan and holds the others, each with its process, until it is open."""

    folder: Path

    def enter(self, element: Any) -> None:
        if is_first(self.folder / "first") or self._is_open():
            return
        (self.folder / f"waits-{os.getpid()}").touch()
        wait_until(self._is_open, "opened")

    def _is_open(self) -> bool:
        return (self.folder / "open").exists()

    def open(self) -> None:
        is_first(self.folder / "open")

    def waiting(self) -> list[int]:
        """Processes that wait, or did."""
        return sorted(int(path.name.removeprefix("waits-")) for path in self.folder.glob("waits-*"))


@dataclass(frozen=True)
class Meet:
    """Holds the first element until a second process comes with the same one; both go on then, side by side."""

    folder: Path

    def enter(self, element: Any) -> None:
        name = storage.temporary_name("held")
        if is_first(self.folder / "first"):
            (self.folder / name).write_text(str(element))
            (self.folder / name).rename(self.folder / "held")
            self._come()
            wait_until(lambda: len(self.processes()) >= 2, "joined by a second process")
        elif (self.folder / "held").exists() and (self.folder / "held").read_text() == str(element):
            self._come()

    def _come(self) -> None:
        (self.folder / f"came-{os.getpid()}").touch()

    def processes(self) -> list[int]:
        """Those that came with the element."""
        return sorted(int(path.name.removeprefix("came-")) for path in self.folder.glob("came-*"))


@dataclass(frozen=True)
class Fall:
    """Lets one element scan and, when it is done, kills each process that comes with another, until it is mended.

    Attributes:
        folder: of the gate.
        done: pattern of the files that say that an element is done, below the folder beside the gate's.
        file: what a process is in the middle of writing when it is killed.
    """

    folder: Path
    done: str
    file: str

    def enter(self, element: Any) -> None:
        if is_first(self.folder / "first") or (self.folder / "mended").exists():
            return
        wait_until(self._is_done, "done with the first element")
        with storage.write_file(self.file) as sink:
            sink.write(b"half of a")
            sink.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_done(self) -> bool:
        found = self.folder.parent.glob(self.done)
        return any(not path.name.startswith(storage.TEMPORARY_PREFIX) for path in found)

    def mend(self) -> None:
        is_first(self.folder / "mended")


class EnterFn(beam.DoFn):
    """Passes elements through a gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def process(self, element: Any) -> Iterator[Any]:
        self.gate.enter(element)
        yield element


class Gated(beam.PTransform):
    """A list of a step's elements with a gate behind it."""

    def __init__(self, elements: beam.PTransform, gate: Gate) -> None:
        super().__init__()
        self.elements = elements
        self.gate = gate

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        elements = pipeline | "Elements" >> self.elements
        return elements | "Gate" >> beam.ParDo(EnterFn(self.gate)).with_output_types(elements.element_type)
