"""Ranges of characters -> ranges of tokens: literal rows, and against a slow mapping token by token."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from byline.errors import BylineError
from byline.schemas.documents import ROW, SPANS_TYPE, SPECIAL_SPANS, TEXT
from byline.transforms.attributes.span_tokens import joined_ranges, token_ranges
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from tests.reference import layout, loss_spans
from tests.support import small
from tests.support.thorough import examples

ADDED = ("<X>", "<é>")
PIECES = ("the", " fox", "x", " ", "    ", "\r\n", "é", "e\u0301", "中文", "😀", "👨\u200d👩", "\0", "<X>", small.BOS)
Document = tuple[str, list[int] | None, list[int] | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("span_tokens")


def load(made: Tokenizer, folder: Path, name: str) -> TextTokenizer:
    made.save(str(folder / f"{name}.json"))
    return TextTokenizer(str(folder / f"{name}.json"), "fastest", ADDED)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> TextTokenizer:
    return load(Tokenizer.from_str(small.tokenizer_json()), folder, "fast")


@pytest.fixture(scope="module")
def word_piece(folder: Path) -> TextTokenizer:
    """Its tokens' names are not the bytes of a text."""
    words = ["[UNK]", "the", "fox", "##es", "a", "é", "<", "X", ">"]
    made = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return load(made, folder, "word_piece")


def batch_of(documents: list[Document], is_formatted: bool = True) -> pa.RecordBatch:
    columns = [pa.array(range(len(documents)), pa.int64()), pa.array([row[0] for row in documents], pa.large_string())]
    fields = [ROW, TEXT]
    if is_formatted:
        columns.append(pa.array([row[2] for row in documents], SPANS_TYPE))
        fields.append(SPECIAL_SPANS)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def ranges_of(documents: list[Document], tokenizer: TextTokenizer, **options: bool) -> list[list[int] | None]:
    ranges = pa.array([row[1] for row in documents], SPANS_TYPE)
    column = token_ranges(batch_of(documents, **options), ranges, tokenizer)
    column.validate(full=True)
    assert column.type == SPANS_TYPE
    return column.to_pylist()


def test_a_token_with_a_byte_in_a_range_is_in_it(tokenizer: TextTokenizer) -> None:
    # Tokens: the, Ġfox.
    borders = {(0, 3): [0, 1], (3, 7): [1, 2], (2, 3): [0, 1], (2, 4): [0, 2], (6, 7): [1, 2], (3, 3): []}
    documents: list[Document] = [("the fox", list(pair), None) for pair in borders]
    assert ranges_of(documents, tokenizer) == list(borders.values())
    assert ranges_of(documents, tokenizer, is_formatted=False) == list(borders.values())


