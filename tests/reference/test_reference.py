"""The reference against literal examples, worked out by hand from docs/formats.md, and against its invariants.

In the packing tests a stream is drawn as text; the documents of a shard have the doc ids 0, 1, ... in order:

```
".pp1234|"   . BOS   p masked prefix   q trained prefix   | EOS   anything else the document's own tokens
```
"""

import gzip
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from tests.reference import assembly, documents, layout, packing, placing, selection

POLICIES = ("document_start", "concat", "repeat_prefix", "best_fit")
PAD, BOS, EOS = 300, 301, 302
KINDS = {".": "bos", "p": "prefix", "q": "prefix", "|": "eos"}


def drawn(text: str) -> list[layout.Token]:
    """A stream from its drawing; its BOS is masked if its prefix is."""
    masked = "p" in text
    return [
        layout.Token(ord(mark), 0 if mark == "p" or (mark == "." and masked) else 1, KINDS.get(mark, "doc"))
        for mark in text
    ]


def packed(policy: str, length: int, *streams: str) -> tuple[list[str], list[list[tuple[int, int, int]]], str]:
    """Rows as drawings (`_` padding), their segments (doc id, offset, length), and what was discarded."""
    made = packing.pack(policy, [drawn(text) for text in streams], length)
    rows = [packing.row_of(row, list(range(len(streams))), length, ord("_")) for row in made.rows]
    texts = ["".join(map(chr, row["input_ids"])) for row in rows]
    segments = [list(zip(row["doc_ids"], row["doc_offsets"], row["seq_lengths"], strict=True)) for row in rows]
    return texts, segments, "".join(chr(token.id) for _, token in made.discarded)


# ---------------------------------------------------------------------------------------------------------- packing


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
def test_streams_that_fill_rows_exactly_leave_no_padding_and_no_empty_row(policy: str) -> None:
    assert packed(policy, 4, "1234", ".ab|") == (["1234", ".ab|"], [[(0, 0, 4)], [(1, 0, 4)]], "")
    assert packing.pack(policy, [], 4).rows == []


