"""Merged runs: the documents of their chunks, in order of shuffle key, and the same shards as without them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas import store
from byline.schemas.plan import Plan, rows_by_shard
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.documents.work_lists import ListLines, write_lines
from byline.transforms.plans.planning import make_plan
from byline.transforms.shards.assembling import AssembleJob, planned_phases, shard_batches
from byline.transforms.shards.records import ShardMaker
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.store import compacting, compacting_transform
from byline.transforms.store.compacting import MergeGroup, group_files, merge_runs
from byline.transforms.store.compacting_transform import MergeRuns
from byline.transforms.store.run_names import merged_name
from byline.transforms.store.runs import write_run
from byline.transforms.store.store_index import read_files, run_uris, runs_of
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.support import small
from tests.support.small import FINGERPRINT, SmallStore, StoredRow, tokenized_batch, write_run_of
from tests.support.thorough import examples


def write_at(folder: Path, path: str, shuffle_keys: Sequence[int], **settings: Any) -> str:
    """A run of documents at these shuffle keys; document n has n + 1 tokens, all of them n."""
    rows = [StoredRow(row, [row] * (row + 1), host=f"{path}-{row}.org") for row in range(len(shuffle_keys))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "byline.transforms.store.runs.shuffle_keys",
            lambda source, path, rows: np.array(shuffle_keys, np.uint64)[rows],
        )
        return write_run(tokenized_batch("a", path, rows, **settings), FINGERPRINT, str(folder))


def read(uri: str) -> pa.Table:
    with pa.memory_map(uri) as source:
        return pa.ipc.open_file(source).read_all()


def info_of(uri: str) -> RunFile:
    return RunFile.from_schema(read(uri).schema, uri, Path(uri).stat().st_size)


# ---------------------------------------------------------------------------------------------------------- merging


def test_documents_of_several_runs_in_order_of_shuffle_key(tmp_path: Path) -> None:
    one, other = write_at(tmp_path, "x", [9, 2, 5]), write_at(tmp_path, "b", [7, 2**63 + 1])
    target = str(tmp_path / "merged.arrow")
    said = merge_runs([one, other], target)
    table = read(target)
    assert table.select(["shuffle_key", "file", "row", "num_tokens", "host", "tokens"]).to_pylist() == [
        # `b` is chunk 0, since chunks are in order of their paths.
        {"shuffle_key": 2, "file": 1, "row": 1, "num_tokens": 2, "host": "x-1.org", "tokens": [1, 1]},
        {"shuffle_key": 5, "file": 1, "row": 2, "num_tokens": 3, "host": "x-2.org", "tokens": [2, 2, 2]},
        {"shuffle_key": 7, "file": 0, "row": 0, "num_tokens": 1, "host": "b-0.org", "tokens": [0]},
        {"shuffle_key": 9, "file": 1, "row": 0, "num_tokens": 1, "host": "x-0.org", "tokens": [0]},
        {"shuffle_key": 2**63 + 1, "file": 0, "row": 1, "num_tokens": 2, "host": "b-1.org", "tokens": [1, 1]},
    ]
    assert table.schema.names[:4] == ["shuffle_key", "row", "file", "num_tokens"]
    names = [name for name in table.schema.names if name != "file"]
    assert names == read(one).schema.names
    assert [table.schema.field(name) for name in names] == [read(one).schema.field(name) for name in names]
    assert said == info_of(target)
    chunks = [replace(info_of(uri).chunks[0], batch_shuffle_keys=[], uri=target) for uri in (other, one)]
    assert said == RunFile(chunks, [2], sum(Path(uri).stat().st_size for uri in (one, other)), target)


def test_equal_shuffle_keys_are_by_part_and_row(tmp_path: Path) -> None:
    uris = [write_at(tmp_path, path, [5, 5, 1, 5]) for path in "cab"]
    target = str(tmp_path / "merged.arrow")
    merge_runs(uris, target)
    rows = read(target).select(["shuffle_key", "file", "row"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        *((1, file, 2) for file in range(3)),
        *((5, file, row) for file in range(3) for row in (0, 1, 3)),
    ]


def test_chunks_of_one_file_are_parts_of_their_own(tmp_path: Path) -> None:
    uris = [write_at(tmp_path, "x", [chunk], chunk=chunk, last=chunk == 10) for chunk in (10, 2, 0)]
    said = merge_runs(uris, str(tmp_path / "merged.arrow"))
    assert [(chunk.path, chunk.chunk, chunk.last) for chunk in said.chunks] == [
        ("x", 0, False),
        ("x", 2, False),
        ("x", 10, True),
    ]
    assert read(said.uri)["file"].to_pylist() == [0, 1, 2]


def test_every_column_is_kept_with_its_nulls(tmp_path: Path) -> None:
    first = [
        StoredRow(0, [], None, "mit", 0.5, 1, None, None, []),
        StoredRow(1, [7], "h.org", None, None, None, 0.25, "news", [(0, 1)]),
    ]
    second = [StoredRow(0, [8, 9], "i.org", "", -0.0, -(2**62), 1e300, "code", [(0, 1), (1, 2)])]
    uris = [write_run_of(tmp_path, "a", path, 0, rows)[0] for path, rows in (("x", first), ("y", second))]
    merge_runs(uris, str(tmp_path / "merged.arrow"))
    names = [name for name in read(uris[0]).schema.names if name != "shuffle_key"]
    by_chunk_and_row = {(row.pop("file"), row["row"]): row for row in read(str(tmp_path / "merged.arrow")).to_pylist()}
    for file, uri in enumerate(uris):
        for row in read(uri).to_pylist():
            assert {name: by_chunk_and_row[file, row["row"]][name] for name in names} == {
                name: row[name] for name in names
            }
    assert len(by_chunk_and_row) == 3


def test_runs_without_documents(tmp_path: Path) -> None:
    empty = [write_at(tmp_path, path, []) for path in "ac"]
    said = merge_runs(empty, str(tmp_path / "none.arrow"))
    assert (said.batch_shuffle_keys, len(said.chunks), read(said.uri).num_rows) == ([], 2, 0)
    said = merge_runs([*empty, write_at(tmp_path, "b", [4, 3])], str(tmp_path / "some.arrow"))
    assert (said.batch_shuffle_keys, len(said.chunks)) == ([3], 3)
    assert read(said.uri)["file"].to_pylist() == [1, 1]


def test_runs_that_share_a_chunk_are_not_merged(tmp_path: Path) -> None:
    uris = [write_at(tmp_path / folder, "x", [1]) for folder in ("one", "two")]
    with pytest.raises(AssertionError, match="share chunks: 2 chunks, 1 different ones"):
        merge_runs(uris, str(tmp_path / "merged.arrow"))


shuffle_keys = st.lists(st.one_of(st.integers(0, 20), st.integers(2**63, 2**64 - 1)), max_size=12)


@examples(60)
@given(st.lists(shuffle_keys, min_size=2, max_size=6), st.integers(2, 5), st.integers(4, 60))
def test_any_way_to_merge_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[int]], step: int, batch_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("merging")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BATCH_TOKEN_BYTES", batch_bytes)
        uris = [write_at(folder, f"{number}", some) for number, some in enumerate(runs)]
        merge_runs(uris, str(folder / "all.arrow"))
        left = uris
        while len(left) > 1:
            target = str(folder / f"step-{len(left)}.arrow")
            merge_runs(left[-step:], target)
            left = [*left[:-step], target]
    assert Path(left[0]).read_bytes() == (folder / "all.arrow").read_bytes()

    rows = [(shuffle_key, file, row) for file, some in enumerate(runs) for row, shuffle_key in enumerate(some)]
    with pa.memory_map(left[0]) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(number).to_pylist() for number in range(reader.num_record_batches)]
    merged_rows = [row for batch in batches for row in batch]
    assert [(row["shuffle_key"], row["file"], row["row"]) for row in merged_rows] == sorted(rows)
    assert all(
        row["tokens"] == [row["row"]] * (row["row"] + 1) == [row["row"]] * row["num_tokens"] for row in merged_rows
    )
    assert info_of(left[0]).batch_shuffle_keys == [batch[0]["shuffle_key"] for batch in batches]
    before = np.cumsum([0, *(2 * row["num_tokens"] for row in merged_rows)])
    starts = np.cumsum([0, *map(len, batches)])[:-1]
    assert starts.tolist() == [
        n for n in range(len(merged_rows)) if n == 0 or before[n] // batch_bytes > before[n - 1] // batch_bytes
    ]


# ------------------------------------------------------------------------------------------------------------ shards

CONDITION = {"template": "{host} {license}: ", "dropout": 0.2, "top": {"host": 2}}
PHASES = [
    {"name": "main", "share": 0.7, "condition": CONDITION, "select": {"top": 0.9, "by": "num_tokens"}},
    {"name": "end", "share": 0.3, "select": {"deny": {"host": ["b.org"]}}},
]
rows_of = st.lists(
    st.builds(
        StoredRow,
        row=st.just(0),
        tokens=st.lists(st.integers(0, 399), min_size=1, max_size=20),
        host=st.sampled_from([None, "a.org", "b.org", "c.org"]),
        license=st.sampled_from([None, "mit"]),
        quality=st.sampled_from([None, 0.1, 0.5, 0.9]),
        topic=st.sampled_from(["news", "code"]),
    ),
    min_size=8,
    max_size=25,
)


def plan_of(config: Any, runs: list[RunInfo]) -> Plan:
    tokenizer = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    return make_plan(config, tokenizer, runs, small.local_scan(run_uris(runs)))


def merge_some(made: SmallStore, folder: Path, draw: Callable[[st.SearchStrategy], Any]) -> list[RunInfo]:
    """The runs of a store, some neighbours of a source merged, and perhaps merged once more."""
    runs: list[RunInfo] = []
    for source in "ab":
        files = [RunFile([run], run.batch_shuffle_keys, 1, run.uri) for run in made.runs if run.source == source]
        for level in range(draw(st.integers(0, 2))):
            cuts = sorted(draw(st.sets(st.integers(1, len(files)), max_size=2)) | {0, len(files)})
            groups = [files[low:high] for low, high in pairwise(cuts) if low < high]
            files = [
                merge_runs([file.uri for file in group], str(folder / f"{source}{level}{number}.arrow"))
                for number, group in enumerate(groups)
            ]
        runs += runs_of(files)
    return runs


@examples(15)
@given(st.lists(rows_of, min_size=2, max_size=5), rows_of, st.data())
def test_plan_and_shards_are_the_same_however_runs_are_merged(
    tmp_path_factory: pytest.TempPathFactory, of_a: list[list[StoredRow]], of_b: list[StoredRow], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    small.tokenizer_file(folder)
    files = {("a", f"{number}.jsonl"): rows for number, rows in enumerate(of_a)} | {("b", "x.jsonl"): of_b}
    # One that every phase may take.
    of_b = [replace(of_b[0], host="a.org", tokens=[1] * 20), *of_b[1:]]
    made = small.write_store(
        folder, {name: [replace(row, row=n) for n, row in enumerate(rows)] for name, rows in files.items()}
    )
    keep = {"license": "string", "year": "int", "ratio": "float"}
    source = {"format": "jsonl", "keep": keep, "score": {"quality": "quality"}}
    config = small.small_config(
        folder,
        sources={name: {**source, "path": str(folder / name / "*.jsonl")} for name in "ab"},
        phases=PHASES, mixture="natural", shortage="repeat", shard={"sequences": 8},
    )  # fmt: skip
    plan = plan_of(config, made.runs)
    merged = merge_some(made, folder, data.draw)
    assert sum(run.rows for run in merged) == sum(run.rows for run in made.runs)
    assert plan_of(config, merged).to_bytes() == plan.to_bytes()

    numbers = {(run.source, run.path): number for run, number in zip(made.runs, made.files, strict=True)}
    index = RunIndex.of((run.source, numbers[run.source, run.path], run.uri) for run in merged)
    job = AssembleJob.of(config, plan.header.tokenizer, ShardMaker(plan.sha256, ""))
    for rows in rows_by_shard(plan.table):
        phase = planned_phases(plan)[rows["phase"][0].as_py()]
        before, after = ([*shard_batches(rows, job, phase, some)] for some in (made.index, index))
        assert before == after


# ----------------------------------------------------------------------------------------------------------- groups


def files_of(*sizes: int) -> list[RunFile]:
    infos = [RunInfo("f", "a", f"{n:03}", 0, True, 1, 1, 1, {}, 0, 1, 1, 1, [0], f"{n}") for n in range(len(sizes))]
    return [RunFile([info], [0], size, info.uri) for info, size in zip(infos, sizes, strict=True)]


def sizes_of(groups: list[list[RunFile]]) -> list[list[int]]:
    return [[file.size for file in group] for group in groups]


def test_groups_are_neighbours_that_fit_together() -> None:
    assert sizes_of(group_files(files_of(3, 4, 3, 5, 6, 20, 1, 9, 1), 10)) == [[3, 4, 3], [1, 9]]
    assert group_files(files_of(6, 6, 11), 10) == []
    assert group_files([], 10) == []


def test_a_group_has_no_more_files_than_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "MAX_OPEN", 3)
    assert sizes_of(group_files(files_of(*[1] * 7), 10)) == [[1, 1, 1], [1, 1, 1]]


@given(st.lists(st.integers(0, 12), max_size=20), st.data())
def test_groups_that_are_merged_leave_the_others_as_they_are(sizes: list[int], data: st.DataObject) -> None:
    files = files_of(*sizes)
    groups = group_files(files, 10)
    after = list(files)
    for group in groups:
        if data.draw(st.booleans()):
            at = after.index(group[0])
            chunks = [chunk for file in group for chunk in file.chunks]
            after[at : at + len(group)] = [RunFile(chunks, [0], sum(file.size for file in group), "merged")]
    assert group_files(after, 10) == [group for group in groups if group[0] in after]
    if len(after) == len(files) - sum(len(group) - 1 for group in groups):
        assert all(one.size + other.size > 10 for one, other in pairwise(after))


def named(files: list[RunFile]) -> str:
    return merged_name(runs_of(files))


def test_the_name_is_of_the_parts() -> None:
    one, two, three = files_of(1, 2, 3)
    name = named([one, two, three])
    both = RunFile([*one.chunks, *two.chunks], [0], 9, "elsewhere")
    assert name == named([both, three]) == named([three, two, one])
    assert name.startswith("merged-")
    assert len({name, named([one, two]), named([one, three])}) == 3
    changed = RunFile([replace(three.chunks[0], input_size=2)], [0], 3, "")
    assert named([one, two, changed]) != name


# --------------------------------------------------------------------------------------------------------- the step


def run_step(folder: Path, groups: list[MergeGroup]) -> None:
    write_lines(str(folder / "groups.jsonl"), (group.to_json() for group in groups))
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        merged = pipeline | "ListGroups" >> ListLines(str(folder / "groups.jsonl")) | "MergeRuns" >> MergeRuns()
        assert merged.element_type is str


def test_a_group_is_merged_once_and_found_there_again(tmp_path: Path) -> None:
    for path in "xy":
        write_at(tmp_path / "runs", path, [1, 2])
    group = MergeGroup.of(read_files(str(tmp_path / "runs")), str(tmp_path / "runs"))
    run_step(tmp_path, [group])
    assert read(group.target).num_rows == 4
    written = Path(group.target).stat().st_mtime_ns
    for uri in group.uris:
        Path(uri).unlink()
    run_step(tmp_path, [group])
    assert Path(group.target).stat().st_mtime_ns == written


def test_what_it_is_made_from_may_go_while_another_worker_has_merged_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = [write_at(tmp_path / "runs", path, [1, 2]) for path in "xy"]
    group = MergeGroup(uris, str(tmp_path / "runs/merged-1.arrow"))
    merge_runs(uris, group.target)
    for uri in uris:
        Path(uri).unlink()
    # The other worker was done between this one's look and its first read.
    answers = [False, True]
    monkeypatch.setattr(compacting_transform, "exists", lambda uri: answers.pop(0))
    assert list(compacting_transform._MergeFn().process(group.to_json())) == [group.target]


def test_what_it_is_made_from_is_gone_and_nothing_has_merged_it(tmp_path: Path) -> None:
    group = MergeGroup([str(tmp_path / "none.arrow")] * 2, str(tmp_path / "merged-1.arrow"))
    with pytest.raises(BylineError, match=r"none\.arrow: cannot be opened"):
        list(compacting_transform._MergeFn().process(group.to_json()))
