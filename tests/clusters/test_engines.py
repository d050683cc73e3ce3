"""Jobs on a real Spark and a real Flink cluster: both workers, groups, and failures in one line."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest

from byline.errors import BylineError
from byline.pipelines.runners.runner import run_pipeline
from tests.clusters.conftest import Engine

pytestmark = pytest.mark.cluster


class Pids(beam.DoFn):
    """Gives the process that an element went through, slowly enough for another one to take the next."""

    def process(self, element: int) -> Iterator[tuple[int, int]]:
        time.sleep(0.1)
        yield os.getpid(), element


class Write(beam.DoFn):
    """Writes how many elements a process had to a file named after it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def process(self, element: tuple[int, int]) -> Iterator[None]:
        pid, count = element
        (Path(self.folder) / str(pid)).write_text(str(count))
        yield from ()


def test_both_workers_have_their_part_and_groups_are_whole(engine: Engine, tmp_path: Path) -> None:
    def wire(pipeline: beam.Pipeline) -> object:
        numbers = pipeline | beam.Create(range(40)) | beam.Reshuffle() | beam.ParDo(Pids())
        total = numbers | beam.Values() | beam.CombineGlobally(sum)
        total | "Total" >> beam.Map(lambda count: (0, count)) | "WriteTotal" >> beam.ParDo(Write(str(tmp_path)))
        return numbers | beam.combiners.Count.PerKey() | "WriteCounts" >> beam.ParDo(Write(str(tmp_path)))

    run_pipeline(wire, engine.settings(), 0)
    counts = {int(path.name): int(path.read_text()) for path in tmp_path.iterdir()}
    assert counts.pop(0) == sum(range(40))
    assert sum(counts.values()) == 40
    assert len(counts) == 2
    assert os.getpid() not in counts


def refuse(number: int) -> int:
    """A step that finds a mistake of the user's."""
    if number == 13:
        raise BylineError("a.jsonl, row 13: expected an object; correct it")
    return number


def mapping(step: Callable[[int], int]) -> Callable[[beam.Pipeline], object]:
    return lambda pipeline: pipeline | beam.Create(range(20)) | "Step" >> beam.Map(step)


def test_a_workers_error_is_one_line(engine: Engine) -> None:
    with pytest.raises(BylineError) as caught:
        run_pipeline(mapping(refuse), engine.settings(), 0)
    assert str(caught.value) == "a.jsonl, row 13: expected an object; correct it"


def test_a_busy_worker_outlives_its_idle_neighbour(engine: Engine, tmp_path: Path) -> None:
    """Both are on this machine, served by one pool; each is the first of its engine's worker."""

    def wire(pipeline: beam.Pipeline) -> object:
        numbers = pipeline | beam.Create([1]) | beam.Reshuffle()
        return (
            numbers
            | beam.Map(wait_long)
            | "Pair" >> beam.Map(lambda number: (0, number))
            | beam.ParDo(Write(str(tmp_path)))
        )

    run_pipeline(wire, engine.settings(), 0)
    assert (tmp_path / "0").read_text() == "1"


def wait_long(number: int) -> int:
    """Longer than the other worker is kept."""
    time.sleep(8)
    return number


def test_a_pool_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(BylineError) as caught:
        run_pipeline(mapping(refuse), engine.settings("--environment_config=localhost:1"), 0)
    assert str(caught.value) == (
        f"{engine.name}: connection refused, most likely by the pool of Python workers at localhost:1, as the engine's "
        "workers see it; start one there: python -m byline.pipelines.runners.worker_pool --port=1"
    )
