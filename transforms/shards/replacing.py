"""Placeholders: one token of a recipe's in place of each range of own tokens that it replaces.

```
own tokens       The  key  is  a9  f3  7c  .        secrets_ranges [3, 6]    replace: {secrets: "<|hidden|>"}
                 The  key  is  <|hidden|>  .
masked           [0, 2, 5, 7]                       -> [0, 2, 3, 5]: a placeholder is masked if a token of its range is
weighed          [2, 4] and [4, 7]                  -> [2, 4] and [4, 5]: it has the weight of the first of its range
```

So a document has another length, the same in every stage and epoch, and all that is behind gathering counts that one:
packing, offsets, loss mask, counts. Which range is whose is decided by `byline.transforms.store.token_ranges`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from byline.transforms.shards.weighing import WeighedRanges
from byline.transforms.store.token_ranges import joined_ranges


@dataclass(frozen=True)
class Placeholders:
    """What is replaced in n documents.

    Attributes:
        borders: int32 [2 r], ranges of own tokens: start, end, start, ... of all documents; ascending and apart in
            each.
        ids: int64 [r], the token that stands for each range.
        counts: int64 [n], ranges of each document.
        tokens: int64 [n], tokens in the ranges of each document.
    """

    borders: np.ndarray
    ids: np.ndarray
    counts: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, documents: pa.RecordBatch, replace: Mapping[str, int]) -> "Placeholders":
        """Those of documents with the columns in `replace`: column of ranges -> id."""
        ranges = joined_ranges(documents, list(replace), touching=False)
        ids = np.array(list(replace.values()), np.int64)[ranges.columns]
        return cls(ranges.borders, ids, ranges.counts, ranges.tokens)

    @classmethod
    def joined(cls, parts: "list[Placeholders]") -> "Placeholders":
        """Those of the documents of all parts, in their order."""
        return cls(
            borders=np.concatenate([np.zeros(0, np.int32), *(part.borders for part in parts)]),
            **{
                name: np.concatenate([np.zeros(0, np.int64), *(getattr(part, name) for part in parts)])
                for name in ("ids", "counts", "tokens")
            },
        )

    def move(self, ranges: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ranges of own tokens, where their tokens are afterwards; of any token of a range its placeholder.

        Args:
            ranges: int32, start, end, ... of all documents, ascending and apart in each.
            counts: int64 [n], how many numbers each document has.

        Returns:
            The same; ranges that touch or meet in a placeholder are one.
        """
        if len(self.ids) == 0:
            return ranges, counts
        return _moved(self.borders, self.counts, ranges, counts)

    def move_weighed(self, weighed: WeighedRanges) -> WeighedRanges:
        """Weighed ranges of the documents in their order, where the first of each placeholder's tokens were."""
        if len(self.ids) == 0:
            return weighed
        moved = _begun(self.borders, self.counts, weighed.ranges, weighed.counts)
        stays = moved[1::2] > moved[::2]
        document = np.repeat(np.arange(len(weighed.counts)), weighed.counts // 2)
        counts = 2 * np.bincount(document[stays], minlength=len(weighed.counts))
        return WeighedRanges.of_counts(moved[np.repeat(stays, 2)], weighed.weights[stays], counts)

    def put(self, tokens: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The tokens of the documents with placeholders.

        Args:
            tokens: of all documents, one after another; changed, as the result is a part of it.
            counts: int64 [n], how many each has.
        """
        if len(self.ids) == 0:
            return tokens
        return tokens[: _put(tokens, counts, self.borders, self.ids, self.counts)]


@numba.njit(cache=True, nogil=True)
def _put(tokens: np.ndarray, token_counts: np.ndarray, borders: np.ndarray, ids: np.ndarray, counts: np.ndarray) -> int:
    """Writes what stays and the placeholders to the start of `tokens`; returns how many tokens these are."""
    read, written, r = 0, 0, 0
    for d in range(len(token_counts)):
        at = 0
        for _ in range(counts[d]):
            # Never ahead of what is read: a range has a token at least.
            while at < borders[2 * r]:
                tokens[written] = tokens[read + at]
                written += 1
                at += 1
            tokens[written] = ids[r]
            written += 1
            at = borders[2 * r + 1]
            r += 1
        while at < token_counts[d]:
            tokens[written] = tokens[read + at]
            written += 1
            at += 1
        read += token_counts[d]
    return written


@numba.njit(cache=True, nogil=True)
def _moved(
    borders: np.ndarray, counts: np.ndarray, ranges: np.ndarray, range_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    moved = np.empty(len(ranges), np.int32)
    moved_counts = np.zeros(len(counts), np.int64)
    r, m, end = 0, 0, 0
    for d in range(len(counts)):
        first, last = end, r + counts[d]
        gone = 0
        for _ in range(range_counts[d] // 2):
            # Those that end at or before its first token, and then before its last one.
            while r < last and borders[2 * r + 1] <= ranges[m]:
                gone += borders[2 * r + 1] - borders[2 * r] - 1
                r += 1
            inside = r < last and borders[2 * r] <= ranges[m]
            low = (borders[2 * r] if inside else ranges[m]) - gone
            while r < last and borders[2 * r + 1] < ranges[m + 1]:
                gone += borders[2 * r + 1] - borders[2 * r] - 1
                r += 1
            inside = r < last and borders[2 * r] < ranges[m + 1]
            high = (borders[2 * r] + 1 if inside else ranges[m + 1]) - gone
            m += 2
            if end > first and low <= moved[end - 1]:
                moved[end - 1] = max(moved[end - 1], high)
            else:
                moved[end] = low
                moved[end + 1] = high
                end += 2
        r = last
        moved_counts[d] = end - first
    return moved[:end], moved_counts


@numba.njit(cache=True, nogil=True)
def _begun(borders: np.ndarray, counts: np.ndarray, numbers: np.ndarray, number_counts: np.ndarray) -> np.ndarray:
    """How many tokens of a document with placeholders begin before each number of its tokens (ascending); int32."""
    moved = np.empty(len(numbers), np.int32)
    r, m = 0, 0
    for d in range(len(counts)):
        last, gone = r + counts[d], 0
        for _ in range(number_counts[d]):
            while r < last and borders[2 * r + 1] <= numbers[m]:
                gone += borders[2 * r + 1] - borders[2 * r] - 1
                r += 1
            inside = r < last and borders[2 * r] < numbers[m]
            moved[m] = (borders[2 * r] + 1 if inside else numbers[m]) - gone
            m += 1
        r = last
    return moved
