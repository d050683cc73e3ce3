"""Reading the token store: index columns of a whole run, or all of a range of places, and never more than that.

```
run      batch 0: places 0..9   batch 1: places 10..19   batch 2: places 20..29
range 8..12 reads               8 9                      10 11 12
```
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from schemas.store import RunInfo
from transforms.storage import open_random

# Open runs a worker keeps: each holds a memory map and the run's dictionaries.
_OPEN_RUNS = 256


class Run:
    """An open run, of which only some columns are ever read."""

    def __init__(self, uri: str, columns: tuple[str, ...]) -> None:
        source = open_random(uri)
        schema = pa.ipc.open_file(source).schema
        self.info = RunInfo.from_schema(schema, uri)
        wanted = [number for number, field in enumerate(schema) if field.name in columns]
        self._reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All record batches, in order of place."""
        for number in range(self._reader.num_record_batches):
            yield self._reader.get_batch(number)

    def whole(self) -> pa.RecordBatch:
        """The columns of the whole run as one batch; not for tokens."""
        table = pa.Table.from_batches(self.batches(), self._reader.schema).combine_chunks()
        # A run without documents has no record batch.
        return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)

    def between(self, low: int, high: int) -> Iterator[pa.RecordBatch]:
        """The documents with low <= place <= high."""
        starts = self.info.batch_places
        # A place equal to a batch's first may also stand at the end of the batch before.
        for number in range(max(bisect_left(starts, low) - 1, 0), bisect_right(starts, high)):
            batch = self._reader.get_batch(number)
            place = batch["place"].to_numpy()
            # As uint64: numpy compares places with a plain int below 2^63 as float64, which has 53 bits.
            start = place.searchsorted(np.uint64(low), "left")
            end = place.searchsorted(np.uint64(high), "right")
            if start < end:
                yield batch.slice(start, end - start)


@lru_cache(maxsize=_OPEN_RUNS)
def _open_run(uri: str, columns: tuple[str, ...]) -> Run:
    return Run(uri, columns)


def open_run(uri: str, columns: Sequence[str]) -> Run:
    """Opens a run for the named columns (those of them that it has), or returns one that is open."""
    return _open_run(uri, tuple(sorted(columns)))
