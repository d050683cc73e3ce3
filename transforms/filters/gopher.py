"""The rules of Gopher (arXiv 2112.11446, appendix A1.1): quality, and repetition within a document (table A1).

The paper says what is measured and gives the bounds, but not what a word or a line is; docs/filters.md says where this
follows datatrove, and where neither.
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
    keeps_what: ClassVar[str] = "texts of so many words"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 50
    at_most: float | None = 100_000

    def measure(self, documents: DocumentView) -> np.ndarray:
        return documents.words.counts


class GopherWordLength(Bounds):
    """Characters of a word, on average; 0 for a text without words."""

    kind: ClassVar[str] = "gopher_word_length"
    keeps_what: ClassVar[str] = "texts whose words have so many characters on average"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 3
    at_most: float | None = 10

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.words.characters, documents.words.counts)


class GopherHashes(Bounds):
    """Hash symbols a word."""

    kind: ClassVar[str] = "gopher_hashes"
    keeps_what: ClassVar[str] = "texts with few `#` for their words"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.1

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.symbols[0], documents.words.counts)


class GopherEllipses(Bounds):
    """Ellipses (`...` or `…`) a word."""

    kind: ClassVar[str] = "gopher_ellipses"
    keeps_what: ClassVar[str] = "texts with few `...` and `…` for their words"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.1

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.symbols[1], documents.words.counts)


class GopherBulletLines(Bounds):
    """The share of lines that begin with `•` or `-`."""

    kind: ClassVar[str] = "gopher_bullet_lines"
    keeps_what: ClassVar[str] = "texts of which not too many lines begin with a bullet (`•` or `-`)"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.9

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(bullet_lines(documents.data, documents.lines), documents.lines.counts)


class GopherEllipsisLines(Bounds):
    """The share of lines that end with `...` or `…`."""

    kind: ClassVar[str] = "gopher_ellipsis_lines"
    keeps_what: ClassVar[str] = "texts of which not too many lines end with `...` or `…`"
    source: ClassVar[str] = _QUALITY

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(ellipsis_lines(documents.data, documents.lines), documents.lines.counts)


class GopherAlphabeticWords(Bounds):
    """The share of words with a letter in them (`str.isalpha`)."""

    kind: ClassVar[str] = "gopher_alphabetic_words"
    keeps_what: ClassVar[str] = "texts of which most words have a letter"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 0.8

    def versions(self) -> dict[str, str]:
        return {"Unicode": unicode_version()}

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(alphabetic_words(documents.data, documents.words), documents.words.counts)


class GopherStopWords(Bounds):
    """Different words of a list that the text has.

    Attributes:
        words: the list; a word counts without ASCII punctuation around it and with ASCII letters in lower case.
    """

    kind: ClassVar[str] = "gopher_stop_words"
    keeps_what: ClassVar[str] = f"texts with some of the words {', '.join(STOP_WORDS)}"
    source: ClassVar[str] = _QUALITY

    at_least: float | None = 2
    words: tuple[str, ...] = Field(default=STOP_WORDS, min_length=1)

    def open(self, cache_folder: str) -> Test:
        listed = make_word_list(self.words)
        return lambda documents: self.within(distinct_words(documents.data, documents.words, listed))

    def measure(self, documents: DocumentView) -> np.ndarray:
        return distinct_words(documents.data, documents.words, make_word_list(self.words))


class GopherDuplicateLines(Bounds):
    """The share of lines that are the same as one before them."""

    kind: ClassVar[str] = "gopher_duplicate_lines"
    keeps_what: ClassVar[str] = "texts of which few lines came before"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_lines[0], documents.lines.counts)


class GopherDuplicateParagraphs(Bounds):
    """The share of paragraphs that are the same as one before them."""

    kind: ClassVar[str] = "gopher_duplicate_paragraphs"
    keeps_what: ClassVar[str] = "texts of which few paragraphs came before"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_paragraphs[0], documents.paragraphs.counts)


class GopherDuplicateLineCharacters(Bounds):
    """Characters in lines that came before, of the text's."""

    kind: ClassVar[str] = "gopher_duplicate_line_characters"
    keeps_what: ClassVar[str] = "texts with few characters in lines that came before"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.2

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_lines[1], documents.characters)


class GopherDuplicateParagraphCharacters(Bounds):
    """Characters in paragraphs that came before, of the text's."""

    kind: ClassVar[str] = "gopher_duplicate_paragraph_characters"
    keeps_what: ClassVar[str] = "texts with few characters in paragraphs that came before"
    source: ClassVar[str] = _REPETITION

    at_most: float | None = 0.2

    def measure(self, documents: DocumentView) -> np.ndarray:
        return share(documents.duplicate_paragraphs[1], documents.characters)


class _Ngrams(Bounds):
    """Characters in n-grams of words that repeat themselves, of the text's (see `ngram_characters`).

    Attributes:
        size: words of the n-gram.
    """

    bounds: ClassVar[dict[int, float]]

    size: int

    @model_validator(mode="before")
    @classmethod
    def _published(cls, settings: Any) -> Any:
        """The bound of the table where none is given."""
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
    """Characters of the most frequent n-gram of words, times how often it occurs, of the text's."""

    kind: ClassVar[str] = "gopher_top_ngram"
    keeps_what: ClassVar[str] = "texts of which the most frequent n-gram of `size` (2, 3 or 4) words is a small share"
    source: ClassVar[str] = _REPETITION
    bounds: ClassVar[dict[int, float]] = {2: 0.2, 3: 0.18, 4: 0.16}


class GopherDuplicateNgrams(_Ngrams):
    """Characters of n-grams of words that came before, of the text's."""

    kind: ClassVar[str] = "gopher_duplicate_ngrams"
    keeps_what: ClassVar[str] = "texts of which n-grams of `size` (5 to 10) words that came before are a small share"
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
