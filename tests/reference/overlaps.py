"""Overlaps of a document with evaluation items: words as Python has them, all n-grams in a dictionary.

```
item        Quick brown -- fox.       n-grams of 2    (quick, brown)  (brown, fox)
document    a quick brown cat         ranges          2, 13
```
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple


class Word(NamedTuple):
    """A word as it is compared, and its characters."""

    normal: str
    start: int
    stop: int


def words_of(text: str) -> list[Word]:
    """The words between white space, without punctuation and in lower case; those of punctuation alone are none."""
    words = []
    # `\\s` has what str.isspace has.
    for match in re.finditer(r"\S+", text):
        kept = [character for character in match[0] if unicodedata.category(character)[0] not in "PS"]
        normal = "".join(one.lower() if len(one.lower()) == 1 else one for one in kept)
        if normal:
            words.append(Word(normal, *match.span()))
    return words


class Overlap(NamedTuple):
    """What a document has: its words, those covered, the ranges of characters, and the items that match."""

    words: int
    covered: int
    ranges: list[int]
    items: set[int]
    matches: int


def ngrams_of(items: Sequence[str], size: int, least: int) -> dict[tuple[str, ...], set[int]]:
    """n-gram -> the items that have it."""
    ngrams: dict[tuple[str, ...], set[int]] = {}
    for number, item in enumerate(items):
        words = tuple(word.normal for word in words_of(item))
        length = min(size, len(words))
        if len(words) >= max(least, 1):
            for first in range(len(words) - length + 1):
                ngrams.setdefault(words[first : first + length], set()).add(number)
    return ngrams


def overlap_of(text: str, ngrams: dict[tuple[str, ...], set[int]]) -> Overlap:
    """The overlap of a document."""
    words, items, matches = words_of(text), set(), 0
    covered_words: set[int] = set()
    covered: set[int] = set()
    for size in {len(ngram) for ngram in ngrams}:
        for first in range(len(words) - size + 1):
            matched = ngrams.get(tuple(word.normal for word in words[first : first + size]))
            if matched is not None:
                items |= matched
                matches += 1
                covered_words |= set(range(first, first + size))
                covered |= set(range(words[first].start, words[first + size - 1].stop))
    borders = [at for at in range(len(text) + 1) if (at in covered) != (at - 1 in covered)]
    return Overlap(len(words), len(covered_words), borders, items, matches)