def test_long_streams() -> None:
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
    streams = [drawn(text) for text in ("aaaaa", "bbbbbb", "cc", "ddddddddde", "fff")]

    def rows(*slices: int) -> list[str]:
        made = packing.pack("best_fit", streams, 8, slices)
        return ["".join(chr(token.id) for segment in row for token in segment.tokens) for row in made.rows]

    assert rows(0, 0, 0, 0, 0) == ["aaaaafff", "bbbbbbcc", "dddddddd", "de"]
    assert rows(0, 0, 2, 2, 5) == ["aaaaa", "bbbbbb", "ccde", "dddddddd", "fff"]
    with pytest.raises(AssertionError):
        rows(0, 1, 0, 0, 0)
    for policy in ("document_start", "concat", "repeat_prefix"):
        assert packing.pack(policy, streams, 8, [0, 0, 2, 2, 5]) == packing.pack(policy, streams, 8)


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
    made = packing.pack("document_start", [drawn("12"), drawn(".pp123|"), drawn(".45qq|")], 4)
    assert [len(row) for row in made.rows] == [2, 1]
    assert made.discarded_by_kind() == {"prefix": 2, "doc": 3, "eos": 2}
    assert made.positions_by_kind() == {"doc": 4, "bos": 2, "prefix": 2}


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
def stream_lists(draw: st.DrawFn) -> tuple[int, list[list[layout.Token]]]:
    """A length, and streams whose prefixes take at most half of it."""
    length = draw(st.integers(8, 24))
    lists = []
    for _ in range(draw(st.integers(0, 8))):
        prefix = draw(st.none() | st.lists(st.integers(0, 9), max_size=length // 2))
        tokens = draw(st.lists(st.integers(0, 9), min_size=1, max_size=40))
        where = draw(st.sampled_from(["before", "after"]))
        bos_id, eos_id = draw(st.sampled_from([None, BOS])), draw(st.sampled_from([None, EOS]))
        lists.append(layout.stream(tokens, prefix, where, bos_id, eos_id))
    return length, lists


@settings(deadline=None)
@given(stream_lists(), st.sampled_from(POLICIES))
def test_rows_are_whole_and_never_fully_masked(case: tuple[int, list[list[layout.Token]]], policy: str) -> None:
    length, streams = case
    rows, _ = packing.pack_rows(policy, streams, list(range(len(streams))), length, PAD)
    for row in rows:
        assert len(row["input_ids"]) == len(row["loss_mask"]) == sum(row["seq_lengths"]) == length
        assert len(row["seq_lengths"]) == len(row["doc_ids"]) == len(row["doc_offsets"]) > 0
        assert min(row["seq_lengths"]) > 0
        assert any(row["loss_mask"])
        assert -1 not in row["doc_ids"][:-1]
    if policy in ("concat", "repeat_prefix", "document_start"):
        assert all(-1 not in row["doc_ids"] for row in rows[:-1])


@settings(deadline=None)
@given(stream_lists(), st.sampled_from(POLICIES))
def test_every_token_is_in_a_row_or_discarded(case: tuple[int, list[list[layout.Token]]], policy: str) -> None:
    length, streams = case
    made = packing.pack(policy, streams, length)
    for number, stream in enumerate(streams):
        parts = [segment for row in made.rows for segment in row if segment.document == number]
        parts.sort(key=lambda part: part.offset)
        placed = [token for part in parts for token in part.tokens]
        placed += [token for document, token in made.discarded if document == number]
        if policy == "repeat_prefix":
            placed, stream = ([token for token in tokens if token.kind != "prefix"] for tokens in (placed, stream))
        assert placed == stream
        own = 0
        for part in parts:
            assert part.offset == own
            own += sum(token.kind == "doc" for token in part.tokens)


@settings(deadline=None)
@given(stream_lists())
def test_repeat_prefix_begins_every_row_that_goes_on_with_the_whole_prefix(
    case: tuple[int, list[list[layout.Token]]],
) -> None:
    length, streams = case
    before: set[int] = set()
    for row in packing.pack("repeat_prefix", streams, length).rows:
        first = row[0]
        if first.document in before:
            masked = [token for token in streams[first.document] if (token.kind, token.loss) == ("prefix", 0)]
            assert first.tokens[: len(masked)] == masked
            rest = first.tokens[len(masked) :]
            assert rest
            assert not masked or "prefix" not in {token.kind for token in rest}
        before |= {segment.document for segment in row}


@settings(deadline=None)
@given(stream_lists())
def test_best_fit_cuts_only_streams_longer_than_a_row(case: tuple[int, list[list[layout.Token]]]) -> None:
    length, streams = case
    made = packing.pack("best_fit", streams, length)
    for number, stream in enumerate(streams):
        parts = [segment for row in made.rows for segment in row if segment.document == number]
        assert len(parts) == math.ceil(len(stream) / length)
    firsts = [(row[0].document, row[0].offset) for row in made.rows]
    assert firsts == sorted(firsts)
    # No two rows would fit into one: the later one's first piece would have gone to the other.
    filled = sorted(sum(len(segment.tokens) for segment in row) for row in made.rows)
    assert len(filled) < 2 or filled[0] + filled[1] > length


# ---------------------------------------------------------------------------------------------------------- placing


def test_splitmix64_gives_the_published_outputs() -> None:
    # First outputs of the generator with seeds 0 and 1234567, as other implementations print them.
    assert placing.splitmix64(0) == 0xE220A8397B1DCDAF
    assert placing.splitmix64(1234567) == 6457827717110365317
    assert placing.splitmix64(1234567 + 0x9E3779B97F4A7C15) == 3203168211198807973


def test_place_hashes_the_path_and_adds_the_row() -> None:
    # First halves of MurmurHash3 x64 128, from its published text in plain Python.
    for source, path, first_half in [
        ("c4", "a/x.json.gz", 0x21FB186BCFFBD6CD),
        ("c4", "sub/é/part-00000.jsonl.zst", 0xD422CE5E830FA9A9),
    ]:
        assert placing.place(source, path, 0) == placing.splitmix64(first_half)
        assert placing.place(source, path, 7) == placing.splitmix64(first_half + 7)
        assert placing.place(source, path, 2**64 - 1) == placing.splitmix64(first_half - 1)


def test_order_depends_on_place_epoch_and_seed() -> None:
    orders = {placing.order(place, epoch, seed) for place in (0, 1) for epoch in (0, 1) for seed in (0, 1)}
    assert len(orders) == 8
    assert placing.order(0, 0, 0) == placing.splitmix64(0xE220A8397B1DCDAF)


def test_dropout_drops_its_share() -> None:
    orders = [placing.order(place, 0, 0) for place in range(10_000)]
    assert not any(placing.dropped_out(order, Fraction(0)) for order in orders)
    dropped = {order for order in orders if placing.dropped_out(order, Fraction(1, 10))}
    assert 900 < len(dropped) < 1100
    assert dropped < {order for order in orders if placing.dropped_out(order, Fraction(1, 5))}


def test_empty_leaves_its_share_empty_whoever_is_dropped_out() -> None:
    orders = [placing.order(place, 0, 0) for place in range(10_000)]
    assert not any(placing.left_empty(order, Fraction(0)) for order in orders)
    dropped = [order for order in orders if placing.dropped_out(order, Fraction(1, 2))]
    others = set(orders) - set(dropped)
    assert 400 < sum(placing.left_empty(order, Fraction(1, 10)) for order in dropped) < 600
    assert 400 < sum(placing.left_empty(order, Fraction(1, 10)) for order in others) < 600


def test_empty_compares_the_upper_53_bits() -> None:
    value = placing.splitmix64(5 ^ 0xA24BAED4963EE407) >> 11
    assert not placing.left_empty(5, Fraction(value, 2**53))
    assert placing.left_empty(5, Fraction(value + 1, 2**53))


def test_dropout_compares_the_upper_53_bits() -> None:
    value = placing.splitmix64(5 ^ 0xD1B54A32D192ED03) >> 11
    assert not placing.dropped_out(5, Fraction(value, 2**53))
    assert placing.dropped_out(5, Fraction(value + 1, 2**53))
    assert not placing.dropped_out(5, Fraction(2 * value + 1, 2**54))


def test_files_are_numbered_by_source_then_path_in_bytes() -> None:
    in_order = [
        ("a", "a-b"), ("a", "a/b"), ("a", "z"), ("a", "é"), ("a", "\uff5e"), ("a", "\U0001f600"),
        ("a-b", "a"), ("b", "a"),
    ]  # fmt: skip
    numbers = placing.file_numbers(reversed(in_order))
    assert [numbers[file] for file in in_order] == list(range(8))
    assert placing.doc_id(3, 7) == 12884901895


# ----------------------------------------------------------------------------------------------------------- layout


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token a byte, its id the byte's value; <|end|> (256) is special, <tag> (257) an added token that is not."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    vocabulary = {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([AddedToken("<|end|>", special=True)])
    made.add_tokens([AddedToken("<tag>")])
    made.enable_truncation(3)
    made.enable_padding()
    return made


@pytest.fixture(scope="module")
def text_only(tokenizer: Tokenizer) -> Tokenizer:
    return layout.as_text_only(Tokenizer.from_str(tokenizer.to_str()))


def ids(text: str) -> list[int]:
    return list(text.encode())


def test_special_looking_text_is_tokenized_as_text(tokenizer: Tokenizer, text_only: Tokenizer) -> None:
    assert 256 in tokenizer.encode("a<|end|>").ids
    assert layout.tokenize(text_only, "a<|end|>bé") == ids("a<|end|>bé")
    assert layout.tokenize(text_only, "a<tag>b") == [97, 257, 98]


def test_load_tokenizer_reads_a_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert layout.tokenize(layout.load_tokenizer(tmp_path / "tokenizer.json"), "<|end|>") == ids("<|end|>")


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("URL: {host}\n\n", "URL: a.org\n\n"),
        ("{host}{host}|{none}|{absent}", "a.orga.org|?|?"),
        ("{{host}} {{{host}}} }}{{", "{host} {a.org} }{"),
        ("{empty}.", "."),
        ("", ""),
    ],
)
def test_fill(template: str, filled: str) -> None:
    assert layout.fill(template, {"host": "a.org", "none": None, "empty": "", "x": "{host}"}, "?") == filled


