"""What is wrong with the rows of a shard: literal rows in, literal lines out; what the reference packs is right.

Rows are drawn as in docs/formats.md: `.` BOS, `p` masked prefix, `q` prefix behind the document, `|` EOS, `_` padding,
and a capital letter for a document's own token whose loss does not count.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.shards import shard_schema
from byline.transforms.checks.rows import RowCounts, RowRules, ShardCounter
from byline.transforms.packing import POLICIES
from tests.reference import layout, packing
from tests.support.shards import loss_tokens_of
from tests.support.thorough import examples

PAD, BOS, EOS, VOCABULARY = ord("_"), ord("."), ord("|"), 200
Row = dict[str, list[int]]
FILE = 2**32
# The second file is of a source with loss spans, or is not.
SPANS, PLAIN = np.array([False, True]), np.array([False, False])


def rules(length: int = 8, policy: str = "document_start", position: str | None = "before", **changes: Any) -> RowRules:
    """Two input files of 50 records each, of sources that train whole documents."""
    known: dict[str, Any] = {
        "bos_id": BOS,
        "begin_id": None,
        "end_id": None,
        "repeats": False,
        "pad_id": PAD,
        "vocab_size": VOCABULARY,
    }
    known |= {"input_rows": np.array([50, 50]), "masks_own": PLAIN}
    return RowRules(length=length, packing=POLICIES[policy], position=position, **{**known, **changes})


def row(text: str, *segments: tuple[int, int, int]) -> Row:
    """A row from its drawing and (doc id, offset, length) of its segments."""
    return {
        "input_ids": list(map(ord, text)),
        "loss_mask": [
            int(mark not in "p_" and not mark.isupper() and text[n : n + 2] != ".p") for n, mark in enumerate(text)
        ],
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


def change(number: int, column: str, position: int, value: int) -> Callable[[list[Row]], object]:
    return lambda rows: rows[number][column].__setitem__(position, value)


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


MARKED = {
    "": [row(".pxpa12|", (FILE + 7, 0, 8)), row(".pxp12.p", (4, 0, 6), (5, 0, 2))],
    "row 0: a prefix that does not begin with token 112": [row(".xpp123|", (FILE + 7, 0, 8))],
    "row 0: a prefix that does not end with token 112": [row(".pxx12|.", (FILE + 7, 0, 7), (3, 0, 1))],
}


@pytest.mark.parametrize("problem", MARKED)
def test_prefixes_stand_between_their_tokens(problem: str) -> None:
    """`x` are masked tokens within or in place of the two `p`; what a row's end cuts off is not looked for."""
    rows = [dict(made) for made in MARKED[problem]]
    for made in rows:
        made["loss_mask"] = [
            0 if chr(token) == "x" else bit for token, bit in zip(made["input_ids"], made["loss_mask"], strict=True)
        ]
    rows[0]["loss_mask"][0] = 0
    assert count(rows, rules(begin_id=ord("p"), end_id=ord("p"))).problems == ([problem] if problem else [])
    assert count(rows, rules()).problems == []


def test_the_token_before_a_prefix_may_be_bos_too() -> None:
    """A row that goes on with a prefix then begins with the same token as one that begins with a document."""
    rows = [row("abcdefg.", (4, 0, 7), (5, 0, 1)), row(".pp1|___", (5, 0, 5), (-1, 0, 3))]
    rows[0]["loss_mask"][7] = 0
    assert count(rows, rules(policy="concat", begin_id=BOS)).problems == []


def test_where_prefixes_end_is_not_seen_in_documents_with_loss_spans() -> None:
    rows = [row(".pABcd|_", (FILE + 7, 0, 7), (-1, 0, 1))]
    known = {"begin_id": ord("p"), "end_id": ord("p"), "masks_own": SPANS}
    assert count(rows, rules(**known)).problems == []
    assert count(rows, rules(**{**known, "begin_id": ord("B")})).problems == [
        "row 0: a prefix that does not begin with token 66"
    ]


def test_a_phase_without_masked_prefixes_masks_only_padding() -> None:
    for position in (None, "after"):
        found = count([row(".pab|___", (1, 0, 5), (-1, 0, 3))], rules(position=position))
        assert found.problems == ["row 0: a masked position in a phase that masks only padding"]
        assert count([row(".abqq|__", (1, 0, 6), (-1, 0, 2))], rules(position=position)).problems == []


