"""ImportShards: the step of a pipeline that imports shards (`byline.transforms.imports.importing`)."""

from collections.abc import Iterator

import apache_beam as beam

from byline.transforms.documents.beam_counters import count, count_retries
from byline.transforms.documents.counters import shard_counts
from byline.transforms.imports.importing import ImportJob, import_shard, open_source


class _ImportShardFn(beam.DoFn):
    def __init__(self, job: ImportJob) -> None:
        self.job = job

    def setup(self) -> None:
        self.source = open_source(self.job)

    def process(self, number: str) -> Iterator[str]:
        record = import_shard(int(number), self.job, self.source)
        count(shard_counts(record))
        count_retries()
        yield record.entry.path


class ImportShards(beam.PTransform):
    """Numbers of shards, in training order, as text -> paths of the shards written."""

    def __init__(self, job: ImportJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | "ImportShard" >> beam.ParDo(_ImportShardFn(self.job))
