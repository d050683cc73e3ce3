"""Clusters in plain Python, as docs/attributes.md has them: words, what they weigh, and the cosine with each centre.

```
words_of("2 Don't! 漢字 x264")       don  t  漢  字  x264
cosines([["a", "b"], ["a"]], ...)    of each document's weights with each centre
```
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

LONGEST = 16 * 1024
ALONE = ((0x2E80, 0x3000), (0x3005, 0x3008), (0x3040, 0x3100), (0x31F0, 0x3200), (0x3400, 0xA000), (0xF900, 0xFB00))
ALONE_BEYOND = ((0xFF66, 0xFFA0), (0x20000, 0x110000))


def words_of(text: str) -> list[str]:
    """The words of a text as far as it counts."""
    text = text.encode()[:LONGEST].decode(errors="ignore")
    words, word = [], ""
    for character in text:
        category = unicodedata.category(character)[0]
        if any(first <= ord(character) < end for first, end in (*ALONE, *ALONE_BEYOND)):
            words += [word, character]
            word = ""
        elif category == "L" or (word and category in "MN"):
            word += character.lower() if len(character.lower()) == 1 else character
        else:
            words.append(word)
            word = ""
    return [word for word in [*words, word] if word]


def weights_of(documents: Sequence[Sequence[int]], buckets: Iterable[int]) -> dict[int, float]:
    """What each bucket weighs, given the buckets of each document's words."""
    counts = Counter(bucket for document in documents for bucket in set(document))
    return {bucket: max(math.log2((len(documents) + 1) / (counts[bucket] + 1)), 1 / 256) for bucket in buckets}


def vector_of(document: Sequence[int], weights: Mapping[int, float]) -> dict[int, float]:
    """A document's vector of length 1."""
    counted = {bucket: min(count, 255) for bucket, count in Counter(document).items()}
    values = {bucket: weights[bucket] * (1 + math.log2(count)) for bucket, count in counted.items()}
    length = math.sqrt(sum(value**2 for value in values.values()))
    return {bucket: value / length for bucket, value in values.items()}


def cosine(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """That of two vectors of length 1."""
    return sum(value * other.get(bucket, 0) for bucket, value in one.items())


def mean(vectors: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean of vectors, scaled to length 1."""
    total: Counter[int] = Counter()
    for vector in vectors:
        total.update(vector)
    length = math.sqrt(sum(value**2 for value in total.values()))
    return {bucket: value / length for bucket, value in total.items()}


def score(here: int, documents: int, elsewhere: int, others: int) -> float:
    """How much a word tells a cluster: `here` of its documents have it, `elsewhere` of the others."""

    def log_odds(count: int, total: int) -> float:
        return math.log2((count + 0.5) / (total - count + 0.5))

    counts = (here, documents - here, elsewhere, others - elsewhere)
    deviation = math.sqrt(sum(1 / (count + 0.5) for count in counts))
    return (log_odds(here, documents) - log_odds(elsewhere, others)) / deviation