def test_documents_without_ranges_are_null_and_not_tokenized(
    tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    encode = tokenizer.encode
    monkeypatch.setattr(tokenizer, "encode", lambda texts: seen.extend(texts.to_pylist()) or encode(texts))
    documents: list[Document] = [("a", None, None), ("the fox", [4, 5], None), ("b", [], None), ("", [0, 0], None)]
    assert ranges_of(documents, tokenizer) == [None, [1, 2], None, []]
    assert seen == ["the fox", ""]


def test_bytes_of_one_character_and_tokens_by_name(tokenizer: TextTokenizer) -> None:
    # Tokens: Ã © ð Ł ĺ Ģ x; and the <X> Ġfox.
    assert ranges_of([("é😀x", [1, 2], None), ("the<X> fox", [4, 5], [3, 6])], tokenizer) == [[2, 6], [1, 2]]


def with_counts(batch: pa.RecordBatch, *counts: int) -> pa.RecordBatch:
    return batch.append_column("num_tokens", pa.array(counts, pa.int32()))


def test_tokens_are_held_against_the_stores(tokenizer: TextTokenizer) -> None:
    batch = batch_of([("the fox", None, None), ("the<X> fox", [0, 1], [3, 6])])
    ranges = pa.array([None, [0, 1]], SPANS_TYPE)
    assert token_ranges(with_counts(batch, 7, 3), ranges, tokenizer).to_pylist() == [None, [0, 1]]
    with pytest.raises(BylineError, match=r"row 1: its text has 3 tokens, and 4 in the token store"):
        token_ranges(with_counts(batch, 2, 4), ranges, tokenizer)


@pytest.mark.parametrize("given_range", [[0, 8], [-1, 3], [5, 4], [8, 8]])
def test_a_range_outside_of_the_text_names_document_and_range(tokenizer: TextTokenizer, given_range: list[int]) -> None:
    low, high = given_range
    with pytest.raises(BylineError, match=f"^row 1: the range of characters {low} to {high} is not in its text of 7"):
        ranges_of([("the", [0, 3], None), ("the fox", given_range, None)], tokenizer)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A text of pieces with ranges at any characters; some pieces are names of tokens."""
    text, special = "", []
    for piece in draw(st.lists(st.sampled_from([*PIECES, 0, 1, 2]), max_size=8)):
        if isinstance(piece, int):
            name = (*ADDED, "")[piece]
            special += [len(text), len(text) + len(name)]
            text += name
        else:
            text += piece
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    return text, draw(st.sampled_from([None, borders[: len(borders) // 2 * 2]])), special or None


def pairs_of(flags: list[int]) -> list[int]:
    return [border for pair in layout.ranges_of(at for at, flag in enumerate(flags) if flag) for border in pair]


@given(st.lists(documents(), max_size=5))
@example([("", None, None), ("", [0, 0], [0, 0]), ("<X>", [1, 2], [0, 3])])
@examples(150)
def test_against_tokens_one_by_one(tokenizer: TextTokenizer, drawn: list[Document]) -> None:
    slow = small.reference_tokenizer()
    expected = [
        pairs_of([flag for _, flag in loss_spans.trained_tokens(slow, *document, tokenizer.vocabulary)])
        if document[1]
        else None
        for document in drawn
    ]
    assert ranges_of(drawn, tokenizer) == expected


@given(st.lists(documents(), max_size=4))
@examples(60)
def test_tokenizers_that_do_not_spell_their_bytes(word_piece: TextTokenizer, drawn: list[Document]) -> None:
    reference = layout.as_text_only(word_piece.reference)
    expected = []
    for document in drawn:
        ids, masked = layout.tokenize_marked(reference, *document, word_piece.vocabulary)
        outside = {at for pair in masked for at in range(*pair)}
        expected.append(pairs_of([at not in outside for at in range(len(ids))]) if document[1] else None)
    assert ranges_of(drawn, word_piece) == expected


def test_a_normalizer_that_changes_the_text(folder: Path) -> None:
    made = Tokenizer.from_str(small.tokenizer_json())
    made.normalizer = normalizers.NFC()
    # Tokens: a Ġ Ã © Ġfox; e and U+0301 became one, which `tokenizers` says stands for the e alone.
    assert ranges_of([("a e\u0301 fox", [2, 4], None)], load(made, folder, "nfc")) == [[2, 4]]


@given(st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=5), max_size=4), st.randoms())
@examples(150)
def test_joined_ranges(drawn: list[list[tuple[int, int]]], random) -> None:
    flat = [(row, start, start + size) for row, pairs in enumerate(drawn) for start, size in pairs]
    random.shuffle(flat)
    rows, starts, stops = (np.array([item[at] for item in flat], np.int64) for at in range(3))
    lists = joined_ranges(rows, starts, stops, len(drawn)).to_pylist()
    for borders, pairs in zip(lists, drawn, strict=True):
        assert all(low < high for low, high in pairwise(borders))
        covered = {at for start, stop in list(pairwise(borders))[::2] for at in range(start, stop)}
        assert covered == {at for start, size in pairs for at in range(start, start + size)}