def test_three_rows_of_a_kind_are_told_and_the_rest_counted() -> None:
    found = count([row("abcdefgh", (1, 1, 8))] * 7, rules())
    what = "a doc offset that is not what stands of the document in earlier segments"
    assert found.problems == [f"row 0: {what}", f"row 1: {what}", f"row 2: {what}", f"4 more rows: {what}"]


def test_a_document_may_go_on_at_offset_0_behind_its_prefix() -> None:
    """BOS and the first token of the prefix end a row; the document begins there, not in the next one."""
    rows = [row("abcdef.p", (1, 0, 6), (2, 0, 2)), row("p12|____", (2, 0, 4), (-1, 0, 4))]
    known = rules(policy="concat")
    found = count(rows, known)
    assert (found.problems, found.drawn.tolist(), found.conditioned.tolist()) == ([], [2, 0], [1, 0])


# ---------------------------------------------------------------------------------------------------------- loss spans


def test_a_source_with_loss_spans_may_mask_its_own_tokens_and_no_other() -> None:
    rows = [row(".ppaBc|.", (FILE + 7, 0, 7), (3, 0, 1)), row(".pc|.pAb", (4, 0, 4), (FILE + 8, 0, 4))]
    assert count(rows, rules(masks_own=SPANS)).problems == []
    what = "a masked position inside a document"
    assert count(rows, rules()).problems == [f"row 0: {what}"]
    rows[0]["loss_mask"], rows[1]["loss_mask"][3] = [0, 0, 0, 0, 1, 0, 1, 1], 0
    assert count(rows, rules(masks_own=SPANS)).problems == [f"row 1: {what}"]


def test_without_a_condition_a_source_with_loss_spans_may_mask_and_no_other() -> None:
    rows = [row(".aBC|.De", (FILE + 7, 0, 5), (FILE + 3, 0, 3)), row(".cD|____", (4, 0, 4), (-1, 0, 4))]
    found = count(rows, rules(position=None, masks_own=SPANS))
    assert found.problems == ["row 1: a masked position in a phase that masks only padding"]


def test_a_row_may_be_masked_whole_where_a_source_has_loss_spans() -> None:
    rows = [row(".pABCDEF", (FILE + 7, 0, 8)), row(".pABCD.p", (FILE + 8, 0, 6), (3, 0, 2))]
    assert count(rows, rules(masks_own=SPANS)).problems == []
    rows.append(row(".ppppppp", (3, 0, 8)))
    assert count(rows, rules(masks_own=SPANS)).problems == ["row 2: every position is masked"]


@pytest.mark.parametrize(
    ("policy", "position", "rows", "offsets"),
    [
        # Without a masked prefix, all of it is own tokens: one offset is right.
        ("concat", None, [".aBCDEFG", "H|______"], {7}),
        ("best_fit", None, [".aBCDEFG", "H|______"], {7}),
        # 1 to 7 of the first row may be prefix, one position is trained.
        ("concat", "before", [".ppBCDEf", "G|______"], {1, 2, 3, 4, 5, 6, 7}),
        # It is past its prefix in the second row, so the third offset follows from the second.
        ("concat", "before", [".pBCDEFG", "HIJKLMNO", "P|______"], {14}),
        ("repeat_prefix", "before", [".pBCDEFG", "pIJKLMNo", "P|______"], {7, 8, 9, 10, 11, 12, 13, 14}),
        # Dropped out: BOS is trained, so there is no prefix.
        ("repeat_prefix", "before", [".BCDEFGH", "I|______"], {7}),
    ],
)
def test_the_offset_of_a_document_with_loss_spans(
    policy: str, position: str | None, rows: list[str], offsets: set[int]
) -> None:
    """Its last segment's: those that the loss masks of the segments before leave open, and no other."""
    known = rules(policy=policy, position=position, masks_own=SPANS)
    found = set()
    for offset in range(20):
        made = [row(rows[0], (FILE + 7, 0, 8))]
        made += [row(text, (FILE + 7, 6, 8)) for text in rows[1:-1]]  # one, whose offset is right
        made.append(row(rows[-1], (FILE + 7, offset, 2), (-1, 0, 6)))
        found |= set() if count(made, known).problems else {offset}
    assert found == offsets


def test_a_document_with_loss_spans_that_is_cut_within_its_prefix_begins_once() -> None:
    rows = [row("abcdef.p", (1, 0, 6), (FILE, 0, 2)), row("pAbCdEfG", (FILE, 0, 8)), row("H|______", (FILE, 7, 2))]
    rows[2]["seq_lengths"], rows[2]["doc_ids"], rows[2]["doc_offsets"] = [2, 6], [FILE, -1], [7, 0]
    found = count(rows, rules(policy="concat", masks_own=SPANS))
    assert (found.problems, found.drawn.tolist(), found.conditioned.tolist()) == ([], [1, 1], [0, 1])


