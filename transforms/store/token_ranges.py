"""Ranges of own tokens that columns of documents name: united, and what a document's length is without them.

```
secrets_ranges   [2, 5, 9, 11]             joined       2-5   9-14          range 9-14 is of secrets_ranges, where it
quotes_ranges    [5, 6, 10, 14]                         5-6                 begins
num_tokens       20                        replaced     20 - (3 + 1 + 5) + 3 = 14
```

Ranges that share a token are one. It is of the column whose range begins first; of several that begin at one token, of
the longest; and of equal ones, of the column that is given first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from byline.errors import DamagedFileError
from byline.schemas.documents import NUM_TOKENS
from byline.transforms.documents.text_parts import list_lengths


@dataclass(frozen=True)
class TokenRanges:
    """Ranges of own tokens of n documents, ascending and apart in each; they may touch.

    Attributes:
        borders: int32 [2 r], start, end, start, ... of all documents.
        columns: int64 [r], the number of the column that each is of.
        counts: int64 [n], how many each document has.
    """

    borders: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """int64 [n]: how many tokens the ranges of each document have."""
        ends = np.concatenate([[0], np.cumsum(self.borders[1::2] - self.borders[::2], dtype=np.int64)])
        last = np.cumsum(self.counts)
        return ends[last] - ends[last - self.counts]


def joined_ranges(documents: pa.RecordBatch, columns: Sequence[str], *, touching: bool) -> TokenRanges:
    """The ranges that columns have of documents, as one list for each.

    Args:
        documents: n of them, perhaps with these columns.
        columns: list<int32>, ranges of tokens: start, end, start, ... ascending and apart; null for none.
        touching: whether ranges that touch, but share no token, are one, too.
    """
    names = [name for name in columns if name in documents.schema.names]
    lists = [documents[name].flatten().to_numpy() for name in names]
    values = np.concatenate([np.zeros(0, np.int32), *lists]).astype(np.int32, copy=False)
    counts_of = [list_lengths(documents[name]) for name in names]
    sizes = np.array(counts_of, np.int64).reshape(len(names), documents.num_rows)
    ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
    borders, owners, counts = _joined(values, ends - sizes, ends, touching)
    own = np.array([columns.index(name) for name in names], np.int64)
    return TokenRanges(borders, own[owners] if len(owners) else owners, counts)


def with_replaced(documents: pa.RecordBatch, columns: Sequence[str], where: str) -> pa.RecordBatch:
    """Documents whose `num_tokens` count each range of these columns as one token; without columns, as they are.

    Args:
        documents: with `num_tokens` and these columns.
        columns: as of `joined_ranges`.
        where: of which run or source they are, for a message.

    Raises:
        DamagedFileError: a range is not in its document.
    """
    if not columns:
        return documents
    for name in columns:
        _check_inside(documents, name, where)
    ranges = joined_ranges(documents, columns, touching=False)
    counts = documents["num_tokens"].to_numpy() - ranges.tokens + ranges.counts
    at = documents.schema.names.index("num_tokens")
    return documents.set_column(at, documents.schema.field(at), pa.array(counts.astype(np.int32), NUM_TOKENS.type))


def _check_inside(documents: pa.RecordBatch, name: str, where: str) -> None:
    """Refuses a column whose ranges would be read beyond the tokens of their documents. Raises: DamagedFileError."""
    borders, sizes = documents[name].flatten().to_numpy(), list_lengths(documents[name])
    ends = np.repeat(documents["num_tokens"].to_numpy(), sizes)
    if (sizes % 2).any() or (borders < 0).any() or (borders > ends).any():
        raise DamagedFileError(
            f"{where}: {name} has a range that is not in its document; delete its attribute (`byline attribute "
            "--remove`) and make it again"
        )


@numba.njit(cache=True, nogil=True)
def _joined(
    values: np.ndarray, starts: np.ndarray, ends: np.ndarray, touching: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Borders (int32), the number of the column of each range, and ranges of each document.

    Args:
        values: int32, the numbers of all lists.
        starts, ends: int64 [columns, n], where each list begins and ends in them.
        touching: as of `joined_ranges`.
    """
    lists, documents = starts.shape
    borders = np.empty(len(values), np.int32)
    owners = np.empty(len(values) // 2, np.int64)
    counts = np.zeros(documents, np.int64)
    at = starts.copy()
    end = 0
    for d in range(documents):
        first = end
        while True:
            lowest = -1
            for k in range(lists):
                if at[k, d] >= ends[k, d]:
                    continue
                low, high = values[at[k, d]], values[at[k, d] + 1]
                if lowest < 0:
                    lowest = k
                    continue
                best_low, best_high = values[at[lowest, d]], values[at[lowest, d] + 1]
                if low < best_low or (low == best_low and high > best_high):
                    lowest = k
            if lowest < 0:
                break
            low, high = values[at[lowest, d]], values[at[lowest, d] + 1]
            at[lowest, d] += 2
            if high <= low:
                continue
            if end > first and (low < borders[2 * end - 1] or (touching and low == borders[2 * end - 1])):
                borders[2 * end - 1] = max(borders[2 * end - 1], high)
            else:
                borders[2 * end] = low
                borders[2 * end + 1] = high
                owners[end] = lowest
                end += 1
        counts[d] = end - first
    return borders[: 2 * end], owners[:end], counts
