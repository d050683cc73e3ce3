"""Weights of loss spans -> weights of tokens: literal rows, and against two slow references on awkward texts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from byline.schemas.documents import LOSS_WEIGHTS, MASKED, RANGE_WEIGHTS, WEIGHED, info_of, with_info
from byline.transforms.tokens.loss_spans import weighed_ranges
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch
from tests.reference import layout, loss_spans
from tests.support import small
from tests.support.thorough import examples
from tests.transforms.tokens.test_loss_spans import (
    Document,
    batch_of,
    byte_level,
    documents,
    load,
    normalized,
    word_piece,
)

Weighed = tuple[Document, list[float] | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("span_weights")


@pytest.fixture(scope="module")
def fast(folder: Path) -> TextTokenizer:
    return load(byte_level(), folder, "fast")


def tokenized(some: list[Weighed], tokenizer: TextTokenizer) -> pa.RecordBatch:
    batch = batch_of([document for document, _ in some])
    weights = pa.array([own for _, own in some], LOSS_WEIGHTS.type)
    batch = with_info(batch.append_column(LOSS_WEIGHTS, weights), info_of(batch))
    found = tokenize_batch(batch, tokenizer)
    found.validate(full=True)
    assert found.schema.names == ["row", "num_bytes", "num_tokens", "tokens", "masked", "weighed", "range_weights"]
    assert [found.schema.field(number) for number in (4, 5, 6)] == [MASKED, WEIGHED, RANGE_WEIGHTS]
    return found


def found_by(some: list[Weighed], tokenizer: TextTokenizer) -> list[tuple[list[int], list[float]]]:
    """The tokens of each document, and the weight of each, 0 for one that is not trained."""
    rows = {row["row"]: row for row in tokenized(some, tokenizer).to_pylist()}
    found = []
    for number in range(len(some)):
        row = rows.get(number, {"tokens": [], "masked": [], "weighed": [], "range_weights": []})
        weights = np.ones(len(row["tokens"]))
        for (start, end), weight in zip(layout.pairs_of(row["weighed"]), row["range_weights"], strict=True):
            assert start < end
            assert (weights[start:end] == 1).all()
            assert weight != 1
            weights[start:end] = weight
        for start, end in layout.pairs_of(row["masked"]):
            assert (weights[start:end] == 1).all(), "a masked token has a weight"
            weights[start:end] = 0
        found.append((row["tokens"], weights.tolist()))
    return found


def check(document: Document, weights: list[float] | None, tokenizer: TextTokenizer, expected: list[float]) -> None:
    assert [own for _, own in found_by([(document, weights)], tokenizer)] == [expected]


def test_a_token_has_the_weight_of_its_span_and_of_several_the_largest(fast: TextTokenizer) -> None:
    check(("the fox", [0, 3, 3, 7], None), [2, 0.5], fast, [2, 0.5])
    # " fox" begins with the space, in the first span.
    check(("the fox", [0, 4, 4, 7], None), [2, 0.5], fast, [2, 2])
    check(("the fox", [0, 4, 4, 7], None), [0.5, 2], fast, [0.5, 2])
    check(("the fox", [4, 5, 5, 6, 6, 7], None), [0.5, 3, 2], fast, [0, 3])
    check(("the fox", [5, 6], None), [0.25], fast, [0, 0.25])


def test_empty_spans_weigh_nothing_and_untrained_tokens_have_no_weight(fast: TextTokenizer) -> None:
    check(("the fox", [0, 0, 4, 5, 5, 5], None), [9, 2, 9], fast, [0, 2])
    check(("the fox", [1, 1], None), [9], fast, [0, 0])
    check(("the fox", [], None), [], fast, [0, 0])


def test_without_weights_or_without_spans(fast: TextTokenizer) -> None:
    check(("the fox", [0, 3], None), None, fast, [1, 0])
    check(("the fox", None, None), None, fast, [1, 1])
    check(("the fox", None, None), [0.5], fast, [0.5, 0.5])
    check(("the<X>the", None, [3, 6]), [2], fast, [2, 2, 2])


def test_named_tokens_and_characters_of_several_tokens(fast: TextTokenizer) -> None:
    check(("the<X>the", [0, 4, 4, 9], [3, 6]), [2, 3], fast, [2, 3, 3])
    check(("é😀x", [0, 1, 1, 2], None), [2, 3], fast, [2, 2, 3, 3, 3, 3, 0])


def test_equal_weights_side_by_side_are_one_range_but_not_those_of_two_documents(fast: TextTokenizer) -> None:
    found = tokenized([(("the fox", [0, 3, 3, 7], None), [2, 2]), (("the", [0, 3], None), [2])], fast)
    assert found["weighed"].to_pylist() == [[0, 2], [0, 1]]
    assert found["range_weights"].to_pylist() == [[2], [2]]


@pytest.mark.parametrize(
    ("weights", "ranges", "of_ranges"),
    [
        ([[2, 2, 1], [2]], [[0, 2], [0, 1]], [[2], [2]]),
        ([[], [1, 3], []], [[], [1, 2], []], [[], [3], []]),
        ([[2, 3, 3], [], [0.5, 1, 0.5]], [[0, 1, 1, 3], [], [0, 1, 2, 3]], [[2, 3], [], [0.5, 0.5]]),
        ([], [], []),
    ],
)
def test_weighed_ranges(weights: list[list[float]], ranges: list[list[int]], of_ranges: list[list[float]]) -> None:
    flat = np.array([weight for row in weights for weight in row], np.float64)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in weights], dtype=np.int64)]).astype(np.int64)
    found = weighed_ranges(np.ones(len(flat), np.uint8), flat, offsets)
    assert [column.to_pylist() for column in found] == [ranges, of_ranges]
    assert weighed_ranges(np.zeros(len(flat), np.uint8), flat, offsets)[0].flatten().to_pylist() == []


@st.composite
def weighed_documents(draw: st.DrawFn) -> Weighed:
    """Documents whose spans touch, are empty or cover all, each span with a weight, or none of them."""
    document = draw(documents())
    spans = 1 if document[1] is None else len(document[1]) // 2
    weights = st.lists(st.sampled_from([0.1, 0.5, 1.0, 2.0]), min_size=spans, max_size=spans)
    return document, draw(st.none() | weights)


def by_offsets(
    tokenizer: TextTokenizer, document: Document, weights: list[float] | None
) -> tuple[list[int], list[float]]:
    marks = (layout.as_text_only(tokenizer.reference), *document, tokenizer.vocabulary)
    ids, masked = layout.tokenize_marked(*marks)
    outside = {at for start, end in masked for at in range(start, end)}
    own = layout.token_weights(*marks, weights)
    return ids, [0 if at in outside else weight for at, weight in enumerate(own)]


@given(st.lists(weighed_documents(), max_size=5))
@examples(150)
def test_against_bytes_and_offsets(fast: TextTokenizer, some: list[Weighed]) -> None:
    found = found_by(some, fast)
    assert found == [by_offsets(fast, *each) for each in some]
    reference = small.reference_tokenizer()
    for (ids, weights), (document, own) in zip(found, some, strict=True):
        slow = loss_spans.trained_tokens(reference, *document, fast.vocabulary, own)
        assert (ids, weights) == ([token for token, _ in slow], [weight for _, weight in slow])


@pytest.mark.parametrize("make", [normalized, word_piece], ids=lambda make: make.__name__)
def test_other_tokenizers_against_offsets(folder: Path, make: Callable[[], Tokenizer]) -> None:
    tokenizer = load(make(), folder, make.__name__)

    @given(st.lists(weighed_documents().filter(lambda each: each[0][1] is not None), max_size=4))
    @examples(60)
    def same(some: list[Weighed]) -> None:
        assert found_by(some, tokenizer) == [by_offsets(tokenizer, *each) for each in some]

    same()


@given(st.lists(weighed_documents(), max_size=6), st.integers(0, 6))
@examples(60)
def test_no_result_depends_on_the_batch(fast: TextTokenizer, some: list[Weighed], cut: int) -> None:
    assert found_by(some, fast) == found_by(some[:cut], fast) + found_by(some[cut:], fast)
