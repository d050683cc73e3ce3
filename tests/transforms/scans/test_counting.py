"""Counts: by bin, and merged in any order and grouping."""

import collections

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.scans.counting import Summing, count_by_value, one_batch

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**56)), max_size=20)
Pair = tuple[int, int]
Row = tuple[str | None, int, int, int]


class Counter(Summing):
    keys = pa.schema([pa.field("name", pa.string()), pa.field("bin", pa.int64(), nullable=False)])


def counted(name: str | None, documents: list[Pair]) -> pa.RecordBatch:
    """Counts of documents (bin, tokens)."""
    bins, tokens = (np.array([pair[n] for pair in documents], np.int64) for n in (0, 1))
    distinct, numbers, sums = count_by_value(bins, tokens)
    return Counter.batch(numbers, sums, name=name, bin=distinct)


def as_rows(batch: pa.RecordBatch) -> list[Row]:
    assert batch.schema.names == ["name", "bin", "documents", "tokens"]
    assert batch.schema == Counter.schema()
    return [tuple(row.values()) for row in batch.to_pylist()]


def slow_counts(name: str | None, documents: list[Pair]) -> list[Row]:
    numbers = collections.Counter(bin_ for bin_, _ in documents)
    return [(name, b, numbers[b], sum(t for other, t in documents if other == b)) for b in sorted(numbers)]


@given(pairs)
def test_counts_by_value(documents: list[Pair]) -> None:
    assert as_rows(counted("k", documents)) == slow_counts("k", documents)


def test_keys_are_single_values_or_columns() -> None:
    ones = np.ones(2, np.int64)
    batch = Counter.batch(ones, ones, name=pa.array(["a", "b"]), bin=7)
    assert as_rows(batch) == [("a", 7, 1, 1), ("b", 7, 1, 1)]


@given(st.lists(st.tuples(st.sampled_from(["a", "b\tc", None]), pairs), max_size=6), st.data())
def test_merging_sums_in_any_order_and_grouping(runs: list[tuple[str | None, list[Pair]]], data: st.DataObject) -> None:
    counter = Counter()
    batches = [counted(name, documents) for name, documents in runs]
    together = counter.merge(batches)
    expected = [
        row
        for name in ("a", "b\tc", None)
        for row in slow_counts(name, [pair for other, documents in runs if other == name for pair in documents])
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
