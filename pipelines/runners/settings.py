"""The runners, and how a command is to run its jobs; nothing here imports Beam.

```
RunnerSettings(workers=4)                    at most four processes on this machine
RunnerSettings(runner="spark", options=...)  a Spark cluster, with options of Beam's
```
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from byline.errors import BylineError
from byline.pipelines.runners import dataflow

# Below this, starting worker processes takes longer than they save.
SMALL_INPUT_BYTES = 32 << 20
# Below this, the scans of a plan take no longer in the driver's process than their jobs take to start. It is 4 million
# documents of 1,300 tokens: for a scan 1 to 13 s of a busy core, 230 MB, and from an object store at least 5 s (10,000
# requests of 30 ms, 64 at a time). A job starts in 3 s on Flink, 7 s on Spark, 2 to 10 s in processes on this machine,
# and minutes on Dataflow; a plan is three to eight scans, of which one or two are long.
SMALL_SCAN_BYTES = 256 << 20


class Runner(Enum):
    """What runs the pipelines; the value is its name for users."""

    LOCAL = "local"
    SPARK = "spark"
    FLINK = "flink"
    PORTABLE = "portable"
    DATAFLOW = "dataflow"

    @classmethod
    def named(cls, name: str) -> "Runner":
        """The runner with this name, ours or Beam's, in upper or lower case.

        Raises:
            BylineError: there is no such runner.
        """
        key = name.lower()
        beam_names = {"directrunner": cls.LOCAL, "fnapirunner": cls.LOCAL}
        names = {**{kind.value: kind for kind in cls}, **{f"{kind.value}runner": kind for kind in cls}, **beam_names}
        if key not in names:
            raise BylineError(f"runner {name!r}: expected one of {', '.join(kind.value for kind in cls)}")
        return names[key]


# Runners that take jobs through one of Beam's job servers.
JOB_SERVED = frozenset({Runner.SPARK, Runner.FLINK, Runner.PORTABLE})


@dataclass(frozen=True)
class RunnerSettings:
    """How to run pipelines.

    Attributes:
        workers: how many, in the sense of the table of `byline.pipelines.runners.runner`; None for the runner's
            default, which for the local runner is one process for each core, or a single one if the input is small.
        verbose: show Beam's own log.
        runner: a name of `Runner`, or Beam's.
        options: Beam's options as on a command line: `--name=value`.
        keeps_processes: whether a single local worker gets a process of its own, too.
    """

    workers: int | None = None
    verbose: bool = False
    runner: str = "local"
    options: tuple[str, ...] = ()
    keeps_processes: bool = False

    @property
    def kind(self) -> Runner:
        """The runner.

        Raises:
            BylineError: there is no runner of this name.
        """
        return Runner.named(self.runner)

    @property
    def is_on_this_machine(self) -> bool:
        """Whether all workers are processes on this machine."""
        return self.kind is Runner.LOCAL

    def check(self) -> list[str]:
        """Checks the settings, as far as no server has to be asked; for the start of a command.

        Returns:
            Names of options that only a job server may know.

        Raises:
            BylineError: no such runner, or an option is unknown, wrong or missing.
        """
        if self.is_on_this_machine and not self.options:
            return []
        # Beam says which options there are, and takes a second to import; most commands give none.
        from byline.pipelines.runners.beam_options import check_complete, check_options

        unknown = check_options(self.kind, self.options)
        check_complete(self.kind, self.options)
        return unknown

    def check_locations(self, locations: Iterable[tuple[str, str]]) -> None:
        """Refuses locations that this runner's workers cannot open; Spark and Flink may have a shared file system.

        Args:
            locations: each with its key in the recipe.

        Raises:
            BylineError: there are such locations.
        """
        if self.kind is Runner.DATAFLOW:
            dataflow.check_locations(locations)

    def workers_for(self, input_bytes: int) -> int:
        """How many local processes to use for an input of this size on disk."""
        if self.workers is not None:
            return self.workers
        return 1 if input_bytes < SMALL_INPUT_BYTES else os.cpu_count() or 1


def is_worth_a_job(scan_bytes: int) -> bool:
    """Whether a scan over this much of the token store is worth a job, instead of running in this process."""
    return scan_bytes >= SMALL_SCAN_BYTES
