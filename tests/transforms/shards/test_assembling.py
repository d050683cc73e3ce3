"""Shards as files: what the plan's header decides, metadata and records, and how little a worker is sent."""

import hashlib
import json
import pickle
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from byline.schemas.config import Config
from byline.schemas.ledger import ShardRecord
from byline.schemas.plan import FILE_NAME, Plan, rows_by_shard
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import Predicate, ValueList
from byline.schemas.recipe import Condition
from byline.shards import shard_metadata
from byline.transforms.documents.work_lists import ReadPlan
from byline.transforms.files.storage import join, write_file
from byline.transforms.shards import assembling
from byline.transforms.shards.assembling import INDEX_NAME, AssembleJob, assemble_shard, planned_phases, shard_batches
from byline.transforms.shards.assembling_transform import AssembleShards
from byline.transforms.shards.records import ShardMaker, record_path, write_current
from byline.transforms.shards.run_index import write_index
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.support import slow_shards, small
from tests.support.planned import numbered, plan_of, stage_of
from tests.support.shards import LOSS_TOKENS, loss_tokens_of
from tests.support.small import SmallStore, StoredRow

CIRCLE_END = 2**64 - 1
LENGTH = 16
CONDITION = {"template": "{host} {year}", "top": {"host": 1}, "bins": {"year": 2}, "begin": "<b>", "unknown": ""}
VALUES = FieldValues(top={"host": ["a.org"]}, bins={"year": [2000]})
PREDICATES: list[list[Predicate]] = [[], [ValueList("host", ("bad.org",), is_allowed=False)]]
# The branch is a phase like any other.
STAGES = [
    stage_of("main", packing="concat", condition=Condition(**CONDITION), values=VALUES, shards=2),
    stage_of("end", number=1, packing="best_fit"),
    stage_of("cooldown-25", number=2, packing="document_start"),
]
RECORD_KEYS = ("plan_sha256", "code_version", "phase", "shard", "counts", "padding")
PATHS = [
    "main/00000-of-00002.arrow",
    "main/00001-of-00002.arrow",
    "end/00000-of-00001.arrow",
    "cooldown-25/00000-of-00001.arrow",
]
# phase, shard, slice, source, epoch, shuffle keys, predicates
ROWS = [
    ("main", 0, 0, "a", 0, 0, 2**63 - 1, 1),
    ("main", 0, 0, "b", 0, 0, CIRCLE_END, 0),
    ("main", 1, 0, "a", 0, 2**63, CIRCLE_END, 1),
    ("end", 0, 0, "a", 1, 0, 2**63 - 1, 0),
    ("end", 0, 1, "a", 1, 2**63, CIRCLE_END, 0),
    ("cooldown-25", 0, 0, "a", 0, 2**62, CIRCLE_END, 0),
]


def config_of(folder: Path, hosts: list[str]) -> Config:
    settings = {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "pad": small.PAD, "add": ["<b>"]}
    select = {"deny": {"host": hosts}}
    return small.small_config(
        folder,
        tokenizer=settings,
        sequence={"length": LENGTH},
        phases=[
            {"name": "main", "share": "0.5", "packing": "concat", "condition": CONDITION, "select": select},
            {"name": "end", "share": "0.5", "packing": "best_fit"},
        ],
        branches=[{"name": "cooldown", "at": ["0.25"]}],
    )


@pytest.fixture
def store(tmp_path: Path) -> SmallStore:
    small.tokenizer_file(tmp_path)
    hosts = ("a.org", "b.org", None, "bad.org")
    masked = ((), [(0, 1)], [(2, 5)])
    rows = [
        StoredRow(row, [row] * (5 + row * 5 % 19), host=hosts[row % 4], year=1990 + row, masked=masked[row % 3])
        for row in range(24)
    ]
    return small.write_store(tmp_path, {("a", "x"): rows[:12], ("a", "y"): rows[12:], ("b", "x"): rows[:5]})


@pytest.fixture
def plan(tmp_path: Path, store: SmallStore) -> Plan:
    settings = config_of(tmp_path, ["bad.org"]).tokenizer
    info = tokenizer_info(shared_tokenizer(settings), settings)
    return plan_of(*STAGES, rows=ROWS, tokenizer=info, **numbered(PREDICATES))


def job_of(folder: Path, plan: Plan, hosts: int = 1, plan_sha256: str | None = None) -> AssembleJob:
    config = config_of(folder, [f"{number}.org" for number in range(hosts)])
    maker = ShardMaker(plan.sha256 if plan_sha256 is None else plan_sha256, "1.2.3")
    write_current(config.output, maker)
    return AssembleJob.of(config, plan.header.tokenizer, maker)


def write_shards(job: AssembleJob, plan: Plan, store: SmallStore) -> list[ShardRecord]:
    """The records of all shards."""
    phases = planned_phases(plan)
    return [
        assemble_shard(rows, job, phases[rows["phase"][0].as_py()], store.index) for rows in rows_by_shard(plan.table)
    ]


