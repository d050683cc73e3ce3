"""Whole shards from runs and plan rows, held row for row against the reference, and what gathering promises."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from byline.shards import shard_schema
from schemas import store
from schemas.config import Config
from schemas.plan import PLAN_SCHEMA
from schemas.recipe import Condition, Packing
from tests import small
from tests.reference import assembly, layout
from tests.small import StoredRow
from transforms import assembling
from transforms.assembling import AssembleJob, PackedShard, pack_shard
from transforms.gathering import INDEX_SCHEMA, RunIndex, gather, write_index
from transforms.selecting import encode_predicates
from transforms.storage import write_file
from transforms.tokenizing import shared_tokenizer, tokenizer_info

CIRCLE_END = 2**64 - 1
TEMPLATES = ("URL: {host}\n\n", "{host}", "{license}", "{license}{host}|", "{source}: ", "")
UNKNOWNS = ("unknown", "?", "")
HOSTS = (None, "", "a.org", "en.example.org", "x1y2z3" * 8)


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """Runs and shards of several record batches, though everything is tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BATCH_TOKEN_BYTES", 64)
        patch.setattr(assembling, "BATCH_BYTES", 300)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gathering")
    small.tokenizer_file(made)
    return made


@dataclass(frozen=True)
class Case:
    """One shard to make.

    Attributes:
        files: (source, path, rows); the position is the file's number.
        ranges: (source, epoch, numbers by place of the documents that the range begins and ends with).
        open_low, open_high: whether ranges begin behind the one and end before the other.
        border: source -> number of the document by rank below which documents are taken; absent for all.
    """

    length: int
    packing: str
    condition: dict[str, Any] | None
    specials: dict[str, str]
    seed: int
    ids: str
    files: list[tuple[str, str, list[StoredRow]]]
    ranges: list[tuple[str, int, int, int]]
    open_low: bool
    open_high: bool
    border: dict[str, int]


@st.composite
def stored_rows(draw: st.DrawFn, length: int, least: int) -> list[StoredRow]:
    rows = []
    for row in sorted(draw(st.sets(st.integers(0, 40), min_size=least, max_size=7))):
        size, start = draw(st.integers(1, 5 * length)), draw(st.integers(0, small.VOCABULARY - 11))
        rows.append(
            StoredRow(
                row,
                [(start + 7 * at) % (small.VOCABULARY - 10) for at in range(size)],
                host=draw(st.sampled_from(HOSTS)),
                license=draw(st.sampled_from((None, "", "cc"))),
                quality=draw(st.sampled_from((None, float("nan"), -1.5, -0.0, 0.0, 0.25, 0.5))),
            )
        )
    return rows


@st.composite
def cases(draw: st.DrawFn) -> Case:
    length = draw(st.integers(8, 64))
    condition = {
        "template": draw(st.sampled_from(TEMPLATES)),
        "place": draw(st.sampled_from(("before", "after"))),
        "dropout": draw(st.sampled_from(("0", "0.25", "1/3"))),
        "unknown": draw(st.sampled_from(UNKNOWNS)),
    }
    specials = {key: small.BOS for key in ("bos", "eos") if draw(st.booleans())}
    files = [
        (source, f"{number}.jsonl", draw(stored_rows(length, least=int(number == 0))))
        for number, source in enumerate(draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=4)))
    ]
    ranges, border = [], {}
    for source in sorted({source for source, _, _ in files}):
        count = sum(len(rows) for name, _, rows in files if name == source)
        for epoch in draw(st.sets(st.integers(0, 3), min_size=1, max_size=2)):
            cuts = sorted(draw(st.sets(st.integers(0, max(count - 1, 0)), min_size=1, max_size=4)))
            ranges += [(source, epoch, low, high) for low, high in zip(cuts[::2], cuts[1::2], strict=False)]
            ranges += [(source, epoch, cuts[-1], cuts[-1])] if len(cuts) % 2 else []
        if count and draw(st.booleans()):
            border[source] = draw(st.integers(0, count - 1))
    return Case(
        length=length,
        packing=draw(st.sampled_from(list(Packing))).value,
        condition=draw(st.sampled_from((condition, condition, None))),
        specials=specials,
        seed=draw(st.sampled_from((0, 1, 2**32 - 1))),
        ids=draw(st.sampled_from(("int32", "uint16"))),
        files=files,
        ranges=ranges,
        open_low=draw(st.booleans()),
        open_high=draw(st.booleans()),
        border=border,
    )


@dataclass
class Made:
    """A case written to disk."""

    config: Config
    job: AssembleJob
    rows: pa.RecordBatch
    index: RunIndex
    documents: list[assembly.Document]


def make(case: Case, folder: Path) -> Made:
    """Writes the runs of a case into a new folder."""
    runs, documents = folder / f"runs-{len(list(folder.iterdir()))}", []
    index = []
    for number, (source, path, rows) in enumerate(case.files):
        uri, some = small.write_run_of(runs / source, source, path, number, rows)
        index.append((source, number, uri))
        documents += some
    config = small.small_config(
        folder,
        seed=case.seed,
        tokenizer={"file": str(folder / "tokenizer.json"), "pad": small.PAD, **case.specials},
        sequence={"length": case.length, "packing": case.packing},
        shard={"ids": case.ids},
        phases=[{"name": "only", "share": 1, "condition": case.condition}],
    )
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    job = AssembleJob(config=config, tokenizer=info, plan_sha256="", code_version="", shards={"only": 1})
    return Made(config, job, _plan_rows(case, documents), RunIndex.of(index), documents)


