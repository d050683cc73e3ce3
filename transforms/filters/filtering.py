"""Dropping documents without text and those that a rule refuses; each reason is counted.

```
text     "a cat"   ""            "\n \t"       null           "cat"
reason    null     empty_text    empty_text    missing_text   filter_words    (words: {at_least: 2})
```
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import TEXT, info_of, with_columns, with_info
from byline.schemas.reasons import DropReason
from byline.transforms.documents.rejects import reject_batch, with_rejects
from byline.transforms.documents.text_parts import is_blank
from byline.transforms.filters.applying import OpenRule, refusals

STEP = "FilterDocuments"


def drop_reasons(text: pa.Array) -> pa.Array:
    """The reason for each document to be dropped (string), null to keep it.

    White space is Unicode's, as `str.isspace` has it.

    Args:
        text: large_string [rows].
    """
    reasons = pc.if_else(is_blank(text), DropReason.EMPTY_TEXT.value, None)
    return pc.if_else(pc.is_null(text), DropReason.MISSING_TEXT.value, reasons)


def apply_reasons(batch: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
    """Keeps the rows without a reason and counts the others in the batch's metadata."""
    if reasons.null_count == len(reasons):
        return batch
    counts = {item["values"]: item["counts"] for item in pc.value_counts(reasons.drop_null()).to_pylist()}
    kept = batch.filter(pc.is_null(reasons))
    return with_info(kept, info_of(batch).with_dropped(counts))


def filter_documents(batch: pa.RecordBatch, rules: Sequence[OpenRule] = ()) -> pa.RecordBatch:
    """Drops documents without text, and those that a rule refuses.

    Args:
        batch: with `text` and the columns that the rules name.
        rules: in order.

    Raises:
        BylineError: there is no column `text`.
    """
    batch = with_columns(batch, STEP, TEXT)
    reasons = drop_reasons(batch["text"])
    kept = apply_reasons(_with_rejects(batch, reasons), reasons)
    return apply_reasons(kept, refusals(kept, rules)) if rules else kept


def _with_rejects(batch: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
    """Notes documents whose formatter gave no text; others were noted where they were read."""
    if "loss_spans" not in batch.schema.names or "row" not in batch.schema.names:
        return batch
    is_dropped = reasons.is_valid()
    return with_rejects(batch, [reject_batch(reasons.filter(is_dropped), batch["row"].filter(is_dropped))])
