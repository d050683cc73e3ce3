"""The same work on each shard: in this process where one worker is enough, else as a pipeline.

```
one worker of this machine    0, 1, 2, ...                              without the seconds that Beam takes to start
else                          ListShards of WORK/shards.txt | transform
```
"""

from collections.abc import Callable, Mapping

from rich.console import Console

from byline.pipelines.console.progress import progress_bar
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.files import storage

LIST_NAME = "shards.txt"


def count_records(work: str) -> int:
    """How many shards have a record that says that they are whole, in the folder for it."""
    return sum(info.base_name.endswith(".json") for info in storage.list_files(work))


def work_on_shards(
    command: str,
    count: int,
    here: Callable[[range], object],
    do: Callable[[str], Mapping[str, int] | None],
    work: str,
    size: int,
    settings: RunnerSettings,
    console: Console,
    done: Callable[[str], int] = count_records,
) -> None:
    """Works on shards, each once, and shows how many are done.

    Args:
        command: for the line of progress.
        count: how many shards there are; their numbers are those below it.
        here: works on all of them, one after another.
        do: does the same for one, given its number as text, in a worker (see `RunLines`).
        work: a folder that all workers can read, for the list of the numbers.
        size: bytes to be read, which decide the number of local workers.
        settings: how to run.
        console: for progress, and for what an engine says of the job.
        done: how many are done by now, by what is in `work`.

    Raises:
        BylineError: as `here` and `run_pipeline` do.
    """
    with progress_bar(console, command, count, lambda: done(work), unit="shards"):
        if settings.is_on_this_machine and settings.workers_for(size) == 1:
            here(range(count))
            return
        # Here, where there is something to run (byline.pipelines.wiring).
        with quick_imports():
            from byline.pipelines.wiring.lines import run_over_lines
            from byline.transforms.documents.run_lines_transform import RunLines
        step = f"{command.capitalize()}Shards" >> RunLines(do)
        run_over_lines("Shards", storage.join(work, LIST_NAME), map(str, range(count)), step, size, settings, console)