def test_fill_does_not_fill_values() -> None:
    assert layout.fill("{x}", {"x": "{host}", "host": "a"}, "?") == "{host}"


@pytest.mark.parametrize("template", ["{", "}", "{host", "{ho st}", "{}", "a } b", "{host!r}", "{0}"])
def test_fill_refuses(template: str) -> None:
    with pytest.raises(ValueError):
        layout.fill(template, {}, "?")


def test_stream_of_each_condition() -> None:
    def marks(prefix: list[int] | None, where: str, bos_id: int | None = 1) -> list[tuple[int, int]]:
        return [(token.id, token.loss) for token in layout.stream([5, 6], prefix, where, bos_id, 2)]

    assert marks(None, "before") == [(1, 1), (5, 1), (6, 1), (2, 1)]
    assert marks([8, 9], "before") == [(1, 0), (8, 0), (9, 0), (5, 1), (6, 1), (2, 1)]
    assert marks([8, 9], "after") == [(1, 1), (5, 1), (6, 1), (8, 1), (9, 1), (2, 1)]
    assert marks([8], "before", bos_id=None) == [(8, 0), (5, 1), (6, 1), (2, 1)]
    # A prefix without tokens is no prefix: its BOS is trained.
    assert marks([], "before") == [(1, 1), (5, 1), (6, 1), (2, 1)]
    assert [token.kind for token in layout.stream([5], [8], "before", 1, None)] == ["bos", "prefix", "doc"]


