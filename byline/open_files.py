"""The shards that a process has open, on a disk or in an object store, and reading from several at once.

```
asked      shard 0 batch 3    shard 7 batch 1    shard 7 batch 2
disk       one after another: values are in the map
object     side by side, in `READERS` threads: each waits for its requests
```
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from byline import locations
from byline.addresses import is_object_address
from byline.kept import Kept
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.shard_files import ShardFile

if TYPE_CHECKING:
    from byline.object_shards import ObjectShard

# An open shard costs a file descriptor and some kB, and a build may have 30,000. Training order needs one at a time;
# reading many more shards than this in shuffled order reopens one for most rows, at half a millisecond each.
MAX_OPEN = 64
# In an object store it costs no descriptor, some 20 kB, and two requests to open again.
MAX_OPEN_OBJECTS = 2048
# Record batches of objects that are read side by side.
READERS = 24

Item = TypeVar("Item")
Result = TypeVar("Result")


class Files:
    """A process's open shards, and what it keeps of those in an object store."""

    def __init__(self, directory: str, manifest: Manifest, entries: Sequence[tuple[PhaseEntry, ShardEntry]]) -> None:
        self.process = os.getpid()
        self._directory, self._manifest, self._entries = directory, manifest, entries
        same_phase = (group for _, group in groupby(entries, key=lambda entry: entry[0].name))
        self._numbers = [number for group in same_phase for number, _ in enumerate(group)]
        self._are_objects = is_object_address(directory)
        self._open: Kept[ShardFile] = Kept(MAX_OPEN_OBJECTS if self._are_objects else MAX_OPEN)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="byline-reader") if self._are_objects else None
        self._shard_file = _object_shards() if self._are_objects else ShardFile

    def get(self, shard: int) -> ShardFile:
        # Arrays that were handed out keep the map of a file alive that is no longer kept open.
        return self._open.get(shard, lambda: self._open_shard(shard))

    def side_by_side(self, call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results of the items, in order; if the shards are objects, called side by side."""
        if self._threads is None or len(items) < 2:
            return [call(item) for item in items]
        return list(self._threads.map(call, items))

    def _open_shard(self, shard: int) -> ShardFile:
        (phase, entry), number = self._entries[shard], self._numbers[shard]
        return self._shard_file(locations.join(self._directory, entry.path), self._manifest, phase, number)


def _object_shards() -> "partial[ObjectShard]":
    """Opens shards in an object store, all with what the process keeps of them."""
    from byline.object_shards import Fetched, ObjectShard

    return partial(ObjectShard, fetched=Fetched())
