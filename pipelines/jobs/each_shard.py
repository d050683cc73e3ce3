"""The same work on each shard: in this process where one worker is enough, else as a pipeline.

```
one worker of this machine    0, 1, 2, ...                              without the seconds that Beam takes to start
else                          ListShards of WORK/shards.txt | transform
```
"""

from collections.abc import Callable

import apache_beam as beam
from rich.console import Console

from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.transforms.documents.work_lists import ListLines, write_lines
from byline.transforms.files import storage

LIST_NAME = "shards.txt"


def work_on_shards(
    numbers: range,
    here: Callable[[range], object],
    transform: beam.PTransform,
    work: str,
    size: int,
    settings: RunnerSettings,
    console: Console,
) -> None:
    """Works on shards, each once.

    Args:
        numbers: of the shards.
        here: works on all of them, one after another.
        transform: the same for a pipeline: numbers as text -> anything.
        work: a folder that all workers can read, for the list of the numbers.
        size: bytes to be read, which decide the number of local workers.
        settings: how to run.
        console: for what an engine says of the job.

    Raises:
        BylineError: as `here` and `run_pipeline` do.
    """
    if settings.is_on_this_machine and settings.workers_for(size) == 1:
        here(numbers)
        return
    list_uri = storage.join(work, LIST_NAME)
    write_lines(list_uri, map(str, numbers))

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | "ListShards" >> ListLines(list_uri) | transform

    run_pipeline(wire, settings, size, job_shower(console, settings))