def test_masked_ranges_are_of_a_documents_own_tokens() -> None:
    def losses(prefix: list[int] | None, where: str, masked: list[tuple[int, int]]) -> list[int]:
        return [token.loss for token in layout.stream([5, 6, 7], prefix, where, 1, 2, masked)]

    assert losses(None, "before", [(0, 1), (2, 3)]) == [1, 0, 1, 0, 1]
    assert losses([8, 9], "before", [(0, 2)]) == [0, 0, 0, 0, 0, 1, 1]
    assert losses([8, 9], "after", [(0, 3)]) == [1, 0, 0, 0, 1, 1, 1]


def test_a_rewritten_text_names_tokens_and_trains_spans(text_only: Tokenizer) -> None:
    # <U> é a <end> b: two bytes of é are two tokens, and a cut that names nothing changes nothing here.
    text, special, names = "<U>éa<end>b<U>", [0, 3, 4, 4, 5, 10], {"<U>": 400, "<end>": 401}
    tokens = [400, *ids("éa"), 401, *ids("b<U>")]
    assert layout.tokenize_marked(text_only, text, None, special, names) == (tokens, [])
    assert layout.tokenize_marked(text_only, text, [], special, names) == (tokens, [(0, 9)])
    assert layout.tokenize_marked(text_only, text, [3, 4, 9, 11], special, names) == (tokens, [(0, 1), (3, 4), (6, 9)])
    assert layout.tokenize_marked(text_only, "a<tag>b", [2, 3], None, {}) == ([97, 257, 98], [(0, 1), (2, 3)])


def test_bins_and_top_values() -> None:
    condition = layout.Condition("", top={"h": {"a", "b"}}, bins={"n": [0.5, 0.5, 2], "none": []})

    def known(host: str | None, number: float | None) -> list[str | None]:
        values = layout.known_values(condition, {"h": host, "x": "y"}, {"n": number, "none": number})
        assert values["x"] == "y"
        return [values[name] for name in ("h", "n", "none")]

    assert known("a", 0.5) == ["a", "2", "0"]
    assert known("c", 0.4) == [None, "0", "0"]
    assert known("b", 2) == ["b", "3", "0"]
    assert known(None, None) == known(None, math.nan) == [None, None, None]


def test_markers_belong_to_the_prefix(text_only: Tokenizer) -> None:
    condition = layout.Condition("{a}", unknown="?", begin=400, end=401)
    assert layout.prefix_of(condition, {"a": "12"}, text_only, 8) == ([400, *ids("12"), 401], False)
    assert layout.prefix_of(condition, {"a": "123"}, text_only, 8) == ([400, *ids("?"), 401], True)
    only_begin = layout.Condition("", begin=400)
    assert layout.prefix_of(only_begin, {}, text_only, 8) == ([400], False)
    with pytest.raises(ValueError, match="takes 5 tokens"):
        layout.prefix_of(layout.Condition("123", begin=400, end=401), {}, text_only, 8)


def test_a_prefix_of_more_than_half_a_row_is_replaced(text_only: Tokenizer) -> None:
    condition = layout.Condition("{a}{b}", unknown="?")
    assert layout.prefix_of(condition, {"a": "12", "b": "34"}, text_only, 8) == (ids("1234"), False)
    assert layout.prefix_of(condition, {"a": "12", "b": "34"}, text_only, 9) == (ids("1234"), False)
    assert layout.prefix_of(condition, {"a": "12", "b": "345"}, text_only, 8) == (ids("??"), True)
    with pytest.raises(ValueError, match="takes 10 tokens without any value; half a row is 4"):
        layout.prefix_of(layout.Condition("1234567890"), {}, text_only, 8)


# --------------------------------------------------------------------------------------------------------- assembly


def test_draw_takes_closed_ranges_of_one_source_and_asks_every_predicate() -> None:
    def made(source: str, place: int) -> assembly.Document:
        return assembly.Document(source, place, place + (100 if source == "b" else 0), [1])

    def even(document: assembly.Document) -> bool:
        return document.place % 2 == 0

    everything = [made(source, place) for source in "ab" for place in range(6)]
    rows = [(7, "a", 0, 1, 4, (even,)), (3, "b", 0, 5, 9, ()), (3, "b", 1, 0, 0, (even, even))]
    uses = assembly.draw(everything, rows)
    assert [(use.slice, use.source, use.place, use.epoch) for use in uses] == [
        (7, "a", 2, 0), (7, "a", 4, 0), (3, "b", 5, 0), (3, "b", 0, 1),
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="overlap"):
        assembly.draw(everything, [(0, "a", 0, 0, 3, ()), (1, "a", 0, 3, 5, ())])


