"""RunLines: a step of a pipeline that does something for each line of a list; what comes of it is in files.

```
lines           files to check     numbers of shards     what a round of an attribute works on
what is done    a report each      a shard each          files of values
```
"""

from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam

from byline.transforms.documents.beam_counters import count, count_retries


class _RunFn(beam.DoFn):
    def __init__(self, do: Callable[[str], Mapping[str, int] | None]) -> None:
        self.do = do

    def process(self, line: str) -> Iterator[str]:
        count(self.do(line) or {})
        count_retries()
        yield line


class RunLines(beam.PTransform):
    """Lines -> the same, once what is to be done for each is done.

    Args:
        do: does it, and returns what is to be added to counters, by name, or None. Several threads call it.
    """

    def __init__(self, do: Callable[[str], Mapping[str, int] | None]) -> None:
        super().__init__()
        self.do = do

    def expand(self, lines: beam.PCollection) -> beam.PCollection:
        return lines | "Run" >> beam.ParDo(_RunFn(self.do)).with_output_types(str)
