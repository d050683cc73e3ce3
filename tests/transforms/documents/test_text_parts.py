"""Texts made of parts, and lists of spans, on slices and nulls as well."""

import numpy as np
import pyarrow as pa

from byline.schemas.documents import SPANS_TYPE
from byline.transforms.documents.text_parts import (
    STRING,
    characters,
    flat_lists,
    joined,
    regrouped,
    span_lists,
    text_buffers,
    texts_of,
)


def strings(*values: str | None) -> pa.Array:
    return pa.array(values, STRING)


def test_joined() -> None:
    texts = joined("Q: ", strings("Why?", None, ""), strings("a", "b", "c"), "\n")
    assert texts.type == STRING
    assert texts.to_pylist() == ["Q: Why?a\n", None, "Q: c\n"]
    assert joined("a", pa.array(["é"], pa.string())).to_pylist() == ["aé"]


def test_characters_are_code_points() -> None:
    assert characters(strings("é😀", None, "", "e\u0301\r\n")).tolist() == [2, 0, 0, 4]


def test_regrouped() -> None:
    texts = strings("x", "é", "b", "", "c").slice(1)
    assert regrouped(texts, np.array([2, 0, 2])).to_pylist() == ["éb", "", "c"]
    assert regrouped(strings(), np.array([0, 0])).to_pylist() == ["", ""]
    assert regrouped(strings(), np.array([], np.int64)).to_pylist() == []


def test_texts_come_back_from_their_buffers() -> None:
    for texts in (strings("a", "é", "bc").slice(1), strings("", ""), strings()):
        assert texts_of(*text_buffers(texts)).to_pylist() == texts.to_pylist()


def test_span_lists() -> None:
    spans = span_lists(np.array([0, 0, 2]), np.array([1, 5, 0]), np.array([3, 6, 4]), 4, np.array([0, 0, 0, 1], bool))
    assert spans.type == SPANS_TYPE
    assert spans.to_pylist() == [[1, 3, 5, 6], [], [0, 4], None]
    assert span_lists(np.array([], int), np.array([], int), np.array([], int), 0).to_pylist() == []


def test_flat_lists() -> None:
    lists = pa.array([[9], [1, 2], None, [], [3]], SPANS_TYPE).slice(1)
    items, offsets = flat_lists(lists)
    assert (items.tolist(), offsets.tolist()) == ([1, 2, 3], [0, 2, 2, 2, 3])
    assert items.dtype == offsets.dtype == np.int64
