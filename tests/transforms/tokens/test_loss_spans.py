"""Spans of characters -> masked tokens: literal rows, and against two slow references on awkward texts."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from byline.errors import BylineError
from byline.schemas.documents import (
    LOSS_SPANS,
    MASKED,
    ROW,
    SPANS_TYPE,
    SPECIAL_SPANS,
    TEXT,
    BatchInfo,
    info_of,
    with_info,
)
from byline.transforms.documents.text_parts import character_positions
from byline.transforms.tokens import tokenizing
from byline.transforms.tokens.loss_spans import byte_positions, cut_texts, masked_ranges
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch
from tests.reference import layout, loss_spans
from tests.support import small
from tests.support.thorough import examples

Spans = list[int] | None
Document = tuple[str, Spans, Spans]
ADDED = ("<X>", "<é>")


def batch_of(documents: list[Document]) -> pa.RecordBatch:
    texts, loss, special = (list(column) for column in zip(*documents, strict=True)) if documents else ([], [], [])
    columns = [
        pa.array(range(len(texts)), pa.int64()),
        pa.array(texts, pa.large_string()),
        pa.array(loss, SPANS_TYPE),
        pa.array(special, SPANS_TYPE),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema([ROW, TEXT, LOSS_SPANS, SPECIAL_SPANS]))
    return with_info(batch, BatchInfo("a", "x.jsonl", 0, True, 1, len(texts), 1))


def load(made: Tokenizer, folder: Path, name: str, library: str = "fastest") -> TextTokenizer:
    made.save(str(folder / f"{name}.json"))
    return TextTokenizer(str(folder / f"{name}.json"), library, ADDED)


def byte_level() -> Tokenizer:
    return Tokenizer.from_str(small.tokenizer_json())


def normalized() -> Tokenizer:
    """As GPT-NeoX: NFC, and offsets from which the post-processor cuts spaces."""
    made = byte_level()
    made.normalizer = normalizers.NFC()
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    return made


def word_piece() -> Tokenizer:
    """Its tokens' names are never the bytes of a text with two words."""
    words = ["[UNK]", "the", "fox", "##es", "a", "é", "<", "X", ">"]
    made = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loss_spans")


@pytest.fixture(scope="module")
def fast(folder: Path) -> TextTokenizer:
    return load(byte_level(), folder, "fast")


def shown(documents: list[Document], tokenizer: TextTokenizer) -> list[tuple[str, str]]:
    """Each document's tokens, and below each a 1 or 0."""
    tokenized = tokenize_batch(batch_of(documents), tokenizer)
    tokenized.validate(full=True)
    assert tokenized.schema.names == ["row", "num_bytes", "num_tokens", "tokens", "masked"]
    assert tokenized.schema.field("masked") == MASKED
    names = {number: name for name, number in tokenizer.vocabulary.items()}
    rows = []
    for row in tokenized.to_pylist():
        outside = {at for low, high in list(pairwise(row["masked"]))[::2] for at in range(low, high)}
        tokens = [names[token] for token in row["tokens"]]
        mask = ["0" if at in outside else "1" for at in range(len(tokens))]
        rows.append((" ".join(tokens), " ".join(m.ljust(len(t)) for m, t in zip(mask, tokens, strict=True)).rstrip()))
    return rows


def check(document: Document, tokenizer: TextTokenizer, tokens: str, mask: str) -> None:
    assert shown([document], tokenizer) == [(tokens, mask)]


# -------------------------------------------------------------------------------------------------------- literally


def test_a_token_with_a_byte_in_a_span_is_trained(fast: TextTokenizer) -> None:
    check(("the fox", [0, 3], None), fast, "the Ġfox", "1   0")
    check(("the fox", [3, 7], None), fast, "the Ġfox", "0   1")
    # A span that begins or ends inside a token trains the whole of it.
    check(("the fox", [2, 3], None), fast, "the Ġfox", "1   0")
    check(("the fox", [2, 4], None), fast, "the Ġfox", "1   1")
    check(("the fox", [6, 7], None), fast, "the Ġfox", "0   1")


def test_all_none_and_empty_spans(fast: TextTokenizer) -> None:
    check(("the fox", None, None), fast, "the Ġfox", "1   1")
    check(("the fox", [0, 7], None), fast, "the Ġfox", "1   1")
    check(("the fox", [], None), fast, "the Ġfox", "0   0")
    check(("the fox", [1, 1, 5, 5, 7, 7], None), fast, "the Ġfox", "0   0")
    check(("the fox", [0, 0, 4, 5], None), fast, "the Ġfox", "0   1")
    check(("the fox", [0, 3, 3, 7], None), fast, "the Ġfox", "1   1")


