"""A slice of a batch as rules see it: its columns, and what several rules need of its texts, computed once.

```
row  text              characters  words.counts  lines.counts  paragraphs.counts
0    "One two.\\nA\\n"   11          3             2             1
1    null              0           0             0             0
```
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.transforms.documents.text_parts import characters, text_buffers
from byline.transforms.filters.marks import count_symbols
from byline.transforms.filters.repeats import find_duplicates, ngram_characters
from byline.transforms.filters.splitting import Spans, join_paragraphs, split_lines, split_words

# The words of this much text take some 15 MB and stay in cache while one rule after another reads them.
BLOCK_BYTES = 1 << 22
_NO_BYTES = np.frombuffer(b"\0", np.uint8)  # read-only, as Arrow's buffers are: else numba compiles once more


class DocumentView:
    """Documents of one batch.

    Args:
        batch: with a column `text` (a null counts as the empty text), and the columns that rules name.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return self.batch.num_rows

    def column(self, name: str) -> pa.Array:
        """A column of the batch; raises `BylineError` where there is none of that name."""
        if name not in self.batch.schema.names:
            raise BylineError(
                f"filter: expected a batch with a column {name!r}, found {', '.join(self.batch.schema.names)}; "
                "put the step that adds it before the filter"
            )
        return self.batch[name]

    def only(self, mask: pa.Array) -> "DocumentView":
        """Those of a mask (bool [documents])."""
        return DocumentView(self.batch.filter(mask))

    @cached_property
    def texts(self) -> pa.Array:
        """large_string [documents] without nulls."""
        return pc.fill_null(self.column("text").cast(pa.large_string()), "")

    @cached_property
    def _buffers(self) -> tuple[np.ndarray, np.ndarray]:
        borders, data = text_buffers(self.texts)
        return data if data.size else _NO_BYTES, borders

    @property
    def data(self) -> np.ndarray:
        """uint8: the bytes of all texts."""
        return self._buffers[0]

    @cached_property
    def characters(self) -> np.ndarray:
        """int64 [documents]: code points."""
        return characters(self.texts)

    @cached_property
    def symbols(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [documents] each: `#`, and ellipses."""
        return count_symbols(*self._buffers)

    @cached_property
    def words(self) -> Spans:
        """What white space separates."""
        return split_words(*self._buffers)

    @cached_property
    def _lines(self) -> tuple[Spans, np.ndarray]:
        return split_lines(*self._buffers)

    @property
    def lines(self) -> Spans:
        """Lines that are not blank, without white space around."""
        return self._lines[0]

    @cached_property
    def paragraphs(self) -> Spans:
        """Lines without a blank line between them."""
        return join_paragraphs(self.data, *self._lines)

    @cached_property
    def duplicate_lines(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [documents] each: lines that came before, and their characters."""
        return find_duplicates(self.data, self.lines)

    @cached_property
    def duplicate_paragraphs(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of paragraphs."""
        return find_duplicates(self.data, self.paragraphs)

    @cached_property
    def ngrams(self) -> dict[int, np.ndarray]:
        """Size of an n-gram -> characters (int64 [documents]) that it repeats, as `ngram_characters` has it."""
        return ngram_characters(self.data, self.words)


def blocks(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of the batch with about `BLOCK_BYTES` of text and at least one document each."""
    sizes = pc.fill_null(pc.binary_length(batch["text"]), 0).to_numpy(zero_copy_only=False)
    numbers = np.cumsum(sizes, dtype=np.int64) // BLOCK_BYTES
    bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), batch.num_rows]
    for first, last in pairwise(bounds):
        yield batch.slice(first, last - first)
