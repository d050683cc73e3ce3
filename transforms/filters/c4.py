"""The rules of C4 (arXiv 1910.10683, section 2.2) that drop whole pages.

C4 also removes lines: those without a terminal mark, with few words, or about JavaScript. Byline keeps or drops whole
documents, so those have no rule here.
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
    """No `lorem ipsum`, in any case."""

    kind: ClassVar[str] = "c4_lorem_ipsum"
    keeps: ClassVar[str] = "texts without `lorem ipsum`, in any case"
    source: ClassVar[str] = C4

    def open(self, cache_folder: str) -> Test:
        return lambda documents: _without(pc.match_substring(documents.texts, "lorem ipsum", ignore_case=True))


class C4CurlyBracket(Rule):
    """No `{`."""

    kind: ClassVar[str] = "c4_curly_bracket"
    keeps: ClassVar[str] = "texts without `{`"
    source: ClassVar[str] = C4

    def open(self, cache_folder: str) -> Test:
        return lambda documents: _without(pc.match_substring(documents.texts, "{"))


class C4Sentences(Bounds):
    """Sentences, counted by their terminal marks (see `sentence_ends`)."""

    kind: ClassVar[str] = "c4_sentences"
    keeps: ClassVar[str] = "texts whose number of sentences is within bounds"
    source: ClassVar[str] = C4

    at_least: float | None = 3

    def measure(self, documents: DocumentView) -> np.ndarray:
        return sentence_ends(documents.data, documents.words)


class C4BadWords(Rule):
    """No word or phrase of a list.

    Attributes:
        file: one word or phrase per line, matched in any case, with no letter, digit or `_` next to it.
    """

    kind: ClassVar[str] = "c4_bad_words"
    keeps: ClassVar[str] = "texts without any word or phrase listed in `file`"
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
            raise BylineError(
                f"{self.file}: its phrases cannot be searched for together ({error}); shorten the list"
            ) from None
        return lambda documents: _without(pc.match_substring_regex(documents.texts, pattern))


def _without(matches: pa.Array) -> np.ndarray:
    return ~matches.to_numpy(zero_copy_only=False)


PAGES: Group = [(C4LoremIpsum, {}), (C4CurlyBracket, {}), (C4Sentences, {})]