def test_a_document_drawn_twice_in_a_row_begins_twice_though_it_is_masked_whole() -> None:
    """Its EOS is trained, so the first use does not look as if it were cut within its prefix."""
    rows = [row(".pABCDE|", (FILE, 0, 8)), row(".pABCDE|", (FILE, 0, 8))]
    found = count(rows, rules(policy="concat", masks_own=SPANS, repeats=True))
    assert (found.problems, found.drawn.tolist()) == ([], [0, 2])


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
def packed_shards(draw: st.DrawFn, exact: bool = False) -> tuple[list[Row], RowRules, list[list[layout.Token]]]:
    """A shard as the reference packs it, what its rows must keep to, and the framed documents in it.

    Args:
        exact: no prefix and loss span that could be taken for each other.
    """
    length = draw(st.integers(8, 12))
    policy, position = draw(st.sampled_from(list(POLICIES))), draw(st.sampled_from(["before", "after", None]))
    bos, eos = draw(st.sampled_from([BOS, None])), draw(st.sampled_from([EOS, None]))
    prefixes = st.just([]) if position is None else st.lists(st.just(ord("p")), max_size=length // 2)
    tokens = st.lists(st.integers(97, 110), min_size=1, max_size=3 * length)
    documents = st.tuples(tokens, prefixes, st.lists(st.integers(0, 3 * length), max_size=6, unique=True).map(sorted))
    masks_own = PLAIN if exact and position == "before" else draw(st.sampled_from([SPANS, PLAIN]))
    ids = draw(st.permutations([*range(8), *range(FILE, FILE + 8)]))
    framed = [
        layout.frame(
            own,
            prefix,
            position or "before",
            bos,
            eos,
            zip(borders[::2], borders[1::2], strict=False) if masks_own[document // FILE] else (),
        )
        for document, (own, prefix, borders) in zip(
            ids, draw(st.lists(documents, min_size=1, max_size=8)), strict=False
        )
    ]
    made, _ = packing.pack_rows(policy, framed, list(ids), length, PAD)
    return made, rules(length, policy, position, bos_id=bos, masks_own=masks_own), framed


@examples(200)
@given(packed_shards(), st.integers(1, 4), st.booleans())
def test_whatever_the_reference_packs_is_right(shard: Any, batches: int, repeats: bool) -> None:
    rows, known, framed = shard
    known.repeats = repeats
    found = count(rows, known, batches)
    assert found.problems == []
    assert found.drawn.sum() == len(framed)
    losses = loss_tokens_of([(row["loss_mask"], row["seq_lengths"]) for row in rows])
    assert [found.loss_tokens, found.loss_tokens_in_rows, found.loss_tokens_in_segments] == losses
    assert found.positions.sum() + found.padding == len(rows) * known.length
    if known.position != "after":
        assert found.conditioned.sum() == sum(framed_document[0].loss == 0 for framed_document in framed)
    assert known.position is not None or not known.has_bos or found.conditioned.sum() == 0


@examples(200)
@given(packed_shards(exact=True), st.data())
def test_any_other_offset_is_found(shard: Any, data: st.DataObject) -> None:
    """By itself, or by the number of documents that begin. A prefix behind a document may hide one that is
    too low, or too high by less than its length."""
    rows, known, framed = shard
    number = data.draw(st.integers(0, len(rows) - 1))
    position = data.draw(st.integers(0, len(rows[number]["doc_ids"]) - 1))
    offset = rows[number]["doc_offsets"][position]
    lowest = offset + known.length // 2 + 1 if known.position == "after" else 0
    value = data.draw(st.integers(lowest, offset + 40).filter(lambda value: value != offset))
    rows[number]["doc_offsets"][position] = value
    found = count(rows, known)
    assert found.problems or found.drawn.sum() != len(framed)


@examples(200)
@given(packed_shards(), st.data())
def test_any_mask_bit_changes_a_count_or_breaks_a_rule(shard: Any, data: st.DataObject) -> None:
    rows, known, _ = shard
    before = count(rows, known).loss_by_file
    number = data.draw(st.integers(0, len(rows) - 1))
    position = data.draw(st.integers(0, known.length - 1))
    rows[number]["loss_mask"][position] ^= 1
    found = count(rows, known)
    assert found.problems or (found.loss_by_file != before).any()
