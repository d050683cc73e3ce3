"""A pipeline of one step, over the lines of a list: `ListShards | VerifyShards`."""

from collections.abc import Iterable

import apache_beam as beam
from rich.console import Console

from byline.pipelines.runners.engine import job_shower
from byline.pipelines.runners.runner import run_pipeline
from byline.pipelines.runners.settings import RunnerSettings
from byline.transforms.documents.work_lists import ListLines, write_lines


def run_over_lines(
    what: str,
    list_uri: str,
    lines: Iterable[str],
    transform: beam.PTransform,
    size: int,
    settings: RunnerSettings,
    console: Console | None = None,
) -> None:
    """Writes a list and runs a transform over its lines.

    Args:
        what: the lines are, for the label of the first step: `Shards`.
        list_uri: where the list goes, which all workers can read.
        lines: of the list.
        transform: lines -> anything.
        size: bytes to be read, which decide the number of local workers.
        settings: how to run.
        console: for what an engine says of the job; None to leave that out.

    Raises:
        BylineError: as `run_pipeline` does.
    """
    write_lines(list_uri, lines)

    def wire(pipeline: beam.Pipeline) -> object:
        return pipeline | f"List{what}" >> ListLines(list_uri) | transform

    run_pipeline(wire, settings, size, None if console is None else job_shower(console, settings))
