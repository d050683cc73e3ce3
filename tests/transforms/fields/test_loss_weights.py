"""Weights of documents: literal batches in, literal weights out."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from byline.schemas.loss_weights import FormatterWeight, NumberWeight
from byline.transforms.fields.loss_weights import document_weights, weighs_by_formatter, weight_columns

WEIGHTS = {
    "web": NumberWeight(by="quality", most=Fraction(3, 2), unknown=Fraction(1, 2)),
    "code": Fraction(2),
    "old": NumberWeight(by="year"),
    "chats": FormatterWeight(NumberWeight(by="year")),
}


FLOAT = pa.float32()


def weights_of(source: str, values: list[Any], kind: pa.DataType = FLOAT, name: str = "quality") -> list[float]:
    weights = document_weights(pa.record_batch({name: pa.array(values, kind)}), source, WEIGHTS)
    assert weights.dtype == np.float64
    assert not np.signbit(weights).any()
    return weights.tolist()


def test_columns() -> None:
    assert weight_columns("web", WEIGHTS) == {"quality"}
    assert weight_columns("code", WEIGHTS) == weight_columns("books", WEIGHTS) == weight_columns("web", None) == set()
    assert weight_columns("chats", WEIGHTS) == {"year", "weighed", "range_weights"}
    assert [weighs_by_formatter(source, WEIGHTS) for source in ("chats", "old", "books")] == [True, False, False]
    assert not weighs_by_formatter("chats", None)


def test_a_number_is_clipped() -> None:
    values = [0.25, 3, -1, None, float("nan"), -0.0, float("inf"), float("-inf")]
    assert weights_of("web", values) == [0.25, 1.5, 0, 0.5, 0.5, 0, 1.5, 0]


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.float64()])
def test_numbers_of_any_type(kind: pa.DataType) -> None:
    assert weights_of("old", [1999, 0, -7, None, 1], kind, "year") == [1, 0, 0, 1, 1]
    assert weights_of("chats", [1999, 0, -7, None, 1], kind, "year") == [1, 0, 0, 1, 1]


def test_an_integer_beyond_float64() -> None:
    assert weights_of("old", [2**63 - 1, -(2**63)], pa.int64(), "year") == [1, 0]


def test_constants() -> None:
    assert weights_of("code", [0.1, None]) == [2, 2]
    assert weights_of("books", [0.1, None]) == [1, 1]
    assert document_weights(pa.record_batch({"quality": pa.array([1.0])}), "web", None).tolist() == [1]


def test_no_documents() -> None:
    assert weights_of("web", []) == []
