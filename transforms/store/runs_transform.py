"""WriteRuns: the step of a pipeline that writes runs (`byline.transforms.store.runs`)."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.errors import BylineError
from byline.schemas.documents import info_of, origin_of
from byline.transforms.documents.beam_counters import count, count_retries
from byline.transforms.documents.counters import batch_counts
from byline.transforms.files.durable import WriteBehind
from byline.transforms.store.input_times import read_times
from byline.transforms.store.runs import STEP, write_run


class _WriteRunsFn(beam.DoFn):
    def __init__(self, folders: dict[str, str], fingerprints: dict[str, str]) -> None:
        self.folders = folders
        self.fingerprints = fingerprints

    def start_bundle(self) -> None:
        self.behind = WriteBehind()
        self.uris: list[str] = []
        self.times: dict[str, dict[str, int]] = {}

    def process(self, batch: pa.RecordBatch) -> None:
        source = origin_of(batch, STEP).source
        if source not in self.folders or source not in self.fingerprints:
            raise BylineError(f"{STEP}: no folder or no fingerprint is given for source {source!r}")
        self._check_time(batch, self.folders[source])
        uri = write_run(batch, self.fingerprints[source], self.folders[source], self.behind)
        count(batch_counts(batch))
        count_retries()
        self.uris.append(uri)

    def _check_time(self, batch: pa.RecordBatch, folder: str) -> None:
        """Refuses a batch of a file that is prepared anew meanwhile: the job of a driver that is gone may still run."""
        if folder not in self.times:
            self.times[folder] = read_times(folder)
        info = info_of(batch)
        if self.times[folder].get(info.path, info.input_modified) != info.input_modified:
            raise BylineError(
                f"{info.path}: has changed, and another command prepares it; this one writes nothing more"
            )

    def finish_bundle(self) -> Iterator[WindowedValue]:
        # What a bundle wrote counts as done when it ends; only then every run has its name.
        self.behind.finish()
        yield from map(GlobalWindows.windowed_value, self.uris)


class WriteRuns(beam.PTransform):
    """Tokenized document batches -> paths of the runs written.

    Args:
        folders: source name -> folder of its runs.
        fingerprints: source name -> fingerprint to write into its runs.
    """

    def __init__(self, folders: dict[str, str], fingerprints: dict[str, str]) -> None:
        super().__init__()
        self.folders = folders
        self.fingerprints = fingerprints

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        write = beam.ParDo(_WriteRunsFn(self.folders, self.fingerprints))
        # What the end of a bundle gives has no type of its own.
        return batches | "SortAndWrite" >> write.with_output_types(str)
