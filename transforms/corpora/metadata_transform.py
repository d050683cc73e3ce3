"""ExtractMetadata as a step of a pipeline (`byline.transforms.corpora.metadata`)."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401 (registers the coder of the edges)
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.urls import suffix_list


class _ExtractMetadata(beam.DoFn):
    def setup(self) -> None:
        suffix_list()("example.org")  # parses the list once, so that no batch pays for it

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield extract_metadata(batch)


class ExtractMetadata(beam.PTransform):
    """Adds host and registered domain to batches of documents; one batch in, one batch out."""

    def expand(self, documents: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return documents | "ParseUrls" >> beam.ParDo(_ExtractMetadata())
