"""Whole shards from runs and plan rows, held row for row against the reference, and what gathering promises."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from byline.schemas import store
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import RankRange
from byline.schemas.recipe import Condition
from byline.transforms.files.storage import write_file
from byline.transforms.shards import shard_writing
from byline.transforms.shards.assembling import AssembleJob, PackedShard, planned_phases
from byline.transforms.shards.gathering import Documents, GatherPhase, gather
from byline.transforms.shards.run_index import INDEX_SCHEMA, RunIndex, write_index
from byline.transforms.store import run_ranges, run_reading
from byline.transforms.store.compacting import merge_runs
from byline.transforms.store.run_names import merged_name
from byline.transforms.store.run_reading import Run, forget_runs
from byline.transforms.store.store_index import read_run_info
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from tests.reference import assembly, layout
from tests.support import slow_shards, small
from tests.support.attribute_files import align_ranges
from tests.support.planned import table_of
from tests.support.shard_cases import CIRCLE_END, Case, Made, cases, columns_of, make
from tests.support.small import StoredRow
from tests.support.thorough import examples


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """Runs and shards of several record batches, though everything is tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BATCH_TOKEN_BYTES", 64)
        patch.setattr(shard_writing, "BATCH_BYTES", 300)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gathering")
    small.tokenizer_file(made)
    return made


def found_rows(packed: PackedShard, job: AssembleJob) -> list[dict[str, list[int]]]:
    schema = job.schema()
    batches = list(packed.batches(job, schema))
    step = shard_writing.rows_per_batch(job.length, job.ids, job.loss_weight)
    assert all(batch.num_rows == step for batch in batches[:-1])
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, schema).to_pylist()


