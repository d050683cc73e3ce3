"""The three rules that FineWeb adds to those of C4 and Gopher (arXiv 2406.17557, section 3.6)."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.marks import count_short, lines_ending_with
from byline.transforms.filters.rules import FINEWEB, Bounds, Group, share

# C4's terminal marks, typographic quotes, and the full stops of Chinese and Japanese.
MARKS = ".!?\"'”’。！？"


class FinewebLinePunctuation(Bounds):
    """The share of lines that end with a terminal mark.

    Attributes:
        marks: the marks, one character each.
    """

    kind: ClassVar[str] = "fineweb_line_punctuation"
    keeps: ClassVar[str] = "texts in which enough lines end with one of `marks`"
    source: ClassVar[str] = FINEWEB

    at_least: float | None = 0.12
    marks: str = Field(default=MARKS, min_length=1)

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(lines_ending_with(documents.data, documents.lines, self.marks), documents.lines.counts)


class FinewebDuplicateLineCharacters(Bounds):
    """The share of the lines' characters that is in lines that repeat an earlier one."""

    kind: ClassVar[str] = "fineweb_duplicate_line_characters"
    keeps: ClassVar[str] = "texts in which a limited share of characters is in lines that repeat an earlier line"
    source: ClassVar[str] = FINEWEB

    at_most: float | None = 0.1

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_lines[1], documents.lines.characters)


class FinewebShortLines(Bounds):
    """The share of short lines.

    Attributes:
        length: lines with fewer characters are short.
    """

    kind: ClassVar[str] = "fineweb_short_lines"
    keeps: ClassVar[str] = "texts in which a limited share of lines has fewer than `length` (30) characters"
    source: ClassVar[str] = FINEWEB

    at_most: float | None = 0.67
    length: int = Field(default=30, ge=1)

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(count_short(documents.lines, self.length), documents.lines.counts)


LINES: Group = [(FinewebLinePunctuation, {}), (FinewebDuplicateLineCharacters, {}), (FinewebShortLines, {})]
