"""CountRuns: a scan as steps of a pipeline (`byline.transforms.scans.count_runs`)."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa

from byline.salts import remember_salt
from byline.transforms.documents.coder import RecordBatchCoder
from byline.transforms.files.storage import write_file
from byline.transforms.scans.count_runs import WAITING_ROWS, read_counter, read_once
from byline.transforms.store.attribute_columns import StoredRun


class _CountFn(beam.DoFn):
    def __init__(self, counter_uri: str, salts: tuple[str, ...]) -> None:
        self.counter_uri = counter_uri
        self.salts = salts

    def setup(self) -> None:
        for salt in self.salts:
            remember_salt(salt)
        self.counter, self.attributes, self.replaced = read_once(self.counter_uri)

    def process(self, uri: str) -> Iterator[pa.RecordBatch]:
        yield self.counter.count(StoredRun(uri, self.attributes, self.replaced))


class _AccumulatorCoder(beam.coders.Coder):
    """Counts that wait to be merged <-> one merged batch."""

    def __init__(self, counter_uri: str) -> None:
        self.counter_uri = counter_uri

    def encode(self, value: list[pa.RecordBatch]) -> bytes:
        # A coder has no `setup`.
        return RecordBatchCoder().encode(read_counter(self.counter_uri).merge(value))

    def decode(self, encoded: bytes) -> list[pa.RecordBatch]:
        return [RecordBatchCoder().decode(encoded)]


@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(pa.RecordBatch)
class _MergeFn(beam.CombineFn):
    def __init__(self, counter_uri: str) -> None:
        self.counter_uri = counter_uri

    def setup(self) -> None:
        self.counter = read_counter(self.counter_uri)

    def create_accumulator(self) -> list[pa.RecordBatch]:
        return []

    def add_input(self, accumulator: list[pa.RecordBatch], batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        return self.compact([*accumulator, batch])

    def merge_accumulators(self, accumulators: Iterable[list[pa.RecordBatch]]) -> list[pa.RecordBatch]:
        return [self.counter.merge([batch for accumulator in accumulators for batch in accumulator])]

    def compact(self, accumulator: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        merged, waiting = accumulator[0].num_rows, sum(batch.num_rows for batch in accumulator[1:])
        return [self.counter.merge(accumulator)] if waiting > merged + WAITING_ROWS else accumulator

    def extract_output(self, accumulator: list[pa.RecordBatch]) -> pa.RecordBatch:
        return self.counter.merge(accumulator)

    def get_accumulator_coder(self) -> beam.coders.Coder:
        return _AccumulatorCoder(self.counter_uri)


class _WriteBatchFn(beam.DoFn):
    def __init__(self, uri: str) -> None:
        self.uri = uri

    def process(self, batch: pa.RecordBatch) -> Iterator[str]:
        with write_file(self.uri) as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield self.uri


class CountRuns(beam.PTransform):
    """Paths of runs -> the path of one file with their merged counts.

    Args:
        counter_uri: what to count, a file of `write_counter`.
        counts_uri: the Arrow IPC file to write.
        salts: of the recipe; the counter's file holds their digests.
    """

    def __init__(self, counter_uri: str, counts_uri: str, salts: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.counter_uri = counter_uri
        self.counts_uri = counts_uri
        self.salts = salts

    def expand(self, runs: beam.PCollection) -> beam.PCollection:
        return (
            runs
            | "CountRun" >> beam.ParDo(_CountFn(self.counter_uri, self.salts))
            | "MergeCounts" >> beam.CombineGlobally(_MergeFn(self.counter_uri))
            | "WriteCounts" >> beam.ParDo(_WriteBatchFn(self.counts_uri))
        )
