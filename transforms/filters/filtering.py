"""Dropping documents without text and those that a rule refuses; each reason is counted.

```
text     "a cat"   ""            "\n \t"       null           "cat"
reason    null     empty_text    empty_text    missing_text   filter_words    (words: {at_least: 2})
```
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.schemas.documents import TEXT, info_of, origin_of, with_columns, with_info
from byline.schemas.reasons import DropReason
from byline.transforms.documents.counters import count
from byline.transforms.documents.rejects import reject_batch, with_rejects
from byline.transforms.documents.text_parts import is_blank
from byline.transforms.filters.applying import OpenRule, open_rules, refusals
from byline.transforms.filters.rules import Rule

_STEP = "FilterDocuments"


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
    batch = with_columns(batch, _STEP, TEXT)
    reasons = drop_reasons(batch["text"])
    kept = apply_reasons(_with_rejects(batch, reasons), reasons)
    return apply_reasons(kept, refusals(kept, rules)) if rules else kept


def _with_rejects(batch: pa.RecordBatch, reasons: pa.Array) -> pa.RecordBatch:
    """Notes documents whose formatter gave no text; others were noted where they were read."""
    if "loss_spans" not in batch.schema.names or "row" not in batch.schema.names:
        return batch
    is_dropped = reasons.is_valid()
    return with_rejects(batch, [reject_batch(reasons.filter(is_dropped), batch["row"].filter(is_dropped))])


class _FilterDocumentsFn(beam.DoFn):
    def __init__(self, rules: Mapping[str, Sequence[Rule]], cache_folder: str) -> None:
        self._rules, self._cache_folder = rules, cache_folder

    def setup(self) -> None:
        self._open = {source: open_rules(rules, self._cache_folder) for source, rules in self._rules.items()}

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        rules = self._open.get(origin_of(batch, _STEP).source, []) if self._open else []
        started = time.monotonic()
        kept = filter_documents(batch, rules)
        if rules:
            milliseconds = round(1000 * (time.monotonic() - started))
            count({"documents_filtered": len(batch), "filter_milliseconds": milliseconds})
        yield kept


class FilterDocuments(beam.PTransform):
    """Document batches -> document batches with text in every row, without the documents that a rule refuses.

    Args:
        rules: source -> its rules, in order; none for a source that is not there.
        cache_folder: where folded models are kept, a folder that every worker can reach.
    """

    def __init__(self, rules: Mapping[str, Sequence[Rule]] | None = None, cache_folder: str = "") -> None:
        super().__init__()
        self._settings = (dict(rules or {}), cache_folder)

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return batches | "DropAndCount" >> beam.ParDo(_FilterDocumentsFn(*self._settings))