def test_characters_of_several_tokens(fast: TextTokenizer) -> None:
    check(("é😀x", [0, 1], None), fast, "Ã © ð Ł ĺ Ģ x", "1 1 0 0 0 0 0")
    check(("é😀x", [1, 2], None), fast, "Ã © ð Ł ĺ Ģ x", "0 0 1 1 1 1 0")
    check(("é😀x", [2, 3], None), fast, "Ã © ð Ł ĺ Ģ x", "0 0 0 0 0 0 1")
    check(("é\r\nx", [1, 3], None), fast, "Ã © č Ċ x", "0 0 1 1 0")
    check(("é\r\nx", [2, 3], None), fast, "Ã © č Ċ x", "0 0 0 1 0")


def test_named_tokens_come_by_their_ids_and_the_texts_between_them_on_their_own(fast: TextTokenizer) -> None:
    # Names inside a text that no span covers stay text.
    check(("the<X>the", None, [3, 6]), fast, "the <X> the", "1   1   1")
    check(("the<X>the", None, None), fast, "the < X > the", "1   1 1 1 1")
    check(("<é><X>é", [0, 1], [0, 3, 3, 6]), fast, "<é> <X> Ã ©", "1   0   0 0")
    check(("<é><X>é", [5, 7], [0, 3, 3, 6]), fast, "<é> <X> Ã ©", "0   1   1 1")
    # " fox" is one token; behind a cut, "fox" is not.
    check(("the fox", [4, 5], [4, 4]), fast, "the Ġ f ox", "0   0 1 0")
    check(("the fox", None, [0, 0, 7, 7]), fast, "the Ġfox", "1   1")


def test_special_tokens_of_the_tokenizer_itself(fast: TextTokenizer) -> None:
    tokenized = tokenize_batch(batch_of([(f"a{small.BOS}{small.BOS}", [1, 2], [1, 14])]), fast)
    assert tokenized["tokens"][0].as_py()[1] == fast.vocabulary[small.BOS]
    assert tokenized["masked"][0].as_py() == [0, 1, 2, tokenized["num_tokens"][0].as_py()]
    # The second one is text, and is counted as such.
    assert info_of(tokenized).special_text == 1
    assert tokenized["num_bytes"][0].as_py() == 27


def test_a_name_that_is_no_token(fast: TextTokenizer) -> None:
    with pytest.raises(BylineError, match=r"^x\.jsonl of source a, row 1: special_spans: .* has no token 'a fox';"):
        tokenize_batch(batch_of([("the<X>", None, [3, 6]), ("a fox", None, [0, 5])]), fast)


def test_documents_without_tokens_are_dropped_with_their_spans(folder: Path) -> None:
    made = byte_level()
    made.normalizer = normalizers.Replace("x", "")
    tokenizer = load(made, folder, "nothing")
    assert shown([("xx", [0, 1], None), ("the", [], None), ("x", [], [0, 0]), ("x", None, None)], tokenizer) == [
        ("the", "0")
    ]


def test_without_documents(fast: TextTokenizer) -> None:
    assert shown([], fast) == []


def test_texts_that_a_normalizer_changes_go_by_offsets(folder: Path) -> None:
    tokenizer = load(normalized(), folder, "normalized")
    check(("a e\u0301 fox", [3, 8], None), tokenizer, "a Ġ Ã © Ġfox", "0 0 0 0 1")
    check(("a e\u0301 fox", [2, 3], None), tokenizer, "a Ġ Ã © Ġfox", "0 0 1 1 0")
    check(("a e\u0301 fox", [4, 5], None), tokenizer, "a Ġ Ã © Ġfox", "0 0 0 0 1")


def test_tokens_that_are_only_the_beginning_of_the_bytes(folder: Path) -> None:
    """The one token left of "aa" is the second "a", though the first has the same bytes."""
    made = byte_level()
    made.normalizer = normalizers.Replace(Regex("^a"), "")
    tokenizer = load(made, folder, "beheaded")
    check(("aa", [0, 1], None), tokenizer, "a", "0")
    check(("aa", [1, 2], None), tokenizer, "a", "1")


def test_the_reference_must_give_the_same_ids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load(normalized(), folder, "normalized")
    if tokenizer.fast is None:
        pytest.fail("gigatoken must read this tokenizer, or there is nothing to hold against another")
    right = tokenizer.encode_marked_by_reference
    monkeypatch.setattr(tokenizer, "encode_marked_by_reference", lambda *document: ([1], right(*document)[1]))
    with pytest.raises(BylineError, match="row 1: gigatoken and tokenizers disagree from token 0 on"):
        tokenizing._encode_marked(batch_of([("the", [], None), ("e\u0301", [], None)]), tokenizer)


# ---------------------------------------------------------------------------------------------- against references

