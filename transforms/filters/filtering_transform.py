"""FilterDocuments as a step of a pipeline (`byline.transforms.filters.filtering`)."""

import time
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.schemas.documents import origin_of
from byline.transforms.documents.beam_counters import count
from byline.transforms.filters.applying import open_rules
from byline.transforms.filters.filtering import STEP, filter_documents
from byline.transforms.filters.rules import Rule


class _FilterDocumentsFn(beam.DoFn):
    def __init__(self, rules: Mapping[str, Sequence[Rule]], cache_folder: str) -> None:
        self._rules, self._cache_folder = rules, cache_folder

    def setup(self) -> None:
        self._open = {source: open_rules(rules, self._cache_folder) for source, rules in self._rules.items()}

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        rules = self._open.get(origin_of(batch, STEP).source, []) if self._open else []
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
