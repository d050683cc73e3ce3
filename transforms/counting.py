"""Passes over the index columns of the token store: every run gives a small table of counts, and the tables are summed.

```
run a   key "conditioned c4"  bin 7  documents 2  tokens  90
run b   key "conditioned c4"  bin 7  documents 1  tokens  30
sum     key "conditioned c4"  bin 7  documents 3  tokens 120
```

A counter is a plain object with `count(run) -> pa.RecordBatch` of `COUNTS`; it is pickled into the graph, so it holds
configuration and no data. Sums of integers do not depend on the order or the grouping of what is summed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa

from transforms.coder import RecordBatchCoder
from transforms.storage import write_file

COUNTS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("bin", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)


class RunCounter(Protocol):
    """What a pass computes for one run."""

    def count(self, uri: str) -> pa.RecordBatch:
        """Counts of one run, any number of rows."""

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """One batch from several, the same in whatever order and grouping they come."""


# A pass over the runs: takes a counter, gives its merged counts.
Pass = Callable[[RunCounter], pa.RecordBatch]


class Summing:
    """Merges counts by summing those of equal key and bin."""

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """Sums, sorted by key and bin."""
        table = pa.Table.from_batches(batches, COUNTS)
        summed = table.group_by(["key", "bin"]).aggregate([("documents", "sum"), ("tokens", "sum")])
        summed = summed.rename_columns({"documents_sum": "documents", "tokens_sum": "tokens"}).select(COUNTS.names)
        ordered = summed.sort_by([("key", "ascending"), ("bin", "ascending")]).cast(COUNTS).combine_chunks()
        return one_batch(ordered)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table in one chunk as a batch, also where it is empty."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def count_by_bin(key: str, bins: np.ndarray, tokens: np.ndarray) -> pa.RecordBatch:
    """Documents and tokens by bin.

    Args:
        key: what is counted.
        bins: int64 [n], from 0.
        tokens: int64 [n].
    """
    found, inverse = np.unique(bins, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, inverse, tokens)
    documents = np.bincount(inverse, minlength=len(found)).astype(np.int64)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([key] * len(found), pa.string()),
            pa.array(found.astype(np.int64)),
            pa.array(documents),
            pa.array(sums),
        ],
        schema=COUNTS,
    )


class _CountFn(beam.DoFn):
    def __init__(self, counter: RunCounter) -> None:
        self.counter = counter

    def process(self, uri: str) -> Iterator[pa.RecordBatch]:
        yield self.counter.count(uri)


# Counts are merged when so many rows wait, not one by one: merging sorts all of them.
_WAITING_ROWS = 1 << 20


class _AccumulatorCoder(beam.coders.Coder):
    """Counts that wait to be merged <-> one merged batch."""

    def __init__(self, counter: RunCounter) -> None:
        self.counter = counter

    def encode(self, value: list[pa.RecordBatch]) -> bytes:
        return RecordBatchCoder().encode(self.counter.merge(value))

    def decode(self, encoded: bytes) -> list[pa.RecordBatch]:
        return [RecordBatchCoder().decode(encoded)]


@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(pa.RecordBatch)
class _MergeFn(beam.CombineFn):
    def __init__(self, counter: RunCounter) -> None:
        self.counter = counter

    def create_accumulator(self) -> list[pa.RecordBatch]:
        return []

    def add_input(self, accumulator: list[pa.RecordBatch], batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        return self.compact([*accumulator, batch])

    def merge_accumulators(self, accumulators: Iterable[list[pa.RecordBatch]]) -> list[pa.RecordBatch]:
        return [self.counter.merge([batch for accumulator in accumulators for batch in accumulator])]

    def compact(self, accumulator: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        merged, waiting = accumulator[0].num_rows, sum(batch.num_rows for batch in accumulator[1:])
        return [self.counter.merge(accumulator)] if waiting > merged + _WAITING_ROWS else accumulator

    def extract_output(self, accumulator: list[pa.RecordBatch]) -> pa.RecordBatch:
        return self.counter.merge(accumulator)

    def get_accumulator_coder(self) -> beam.coders.Coder:
        return _AccumulatorCoder(self.counter)


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
        counter: what to count.
        uri: the Arrow IPC file to write.
    """

    def __init__(self, counter: RunCounter, uri: str) -> None:
        super().__init__()
        self.counter = counter
        self.uri = uri

    def expand(self, runs: beam.PCollection) -> beam.PCollection:
        return (
            runs
            | "CountRun" >> beam.ParDo(_CountFn(self.counter))
            | "MergeCounts" >> beam.CombineGlobally(_MergeFn(self.counter))
            | "WriteCounts" >> beam.ParDo(_WriteBatchFn(self.uri))
        )
