"""Counts: by bin, merged in any order and grouping, and the same with Beam."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.corpora import Tokenizer
from tests import small
from tests.small import StoredRow
from transforms import counting
from transforms.counting import COUNTS, CountRuns, Summing, count_by_bin, one_batch
from transforms.field_values import FieldValues
from transforms.measuring import PartView, PlaceCounter

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
    parts: list[tuple[str, list[tuple[int, int]]]], data: st.DataObject
) -> None:
    counter = Summing()
    batches = [counted(key, found) for key, found in parts]
    together = counter.merge(batches)
    expected = [
        row for key in ("a", "b\tc") for row in slow_counts(key, [p for k, found in parts if k == key for p in found])
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


def counter_and_runs(folder: Path) -> tuple[PlaceCounter, list[str]]:
    rows = [StoredRow(row, [1] * (row + 1), quality=row / 7) for row in range(20)]
    runs = [small.write_run_of(folder / "runs", "a", f"{n}.jsonl", n, rows[n:])[0] for n in range(5)]
    tokenizer = Tokenizer(file=small.tokenizer_file(folder))
    views = [PartView(str(n), n, {source: []}, None, FieldValues(), 0, 16, tokenizer) for n, source in enumerate("ab")]
    return PlaceCounter(views), runs


def count_with_beam(counter: counting.RunCounter, runs: Sequence[str], uri: str) -> pa.RecordBatch:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(runs).with_output_types(str) | CountRuns(counter, uri)
    with pa.memory_map(uri) as source:
        reader = pa.ipc.open_file(source)
        assert reader.num_record_batches == 1
        return reader.get_batch(0)


@pytest.mark.parametrize("waiting", [1 << 20, 0])
def test_beam_counts_what_a_loop_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    monkeypatch.setattr(counting, "_WAITING_ROWS", waiting)
    counter, runs = counter_and_runs(tmp_path)
    found = count_with_beam(counter, runs, str(tmp_path / "counts.arrow"))
    assert found.equals(small.local_pass(runs)(counter))
    assert sum(row[2] for row in as_rows(found)) == 20 + 19 + 18 + 17 + 16
    assert {row[0] for row in as_rows(found)} == {"0\ta"}


def test_no_runs_give_an_empty_batch(tmp_path: Path) -> None:
    counter, _ = counter_and_runs(tmp_path)
    assert as_rows(count_with_beam(counter, [], str(tmp_path / "counts.arrow"))) == []


@dataclass(frozen=True)
class Noting(Summing):
    """Notes how many rows each merge is given."""

    sizes: list[int]

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        self.sizes.append(sum(batch.num_rows for batch in batches))
        return super().merge(batches)


def test_waiting_counts_are_merged_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_WAITING_ROWS", 10)
    counter = Noting([])
    merge = counting._MergeFn(counter)
    accumulator = merge.create_accumulator()
    for _ in range(40):
        accumulator = merge.add_input(accumulator, counted("k", [(0, 1), (1, 1)]))
    assert 1 < len(counter.sizes) < 8
    assert as_rows(merge.extract_output(accumulator)) == [("k", 0, 40, 40), ("k", 1, 40, 40)]


def test_a_waiting_accumulator_crosses_processes() -> None:
    coder = counting._AccumulatorCoder(Summing())
    batches = [counted("k", [(0, 1)]), counted("k", [(0, 2), (3, 4)])]
    (found,) = coder.decode(coder.encode(batches))
    assert as_rows(found) == [("k", 0, 2, 3), ("k", 3, 1, 4)]
    assert as_rows(*coder.decode(coder.encode([]))) == []
