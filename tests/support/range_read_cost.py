"""What it should cost to read a range of shuffle keys from a run in an object store.

```
range of 33 kB of tokens, documents of 1.4 kB, shuffle key, row, file and num_tokens     2.06 requests, 55 kB
```

Tests compare `byline.transforms.store.run_ranges` with this.
"""

from dataclasses import dataclass
from typing import ClassVar

from byline.object_stores import TAIL_BYTES
from byline.schemas.store import BATCH_TOKEN_BYTES
from byline.transforms.store.run_ranges import HEAD_MARGIN


@dataclass(frozen=True)
class RangeReadCost:
    """The cost of a range read from a run whose footer the process has, with batches of `BATCH_TOKEN_BYTES`.

    Attributes:
        document_bytes: mean bytes of a document's tokens.
        index_bytes: bytes of a document in the columns up to the last one needed: 20 for shuffle key, row and
            num_tokens, 4 for `file` in a merged run, 4 plus its length for a text.
    """

    document_bytes: float
    index_bytes: float = 24

    # The message of a record batch: 16 for each column and for each buffer.
    MESSAGE_BYTES: ClassVar[int] = 1 << 10
    # A footer, and in it each record batch (its start and first shuffle key) and each chunk of a merged run.
    FOOTER_BYTES: ClassVar[int] = 2 << 10
    BATCH_FOOTER_BYTES: ClassVar[int] = 46
    CHUNK_BYTES: ClassVar[int] = 400
    # HEAD and GET of the footer, when a process reads from a run for the first time.
    OPENING_REQUESTS: ClassVar[int] = 2

    def requests(self, range_bytes: float) -> float:
        """Mean requests of a range read."""
        return 2 * self._batches(range_bytes)

    def bytes(self, range_bytes: float) -> float:
        """Mean bytes of a range read."""
        documents = BATCH_TOKEN_BYTES / self.document_bytes
        head = (self.MESSAGE_BYTES + documents * self.index_bytes) * (1 + 1 / HEAD_MARGIN)
        return range_bytes + self._batches(range_bytes) * head

    def opening_bytes(self, run_bytes: float, chunks: int = 1) -> float:
        """Bytes read from a run's end when a process reads from it for the first time: the footer, or `TAIL_BYTES`.

        Args:
            run_bytes: of the run's tokens.
            chunks: chunks of input files in a merged run.
        """
        batches = run_bytes / BATCH_TOKEN_BYTES
        return max(TAIL_BYTES, self.FOOTER_BYTES + batches * self.BATCH_FOOTER_BYTES + chunks * self.CHUNK_BYTES)

    def _batches(self, range_bytes: float) -> float:
        return 1 + range_bytes / BATCH_TOKEN_BYTES