PIECES = (
    "the",
    " fox",
    "x",
    " ",
    "    ",
    "\r\n",
    "\n",
    "é",
    "e\u0301",
    "中文",
    "😀",
    "👨\u200d👩",
    "\0",
    "<X>",
    small.BOS,
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A text of pieces with spans at any characters, some of them names of tokens."""
    text, special = "", []
    for piece in draw(st.lists(st.sampled_from([*PIECES, 0, 1, 2]), max_size=8)):
        if isinstance(piece, int):
            name = (*ADDED, "")[piece]
            special += [len(text), len(text) + len(name)]
            text += name
        else:
            text += piece
    borders = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    loss = draw(st.sampled_from([None, borders[: len(borders) // 2 * 2]]))
    return text, loss, special if special and draw(st.integers(0, 9)) else None


def expected_by_offsets(tokenizer: TextTokenizer, document: Document) -> tuple[list[int], list[int]]:
    reference = layout.as_text_only(tokenizer.reference)
    ids, masked = layout.tokenize_marked(reference, *document, tokenizer.vocabulary)
    return ids, [border for pair in masked for border in pair]


def found_by(tokenizer: TextTokenizer, given_documents: list[Document]) -> list[tuple[list[int], list[int]]]:
    tokenized = tokenize_batch(batch_of(given_documents), tokenizer)
    rows = dict(zip(tokenized["row"].to_pylist(), tokenized.to_pylist(), strict=True))
    return [(rows[at]["tokens"], rows[at]["masked"]) if at in rows else ([], []) for at in range(len(given_documents))]


@given(st.lists(documents(), max_size=5))
@example([("", None, None), ("", [], [0, 0]), ("<X>", [1, 2], [0, 3])])
@examples(150)
def test_against_bytes_and_offsets(fast: TextTokenizer, some: list[Document]) -> None:
    tokens_and_losses = found_by(fast, some)
    assert tokens_and_losses == [expected_by_offsets(fast, document) for document in some]
    reference = small.reference_tokenizer()
    for (ids, masked), document in zip(tokens_and_losses, some, strict=True):
        slow = loss_spans.trained_tokens(reference, *document, fast.vocabulary)
        ranges = layout.ranges_of(at for at, (_, counts) in enumerate(slow) if not counts)
        assert (ids, masked) == ([token for token, _ in slow], [border for pair in ranges for border in pair])


@pytest.mark.parametrize("make", [normalized, word_piece], ids=lambda make: make.__name__)
def test_other_tokenizers_against_offsets(folder: Path, make: Callable[[], Tokenizer]) -> None:
    tokenizer = load(make(), folder, make.__name__)

    @given(st.lists(documents(), max_size=4))
    @examples(60)
    def same(some: list[Document]) -> None:
        assert found_by(tokenizer, some) == [expected_by_offsets(tokenizer, document) for document in some]

    same()


@given(st.lists(documents(), max_size=6), st.integers(0, 6))
@examples(60)
def test_no_result_depends_on_the_batch(fast: TextTokenizer, some: list[Document], cut: int) -> None:
    assert found_by(fast, some) == found_by(fast, some[:cut]) + found_by(fast, some[cut:])
    batch = batch_of([("é<X>", [0, 1], [1, 4]), *some])
    sliced = tokenize_batch(batch.slice(1), fast)
    whole = tokenize_batch(batch, fast).slice(1)
    assert sliced["tokens"].to_pylist() == whole["tokens"].to_pylist()
    assert sliced["masked"].to_pylist() == whole["masked"].to_pylist()


# ------------------------------------------------------------------------------------------------------- the parts


@given(st.lists(st.text("aé中😀\r\n", max_size=12), max_size=5), st.data())
@examples(100)
def test_byte_positions(texts: list[str], data: st.DataObject) -> None:
    chosen = [sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4))) for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(some) for some in chosen], dtype=np.int64)]).astype(np.int64)
    column = pa.array(["é", *texts], pa.large_string()).slice(1)
    starts = 2 + np.concatenate([[0], np.cumsum([len(text.encode()) for text in texts])])
    expected = [starts[row] + len(texts[row][:at].encode()) for row, positions in enumerate(chosen) for at in positions]
    flat = np.array([at for positions in chosen for at in positions], np.int64)
    assert byte_positions(column, flat, offsets).tolist() == expected
    assert character_positions(column, np.array(expected, np.int64), offsets).tolist() == flat.tolist()


def test_cut_texts() -> None:
    texts = pa.array(["a<é>b", "c", "", "<X>"], pa.large_string())
    elements = cut_texts(texts, pa.array([[1, 4, 5, 5], None, [], [0, 3]], SPANS_TYPE))
    assert elements.texts.to_pylist() == ["a", "<é>", "b", "", "", "c", "", "", "<X>", ""]
    assert elements.firsts.tolist() == [0, 5, 6, 7, 10]
    assert np.flatnonzero(elements.is_name).tolist() == [1, 3, 8]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([[0, 0], [0], [1]], [[0, 2], [0, 1], []]),
        ([[], [0, 0]], [[], [0, 2]]),
        ([[0], [], [0, 1, 0], []], [[0, 1], [], [0, 1, 2, 3], []]),
        ([[], []], [[], []]),
        ([], []),
    ],
)
def test_masked_ranges_end_with_their_document(flags: list[list[int]], expected: list[list[int]]) -> None:
    flat = np.array([flag for row in flags for flag in row], np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in flags], dtype=np.int64)]).astype(np.int64)
    assert masked_ranges(flat, offsets).to_pylist() == expected
