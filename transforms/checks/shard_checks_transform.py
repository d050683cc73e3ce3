"""CheckShards: the step of a pipeline that checks shards (`byline.transforms.checks.shard_checks`)."""

from collections.abc import Iterator

import apache_beam as beam

from byline.transforms.checks.shard_checks import ShardCheckJob, open_checker
from byline.transforms.documents.beam_counters import count_retries


class _CheckShardFn(beam.DoFn):
    def __init__(self, job: ShardCheckJob) -> None:
        self.job = job

    def setup(self) -> None:
        self.checker = open_checker(self.job)

    def process(self, number: str) -> Iterator[str]:
        yield self.checker.write_report(int(number))
        count_retries()


class CheckShards(beam.PTransform):
    """Numbers of shards, in the order of the manifest -> paths of the reports written."""

    def __init__(self, job: ShardCheckJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | "CheckShard" >> beam.ParDo(_CheckShardFn(self.job))
