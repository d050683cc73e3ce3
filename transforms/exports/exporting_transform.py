"""ExportShards: the step of a pipeline that exports shards (`byline.transforms.exports.exporting`)."""

from collections.abc import Iterator

import apache_beam as beam

from byline.transforms.documents.beam_counters import count_retries
from byline.transforms.exports.exporting import export_shard
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport


class _ExportShardFn(beam.DoFn):
    def __init__(self, job: ExportJob) -> None:
        self.job = job

    def setup(self) -> None:
        self.shards = ShardsToExport.of(self.job)

    def process(self, number: str) -> Iterator[str]:
        record = export_shard(int(number), self.job, self.shards)
        count_retries()
        yield record.path


class ExportShards(beam.PTransform):
    """Numbers of shards, in training order, as text -> the shards' paths, once their files are written."""

    def __init__(self, job: ExportJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | "ExportShard" >> beam.ParDo(_ExportShardFn(self.job))
