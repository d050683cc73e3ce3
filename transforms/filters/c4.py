"""The rules of C4 (arXiv 1910.10683, section 2.2) that drop whole pages.

C4 takes lines out of a page first: those that do not end with a terminal mark, that have few words, that speak of
JavaScript. Byline keeps a text as it is, or drops it, so these have no rule.
"""

import re
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.model import Location
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.marks import sentence_ends
from byline.transforms.filters.rules import C4, Bounds, Group, Rule, Test
from byline.transforms.filters.value_lists import read_values


class C4LoremIpsum(Rule):
    """No `lorem ipsum`, in upper or lower case."""

    kind: ClassVar[str] = "c4_lorem_ipsum"
    keeps_what: ClassVar[str] = "texts without `lorem ipsum`, in upper or lower case"
    source: ClassVar[str] = C4

    def open(self, cache_folder: str) -> Test:
        return lambda documents: _without(pc.match_substring(documents.texts, "lorem ipsum", ignore_case=True))


class C4CurlyBracket(Rule):
    """No `{`."""

    kind: ClassVar[str] = "c4_curly_bracket"
    keeps_what: ClassVar[str] = "texts without `{`"
    source: ClassVar[str] = C4

    def open(self, cache_folder: str) -> Test:
        return lambda documents: _without(pc.match_substring(documents.texts, "{"))


class C4Sentences(Bounds):
    """Sentences: words that end with a terminal mark (see `sentence_ends`)."""

    kind: ClassVar[str] = "c4_sentences"
    keeps_what: ClassVar[str] = "texts of so many sentences"
    source: ClassVar[str] = C4

    at_least: float | None = 5

    def measure(self, documents: DocumentView) -> np.ndarray:
        return sentence_ends(documents.data, documents.words)


class C4BadWords(Rule):
    """No word or phrase of a list.

    Attributes:
        file: one word or phrase a line; upper and lower case are the same. Letters, digits and `_` may not touch it.
    """

    kind: ClassVar[str] = "c4_bad_words"
    keeps_what: ClassVar[str] = "texts without any word or phrase of the list in `file`"
    source: ClassVar[str] = C4

    file: Location

    def files(self) -> dict[str, str]:
        return {"file": self.file}

    def look(self) -> str | None:
        self.open("")
        return f"{self.file}, {len(read_values(self.file)):,} words and phrases"

    def open(self, cache_folder: str) -> Test:
        phrases = read_values(self.file)
        pattern = rf"(?i)(?:^|[^\pL\pN_])(?:{'|'.join(map(re.escape, phrases))})(?:$|[^\pL\pN_])"
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise BylineError(f"{self.file}: these phrases make no pattern ({error}); shorten the list") from None
        return lambda documents: _without(pc.match_substring_regex(documents.texts, pattern))


def _without(matches: pa.Array) -> np.ndarray:
    return ~matches.to_numpy(zero_copy_only=False)


PAGES: Group = [(C4LoremIpsum, {}), (C4CurlyBracket, {}), (C4Sentences, {})]
