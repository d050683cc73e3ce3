"""RunLines: a round as a step of a pipeline (`byline.transforms.attributes.run_lines`)."""

from collections.abc import Callable, Iterator

import apache_beam as beam


class _RunFn(beam.DoFn):
    def __init__(self, do: Callable[[str], None]) -> None:
        self.do = do

    def process(self, line: str) -> Iterator[str]:
        self.do(line)
        yield line


class RunLines(beam.PTransform):
    """Lines -> the same, once what is to be done for each is done."""

    def __init__(self, do: Callable[[str], None]) -> None:
        super().__init__()
        self.do = do

    def expand(self, lines: beam.PCollection) -> beam.PCollection:
        return lines | "Run" >> beam.ParDo(_RunFn(self.do)).with_output_types(str)
