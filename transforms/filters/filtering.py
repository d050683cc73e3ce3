"""Dropping documents that cannot be trained on, each with a reason that is counted.

```
text     "a cat"   ""            "\n \t"       null
reason    null     empty_text    empty_text    missing_text
```
"""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.schemas.documents import info_of, with_info
from byline.schemas.reasons import DropReason


def drop_reasons(text: pa.Array) -> pa.Array:
    """The reason for each document to be dropped (string), null to keep it.

    White space is Unicode's, as `str.isspace` has it.

    Args:
        text: large_string [rows].
    """
    # Stops at the first character that is no white space, so it costs nothing on real text.
    blank = pc.or_(pc.utf8_is_space(text), pc.equal(pc.binary_length(text), 0))
    reasons = pc.if_else(blank, DropReason.EMPTY_TEXT.value, None)
    return pc.if_else(pc.is_null(text), DropReason.MISSING_TEXT.value, reasons)


def apply_reasons(batch: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
    """Keeps the rows without a reason and counts the others in the batch's metadata."""
    if reasons.null_count == len(reasons):
        return batch
    counts = {item["values"]: item["counts"] for item in pc.value_counts(reasons.drop_null()).to_pylist()}
    kept = batch.filter(pc.is_null(reasons))
    return with_info(kept, info_of(batch).with_dropped(counts))


def filter_documents(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Drops documents without text."""
    return apply_reasons(batch, drop_reasons(batch["text"]))


class _FilterDocumentsFn(beam.DoFn):
    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield filter_documents(batch)


class FilterDocuments(beam.PTransform):
    """Document batches -> document batches with text in every row."""

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | "DropAndCount" >> beam.ParDo(_FilterDocumentsFn())
