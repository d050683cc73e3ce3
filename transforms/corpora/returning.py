"""What a generator returns at its end, kept for who iterates over it.

```
blocks = Returning(read_blocks(...))
for block in blocks: ...
blocks.value                              the checksum of the file, which is known behind its last block
```
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


class Returning(Generic[Item, Value]):
    """Iterates once; `value` is None before the end, and where there is no such value."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self.value: Value | None = None

    def __iter__(self) -> Iterator[Item]:
        self.value = yield from self._items  # type: ignore[func-returns-value]
