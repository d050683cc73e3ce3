"""What is wrong with the rows of a shard: literal rows in, literal lines out; what the reference packs is right.

Rows are drawn as in docs/formats.md: `.` BOS, `p` masked prefix, `q` prefix behind the document, `|` EOS, `_` padding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.shards import shard_schema
from schemas.recipe import Packing
from tests.reference import layout, packing, placing
from transforms.checking_places import InputNames, check_places, check_ranges
from transforms.checking_rows import RowCounts, RowRules, ShardCounter

PAD, BOS, EOS, VOCABULARY = ord("_"), ord("."), ord("|"), 200
POLICIES = [policy.value for policy in Packing]
Row = dict[str, list[int]]
FILE = 2**32


def rules(length: int = 8, policy: str = "document_start", place: str | None = "before", **changes: Any) -> RowRules:
    """Two input files of 50 records each."""
    known = {"has_bos": True, "repeats": False, "pad_id": PAD, "vocab_size": VOCABULARY}
    rows = np.array([50, 50])
    return RowRules(length=length, packing=Packing(policy), place=place, input_rows=rows, **{**known, **changes})


def row(text: str, *segments: tuple[int, int, int]) -> Row:
    """A row from its drawing and (doc id, offset, length) of its segments."""
    return {
        "input_ids": list(map(ord, text)),
        "loss_mask": [int(mark not in "p_" and text[n : n + 2] != ".p") for n, mark in enumerate(text)],
        "seq_lengths": [length for _, _, length in segments],
        "doc_ids": [document for document, _, _ in segments],
        "doc_offsets": [offset for _, offset, _ in segments],
    }


def batch_of(rows: list[Row], length: int) -> pa.RecordBatch:
    schema = shard_schema(length, "int32")
    return pa.record_batch([pa.array([row[f.name] for row in rows], f.type) for f in schema], schema=schema)


def count(rows: list[Row], known: RowRules, batches: int = 1) -> RowCounts:
    counter = ShardCounter(known)
    step = -(-len(rows) // batches)
    for start in range(0, len(rows), step):
        counter.add(batch_of(rows[start : start + step], known.length))
    return counter.finish()


GOOD = [
    row(".pp123|.", (FILE + 7, 0, 7), (3, 0, 1)),
    row(".ab|.pcd", (4, 0, 4), (FILE + 8, 0, 4)),
    row(".pe|____", (9, 0, 4), (-1, 0, 4)),
]


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_good_rows_are_counted(batches: int) -> None:
    found = count(GOOD, rules(), batches)
    assert (found.problems, found.whole) == ([], True)
    assert (found.rows, found.padding, found.loss_tokens) == (3, 4, 13)
    assert found.positions.tolist() == [9, 11]
    assert found.loss_by_file.tolist() == [7, 6]
    assert found.drawn.tolist() == [3, 2]
    assert found.conditioned.tolist() == [1, 2]
    assert found.documents.tolist() == [3, 4, 9, FILE + 7, FILE + 8]


def test_a_shard_without_rows() -> None:
    found = ShardCounter(rules()).finish()
    assert (found.problems, found.rows, found.loss_tokens, found.documents.tolist()) == ([], 0, 0, [])


def change(number: int, column: str, place: int, value: int) -> Callable[[list[Row]], object]:
    return lambda rows: rows[number][column].__setitem__(place, value)


FAULTS = {
    "row 0: a masked position inside a document": change(0, "loss_mask", 4, 0),
    "row 1: a masked position inside a document": change(1, "loss_mask", 4, 1),
    "row 2: padding that counts in the loss": change(2, "loss_mask", 7, 1),
    "row 2: a loss mask that is neither 0 nor 1": change(2, "loss_mask", 2, 2),
    "row 1: a token outside the vocabulary of 200": change(1, "input_ids", 3, 200),
    "row 0: a token outside the vocabulary of 200": change(0, "input_ids", 3, -1),
    "row 2: padding with another token than 95": change(2, "input_ids", 5, 7),
    "row 0: a doc id that names no record of the input files": change(0, "doc_ids", 0, FILE + 50),
    "row 1: a doc id that names no record of the input files": change(1, "doc_ids", 1, 2 * FILE),
    "row 2: a doc id that names no record of the input files": change(2, "doc_ids", 0, -2),
    "row 0: padding before the row's end": change(0, "doc_ids", 0, -1),
    "row 1: a negative doc offset": change(1, "doc_offsets", 0, -1),
    "row 2: padding with a doc offset": change(2, "doc_offsets", 1, 1),
    "row 1: its segments do not cover its 8 positions exactly": change(1, "seq_lengths", 0, 3),
    "row 0: its segments do not cover its 8 positions exactly": change(0, "seq_lengths", 0, -7),
    "row 2: its numbers of segment lengths, doc ids and doc offsets differ": lambda rows: rows[2]["doc_ids"].pop(),
    "row 0: its numbers of segment lengths, doc ids and doc offsets differ": lambda rows: rows[0][
        "doc_offsets"
    ].clear(),
    "row 0: padding, which only a last row may have": lambda rows: rows.insert(0, rows[2]),
    "row 1: a doc offset that is not what stands of the document in earlier segments": change(1, "doc_offsets", 0, 2),
}


@pytest.mark.parametrize("problem", FAULTS)
@pytest.mark.parametrize("batches", [1, 3])
def test_what_is_wrong(problem: str, batches: int) -> None:
    changed = [{name: list(values) for name, values in row.items()} for row in GOOD]
    FAULTS[problem](changed)
    assert problem in count(changed, rules(), batches).problems


def test_a_row_that_is_masked_everywhere() -> None:
    found = count([row(".ppppppp", (1, 0, 8))], rules())
    assert found.problems == ["row 0: every position is masked"]


def test_a_phase_without_masked_prefixes_masks_only_padding() -> None:
    for place in (None, "after"):
        found = count([row(".pab|___", (1, 0, 5), (-1, 0, 3))], rules(place=place))
        assert found.problems == ["row 0: a masked position in a phase that masks only padding"]
        assert count([row(".abqq|__", (1, 0, 6), (-1, 0, 2))], rules(place=place)).problems == []


def test_three_rows_of_a_kind_are_told_and_the_rest_counted() -> None:
    found = count([row("abcdefgh", (1, 1, 8))] * 7, rules())
    what = "a doc offset that is not what stands of the document in earlier segments"
    assert found.problems == [f"row 0: {what}", f"row 1: {what}", f"row 2: {what}", f"4 more rows: {what}"]


def test_a_document_may_go_on_at_offset_0_behind_its_prefix() -> None:
    """BOS and the first token of the prefix end a row; the document begins there, not in the next one."""
    rows = [row("abcdef.p", (1, 0, 6), (2, 0, 2)), row("p12|____", (2, 0, 4), (-1, 0, 4))]
    known = rules(policy="concat", has_bos=True)
    found = count(rows, known)
    assert (found.problems, found.drawn.tolist(), found.conditioned.tolist()) == ([], [2, 0], [1, 0])


def test_a_null_is_told_before_anything_is_computed_from_it() -> None:
    schema = shard_schema(8, "int32")
    fields = [pa.field(f.name, f.type, nullable=True) for f in schema]
    columns = [pa.array([None if f.name == "doc_ids" else GOOD[0][f.name]], f.type) for f in schema]
    counter = ShardCounter(rules())
    counter.add(pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)))
    found = counter.finish()
    assert found.problems == ["row 0: a null in doc_ids in this or one of the next 1 rows, where there is never one"]
    assert not found.whole


def test_impossible_offsets_inside_arrow_are_an_error_and_not_a_crash() -> None:
    good = batch_of(GOOD, 8)
    lengths = good["seq_lengths"]
    broken = pa.ListArray.from_buffers(
        lengths.type, 3, [None, pa.py_buffer(np.array([0, 2, 2**27, 6], np.int32))], children=[lengths.values]
    )
    columns = [broken if name == "seq_lengths" else good[name] for name in good.schema.names]
    with pytest.raises(pa.ArrowInvalid):
        ShardCounter(rules()).add(pa.RecordBatch.from_arrays(columns, schema=good.schema))


# --------------------------------------------------------------------------------------- everything that is packed


@st.composite
def packed_shards(draw: st.DrawFn) -> tuple[list[Row], RowRules, list[list[layout.Token]]]:
    """A shard as the reference packs it, what its rows must keep to, and the streams in it."""
    length = draw(st.integers(8, 12))
    policy, place = draw(st.sampled_from(POLICIES)), draw(st.sampled_from(["before", "after", None]))
    bos, eos = draw(st.sampled_from([BOS, None])), draw(st.sampled_from([EOS, None]))
    prefixes = st.just([]) if place is None else st.lists(st.just(ord("p")), max_size=length // 2)
    documents = st.tuples(st.lists(st.integers(97, 110), min_size=1, max_size=3 * length), prefixes)
    streams = [
        layout.stream(tokens, prefix, place or "before", bos, eos)
        for tokens, prefix in draw(st.lists(documents, min_size=1, max_size=8))
    ]
    ids = draw(st.permutations([*range(8), *range(FILE, FILE + 8)]))
    made, _ = packing.pack_rows(policy, streams, list(ids), length, PAD)
    return made, rules(length, policy, place, has_bos=bos is not None), streams


@settings(max_examples=300, deadline=None)
@given(packed_shards(), st.integers(1, 4), st.booleans())
def test_whatever_the_reference_packs_is_right(shard: Any, batches: int, repeats: bool) -> None:
    rows, known, streams = shard
    known.repeats = repeats
    found = count(rows, known, batches)
    assert found.problems == []
    assert found.drawn.sum() == len(streams)
    assert found.loss_tokens == sum(sum(row["loss_mask"]) for row in rows)
    assert found.positions.sum() + found.padding == len(rows) * known.length
    if known.place != "after":
        assert found.conditioned.sum() == sum(stream[0].loss == 0 for stream in streams)


@settings(max_examples=300, deadline=None)
@given(packed_shards(), st.data())
def test_any_other_offset_is_found(shard: Any, data: st.DataObject) -> None:
    """By itself, or by the number of documents that begin. A prefix behind a document may hide one that is too low."""
    rows, known, streams = shard
    number = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, len(rows[number]["doc_ids"]) - 1))
    offset = rows[number]["doc_offsets"][place]
    lowest = offset + 1 if known.place == "after" else 0
    value = data.draw(st.integers(lowest, offset + 40).filter(lambda value: value != offset))
    rows[number]["doc_offsets"][place] = value
    found = count(rows, known)
    assert found.problems or found.drawn.sum() != len(streams)


@settings(max_examples=300, deadline=None)
@given(packed_shards(), st.data())
def test_any_mask_bit_changes_a_count_or_breaks_a_rule(shard: Any, data: st.DataObject) -> None:
    rows, known, _ = shard
    before = count(rows, known).loss_by_file
    number = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, known.length - 1))
    rows[number]["loss_mask"][place] ^= 1
    found = count(rows, known)
    assert found.problems or (found.loss_by_file != before).any()


# ------------------------------------------------------------------------------------------------- places and plan


class FakePlan:
    """As much of a plan as is looked at."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.table = pa.Table.from_pylist(rows)