def test_assemble_shard(text_only: Tokenizer) -> None:
    assert placing.order(1, 0, 0) < placing.order(0, 0, 0) < placing.order(2, 0, 0)
    uses = [
        assembly.Document("a", 2, 10, ids("last"), {"h": "x"}),
        assembly.Document("a", 0, 11, ids("mid"), {"h": "much too long"}),
        assembly.Document("b", 1, 12, ids("first"), {"h": "y"}),
    ]
    shard = assembly.assemble_shard(
        uses, seed=0, length=20, policy="document_start", condition=layout.Condition("{h}:"), tokenizer=text_only,
        bos_id=BOS, eos_id=EOS, pad_id=PAD,
    )  # fmt: skip
    assert shard.rows == [
        {
            "input_ids": [BOS, *ids("y:first"), EOS, BOS, *ids("unknown:mi")],
            "loss_mask": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
            "seq_lengths": [9, 11],
            "doc_ids": [12, 11],
            "doc_offsets": [0, 0],
        },
        {
            "input_ids": [BOS, *ids("x:last"), EOS] + [PAD] * 12,
            "loss_mask": [0, 0, 0, 1, 1, 1, 1, 1] + [0] * 12,
            "seq_lengths": [8, 12],
            "doc_ids": [10, -1],
            "doc_offsets": [0, 0],
        },
    ]
    assert shard.padding == 12
    assert shard.counts["a"] == {
        "documents": 2, "tokens": 7, "prefix_tokens": 10, "special_tokens": 4, "positions": 19, "loss_tokens": 7,
        "discarded": 2, "conditioned": 2, "prefix_too_long": 1,
    }  # fmt: skip
    assert shard.counts["b"]["positions"] == 9


def test_assemble_shard_slice_by_slice(text_only: Tokenizer) -> None:
    assert placing.order(1, 0, 0) < placing.order(0, 0, 0) < placing.order(2, 0, 0)
    uses = [
        assembly.Document("a", place, place, ids("xyz"), slice=number) for place, number in ((0, 1), (1, 1), (2, 0))
    ]

    def doc_ids(policy: str) -> list[list[int]]:
        shard = assembly.assemble_shard(
            uses, seed=0, length=8, policy=policy, condition=None, tokenizer=text_only,
            bos_id=None, eos_id=None, pad_id=PAD,
        )  # fmt: skip
        return [row["doc_ids"] for row in shard.rows]

    assert doc_ids("concat") == [[2, 1, 0], [0, -1]]
    assert doc_ids("best_fit") == [[2, -1], [1, 0, -1]]


def test_assemble_shard_with_loss_spans_and_empty_prefixes(text_only: Tokenizer) -> None:
    condition = layout.Condition("{h}", begin=400, end=401, empty=Fraction(1, 2), dropout=Fraction(1, 4))
    orders = {place: placing.order(place, 0, 0) for place in range(40)}
    dropped = {place for place, order in orders.items() if placing.dropped_out(order, condition.dropout)}
    empty = {place for place, order in orders.items() if placing.left_empty(order, condition.empty)} - dropped
    for place in (min(dropped), min(empty), min(set(orders) - dropped - empty)):
        document = assembly.Document("a", place, 0, ids("xyz"), {"h": "h"}, masked=[(1, 2)])
        shard = assembly.assemble_shard(
            [document], seed=0, length=12, policy="concat", condition=condition, tokenizer=text_only,
            bos_id=BOS, eos_id=EOS, pad_id=PAD,
        )  # fmt: skip
        prefix = [] if place in dropped else [400, 401] if place in empty else [400, *ids("h"), 401]
        tokens = [BOS, *prefix, *ids("xyz"), EOS]
        losses = [0 if prefix else 1, *[0] * len(prefix), 1, 0, 1, 1]
        assert shard.rows[0]["input_ids"] == tokens + [PAD] * (12 - len(tokens))
        assert shard.rows[0]["loss_mask"] == losses + [0] * (12 - len(tokens))
        assert shard.counts["a"]["loss_tokens"] == sum(losses)
        assert shard.counts["a"]["conditioned"] == bool(prefix)


