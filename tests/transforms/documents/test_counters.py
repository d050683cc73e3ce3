"""What the steps tell the engine is what their files say."""

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from byline import object_stores
from byline.manifest import ShardEntry
from byline.schemas.documents import BatchInfo, tokens_field, with_info
from byline.schemas.ledger import DrawCounts, PhaseLedger, ShardRecord
from byline.schemas.reasons import DropReason
from byline.transforms.documents.beam_counters import count
from byline.transforms.documents.coder import RecordBatchCoder
from byline.transforms.documents.counters import NAMESPACE, batch_counts, run_counts, shard_counts, total
from byline.transforms.files import object_store
from byline.transforms.store import store_index
from byline.transforms.store.runs_transform import WriteRuns


def batch_of(num_bytes: list[int], num_tokens: list[int], **info: Any) -> pa.RecordBatch:
    columns = {
        "row": pa.array(range(len(num_bytes)), pa.int64()),
        "num_bytes": pa.array(num_bytes, pa.int64()),
        "num_tokens": pa.array(num_tokens, pa.int32()),
        "tokens": pa.array([[7] * number for number in num_tokens], tokens_field(pa.uint16()).type),
    }
    batch_info = BatchInfo("a", "x", info.pop("chunk", 0), True, 10, **info)
    return with_info(pa.RecordBatch.from_pydict(columns), batch_info)


def counters_of(result: Any) -> dict[str, int]:
    reported = result.metrics().query()["counters"]
    assert {counter.key.metric.namespace for counter in reported} == {NAMESPACE}
    return {counter.key.metric.name: counter.committed for counter in reported}


def test_a_batch_and_a_shard_as_counts() -> None:
    batch = batch_of([3, 5], [2, 2], rows_read=4, bytes_read=9, dropped={DropReason.EMPTY_TEXT.value: 2})
    assert batch_counts(batch) == {
        "runs": 1, "documents_read": 4, "text_bytes_read": 9, "dropped_empty_text": 2,
        "documents_kept": 2, "text_bytes_kept": 8, "tokens_kept": 4,
    }  # fmt: skip
    assert batch_counts(batch_of([], [], rows_read=1, bytes_read=0))["tokens_kept"] == 0
    counts = DrawCounts(documents=3, tokens=20, positions=18, loss_tokens=16, discarded={"cut": 2})
    contents = PhaseLedger({"a": counts, "b": replace(counts, discarded={})}, padding=4)
    entry = ShardEntry("main/00000-of-00001.arrow", 5, 32, 30, 28, 100, "00")
    assert shard_counts(ShardRecord("00", "1", "main", 0, entry, contents)) == {
        "shards": 1, "sequences": 5, "documents_drawn": 6, "positions": 36, "loss_tokens": 32, "padding": 4,
        "tokens_discarded": 2,
    }  # fmt: skip


def test_sums_leave_nothing_out_but_zeros() -> None:
    assert total([{"a": 1, "b": 0}, {"a": 2, "c": 5}]) == {"a": 3, "c": 5}
    assert total([]) == {}


def test_outside_of_a_pipeline_counting_does_nothing() -> None:
    count({"runs": 1})


def test_writing_runs_counts_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "_retries", deque(["bucket/key"] * 3))
    batches = [
        batch_of([3, 5], [2, 1], rows_read=4, bytes_read=9, dropped={"malformed": 2}),
        batch_of([1], [1], chunk=1, rows_read=2, bytes_read=1, dropped={"empty_text": 1}),
    ]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        created = pipeline | beam.Create(batches).with_output_types(pa.RecordBatch)
        assert isinstance(beam.coders.registry.get_coder(created.element_type), RecordBatchCoder)
        _ = created | WriteRuns({"a": str(tmp_path)}, {"a": "f" * 64})
    written = total(run_counts(run) for run in store_index.read_runs(str(tmp_path)))
    assert counters_of(pipeline.result) == {**written, "store_retries": 3}
    assert written == {
        "runs": 2, "documents_read": 6, "text_bytes_read": 10, "dropped_malformed": 2, "dropped_empty_text": 1,
        "documents_kept": 3, "text_bytes_kept": 9, "tokens_kept": 4,
    }  # fmt: skip
    assert object_store.take_retries() == 0


def test_calls_that_are_tried_again_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stores, "_FIRST_WAIT", 0.0)
    object_store.take_retries()
    answers = iter([OSError("busy"), OSError("busy"), None])

    def call() -> str:
        failure = next(answers)
        if failure is not None:
            raise failure
        return "answer"

    assert object_store._Retrying("s3", None).retry("bucket/key", "read", call) == "answer"
    assert object_store.take_retries() == 2
    assert object_store.take_retries() == 0
