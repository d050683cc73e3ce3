"""The join itself: rows of a table and documents of one partition, both with their keys.

```
table   key  file  row  topic        numbers         document  key      matched  topic
        b    0     0    bread        0               0         a        1        sport
        a    0     1    sport        1               1         b        0        bread
        b    1     0    bread        0  (doubled)    2         c        -1       null
                                                     3         b        0        bread
```

Keys are compared as they are, byte by byte: numbers are given to distinct ones by Arrow's own hash table, so no two
keys are ever taken for one. Of rows with one key the first counts, by file and row; one with other values contradicts
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.splitmix import splitmix64

_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@numba.njit(cache=True, nogil=True)
def _fnv1a(data: np.ndarray, offsets: np.ndarray, hashes: np.ndarray) -> None:
    """FNV-1a, 64 bits (Fowler, Noll, Vo), of the bytes between offsets."""
    for number in range(len(hashes)):
        value = _FNV_START
        for at in range(offsets[number], offsets[number + 1]):
            value = (value ^ np.uint64(data[at])) * _FNV_PRIME
        hashes[number] = value


def key_hashes(keys: pa.Array) -> np.ndarray:
    """Hashes, for partitions alone.

    Args:
        keys: large_string [n], without nulls.

    Returns:
        uint64 [n], all bits of which depend on the whole key.
    """
    hashes = np.empty(len(keys), np.uint64)
    _, offsets, data = keys.buffers()
    if len(keys):
        starts = np.frombuffer(offsets, np.int64)[keys.offset : keys.offset + len(keys) + 1]
        content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        _fnv1a(content, starts, hashes)
    return splitmix64(hashes)


def key_numbers(*keys: pa.Array) -> list[np.ndarray]:
    """Numbers of distinct keys, over several arrays.

    Args:
        keys: large_string [n], [m], ..., without nulls.

    Returns:
        int64 [n], [m], ...: equal keys have equal numbers, from 0.
    """
    encoded = pa.concat_arrays(keys).dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.split(encoded, np.cumsum([len(array) for array in keys])[:-1])


@dataclass(frozen=True)
class Distinct:
    """The rows of a table, one for each key.

    Attributes:
        numbers: int64 [k], of the keys, ascending.
        rows: int64 [k], the first row of each key.
        counts: int64 [k], how many rows have it.
        contradicted: int64 [c], rows with other values than the first of their key, by file and row.
        first: int64 [c], those first rows.
    """

    numbers: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    contradicted: np.ndarray
    first: np.ndarray

    @property
    def doubled(self) -> int:
        """How many rows have the key of an earlier one."""
        return int(self.counts.sum()) - len(self.counts)

    def match(self, numbers: np.ndarray) -> np.ndarray:
        """The key of each number: int64 [n], its index among the k, -1 where there is none."""
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        indices = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[indices] == numbers, indices, -1)


def distinct_rows(numbers: np.ndarray, file: np.ndarray, row: np.ndarray, values: Sequence[pa.Array]) -> Distinct:
    """The first row of each key, and the rows that contradict it.

    Args:
        numbers: int64 [n], of the rows' keys.
        file, row: [n], where each row stands.
        values: columns [n].
    """
    order = np.lexsort((row, file, numbers))
    ordered = numbers[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    starts = np.flatnonzero(is_first)
    others, first = order[~is_first], order[starts[np.cumsum(is_first) - 1]][~is_first]
    differs = np.zeros(len(others), bool)
    for column in values:
        differs |= _differ(column.take(pa.array(others)), column.take(pa.array(first)))
    contradicted, first = others[differs], first[differs]
    by_position = np.lexsort((row[contradicted], file[contradicted]))
    counts = np.diff(np.append(starts, len(order)))
    return Distinct(ordered[starts], order[starts], counts, contradicted[by_position], first[by_position])


def _differ(left: pa.Array, right: pa.Array) -> np.ndarray:
    """Where two columns differ; null is equal to null alone."""
    same = pc.fill_null(pc.equal(left, right), False)
    return ~pc.or_(same, pc.and_(left.is_null(), right.is_null())).to_numpy(zero_copy_only=False)
