"""LeaveOutWritten: the step of a pipeline that leaves out what is there (`byline.transforms.store.resuming`)."""

from collections.abc import Iterator

import apache_beam as beam

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the elements)
from byline.schemas.documents import InputFile
from byline.transforms.store.resuming import without_written


class _LeaveOutFn(beam.DoFn):
    def __init__(self, folders: dict[str, str]) -> None:
        self.folders = folders

    def process(self, file: InputFile) -> Iterator[InputFile]:
        unfinished = without_written(file, self.folders[file.source])
        if unfinished is not None:
            yield unfinished


class LeaveOutWritten(beam.PTransform):
    """Input files -> those with chunks still missing, each with its finished chunks; checks the store for each file.

    Args:
        folders: source name -> folder of its runs.
    """

    def __init__(self, folders: dict[str, str]) -> None:
        super().__init__()
        self.folders = folders

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        return files | "LookForRuns" >> beam.ParDo(_LeaveOutFn(self.folders))
