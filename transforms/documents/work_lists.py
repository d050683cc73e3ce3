"""The start of each pipeline: a list in a file, so that the graph is as small for 30,000 inputs as for one.

```
Create([path of the list]) | ReadLines        ->  one element a line
```
"""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401  (registers the coders of the elements)
from byline.schemas.documents import InputFile
from byline.schemas.plan import read_plan, rows_by_shard
from byline.transforms.files.storage import read_bytes, write_file


def write_lines(uri: str, lines: Iterable[str]) -> None:
    """Writes a list, one element a line."""
    with write_file(uri) as sink:
        for line in lines:
            sink.write(line.encode() + b"\n")


def read_lines(uri: str) -> list[str]:
    """Reads a list."""
    return read_bytes(uri).decode().splitlines()


class _ReadInputsFn(beam.DoFn):
    def process(self, uri: str) -> Iterator[InputFile]:
        yield from map(InputFile.from_json, read_lines(uri))


class _ReadTextsFn(beam.DoFn):
    def process(self, uri: str) -> Iterator[str]:
        yield from read_lines(uri)


class _ReadPlanFn(beam.DoFn):
    def process(self, uri: str) -> Iterator[pa.RecordBatch]:
        yield from rows_by_shard(read_plan(read_bytes(uri), uri).table)


class _ReadList(beam.PTransform):
    """The elements of a list, spread over the workers.

    Args:
        uri: the location of the list.
    """

    fn: type[beam.DoFn]

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "ListPath" >> beam.Create([self.uri]).with_output_types(str)
            | "ReadLines" >> beam.ParDo(self.fn())
            | "Spread" >> beam.Reshuffle()
        )


class ListInputs(_ReadList):
    """A list of input files as JSON lines -> `InputFile`."""

    fn = _ReadInputsFn


class ListLines(_ReadList):
    """A list of anything -> its lines."""

    fn = _ReadTextsFn


class ReadPlan(_ReadList):
    """`_plan.ipc` -> the plan's rows, one batch for each shard."""

    fn = _ReadPlanFn
