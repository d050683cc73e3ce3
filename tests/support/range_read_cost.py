"""What it should cost to read a range of shuffle keys from a run in an object store.

```
range of 33 kB of tokens, documents of 1.4 kB, shuffle key, row, file and num_tokens     2.06 requests, 55 kB
```

`byline.transforms.store.run_ranges` reads, and is held against this.
"""

from dataclasses import dataclass
from typing import ClassVar

from byline.object_stores import TAIL_BYTES
from byline.schemas.store import BATCH_TOKEN_BYTES
from byline.transforms.store.run_ranges import HEAD_MARGIN


@dataclass(frozen=True)
class VisitCost:
    """What a range read comes to, of a range whose run's footer the process has; in a store of
    `store.BATCH_TOKEN_BYTES`.

    Attributes:
        document_bytes: of the tokens of a document, on average.
        index_bytes: of the columns that are read, for each document: 20 for shuffle key, row and num_tokens, 4 for
            `file` in a merged run, 4 and its length for a text; of all that stand before the last one needed.
    """

    document_bytes: float
    index_bytes: float = 24

    # Of the message of a record batch: 16 for each column and for each buffer.
    MESSAGE_BYTES: ClassVar[int] = 1 << 10
    # Of a footer, and in it of each record batch (where it is, its first shuffle key) and of each part of a merged run.
    FOOTER_BYTES: ClassVar[int] = 2 << 10
    BATCH_FOOTER_BYTES: ClassVar[int] = 46
    PART_BYTES: ClassVar[int] = 400
    # HEAD and GET of the footer, when a process range reads a run for the first time.
    OPENING_REQUESTS: ClassVar[int] = 2

    def requests(self, range_bytes: float) -> float:
        """Of one range read, on average; all but one of them small."""
        return 2 * self._batches(range_bytes)

    def bytes(self, range_bytes: float) -> float:
        """Of one range read, on average."""
        documents = BATCH_TOKEN_BYTES / self.document_bytes
        head = (self.MESSAGE_BYTES + documents * self.index_bytes) * (1 + 1 / HEAD_MARGIN)
        return range_bytes + self._batches(range_bytes) * head

    def opening_bytes(self, run_bytes: float, parts: int = 1) -> float:
        """Of a footer, when a process range reads a run for the first time: what is read at least, or all of it.

        Args:
            run_bytes: of the run's tokens.
            parts: chunks of input files that a merged run was made of.
        """
        batches = run_bytes / BATCH_TOKEN_BYTES
        return max(TAIL_BYTES, self.FOOTER_BYTES + batches * self.BATCH_FOOTER_BYTES + parts * self.PART_BYTES)

    def _batches(self, range_bytes: float) -> float:
        return 1 + range_bytes / BATCH_TOKEN_BYTES
