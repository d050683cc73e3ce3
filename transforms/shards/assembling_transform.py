"""AssembleShards: the step of a pipeline that writes shards (`byline.transforms.shards.assembling`)."""

import hashlib
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.errors import BylineError
from byline.salts import remember_salt
from byline.schemas.plan import FILE_NAME, read_plan
from byline.transforms.documents.beam_counters import count, count_retries
from byline.transforms.documents.counters import shard_counts
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.storage import join, read_bytes
from byline.transforms.shards.assembling import INDEX_NAME, AssembleJob, assemble_shard, planned_phases
from byline.transforms.shards.run_index import RunIndex


class _AssembleShardFn(beam.DoFn):
    def __init__(self, job: AssembleJob) -> None:
        self.job = job

    def setup(self) -> None:
        for salt in self.job.salts:
            remember_salt(salt)
        self.index = RunIndex.read(join(self.job.work, INDEX_NAME))
        plan_uri = join(self.job.output, FILE_NAME)
        content = read_bytes(plan_uri)
        if hashlib.sha256(content).hexdigest() != self.job.maker.plan_sha256:
            raise BylineError(f"{plan_uri}: is not the plan of this job; another build writes to this output")
        self.phases = planned_phases(read_plan(content, plan_uri))

    def start_bundle(self) -> None:
        self.behind = WriteBehind()
        self.paths: list[str] = []

    def process(self, rows: pa.RecordBatch) -> None:
        record = assemble_shard(rows, self.job, self.phases[rows["phase"][0].as_py()], self.index, self.behind)
        count(shard_counts(record))
        count_retries()
        self.paths.append(record.entry.path)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        # What a bundle wrote counts as done when it ends; only then every shard has its name.
        self.behind.finish()
        yield from map(GlobalWindows.windowed_value, self.paths)


class AssembleShards(beam.PTransform):
    """Plan rows of one shard each -> paths of the shards written."""

    def __init__(self, job: AssembleJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        assemble = beam.ParDo(_AssembleShardFn(self.job))
        # What the end of a bundle gives has no type of its own.
        return shards | "AssembleShard" >> assemble.with_output_types(str)
