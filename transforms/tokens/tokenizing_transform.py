"""Tokenize as a step of a pipeline (`byline.transforms.tokens.tokenizing`)."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.schemas import corpora
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch


class _TokenizeFn(beam.DoFn):
    def __init__(self, settings: corpora.Tokenizer) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.tokenizer = shared_tokenizer(self.settings)

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield tokenize_batch(batch, self.tokenizer)


class Tokenize(beam.PTransform):
    """Document batches with text -> document batches with tokens.

    Args:
        settings: which tokenizer; it is loaded in the worker.
    """

    def __init__(self, settings: corpora.Tokenizer) -> None:
        super().__init__()
        self.settings = settings

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | "EncodeText" >> beam.ParDo(_TokenizeFn(self.settings))
