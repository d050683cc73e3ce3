"""Packing against rows that were worked out by hand from docs/formats.md, and against its invariants.

A framed document is drawn as text; the documents of a shard have the doc ids 0, 1, ... in order:

```
".pp1234|"   . BOS   p masked prefix   q trained prefix   | EOS   anything else the document's own tokens
```
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import layout, packing
from tests.reference.byte_tokens import BOS, EOS, PAD

POLICIES = ("document_start", "concat", "repeat_prefix", "best_fit")
KINDS = {".": "bos", "p": "prefix", "q": "prefix", "|": "eos"}


def drawn(text: str) -> list[layout.Token]:
    """A framed document from its drawing; its BOS is masked if its prefix is."""
    masked = "p" in text
    return [
        layout.Token(ord(mark), 0 if mark == "p" or (mark == "." and masked) else 1, KINDS.get(mark, "doc"))
        for mark in text
    ]


def packed(policy: str, length: int, *framed: str) -> tuple[list[str], list[list[tuple[int, int, int]]], str]:
    """Rows as drawings (`_` padding), their segments (doc id, offset, length), and what was discarded."""
    result = packing.pack(policy, [drawn(text) for text in framed], length)
    rows = [packing.row_of(row, list(range(len(framed))), length, ord("_")) for row in result.rows]
    texts = ["".join(map(chr, row["input_ids"])) for row in rows]
    segments = [list(zip(row["doc_ids"], row["doc_offsets"], row["seq_lengths"], strict=True)) for row in rows]
    return texts, segments, "".join(chr(token.id) for _, token in result.discarded)


def test_document_start_discards_the_rest_of_a_cut_document() -> None:
    assert packed("document_start", 8, "12345", "abcdef", "xy") == (
        ["12345abc", "xy______"],
        [[(0, 0, 5), (1, 0, 3)], [(2, 0, 2), (-1, 0, 6)]],
        "def",
    )


def test_concat_goes_on_in_the_next_row() -> None:
    assert packed("concat", 8, "12345", "abcdef", "xy") == (
        ["12345abc", "defxy___"],
        [[(0, 0, 5), (1, 0, 3)], [(1, 3, 3), (2, 0, 2), (-1, 0, 3)]],
        "",
    )


def test_repeat_prefix_gives_the_prefix_again() -> None:
    assert packed("repeat_prefix", 8, "abcde", "pp1234", "xy") == (
        ["abcdepp1", "pp234xy_"],
        [[(0, 0, 5), (1, 0, 3)], [(1, 1, 5), (2, 0, 2), (-1, 0, 1)]],
        "",
    )


def test_repeat_prefix_gives_a_cut_prefix_in_part_and_then_whole() -> None:
    assert packed("repeat_prefix", 8, "abcdef", ".pp1|") == (
        ["abcdef.p", "pp1|____"],
        [[(0, 0, 6), (1, 0, 2)], [(1, 0, 4), (-1, 0, 4)]],
        "",
    )


def test_repeat_prefix_on_every_row_of_a_long_document() -> None:
    assert packed("repeat_prefix", 4, ".pp12345|") == (
        [".pp1", "pp23", "pp45", "pp|_"],
        [[(0, 0, 4)], [(0, 1, 4)], [(0, 3, 4)], [(0, 5, 3), (-1, 0, 1)]],
        "",
    )


def test_repeat_prefix_leaves_trained_prefixes_and_unconditioned_documents_alone() -> None:
    for text in (".123456qq|", ".12345678|"):
        assert packed("repeat_prefix", 4, text) == packed("concat", 4, text)


def test_a_row_cut_behind_the_bos_has_a_segment_without_own_tokens() -> None:
    assert packed("concat", 4, "abc", ".12|") == (
        ["abc.", "12|_"],
        [[(0, 0, 3), (1, 0, 1)], [(1, 0, 3), (-1, 0, 1)]],
        "",
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_framed_that_fill_rows_exactly_leave_no_padding_and_no_empty_row(policy: str) -> None:
    assert packed(policy, 4, "1234", ".ab|") == (["1234", ".ab|"], [[(0, 0, 4)], [(1, 0, 4)]], "")
    assert packing.pack(policy, [], 4).rows == []


def test_long_framed() -> None:
    text = ".12345678|"
    cut = [".123", "ab__"], [[(0, 0, 4)], [(1, 0, 2), (-1, 0, 2)]], "45678|"
    assert packed("document_start", 4, text, "ab") == cut
    whole = [".123", "4567", "8|ab"], [[(0, 0, 4)], [(0, 3, 4)], [(0, 7, 2), (1, 0, 2)]], ""
    assert packed("concat", 4, text, "ab") == whole
    assert packed("best_fit", 4, text, "ab") == whole


def test_best_fit_puts_pieces_and_rows_in_document_order() -> None:
    # By length b 6, d 5, c 3, a 2: b | d | d c | b a.
    assert packed("best_fit", 8, "aa", "bbbbbb", "ccc", "ddddd") == (
        ["aabbbbbb", "cccddddd"],
        [[(0, 0, 2), (1, 0, 6)], [(2, 0, 3), (3, 0, 5)]],
        "",
    )


def test_best_fit_takes_the_row_that_was_last_added_to() -> None:
    # a and b leave 3 each; c goes to b's row, the later one.
    assert packed("best_fit", 8, "aaaaa", "bbbbb", "ccc", "ddd")[0] == ["aaaaaddd", "bbbbbccc"]
    # 13, 11, 8 onto 11, 6 onto 13: both rows have 1 left, and that of a, though older, was added to last.
    texts = packed("best_fit", 20, "a" * 13, "b" * 11, "c" * 8, "d" * 6, "e")[0]
    assert texts == ["a" * 13 + "d" * 6 + "e", "b" * 11 + "c" * 8 + "_"]


def test_best_fit_takes_the_least_space_before_the_latest_row() -> None:
    # 6 leaves 2 and 5 leaves 3: the 2 goes to the 6.
    assert packed("best_fit", 8, "aaaaaa", "bbbbb", "cc")[0] == ["aaaaaacc", "bbbbb___"]


def test_best_fit_packs_each_slice_into_rows_of_its_own() -> None:
    framed = [drawn(text) for text in ("aaaaa", "bbbbbb", "cc", "ddddddddde", "fff")]

    def rows(*slices: int) -> list[str]:
        made = packing.pack("best_fit", framed, 8, slices)
        return ["".join(chr(token.id) for segment in row for token in segment.tokens) for row in made.rows]

    assert rows(0, 0, 0, 0, 0) == ["aaaaafff", "bbbbbbcc", "dddddddd", "de"]
    assert rows(0, 0, 2, 2, 5) == ["aaaaa", "bbbbbb", "ccde", "dddddddd", "fff"]
    with pytest.raises(AssertionError):
        rows(0, 1, 0, 0, 0)
    for policy in ("document_start", "concat", "repeat_prefix"):
        assert packing.pack(policy, framed, 8, [0, 0, 2, 2, 5]) == packing.pack(policy, framed, 8)


def test_best_fit_rest_of_a_long_document_may_stand_before_its_other_pieces() -> None:
    # b is cut into 1234 and 5; its rest fits behind a, and a's row comes first.
    assert packed("best_fit", 4, "aaa", "12345") == (
        ["aaa5", "1234"],
        [[(0, 0, 3), (1, 4, 1)], [(1, 0, 4)]],
        "",
    )


def test_best_fit_offsets_do_not_count_bos_and_prefix() -> None:
    assert packed("best_fit", 4, ".p1234567|") == (
        [".p12", "3456", "7|__"],
        [[(0, 0, 4)], [(0, 2, 4)], [(0, 6, 2), (-1, 0, 2)]],
        "",
    )


def test_offsets_of_a_part_behind_the_documents_own_tokens() -> None:
    assert packed("concat", 4, ".123qq|")[1] == [[(0, 0, 4)], [(0, 3, 3), (-1, 0, 1)]]


def test_discarded_tokens_by_kind() -> None:
    packed_rows = packing.pack("document_start", [drawn("12"), drawn(".pp123|"), drawn(".45qq|")], 4)
    assert [len(row) for row in packed_rows.rows] == [2, 1]
    assert packed_rows.discarded_by_kind() == {"prefix": 2, "doc": 3, "eos": 2}
    assert packed_rows.positions_by_kind() == {"doc": 4, "bos": 2, "prefix": 2}


def test_loss_mask_of_a_row() -> None:
    row = packing.row_of(packing.pack("concat", [drawn(".p1|"), drawn(".2|")], 8).rows[0], [7, 9], 8, PAD)
    assert row == {
        "input_ids": [*map(ord, ".p1|.2|"), PAD],
        "loss_mask": [0, 0, 1, 1, 1, 1, 1, 0],
        "seq_lengths": [4, 3, 1],
        "doc_ids": [7, 9, -1],
        "doc_offsets": [0, 0, 0],
    }


@st.composite
def framed_lists(draw: st.DrawFn) -> tuple[int, list[list[layout.Token]]]:
    """A length, and framed documents whose prefixes take at most half of it."""
    length = draw(st.integers(8, 24))
    lists = []
    for _ in range(draw(st.integers(0, 8))):
        prefix = draw(st.none() | st.lists(st.integers(0, 9), max_size=length // 2))
        tokens = draw(st.lists(st.integers(0, 9), min_size=1, max_size=40))
        position = draw(st.sampled_from(["before", "after"]))
        bos_id, eos_id = draw(st.sampled_from([None, BOS])), draw(st.sampled_from([None, EOS]))
        lists.append(layout.frame(tokens, prefix, position, bos_id, eos_id))
    return length, lists


@given(framed_lists(), st.sampled_from(POLICIES))
def test_rows_are_whole_and_never_fully_masked(case: tuple[int, list[list[layout.Token]]], policy: str) -> None:
    length, framed = case
    rows, _ = packing.pack_rows(policy, framed, list(range(len(framed))), length, PAD)
    for row in rows:
        assert len(row["input_ids"]) == len(row["loss_mask"]) == sum(row["seq_lengths"]) == length
        assert len(row["seq_lengths"]) == len(row["doc_ids"]) == len(row["doc_offsets"]) > 0
        assert min(row["seq_lengths"]) > 0
        assert any(row["loss_mask"])
        assert -1 not in row["doc_ids"][:-1]
    if policy in ("concat", "repeat_prefix", "document_start"):
        assert all(-1 not in row["doc_ids"] for row in rows[:-1])


@given(framed_lists(), st.sampled_from(POLICIES))
def test_every_token_is_in_a_row_or_discarded(case: tuple[int, list[list[layout.Token]]], policy: str) -> None:
    length, framed = case
    result = packing.pack(policy, framed, length)
    for number, framed_document in enumerate(framed):
        parts = [segment for row in result.rows for segment in row if segment.document == number]
        parts.sort(key=lambda part: part.offset)
        placed = [token for part in parts for token in part.tokens]
        placed += [token for document, token in result.discarded if document == number]
        if policy == "repeat_prefix":
            placed, framed_document = (
                [token for token in tokens if token.kind != "prefix"] for tokens in (placed, framed_document)
            )
        assert placed == framed_document
        own = 0
        for part in parts:
            assert part.offset == own
            own += sum(token.kind == "doc" for token in part.tokens)


@given(framed_lists())
def test_repeat_prefix_begins_every_row_that_goes_on_with_the_whole_prefix(
    case: tuple[int, list[list[layout.Token]]],
) -> None:
    length, framed = case
    before: set[int] = set()
    for row in packing.pack("repeat_prefix", framed, length).rows:
        first = row[0]
        if first.document in before:
            masked = [token for token in framed[first.document] if (token.kind, token.loss) == ("prefix", 0)]
            assert first.tokens[: len(masked)] == masked
            rest = first.tokens[len(masked) :]
            assert rest
            assert not masked or "prefix" not in {token.kind for token in rest}
        before |= {segment.document for segment in row}


@given(framed_lists())
def test_best_fit_cuts_only_framed_longer_than_a_row(case: tuple[int, list[list[layout.Token]]]) -> None:
    length, framed = case
    result = packing.pack("best_fit", framed, length)
    for number, framed_document in enumerate(framed):
        parts = [segment for row in result.rows for segment in row if segment.document == number]
        assert len(parts) == math.ceil(len(framed_document) / length)
    firsts = [(row[0].document, row[0].offset) for row in result.rows]
    assert firsts == sorted(firsts)
    # No two rows would fit into one: the later one's first piece would have gone to the other.
    filled = sorted(sum(len(segment.tokens) for segment in row) for row in result.rows)
    assert len(filled) < 2 or filled[0] + filled[1] > length