def _plan_rows(case: Case, documents: list[assembly.Document]) -> pa.RecordBatch:
    """Ranges that begin and end at a document's place or one beside it, the last of a source at the circle's end."""
    rows = []
    for source, epoch, low, high in case.ranges:
        mine = [document for document in documents if document.source == source]
        places = sorted(document.place for document in mine)
        if not places:
            continue
        ranks = sorted(small.rank(document, "quality") for document in mine)
        below = {"field": "quality", "below": list(ranks[case.border[source]])} if source in case.border else None
        first = places[low] + case.open_low
        last = CIRCLE_END if high == len(places) - 1 else places[high] - case.open_high
        rows.append(("only", 0, 0, source, epoch, first, last, encode_predicates([below] if below else [])))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PLAN_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PLAN_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PLAN_SCHEMA)


def found_rows(packed: PackedShard, job: AssembleJob) -> list[dict[str, list[int]]]:
    schema = shard_schema(job.config.sequence.length, job.config.shard.ids)
    batches = list(packed.batches(job, schema))
    step = assembling.rows_per_batch(job.config.sequence.length, job.config.shard.ids)
    assert all(batch.num_rows == step for batch in batches[:-1])
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, schema).to_pylist()


def expected_shard(case: Case, made: Made) -> assembly.Shard:
    rows = made.rows.to_pylist()
    plan_rows = [
        (row["source"], row["epoch"], row["place_lo"], row["place_hi"], small.slow_predicates(row["predicates"]))
        for row in rows
    ]
    return assembly.assemble_shard(
        assembly.draw(made.documents, plan_rows),
        seed=case.seed,
        length=case.length,
        policy=case.packing,
        condition=small.reference_condition(made.config.phases[0].condition),
        tokenizer=small.reference_tokenizer(),
        bos_id=made.job.tokenizer.bos_id,
        eos_id=made.job.tokenizer.eos_id,
        pad_id=made.job.tokenizer.pad_id,
    )


@settings(deadline=None, max_examples=200)
@given(cases())
def test_a_shard_is_what_the_reference_makes_of_the_same_plan(folder: Path, case: Case) -> None:
    if case.condition is not None:
        unknown = layout.fill(case.condition["template"], {}, case.condition["unknown"])
        assume(len(layout.tokenize(small.reference_tokenizer(), unknown)) <= case.length // 2)
    made = make(case, folder)
    packed = pack_shard(made.rows, made.job, made.index)
    expected = expected_shard(case, made)
    assert found_rows(packed, made.job) == expected.rows
    assert packed.padding == expected.padding
    assert small.comparable_counts(packed.counts(made.job)) == expected.counts


def one_source(folder: Path, rows: list[StoredRow], name: str = "a") -> tuple[str, list[assembly.Document]]:
    return small.write_run_of(folder / name, name, "x.jsonl", 0, rows)


def gathered(folder: Path, rows: list[tuple[Any, ...]], index: RunIndex, condition: Condition | None = None) -> Any:
    config = small.small_config(folder)
    phase = config.phases[0].model_copy(update={"condition": condition})
    columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), PLAN_SCHEMA, strict=True)]
    batch = pa.RecordBatch.from_arrays(columns, schema=PLAN_SCHEMA)
    return gather(batch, index, phase, config.seed, 32, shared_tokenizer(config.tokenizer))


def test_documents_of_an_earlier_slice_come_first(folder: Path) -> None:
    uri, documents = one_source(folder / "slices", [StoredRow(row, [row]) for row in range(20)])
    places = sorted(document.place for document in documents)
    middle = places[9]
    rows = [("only", 0, 1, "a", 0, 0, middle, "[]"), ("only", 0, 0, "a", 0, middle + 1, CIRCLE_END, "[]")]
    found = gathered(folder, rows, RunIndex.of([("a", 0, uri)]))
    assert sorted(found.place[:10].tolist()) == places[10:]
    assert sorted(found.place[10:].tolist()) == places[:10]


def test_nothing_in_the_ranges_gives_no_documents_but_the_source(folder: Path) -> None:
    uri, documents = one_source(folder / "nothing", [StoredRow(0, [1, 2])])
    place = documents[0].place
    found = gathered(folder, [("only", 0, 0, "a", 0, place + 1, CIRCLE_END, "[]")], RunIndex.of([("a", 0, uri)]))
    assert found.sources == ["a"]
    assert len(found.doc_id) == len(found.tokens) == len(found.prefix_values) == 0
    assert found.tokens.dtype == np.uint16


def test_a_document_drawn_in_two_epochs_is_conditioned_twice(folder: Path) -> None:
    uri, _ = one_source(folder / "twice", [StoredRow(4, [1, 2, 3], host="a.org")])
    rows = [("only", 0, 0, "a", epoch, 0, CIRCLE_END, "[]") for epoch in (0, 1)]
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
    assert RunIndex.read(str(tmp_path / "runs.arrow")).runs == {"a": [("one", 0), ("three", 1)], "b": [("two", 2)]}
    with write_file(str(tmp_path / "none.arrow")) as sink:
        write_index([], sink)
    assert RunIndex.read(str(tmp_path / "none.arrow")).runs == {}
    assert pa.ipc.open_file(str(tmp_path / "none.arrow")).schema == INDEX_SCHEMA