def table_at(job: AssembleJob, path: str) -> pa.Table:
    return pa.ipc.open_file(Path(job.output, path).read_bytes()).read_all()


def test_shards_of_phases_and_branches_are_the_references(tmp_path: Path, store: SmallStore, plan: Plan) -> None:
    job = job_of(tmp_path, plan)
    records = write_shards(job, plan, store)
    assert [record.entry.path for record in records] == PATHS
    expected = slow_shards.reference_shards(plan, config_of(tmp_path, []), store.documents)
    assert list(expected) == [(record.phase, record.shard) for record in records]
    for record, shard in zip(records, expected.values(), strict=True):
        assert table_at(job, record.entry.path).to_pylist() == shard.rows
        assert len(shard.rows) > 2
        assert record.entry.rows == len(shard.rows)
        losses = loss_tokens_of([(row["loss_mask"], row["seq_lengths"]) for row in shard.rows])
        assert [getattr(record.entry, name) for name in LOSS_TOKENS] == losses
        assert record.contents.padding == shard.padding
        assert record.entry.sha256 == hashlib.sha256(Path(job.output, record.entry.path).read_bytes()).hexdigest()
        written = json.loads(Path(record_path(job.work, record.phase, record.shard)).read_bytes())
        assert ShardRecord.from_json(written) == record
        assert set(written) == {*vars(record.entry), *RECORD_KEYS}


def test_metadata_are_those_of_the_shards_part(tmp_path: Path, store: SmallStore, plan: Plan) -> None:
    job = job_of(tmp_path, plan)
    write_shards(job, plan, store)
    said = [shard_metadata(table_at(job, path).schema, path) for path in PATHS]
    keys = ("phase", "shard", "packing", "template", "code_version", "plan_sha256")
    assert [tuple(metadata[key] for key in keys) for metadata in said] == [
        ("main", 0, "concat", "{host} {year}", "1.2.3", plan.sha256),
        ("main", 1, "concat", "{host} {year}", "1.2.3", plan.sha256),
        ("end", 0, "best_fit", None, "1.2.3", plan.sha256),
        ("cooldown-25", 0, "document_start", None, "1.2.3", plan.sha256),
    ]
    assert all(metadata["tokenizer"] == plan.header.tokenizer.to_json() for metadata in said)


def test_what_is_assembled_again_in_memory_is_what_was_written(tmp_path: Path, store: SmallStore, plan: Plan) -> None:
    job, phases = job_of(tmp_path, plan), planned_phases(plan)
    write_shards(job, plan, store)
    for path, rows in zip(PATHS, rows_by_shard(plan.table), strict=True):
        batches = shard_batches(rows, job, phases[rows["phase"][0].as_py()], store.index)
        assert pa.Table.from_batches(batches).equals(table_at(job, path))


def test_a_finished_shard_of_the_same_plan_is_not_made_again(
    tmp_path: Path, store: SmallStore, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path, plan)
    records = write_shards(job, plan, store)
    made: list[str] = []
    pack = assembling.pack_shard
    monkeypatch.setattr(assembling, "pack_shard", lambda rows, *others: made.append("made") or pack(rows, *others))
    assert write_shards(job, plan, store) == records
    Path(job.output, PATHS[2]).unlink()
    assert write_shards(job, plan, store) == records
    assert len(made) == 1
    other = job_of(tmp_path, plan, plan_sha256="another")
    assert [record.plan_sha256 for record in write_shards(other, plan, store)] == ["another"] * 4


def test_the_phases_of_a_plan(plan: Plan) -> None:
    phases = planned_phases(plan)
    assert [(phase.name, phase.shards, phase.packing) for phase in phases.values()] == [
        ("main", 2, "concat"),
        ("end", 1, "best_fit"),
        ("cooldown-25", 1, "document_start"),
    ]
    main, end = phases["main"].gathering, phases["end"].gathering
    assert (main.condition, main.values) == (Condition.model_validate(CONDITION), VALUES)
    assert (end.condition, end.values) == (None, FieldValues())
    assert main.predicates == end.predicates == PREDICATES


def test_a_job_is_as_small_for_a_long_list_of_hosts(tmp_path: Path, plan: Plan) -> None:
    one, many = (len(pickle.dumps(job_of(tmp_path, plan, hosts))) for hosts in (1, 10_000))
    assert one == many < 2000


def test_workers_take_the_phases_from_the_output(tmp_path: Path, store: SmallStore, plan: Plan) -> None:
    job = job_of(tmp_path, plan)
    with write_file(join(job.output, FILE_NAME)) as sink:
        sink.write(plan.to_bytes())
    with write_file(join(job.work, INDEX_NAME)) as sink:
        write_index([(r.source, file, r.uri) for r, file in zip(store.runs, store.files, strict=True)], sink)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | ReadPlan(join(job.output, FILE_NAME)) | AssembleShards(job)
    written = [table_at(job, path) for path in PATHS]
    for path in PATHS:
        Path(job.output, path).unlink()
    write_shards(job, plan, store)
    assert written == [table_at(job, path) for path in PATHS]
