"""What reading a run gives: adjacent documents, and apart from them their tokens, which are copied only if needed.

```
piece     index    shuffle_key  row  num_tokens  host         tokens   lists 0, 1, 2; `copy` copies those that a
                   12           7    3           a.org                 shard takes
                   15           0    2           b.org
                   19           4    4           a.org
```

`reading_run` turns the errors of a file that cannot be read into one line.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from byline.errors import BylineError, DamagedFileError
from byline.printable import one_line
from byline.transforms.documents.list_copying import copy_lists


@contextmanager
def reading_run(uri: str) -> Iterator[None]:
    """Wraps code that reads a file of the token store.

    Raises:
        DamagedFileError: the file is damaged or not a run; a `BylineError` of the block is passed on.
    """
    try:
        yield
    except BylineError:
        # If the object store cannot be reached, nothing is known about the file.
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        reason = one_line(error)
        what, advice = "a run", "delete it and prepare again"
        if "/attributes/" in uri:
            what, advice = "an attribute", "delete it and run `byline attribute`"
        elif "/.attributes/" in uri:
            what, advice = "a file of an attribute that is made", "delete its folder there and run `byline attribute`"
        raise DamagedFileError(f"{uri}: cannot be read as {what} ({reason}); {advice}") from None


class TokenLists(Protocol):
    """The tokens of n documents."""

    def copy(self, numbers: np.ndarray, into: np.ndarray) -> None:
        """Fills `into` with the lists of these numbers (int64, ascending), in order."""


@dataclass(frozen=True)
class Piece:
    """n documents of one record batch of a run.

    Attributes:
        index: the columns that were asked for except `tokens`, n rows.
        tokens: of the n documents.
    """

    index: pa.RecordBatch
    tokens: TokenLists


@dataclass(frozen=True)
class MappedTokens:
    """Tokens in memory, or in a memory-mapped file."""

    lists: pa.LargeListArray

    def copy(self, numbers: np.ndarray, into: np.ndarray) -> None:
        """As `TokenLists.copy`."""
        end = copy_lists(self.lists.values.to_numpy(), self.lists.offsets.to_numpy(), numbers, into, 0)
        assert end == len(into), f"{end} tokens in lists, {len(into)} by num_tokens"


@dataclass(frozen=True)
class NoTokens:
    """Of a file that has none, as those of attributes."""

    def copy(self, numbers: np.ndarray, into: np.ndarray) -> None:
        """As `TokenLists.copy`; there is nothing to ask for."""
        assert len(numbers) == 0, "tokens are asked of a file that has none"


def batches_between(starts: np.ndarray, low: int, high: int) -> range:
    """The record batches that may hold documents with low <= shuffle key <= high.

    Args:
        starts: uint64 [batches], the first shuffle key of each.
        low, high: shuffle keys.
    """
    # A shuffle key equal to a batch's first may also be at the end of the previous batch.
    first = int(starts.searchsorted(np.uint64(low), "left")) - 1
    return range(max(first, 0), int(starts.searchsorted(np.uint64(high), "right")))


def rows_between(shuffle_key: np.ndarray, low: int, high: int) -> tuple[int, int]:
    """The first row with low <= shuffle key <= high, and the one after the last; `shuffle_key` (uint64) ascends."""
    # As uint64: numpy compares shuffle keys with a plain int below 2^63 as float64, which has only 53 bits.
    return int(shuffle_key.searchsorted(np.uint64(low), "left")), int(
        shuffle_key.searchsorted(np.uint64(high), "right")
    )


def as_one(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Batches of this schema joined into one, with columns of type `string` dictionary-encoded."""
    # Without the schema's metadata, which describes a run.
    table = pa.Table.from_batches(batches, schema).replace_schema_metadata()
    for number, field in enumerate(schema):
        if pa.types.is_string(field.type):
            table = table.set_column(number, field.name, table.column(number).dictionary_encode())
    # After encoding, each column fits in one chunk; a string column of more than 2 GiB would not.
    combined = table.combine_chunks().to_batches()
    assert len(combined) <= 1, f"{len(combined)} batches of a table in one chunk"
    # A run without documents has no record batch.
    return combined[0] if combined else pa.RecordBatch.from_pylist([], schema=table.schema)