def plan_row(source: str, epoch: int, low: int, high: int, phase: str = "a", shard: int = 0) -> dict[str, Any]:
    return {"source": source, "epoch": epoch, "place_lo": low, "place_hi": high, "phase": phase, "shard": shard}


INPUTS = InputNames.of([("c4", "x.gz"), ("dclm", "x.gz")])


def plan_rows(*ranges: tuple[str, int, int]) -> pa.RecordBatch:
    fields = [("source", pa.string()), ("place_lo", pa.uint64()), ("place_hi", pa.uint64())]
    columns = [pa.array([item[n] for item in ranges], kind) for n, (_, kind) in enumerate(fields)]
    return pa.RecordBatch.from_arrays(columns, names=[name for name, _ in fields])


def test_places_are_hashed_anew() -> None:
    documents = np.array([0, 7, FILE, FILE + 2**31])
    expected = [placing.place(*INPUTS.names[document >> 32], document & (FILE - 1)) for document in documents.tolist()]
    assert INPUTS.places(documents).tolist() == expected


def test_documents_outside_the_ranges_of_their_shard() -> None:
    documents = np.array([*range(5), *range(FILE, FILE + 5)])
    place = INPUTS.places(documents).tolist()
    everything = [("c4", 0, 2**64 - 1), ("dclm", 0, 2**64 - 1)]
    assert check_places(documents, INPUTS, plan_rows(*everything)) == []
    exact = [("c4", p, p) for p in place[:5]] + [("dclm", p, p) for p in place[5:]]
    assert check_places(documents, INPUTS, plan_rows(*exact)) == []
    assert check_places(documents, INPUTS, plan_rows(*exact[:7], *exact[8:])) == [
        "row 2 of dclm/x.gz is in it, but not planned for it"
    ]
    assert check_places(documents, INPUTS, plan_rows(everything[0])) == [
        "row 0 of dclm/x.gz is in it, but not planned for it",
        "row 1 of dclm/x.gz is in it, but not planned for it",
        "row 2 of dclm/x.gz is in it, but not planned for it",
        "2 more documents are not planned for it",
    ]
    assert len(check_places(documents, INPUTS, None)) == 4


def test_ranges_of_one_source_and_epoch_do_not_overlap() -> None:
    fine = [plan_row("c4", 0, 10, 19), plan_row("c4", 0, 20, 29, "b"), plan_row("c4", 1, 10, 19, "b")]
    assert check_ranges(FakePlan([*fine, plan_row("dclm", 0, 15, 25)])) == []
    assert check_ranges(FakePlan([*fine, plan_row("c4", 0, 19, 19, "b", 3)])) == [
        "plan.arrow: shard 0 of a and shard 3 of b take the same places of source c4, epoch 0"
    ]
