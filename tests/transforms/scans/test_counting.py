"""Counts: by bin, and merged in any order and grouping."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.transforms.scans.counting import COUNTS, Summing, count_by_bin, one_batch

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**56)), max_size=20)


def counted(key: str, found: list[tuple[int, int]]) -> pa.RecordBatch:
    return count_by_bin(key, np.array([b for b, _ in found], np.int64), np.array([t for _, t in found], np.int64))


def as_rows(batch: pa.RecordBatch) -> list[tuple[str, int, int, int]]:
    assert batch.schema == COUNTS
    return [tuple(row.values()) for row in batch.to_pylist()]


def slow_counts(key: str, found: list[tuple[int, int]]) -> list[tuple[str, int, int, int]]:
    documents = Counter(bin_ for bin_, _ in found)
    return [(key, b, documents[b], sum(t for other, t in found if other == b)) for b in sorted(documents)]


@given(pairs)
def test_counts_by_bin(found: list[tuple[int, int]]) -> None:
    assert as_rows(counted("k", found)) == slow_counts("k", found)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b\tc"]), pairs), max_size=6), st.data())
def test_merging_sums_in_any_order_and_grouping(
    stages: list[tuple[str, list[tuple[int, int]]]], data: st.DataObject
) -> None:
    counter = Summing()
    batches = [counted(key, found) for key, found in stages]
    together = counter.merge(batches)
    expected = [
        row for key in ("a", "b\tc") for row in slow_counts(key, [p for k, found in stages if k == key for p in found])
    ]
    assert as_rows(together) == expected
    shuffled = data.draw(st.permutations(batches))
    cut = data.draw(st.integers(0, len(batches)))
    assert counter.merge([counter.merge(shuffled[:cut]), counter.merge(shuffled[cut:])]).equals(together)


def test_one_batch_of_a_table() -> None:
    table = pa.table({"a": pa.chunked_array([[1], [2, 3]])})
    assert one_batch(table).to_pydict() == {"a": [1, 2, 3]}
    assert one_batch(table.slice(0, 0)).schema == table.schema
    assert one_batch(table.slice(0, 0)).num_rows == 0
