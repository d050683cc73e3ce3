"""The rules of Gopher (arXiv 2112.11446, appendix A1.1): quality, and repetition within a document (table A1).

The paper gives measures and bounds but does not define a word or a line; docs/filters.md says what is taken from
datatrove and what from neither.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.marks import alphabetic_words, bullet_lines, ellipsis_lines, unicode_version
from byline.transforms.filters.rules import GOPHER, Bounds, Group, Test, share
from byline.transforms.filters.word_lists import distinct_words, make_word_list

_QUALITY = f"{GOPHER}, A1.1"
_REPETITION = f"{GOPHER}, table A1"
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")


class GopherWords(Bounds):
    """Words of the text."""

    kind: ClassVar[str] = "gopher_words"
    keeps: ClassVar[str] = "texts whose number of words is within bounds"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 50
    at_most: float | None = 100_000

    def measure(self, documents: DocumentView) -> np.ndarray:
        return documents.words.counts


class GopherWordLength(Bounds):
    """Mean characters per word; 0 for a text without words."""

    kind: ClassVar[str] = "gopher_word_length"
    keeps: ClassVar[str] = "texts whose mean word length, in characters, is within bounds"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 3
    at_most: float | None = 10

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.words.characters, documents.words.counts)


class GopherHashes(Bounds):
    """`#` per word."""

    kind: ClassVar[str] = "gopher_hashes"
    keeps: ClassVar[str] = "texts with few `#` per word"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.1

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.symbols[0], documents.words.counts)


class GopherEllipses(Bounds):
    """Ellipses (`...` or `…`) per word."""

    kind: ClassVar[str] = "gopher_ellipses"
    keeps: ClassVar[str] = "texts with few ellipses (`...` or `…`) per word"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.1

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.symbols[1], documents.words.counts)


class GopherBulletLines(Bounds):
    """The share of lines that start with `•` or `-`."""

    kind: ClassVar[str] = "gopher_bullet_lines"
    keeps: ClassVar[str] = "texts in which a limited share of lines starts with a bullet (`•` or `-`)"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.9

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(bullet_lines(documents.data, documents.lines), documents.lines.counts)


class GopherEllipsisLines(Bounds):
    """The share of lines that end with `...` or `…`."""

    kind: ClassVar[str] = "gopher_ellipsis_lines"
    keeps: ClassVar[str] = "texts in which a limited share of lines ends with an ellipsis"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(ellipsis_lines(documents.data, documents.lines), documents.lines.counts)


class GopherAlphabeticWords(Bounds):
    """The share of words that contain a letter (`str.isalpha`)."""

    kind: ClassVar[str] = "gopher_alphabetic_words"
    keeps: ClassVar[str] = "texts in which enough words contain a letter"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 0.8

    def versions(self) -> dict[str, str]:
        return {"Unicode": unicode_version()}

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(alphabetic_words(documents.data, documents.words), documents.words.counts)


class GopherStopWords(Bounds):
    """How many words of a list the text contains.

    Attributes:
        words: the list; surrounding ASCII punctuation and the case of ASCII letters are ignored.
    """

    kind: ClassVar[str] = "gopher_stop_words"
    keeps: ClassVar[str] = f"texts with enough of the words {', '.join(STOP_WORDS)}"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 2
    words: tuple[str, ...] = Field(default=STOP_WORDS, min_length=1)

    def open(self, cache_folder: str) -> Test:
        listed = make_word_list(self.words)
        return lambda documents: self.within(distinct_words(documents.data, documents.words, listed))

    def measure(self, documents: DocumentView) -> np.ndarray:
        return distinct_words(documents.data, documents.words, make_word_list(self.words))


class GopherDuplicateLines(Bounds):
    """The share of lines that repeat an earlier one."""

    kind: ClassVar[str] = "gopher_duplicate_lines"
    keeps: ClassVar[str] = "texts in which a limited share of lines repeats an earlier line"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_lines[0], documents.lines.counts)


class GopherDuplicateParagraphs(Bounds):
    """The share of paragraphs that repeat an earlier one."""

    kind: ClassVar[str] = "gopher_duplicate_paragraphs"
    keeps: ClassVar[str] = "texts in which a limited share of paragraphs repeats an earlier paragraph"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_paragraphs[0], documents.paragraphs.counts)


class GopherDuplicateLineCharacters(Bounds):
    """The share of characters in lines that repeat an earlier one."""

    kind: ClassVar[str] = "gopher_duplicate_line_characters"
    keeps: ClassVar[str] = "texts in which a limited share of characters is in lines that repeat an earlier line"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.2

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_lines[1], documents.characters)


class GopherDuplicateParagraphCharacters(Bounds):
    """The share of characters in paragraphs that repeat an earlier one."""

    kind: ClassVar[str] = "gopher_duplicate_paragraph_characters"
    keeps: ClassVar[str] = "texts in which a limited share of characters is in paragraphs that repeat an earlier one"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.2

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_paragraphs[1], documents.characters)


class _Ngrams(Bounds):
    """The share of characters in repeated n-grams of words (see `ngram_characters`).

    Attributes:
        size: words of the n-gram.
    """

    bounds: ClassVar[dict[int, float]]

    size: int

    @model_validator(mode="before")
    @classmethod
    def _published(cls, settings: Any) -> Any:
        """The paper's bound for the size, unless one is given."""
        if not isinstance(settings, dict) or {"at_least", "at_most"} & set(settings):
            return settings
        return {**settings, "at_most": cls.bounds.get(settings.get("size", 0), 1.0)}

    @field_validator("size")
    @classmethod
    def _in_table(cls, size: int) -> int:
        if size not in cls.bounds:
            raise ValueError(f"expected one of {', '.join(map(str, cls.bounds))}, found {size}")
        return size

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.ngrams[self.size], documents.characters)


class GopherTopNgram(_Ngrams):
    """The share of characters covered by the most frequent n-gram of words."""

    kind: ClassVar[str] = "gopher_top_ngram"
    keeps: ClassVar[str] = (
        "texts in which the most frequent n-gram of `size` words (2 to 4) covers a limited share of characters"
    )
    source: ClassVar[str] = _REPETITION
    bounds: ClassVar[dict[int, float]] = {2: 0.2, 3: 0.18, 4: 0.16}


class GopherDuplicateNgrams(_Ngrams):
    """The share of characters covered by n-grams of words that occurred before."""

    kind: ClassVar[str] = "gopher_duplicate_ngrams"
    keeps: ClassVar[str] = (
        "texts in which repeated n-grams of `size` words (5 to 10) cover a limited share of characters"
    )
    source: ClassVar[str] = _REPETITION
    bounds: ClassVar[dict[int, float]] = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}


QUALITY: Group = [
    (GopherWords, {}),
    (GopherWordLength, {}),
    (GopherHashes, {}),
    (GopherEllipses, {}),
    (GopherBulletLines, {}),
    (GopherEllipsisLines, {}),
    (GopherAlphabeticWords, {}),
    (GopherStopWords, {}),
]
REPETITION: Group = [
    (GopherDuplicateLines, {}),
    (GopherDuplicateParagraphs, {}),
    (GopherDuplicateLineCharacters, {}),
    (GopherDuplicateParagraphCharacters, {}),
    *((GopherTopNgram, {"size": size, "name": f"gopher_top_{size}_gram"}) for size in GopherTopNgram.bounds),
    *(
        (GopherDuplicateNgrams, {"size": size, "name": f"gopher_duplicate_{size}_grams"})
        for size in GopherDuplicateNgrams.bounds
    ),
]