@pytest.mark.parametrize(
    ("epoch", "seed", "doc_ids"), [(0, 0, [1, 0, 3, 2]), (1, 0, [0, 3, 2, 1]), (0, 1, [1, 2, 3, 0])]
)
def test_a_shard_is_in_the_order_of_its_seed_and_its_epochs(
    text_only: Tokenizer, epoch: int, seed: int, doc_ids: list[int]
) -> None:
    uses = [assembly.Document("a", place, place, [65], epoch=epoch) for place in range(4)]
    shard = assembly.assemble_shard(
        uses, seed=seed, length=8, policy="concat", condition=None, tokenizer=text_only,
        bos_id=None, eos_id=EOS, pad_id=PAD,
    )  # fmt: skip
    assert [row["doc_ids"] for row in shard.rows] == [doc_ids]


@settings(deadline=None)
@given(st.integers(0, 3), st.sampled_from(POLICIES), st.sampled_from(["before", "after"]), st.permutations(range(12)))
def test_a_shard_does_not_depend_on_the_order_that_its_documents_are_given_in(
    text_only: Tokenizer, seed: int, policy: str, where: str, permutation: list[int]
) -> None:
    condition = layout.Condition("{h} ", where, Fraction(1, 3))
    uses = [
        assembly.Document("ab"[at % 2], at * 2**60, at, [65 + at] * (3 * at + 1), {"h": "h" * at}, epoch=at % 3)
        for at in range(12)
    ]

    def made(given_uses: list[assembly.Document]) -> assembly.Shard:
        return assembly.assemble_shard(
            given_uses, seed=seed, length=18, policy=policy, condition=condition, tokenizer=text_only,
            bos_id=BOS, eos_id=EOS, pad_id=PAD,
        )  # fmt: skip

    shard = made(uses)
    assert shard == made([uses[at] for at in permutation])
    counts = list(shard.counts.values())
    assert sum(count["positions"] for count in counts) + shard.padding == 18 * len(shard.rows)
    assert sum(sum(row["loss_mask"]) for row in shard.rows) == sum(count["loss_tokens"] for count in counts)
    for count in counts:
        all_tokens = count["tokens"] + count["prefix_tokens"] + count["special_tokens"]
        assert all_tokens == count["positions"] + count["discarded"]
    orders = [placing.order(use.place, use.epoch, seed) for use in uses]
    conditioned = sum(not placing.dropped_out(order, Fraction(1, 3)) for order in orders)
    assert sum(count["conditioned"] for count in counts) == conditioned


# -------------------------------------------------------------------------------------------------------- selection


def scored(*rows: tuple[float | None, int, int]) -> list[selection.Scored]:
    return [selection.Scored(*row) for row in rows]


def test_top_share_by_documents_counts_unscored_ones_and_never_takes_them() -> None:
    some = scored((0.5, 1, 9), (None, 2, 9), (0.9, 3, 9), (math.nan, 4, 9), (-1.0, 5, 9))
    assert selection.top_share(some, Fraction(1, 6), "documents") == set()
    assert selection.top_share(some, Fraction(1, 5), "documents") == {2}
    assert selection.top_share(some, Fraction(39, 100), "documents") == {2}
    assert selection.top_share(some, Fraction(2, 5), "documents") == {0, 2}
    assert selection.top_share(some, Fraction(99, 100), "documents") == {0, 2, 4}
    assert selection.top_share(some, Fraction(1), "documents") == {0, 1, 2, 3, 4}


def test_top_share_by_tokens_ends_at_the_first_document_that_does_not_fit() -> None:
    some = scored((0.9, 1, 10), (0.8, 2, 7), (0.7, 3, 1), (None, 4, 4))
    assert selection.top_share(some, Fraction(9, 22), "tokens") == set()
    assert selection.top_share(some, Fraction(1, 2), "tokens") == {0}
    assert selection.top_share(some, Fraction(16, 22), "tokens") == {0}
    assert selection.top_share(some, Fraction(17, 22), "tokens") == {0, 1}
    assert selection.top_share(some, Fraction(1), "tokens") == {0, 1, 2, 3}


def test_equal_scores_are_decided_by_the_tie() -> None:
    places = list(range(8))
    by_tie = sorted(places, key=lambda place: placing.splitmix64(place ^ 0x2545F4914F6CDD1D))
    assert by_tie != places
    some = scored(*[(0.0 if place % 2 else -0.0, place, 1) for place in places])
    for count in ("documents", "tokens"):
        for number in places:
            assert selection.top_share(some, Fraction(number, 8), count) == set(by_tie[:number])


