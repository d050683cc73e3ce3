"""Files that count what is read of them, and runs of given shuffle keys, for tests of ranges."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from byline.schemas import store
from byline.transforms.store.runs import write_run
from tests.support.small import FINGERPRINT, StoredRow, tokenized_batch


@dataclass
class Counted:
    """A file that counts what is read of it, and how much of that at the same time."""

    content: bytes
    reads: list[tuple[int, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        return len(self.content)

    def read_at(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= self.size
        with self.lock:
            self.reads.append((start, end))
        return self.content[start:end]

    def take_reads(self) -> list[tuple[int, int]]:
        found, self.reads = self.reads, []
        return found


def write(
    folder: Path, given_shuffle_keys: Sequence[int], rows: list[StoredRow], batch_bytes: int, path: str = "x"
) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "byline.transforms.store.runs.shuffle_keys",
            lambda source, path, rows: np.array(given_shuffle_keys, np.uint64),
        )
        patch.setattr(store, "BATCH_TOKEN_BYTES", batch_bytes)
        return write_run(tokenized_batch("a", path, rows), FINGERPRINT, str(folder))
