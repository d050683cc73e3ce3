"""Formatters of one's own for tests: `formatter: "tests.support.own_formatters:WEIGHING"`."""

from typing import Any

import pyarrow as pa

from byline.schemas.formatters import Formatter


def halves(batch: pa.RecordBatch, *, first: float = 0.25, second: float = 3.0) -> dict[str, list[Any]]:
    """The first half of each text weighs less than the second; of every fourth record all the same, by no span."""
    texts, spans, weights = batch["text"].to_pylist(), [], []
    for row, text in zip(batch["row"].to_pylist(), texts, strict=True):
        middle = len(text) // 2
        spans.append(None if row % 4 == 0 else [0, middle, middle, len(text)])
        weights.append([second] if row % 4 == 0 else [first, second])
    return {"text": texts, "loss_spans": spans, "loss_weights": weights}


def too_many(batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """A weight more than there are spans."""
    return {**halves(batch), "loss_weights": [[1.0] * 3] * batch.num_rows}


WEIGHING = Formatter("halves", "two halves of different weight", ("text",), halves, weighs=True)
TOO_MANY = Formatter("too_many", "a weight too many", ("text",), too_many, weighs=True)
SILENT = Formatter("silent", "two halves", ("text",), halves)
