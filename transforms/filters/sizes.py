"""Rules on a document's size, and on any of its numbers."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.rules import Bounds, SourceColumns


class Characters(Bounds):
    """Characters (Unicode code points) of the text."""

    kind: ClassVar[str] = "characters"
    keeps: ClassVar[str] = "texts whose number of characters is within bounds"

    def measure(self, documents: DocumentView) -> np.ndarray:
        return documents.characters


class Words(Bounds):
    """Words of the text: what white space separates."""

    kind: ClassVar[str] = "words"
    keeps: ClassVar[str] = "texts whose number of words is within bounds"

    def measure(self, documents: DocumentView) -> np.ndarray:
        return documents.words.counts


class Number(Bounds):
    """A score, or a field kept as int or float; a document without it is dropped.

    Attributes:
        by: the score or field.
    """

    kind: ClassVar[str] = "number"
    keeps: ClassVar[str] = "documents whose score or field `by` is within bounds; a document without one is dropped"

    by: str

    def check(self, columns: SourceColumns) -> None:
        if self.by not in columns.numbers:
            raise BylineError(
                f"by: source {columns.source!r} has no number {self.by!r} "
                f"(it has: {', '.join(columns.numbers) or 'none'}); "
                "give it a score, name a classifier, or keep a field as int or float"
            )

    def measure(self, documents: DocumentView) -> np.ndarray:
        values = documents.column(self.by).cast(pa.float64(), safe=False)
        return pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False)
