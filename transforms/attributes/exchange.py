"""Grouping through files: rows go to the file of their map in order of partition, and each partition is read from all.

```
map of chunk a   key 7 1 9      a.arrow   batch 0: 1       batch 1: 7 9          2 partitions by the key's upper bit
map of chunk b   key 2 8        b.arrow   batch 0: 2       batch 1: 8
partition 0      1 2            what no runner had to carry, on a disk or in an object store
partition 1      7 9 8
```

The order of a partition's rows is that of the files and of the rows in them, so a group is sorted by what it holds.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.batch_files import plain
from byline.transforms.files.sealed_files import open_sealed, write_sealed
from byline.transforms.files.storage import open_random, side_by_side
from byline.transforms.store.run_pieces import reading_run

# Rows of a partition that a worker sorts at a time: some hundred MB with a hash and where it is from.
PARTITION_ROWS = 4_000_000
MOST_PARTITIONS = 4096


def partitions_for(amount: int, most: int = PARTITION_ROWS) -> int:
    """Into how many partitions so many rows go, or bytes, with about `most` in one: a power of two."""
    wanted = -(-amount // most)
    return min(1 << max(wanted - 1, 0).bit_length(), MOST_PARTITIONS)


def partition_of(hashes: np.ndarray, count: int) -> np.ndarray:
    """The partition of each hash, by its upper bits.

    Args:
        hashes: uint64 [n].
        count: partitions, a power of two.

    Returns:
        int64 [n].
    """
    bits = count.bit_length() - 1
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def write_partitions(uri: str, rows: pa.RecordBatch, partition: np.ndarray, count: int) -> None:
    """Writes rows as one file of `count` record batches, one for each partition; those of one keep their order.

    Args:
        uri: of the file.
        rows: n of them; dictionaries are written as their values.
        partition: int64 [n], below `count`.
        count: partitions.
    """
    values = pa.RecordBatch.from_arrays([plain(column) for column in rows.columns], rows.schema.names)
    order = np.argsort(partition, kind="stable")
    borders = np.searchsorted(partition[order], np.arange(count + 1))
    ordered = values.take(pa.array(order))
    with write_sealed(uri, values.schema) as writer:
        for low, high in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
            writer.write_batch(ordered.slice(low, high - low))


def read_partition(uris: Sequence[str], number: int) -> pa.RecordBatch:
    """One partition of all files, which have one schema.

    Raises:
        DamagedFileError: a file cannot be read.
    """
    return joined(side_by_side(lambda uri: _read(uri, number), uris))


def joined(batches: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of one schema as one."""
    table = pa.Table.from_batches(list(batches)).combine_chunks()
    whole = table.to_batches()
    return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=table.schema)


def _read(uri: str, number: int) -> pa.RecordBatch:
    with reading_run(uri), open_random(uri) as source:
        return open_sealed(source).get_batch(number)
