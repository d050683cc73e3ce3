"""ReadCorpus: the step of a pipeline that reads input files (`byline.transforms.corpora.reading`)."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401  (registers the coders of the edges)
from byline.schemas.corpora import Source
from byline.schemas.documents import (
    InputFile,
)
from byline.schemas.faults import FaultyFileError, NoteFault
from byline.transforms.corpora.chunks import TARGET_BYTES
from byline.transforms.corpora.reading import read_batches


class _ReadFile(beam.DoFn):
    """`read_batches` for the source that a file is of."""

    def __init__(self, sources: dict[str, Source], target_bytes: int, note: NoteFault | None) -> None:
        self._sources = sources
        self._target_bytes = target_bytes
        self._note = note

    def process(self, file: InputFile) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_batches(file, self._sources[file.source], self._target_bytes)
        except FaultyFileError as fault:
            if self._note is None:
                raise
            self._note(file.source, file.path, fault)


@beam.typehints.with_input_types(InputFile)
@beam.typehints.with_output_types(pa.RecordBatch)
class ReadCorpus(beam.PTransform):
    """Input files -> document batches.

    Args:
        sources: the configuration of every source that a file may be of.
        target_bytes: bytes of a batch, about.
        note: called with a file's source, its path and its fault, so that the other files are read; without, a fault
            ends the job.
    """

    def __init__(
        self, sources: dict[str, Source], target_bytes: int = TARGET_BYTES, note: NoteFault | None = None
    ) -> None:
        super().__init__()
        self._settings = (sources, target_bytes, note)

    def expand(self, files: beam.PCollection[InputFile]) -> beam.PCollection[pa.RecordBatch]:
        return files | "ReadFile" >> beam.ParDo(_ReadFile(*self._settings))
