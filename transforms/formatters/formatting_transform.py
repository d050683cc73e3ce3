"""FormatDocuments as a step of a pipeline (`byline.transforms.formatters.formatting`)."""

import time
from collections.abc import Iterator, Mapping

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.schemas.corpora import FormatterSettings, Malformed
from byline.schemas.documents import info_of, origin_of
from byline.schemas.faults import FaultyFileError, NoteFault
from byline.transforms.documents.beam_counters import count
from byline.transforms.formatters.formatting import STEP, format_batch
from byline.transforms.formatters.opening import open_formatter


class _FormatFn(beam.DoFn):
    def __init__(
        self,
        formatters: Mapping[str, FormatterSettings],
        malformed: Mapping[str, Malformed],
        note: NoteFault | None = None,
    ) -> None:
        self._formatters, self._malformed, self._note = formatters, malformed, note

    def setup(self) -> None:
        self._open_formatters = {
            source: open_formatter(source, settings, self._malformed.get(source, Malformed.ERROR))
            for source, settings in self._formatters.items()
        }

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        opened = self._open_formatters.get(origin_of(batch, STEP).source) if self._open_formatters else None
        if opened is None:
            yield batch
            return
        started = time.monotonic()
        try:
            formatted = format_batch(batch, opened)
        except FaultyFileError as fault:
            if self._note is None:
                raise
            self._note(opened.source, info_of(batch).path, fault)
            return
        milliseconds = round(1000 * (time.monotonic() - started))
        count({"documents_formatted": len(formatted), "format_milliseconds": milliseconds})
        yield formatted


class FormatDocuments(beam.PTransform):
    """Document batches -> the same with the texts of their sources' formatters; one batch in, one batch out.

    Args:
        formatters: source -> its formatter; batches of other sources stay as they are.
        malformed: source -> what a record that cannot be formatted does; an error for those that it leaves out.
        note: as of `ReadCorpus`.
    """

    def __init__(
        self,
        formatters: Mapping[str, FormatterSettings],
        malformed: Mapping[str, Malformed] | None = None,
        note: NoteFault | None = None,
    ) -> None:
        super().__init__()
        self._settings = (dict(formatters), dict(malformed or {}), note)

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return batches | "FormatTexts" >> beam.ParDo(_FormatFn(*self._settings))