@examples(120)
@given(cases())
def test_a_shard_is_what_the_reference_makes_of_the_same_plan(folder: Path, case: Case) -> None:
    if case.condition is not None:
        unknown = layout.fill(case.condition["template"], {}, case.condition["unknown"])
        markers = ("begin" in case.condition) + ("end" in case.condition)
        assume(len(layout.tokenize(small.reference_tokenizer(), unknown)) + markers <= case.length // 2)
    made = make(case, folder)
    packed = made.pack()
    expected = slow_shards.reference_shards(made.plan, made.config, made.documents)["only", 0]
    assert found_rows(packed, made.job) == expected.rows
    assert packed.padding == expected.padding
    assert small.comparable_counts(packed.counts(made.job)) == expected.counts


class LocalObject:
    """A file that is read like an object of an object store."""

    def __init__(self, uri: str) -> None:
        self.content = Path(uri).read_bytes()
        self.size = len(self.content)

    def read_at(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= self.size
        return self.content[start:end]


def merged(case: Case, made: Made, folder: Path) -> RunIndex:
    """The same store with all runs of a source as one, those of source `b` in two steps."""
    rows = []
    for source, runs in made.index.runs.items():
        files = {uri: number for uri, numbers in runs for number in numbers}
        names = sorted(files, key=lambda uri: case.files[files[uri]][1])
        inputs = names
        if len(inputs) > 2 and source == "b":
            inputs = [merge_runs(inputs[1:], f"{folder}/{source}-part.arrow").uri, inputs[0]]
        name = merged_name(map(read_run_info, names))
        target = merge_runs(inputs, f"{folder}/{source}/{name}").uri if len(inputs) > 1 else inputs[0]
        rows += [(source, files[uri], target) for uri in names]
        if len(names) > 1:
            align_ranges(target, columns_of(case, source), [made.values.get(uri, "") for uri in names])
    return RunIndex.of(rows)


@examples(40)
@given(cases(), st.booleans(), st.booleans())
def test_merged_runs_and_object_stores_give_the_same_documents(
    folder: Path, case: Case, is_merged: bool, is_object: bool
) -> None:
    made = make(case, folder)
    expected = gathered_documents(made)
    if is_merged:
        made.index = merged(case, made, folder / f"merged-{len(list(folder.iterdir()))}")
    with pytest.MonkeyPatch.context() as patch:
        if is_object:
            patch.setattr(run_reading, "is_object_address", lambda uri: True)
            patch.setattr(run_ranges, "open_ranges", LocalObject)
        forget_runs()
        found = gathered_documents(made)
    forget_runs()
    assert found == expected


def gathered_documents(made: Made) -> dict[str, Any]:
    """What gathering gives of each document, in its order; where things stand in arrays may differ."""
    phase = planned_phases(made.plan)["only"].gathering
    phase = replace(phase, condition=None, values=FieldValues())
    tokenizer = shared_tokenizer(made.config.tokenizer)
    found = gather(made.rows, made.index, phase, made.config.seed, made.config.sequence.length, tokenizer)
    lists = {
        "tokens": (found.tokens, found.token_start, found.token_count),
        "masked": (found.masked_ranges, found.masked_start, found.masked_count),
        "weighed": (found.weighed.ranges, found.weighed.starts, found.weighed.counts),
        "range_weights": (found.weighed.weights, found.weighed.starts // 2, found.weighed.counts // 2),
    }
    return {
        "sources": found.sources,
        **{name: getattr(found, name).tolist() for name in ("source", "epoch", "slice", "doc_id", "shuffle_key")},
        **{
            name: [values[start : start + count].tolist() for start, count in zip(starts, counts, strict=True)]
            for name, (values, starts, counts) in lists.items()
        },
    }


def one_source(folder: Path, rows: list[StoredRow], name: str = "a") -> tuple[str, list[assembly.Document]]:
    return small.write_run_of(folder / name, name, "x.jsonl", 0, rows)


def gathered(
    folder: Path,
    rows: list[tuple[Any, ...]],
    index: RunIndex,
    condition: Condition | None = None,
    predicates: list[list[dict[str, Any]]] | None = None,
) -> Documents:
    config = small.small_config(folder)
    phase = GatherPhase(condition, FieldValues(), predicates or [[]])
    batch = table_of(rows).combine_chunks().to_batches()[0]
    return gather(batch, index, phase, config.seed, 32, shared_tokenizer(config.tokenizer))


def test_documents_of_an_earlier_slice_come_first(folder: Path) -> None:
    uri, documents = one_source(folder / "slices", [StoredRow(row, [row]) for row in range(20)])
    shuffle_keys = sorted(document.shuffle_key for document in documents)
    middle = shuffle_keys[9]
    rows = [("only", 0, 1, "a", 0, 0, middle, 0), ("only", 0, 0, "a", 0, middle + 1, CIRCLE_END, 0)]
    found = gathered(folder, rows, RunIndex.of([("a", 0, uri)]))
    assert found.slice.tolist() == [0] * 10 + [1] * 10
    assert sorted(found.shuffle_key[:10].tolist()) == shuffle_keys[10:]
    assert sorted(found.shuffle_key[10:].tolist()) == shuffle_keys[:10]


def test_bins_of_one_range_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, _ = one_source(folder / "bins", [StoredRow(row, [row] * (row + 1)) for row in range(12)])
    reads: list[tuple[int, int]] = []
    between = Run.between

    def counted(run: Run, low: int, high: int) -> Iterator[pa.RecordBatch]:
        reads.append((low, high))
        return between(run, low, high)

    monkeypatch.setattr(Run, "between", counted)
    borders = [None, *((2**63 + size, 0, 0) for size in (4, 7, 8, 12)), None]
    predicates = [[RankRange("num_tokens", "int", False, low, high)] for low, high in pairwise(borders)]
    # The bins of the shortest documents come last; the second stops short of the circle's end.
    ends = [CIRCLE_END, CIRCLE_END - 1, CIRCLE_END, CIRCLE_END, CIRCLE_END]
    rows = [("only", 0, 4 - bin_, "a", 0, 0, end, bin_) for bin_, end in enumerate(ends)]
    found = gathered(folder, rows, RunIndex.of([("a", 0, uri)]), predicates=predicates)
    assert found.slice.tolist() == [0] + [1] * 4 + [2] + [3] * 3 + [4] * 3
    expected = [[12], [8, 9, 10, 11], [7], [4, 5, 6], [1, 2, 3]]
    assert [sorted(found.token_count[found.slice == n].tolist()) for n in range(5)] == expected
    assert reads == [(0, CIRCLE_END)]


def test_ranges_that_touch_are_read_as_one_and_others_are_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, documents = one_source(folder / "touching", [StoredRow(row, [row]) for row in range(9)])
    shuffle_keys = sorted(document.shuffle_key for document in documents)
    reads: list[tuple[int, int]] = []
    monkeypatch.setattr(Run, "between", lambda run, low, high: reads.append((low, high)) or iter(()))
    rows = [
        ("only", 0, 0, "a", 0, shuffle_keys[4] + 1, shuffle_keys[6], 0),
        ("only", 0, 1, "a", 0, shuffle_keys[2], shuffle_keys[4], 0),
        ("only", 0, 2, "a", 0, shuffle_keys[7], shuffle_keys[8], 0),
        ("only", 0, 3, "a", 1, shuffle_keys[6] + 1, shuffle_keys[7], 0),
    ]
    gathered(folder, rows, RunIndex.of([("a", 0, uri)]))
    assert reads == [
        (shuffle_keys[2], shuffle_keys[6]),
        (shuffle_keys[7], shuffle_keys[8]),
        (shuffle_keys[6] + 1, shuffle_keys[7]),
    ]


def test_two_rows_that_draw_one_document_are_refused(folder: Path) -> None:
    uri, _ = one_source(folder / "overlap", [StoredRow(0, [1])])
    rows = [("only", 0, slice_, "a", 0, 0, CIRCLE_END, 0) for slice_ in (0, 1)]
    with pytest.raises(AssertionError, match="source a: two rows of the plan draw one document"):
        gathered(folder, rows, RunIndex.of([("a", 0, uri)]))


def test_masked_ranges_go_with_their_documents(folder: Path) -> None:
    rows = [StoredRow(row, [row] * 9, masked=[(0, row)] if row else []) for row in range(6)]
    uri, documents = one_source(folder / "masked", rows)
    other, _ = one_source(folder / "trained", [StoredRow(0, [1, 2])], "b")
    shuffle_keys = sorted(document.shuffle_key for document in documents)
    plan = [("only", 0, 0, "a", 0, shuffle_keys[1], shuffle_keys[4], 0), ("only", 0, 0, "b", 0, 0, CIRCLE_END, 0)]
    found = gathered(folder, plan, RunIndex.of([("a", 0, uri), ("b", 1, other)]))
    assert found.masked_ranges.dtype == np.int32
    masked = {
        doc_id: found.masked_ranges[start : start + count].tolist()
        for doc_id, start, count in zip(
            found.doc_id.tolist(), found.masked_start.tolist(), found.masked_count.tolist(), strict=True
        )
    }
    expected = {
        d.doc_id: [border for pair in d.masked for border in pair]
        for d in documents
        if d.shuffle_key in shuffle_keys[1:5]
    }
    assert masked == {**expected, 1 << 32: []}


def test_nothing_in_the_ranges_gives_no_documents_but_the_source(folder: Path) -> None:
    uri, documents = one_source(folder / "nothing", [StoredRow(0, [1, 2])])
    shuffle_key = documents[0].shuffle_key
    found = gathered(folder, [("only", 0, 0, "a", 0, shuffle_key + 1, CIRCLE_END, 0)], RunIndex.of([("a", 0, uri)]))
    assert found.sources == ["a"]
    assert len(found.doc_id) == len(found.tokens) == len(found.prefix_values) == len(found.masked_ranges) == 0
    assert found.tokens.dtype == np.uint16


def test_a_document_drawn_in_two_epochs_is_conditioned_twice(folder: Path) -> None:
    uri, _ = one_source(folder / "twice", [StoredRow(4, [1, 2, 3], host="a.org")])
    rows = [("only", 0, 0, "a", epoch, 0, CIRCLE_END, 0) for epoch in (0, 1)]
    condition = Condition(template="{host} ", dropout=Fraction(0))
    found = gathered(folder, rows, RunIndex.of([("a", 7, uri)]), condition)
    prefix = small.reference_tokenizer().encode("a.org ").ids
    assert sorted(found.epoch.tolist()) == [0, 1]
    assert found.doc_id.tolist() == [(7 << 32) + 4] * 2
    for start, count in zip(found.prefix_start, found.prefix_count, strict=True):
        assert found.prefix_values[start : start + count].tolist() == prefix
    for start, count in zip(found.token_start, found.token_count, strict=True):
        assert found.tokens[start : start + count].tolist() == [1, 2, 3]


def test_the_index_of_runs_reads_back(tmp_path: Path) -> None:
    rows = [("a", 0, "one"), ("b", 2, "two"), ("a", 1, "three")]
    with write_file(str(tmp_path / "runs.arrow")) as sink:
        write_index(rows, sink)
    assert RunIndex.read(str(tmp_path / "runs.arrow")).runs == {
        "a": [("one", [0]), ("three", [1])],
        "b": [("two", [2])],
    }
    with write_file(str(tmp_path / "none.arrow")) as sink:
        write_index([], sink)
    assert RunIndex.read(str(tmp_path / "none.arrow")).runs == {}
    assert pa.ipc.open_file(str(tmp_path / "none.arrow")).schema == INDEX_SCHEMA