def test_bottom_takes_the_lowest_numbers() -> None:
    some = scored((0.5, 1, 9), (None, 2, 9), (0.9, 3, 9), (math.nan, 4, 9), (-1.0, 5, 9))
    assert selection.take_share(some, Fraction(2, 5), "documents", highest_first=False) == {0, 4}
    assert selection.take_share(some, Fraction(99, 100), "tokens", highest_first=False) == {0, 2, 4}


def candidates() -> list[selection.Candidate]:
    rows = [("a", 5, "x"), ("a", 3, "y"), ("a", None, "x"), ("b", 9, None), ("b", 1, "x")]
    return [
        selection.Candidate(source, place, 10, {"n": number}, {"host": host})
        for place, (source, number, host) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        ([], {0, 1, 2, 3, 4}),
        ([selection.Step(allow={"host": ["x"]})], {0, 2, 4}),
        ([selection.Step(deny={"host": ["x"]})], {1, 3}),
        ([selection.Step(deny={"host": ["x"]}, sources=["b"])], {0, 1, 2, 3}),
        ([selection.Step(allow={"host": ["x", "y"]}, deny={"host": ["y"]})], {0, 2, 4}),
        ([selection.Step(at_least=Fraction(3), by="n")], {0, 1, 3}),
        ([selection.Step(at_least=Fraction(3), at_most=Fraction(5), by="n")], {0, 1}),
        ([selection.Step(top=Fraction(1, 2), by="n")], {0, 3}),
        ([selection.Step(top=Fraction(1, 2), by="n", over="all")], {0, 3}),
        ([selection.Step(bottom=Fraction(3, 5), by="n", over="all")], {0, 1, 4}),
        ([selection.Step(bottom=Fraction(1, 2), by="n", count="tokens")], {1, 4}),
        ([selection.Step(top=Fraction(1), by="n")], {0, 1, 2, 3, 4}),
        # Of the three that have the host x, not of all five.
        ([selection.Step(allow={"host": ["x"]}), selection.Step(top=Fraction(2, 3), by="n", over="all")], {0, 4}),
        ([selection.Step(top=Fraction(2, 5), by="n", over="all"), selection.Step(allow={"host": ["x"]})], {0}),
    ],
)
def test_each_step_looks_at_what_the_steps_before_it_left(steps: list[selection.Step], chosen: set[int]) -> None:
    assert selection.select(candidates(), steps, {"n": "int"}) == chosen


def test_a_threshold_on_a_score_is_rounded_as_the_score_is() -> None:
    some = [selection.Candidate("a", 0, 1, {"q": selection.as_float32(0.1)})]
    step = selection.Step(at_most=Fraction(1, 10), by="q")
    assert selection.select(some, [step], {"q": "float32"}) == {0}
    assert selection.select(some, [step], {"q": "float"}) == set()


def test_borders_of_bins() -> None:
    assert selection.bin_borders([3, None, 1, 2, 4], 2) == [3]
    assert selection.bin_borders([3, 1, 2, math.nan], 2) == [2]
    assert selection.bin_borders([1, 1, 1, 5], 4) == [1, 1, 5]
    assert selection.bin_borders([7], 3) == [7, 7]
    assert selection.bin_borders([None], 3) == []


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_nearest_float32_rounds_as_machines_do(value: float) -> None:
    assert selection.nearest_float32(Fraction(value)) == selection.as_float32(value)


def test_nearest_float32_rounds_once() -> None:
    above_half = 1 + Fraction(1, 2**24) + Fraction(1, 2**80)
    assert selection.as_float32(float(above_half)) == 1
    assert selection.nearest_float32(above_half) == 1 + 2**-23
    assert selection.nearest_float32(Fraction(-(10**400))) == -math.inf


def test_as_float32() -> None:
    assert selection.as_float32(0.1) == 0.10000000149011612
    assert selection.as_float32(0.1) == selection.as_float32(0.1 + 1e-12)
    assert selection.as_float32(-1e300) == -math.inf
    assert math.isnan(selection.as_float32(math.nan))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.floats(width=16), st.integers(0, 2**64 - 1), st.integers(1, 9)), max_size=12),
    st.fractions(0, 1),
    st.sampled_from(["documents", "tokens"]),
)
def test_what_is_selected_is_as_large_as_may_be_and_no_worse_than_the_rest(
    rows: list[tuple[float | None, int, int]], share: Fraction, count: str
) -> None:
    some = scored(*rows)
    chosen = selection.top_share(some, share, count)

    def size(indices: set[int]) -> int:
        return sum(some[index].tokens if count == "tokens" else 1 for index in indices)

    budget = share * size(set(range(len(some))))
    assert size(chosen) <= budget
    rest = [index for index in range(len(some)) if index not in chosen and selection.is_scored(some[index])]
    if rest and share < 1:
        best = min(rest, key=lambda index: (-(some[index].score or 0.0), selection.tie(some[index].place)))
        assert all((some[index].score or 0.0) >= (some[best].score or 0.0) for index in chosen)
        assert size(chosen) + size({best}) > budget


