"""Checks the runs of the token store, each by itself: their checksums, and what they say of their documents.

```
RunToCheck as a line of JSON   ->   WORK/runs/17.json     [] or ["c4/.../a-00000.arrow: its contents are damaged ..."]
```

`CheckRuns` spreads them over the workers; the checks themselves are in transforms/store/run_checks.py.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam

from byline.errors import DamagedFileError
from byline.schemas.store import RunFile
from byline.transforms.documents.counters import count_retries
from byline.transforms.files.storage import join, read_bytes, side_by_side, write_file
from byline.transforms.store.run_checks import check_run


@dataclass(frozen=True)
class RunToCheck:
    """A run, its number among those that are checked, and the fingerprint that it must have."""

    number: int
    uri: str
    fingerprint: str

    def to_json(self) -> str:
        """The run as one line."""
        return json.dumps([self.number, self.uri, self.fingerprint])

    @classmethod
    def from_json(cls, line: str) -> "RunToCheck":
        """The run from the line that `to_json` made."""
        return cls(*json.loads(line))


def runs_to_check(files: Sequence[RunFile], fingerprints: dict[str, str]) -> list[RunToCheck]:
    """Those files of the token store that a plan draws from; `fingerprints` by source."""
    return [RunToCheck(number, file.uri, fingerprints[file.source]) for number, file in enumerate(files)]


def problems_of(run: RunToCheck) -> list[str]:
    """What is wrong with a run: nothing, or one line."""
    try:
        check_run(run.uri, run.fingerprint)
    except DamagedFileError as error:
        return [str(error)]
    return []


def read_problems(work: str, runs: Sequence[RunToCheck]) -> list[str]:
    """What is wrong with runs that `CheckRuns` has checked."""
    reports = side_by_side(lambda run: read_bytes(_report_uri(work, run)), runs)
    return [problem for report in reports for problem in json.loads(report)]


def _report_uri(work: str, run: RunToCheck) -> str:
    return join(work, "runs", f"{run.number}.json")


class _CheckRunFn(beam.DoFn):
    def __init__(self, work: str) -> None:
        self.work = work

    def process(self, line: str) -> Iterator[str]:
        run = RunToCheck.from_json(line)
        uri = _report_uri(self.work, run)
        with write_file(uri) as sink:
            sink.write(json.dumps(problems_of(run)).encode())
        count_retries()
        yield uri


class CheckRuns(beam.PTransform):
    """Runs as lines of JSON (`RunToCheck`) -> paths of the reports written below `work`."""

    def __init__(self, work: str) -> None:
        super().__init__()
        self.work = work

    def expand(self, runs: beam.PCollection) -> beam.PCollection:
        return runs | "CheckRun" >> beam.ParDo(_CheckRunFn(self.work))
