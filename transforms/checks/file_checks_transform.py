"""CheckFiles: the step of a pipeline that checks runs and raw files (`byline.transforms.checks.file_checks`)."""

import json
from collections.abc import Iterator

import apache_beam as beam

from byline.transforms.checks.file_checks import FileToCheck, problems_of, report_uri
from byline.transforms.documents.beam_counters import count_retries
from byline.transforms.files.storage import write_file


class _CheckFileFn(beam.DoFn):
    def __init__(self, work: str) -> None:
        self.work = work

    def process(self, line: str) -> Iterator[str]:
        file = FileToCheck.from_json(line)
        uri = report_uri(self.work, file)
        with write_file(uri) as sink:
            sink.write(json.dumps(problems_of(file)).encode())
        count_retries()
        yield uri


class CheckFiles(beam.PTransform):
    """Files as lines of JSON (`FileToCheck`) -> paths of the reports written below `work`."""

    def __init__(self, work: str) -> None:
        super().__init__()
        self.work = work

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        return files | "CheckFile" >> beam.ParDo(_CheckFileFn(self.work))
