"""Functions for attributes of tests: `kind: function, function: "tests.support.attribute_functions:sizes"`."""

from typing import Any

import pyarrow as pa


def sizes(batch: pa.RecordBatch, long: int = 300) -> dict[str, list[Any]]:
    """How many characters each text has, whether it is long, and what that is called; null for every fifth row."""
    lengths = [len(text) for text in batch["text"].to_pylist()]
    labels = ["long" if length > long else "short" for length in lengths]
    rows = batch["row"].to_pylist()
    return {
        "characters": lengths,
        "is_long": [length > long for length in lengths],
        "size": [None if row % 5 == 0 else label for row, label in zip(rows, labels, strict=True)],
    }


def first_tokens(batch: pa.RecordBatch) -> dict[str, Any]:
    """Too few values."""
    return {
        "characters": [1] * (batch.num_rows - 1),
        "is_long": [True] * batch.num_rows,
        "size": ["x"] * batch.num_rows,
    }


def fails(batch: pa.RecordBatch) -> dict[str, Any]:
    """Gives another column."""
    return {"other": [1] * batch.num_rows}