# -------------------------------------------------------------------------------------------------------- documents

LINES = [
    b'{"text": "one\\u2028two", "url": "http://a.org/", "n": 1}\n',
    b"\n",
    b"  \t\r\n",
    b'{"text": "two\xe2\x80\xa8", "url": null}\r\n',
    b'{"url": "http://b.org/"}\n',
    b'{"text": null}\n',
    b'{"text": ""}\n',
    b'{"text": " \\u00a0\\n\\u2003"}\n',
    b"not json\n",
    b'["a list"]\n',
    b'{"text": 5}\n',
    b'{"text": "\\ud800"}\n',
    b'{"text": "\xff"}\n',
    b'{"text": "x", "score": NaN}\n',
    b'{"text": "the last line has no end"}',
]
FOUND = [
    (0, "one\u2028two", "http://a.org/", None),
    (1, "two\u2028", None, None),
    (2, None, "http://b.org/", "missing_text"),
    (3, None, None, "missing_text"),
    (4, "", None, "empty_text"),
    (5, " \u00a0\n\u2003", None, "empty_text"),
    *[(row, None, None, "malformed") for row in range(6, 12)],
    (12, "the last line has no end", None, None),
]


def found(read: list[documents.RawDocument]) -> list[tuple[int, str | None, str | None, str | None]]:
    return [(document.row, document.text, document.url, documents.drop_reason(document)) for document in read]


@pytest.mark.parametrize("layout_name", ["dclm", "c4", "jsonl"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json.gz", ".jsonl.zst"])
def test_json_lines(layout_name: str, suffix: str, tmp_path: Path) -> None:
    compressors: dict[str, Callable[[bytes], bytes]] = {
        ".jsonl": bytes,
        ".json.gz": gzip.compress,
        ".jsonl.zst": zstandard.ZstdCompressor().compress,
    }
    compress = compressors[suffix]
    file = tmp_path / f"x{suffix}"
    # Two frames, or members: both are read.
    file.write_bytes(compress(b"".join(LINES[:5])) + compress(b"".join(LINES[5:])))
    read = list(documents.read_documents("s", layout_name, [(f"sub/x{suffix}", file)]))
    assert found(read) == FOUND
    assert {(document.source, document.path) for document in read} == {("s", f"sub/x{suffix}")}
    assert read[0].record == {"text": "one\u2028two", "url": "http://a.org/", "n": 1}


def test_rows_begin_anew_in_each_file(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text('{"text": "x"}\n{"text": "y"}\n')
    read = documents.read_documents("s", "jsonl", [(name, tmp_path / name) for name in "ab"])
    assert [(document.path, document.row) for document in read] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_fields_in_structs(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"body": {"main": "x"}, "meta": {"url": "u"}},
        {"body": {"main": "y"}, "meta": None},
        {"body": None},
        {"body": "z"},
    ]
    (tmp_path / "a").write_text("\n".join(map(json.dumps, records)))
    fields = {"text": "body.main", "url": "meta.url"}
    read = list(documents.read_documents("s", "jsonl", [("a", tmp_path / "a")], fields))
    assert found(read) == [
        (0, "x", "u", None),
        (1, "y", None, None),
        (2, None, None, "missing_text"),
        (3, None, None, "malformed"),
    ]


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"content": ["a", None, " ", *["b"] * 600], "url": ["u", *[None] * 602], "extra": range(603)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    files = [("x.parquet", tmp_path / "x.parquet")]
    read = list(documents.read_documents("s", "refinedweb", files))
    assert found(read)[:4] == [
        (0, "a", "u", None),
        (1, None, None, "missing_text"),
        (2, " ", None, "empty_text"),
        (3, "b", None, None),
    ]
    assert [document.row for document in read] == list(range(603))
    assert read[602].record == {"content": "b", "url": None, "extra": 602}
    assert list(documents.read_documents("s", "parquet", files, {"text": "content"})) == read


def test_a_document_without_tokens_is_dropped() -> None:
    document = documents.RawDocument("s", "p", 0, "x", None, {})
    assert documents.drop_reason(document, []) == "no_tokens"
    assert documents.drop_reason(document, [1]) is None
