"""Batches for a trainer, in an order that does not depend on how many ranks and workers read them, and that resumes.

```
loader = shards.loader(batch=4, rank=0, world=2)     rows 0 1 of batch 0, rows 4 5 of batch 1, ...
next(loader)      rows 0 1      next_batch  1
state_dict()      {"next_batch": 1, "manifest_sha256": "3f0c...", "batch": 4, ...}
shards.loader(batch=4, rank=3, world=4, state=state)      row 7 of batch 1, row 11 of batch 2, ...
loader[100]       batch 100, whatever was read before; next_batch stays
```

Batch k is the same set of rows for any number of ranks: `byline.row_order` says which, by arithmetic alone, so a state
is a batch's number and the settings that the order depends on, and finding a batch costs the same wherever it is.

A loader is both an iterator with a state and a sequence of all batches (`len(loader)`, `loader[k]`), and the two do not
touch each other. So a tool with workers of its own takes it as a data set whose items are whole batches. It pickles
with its state, and may be forked. One thread at a time may iterate it; any number may index it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from byline.errors import BylineError
from byline.printable import shown
from byline.row_order import ORDER_VERSION, Last, RowOrder, share
from byline.rows import Rows, with_padding

if TYPE_CHECKING:
    from byline.reader import Shards


class Loader:
    """Batches of one rank; made by `Shards.loader`, which says what the settings mean.

    Attributes:
        shards: the view that is read.
        order: which rows each batch has.
        rank, world: which part of each batch this loader yields, of how many.
        prefetch: batches that are made ahead, in as many threads.
        next_batch: number of the batch that `next` yields; counted over all epochs.
    """

    def __init__(self, shards: "Shards", order: RowOrder, rank: int, world: int, prefetch: int) -> None:
        _check_ranks(order.batch, rank, world)
        if type(prefetch) is not int or prefetch < 0:
            raise BylineError(f"loader: prefetch={shown(prefetch)}; expected how many batches to make ahead, from 0 on")
        self.shards, self.order, self.rank, self.world, self.prefetch = shards, order, rank, world, prefetch
        self.next_batch = 0
        self._ahead = _Ahead(self.__getitem__, prefetch)

    def __len__(self) -> int:
        """Batches of all epochs, read or not."""
        return len(self.order)

    def __getitem__(self, batch: int) -> Rows:
        """This rank's rows of a batch, those of padding last.

        Raises:
            IndexError: there is no such batch.
            BylineError: a shard is not what the manifest says.
        """
        numbers = self.rows(batch)
        rows = self.shards.batch(numbers[numbers >= 0])
        phase = self.order.phase_at(self.order.span(batch % len(self))[-1])
        return with_padding(rows, int((numbers < 0).sum()), self.shards.manifest.tokenizer["pad_id"], phase)

    def rows(self, batch: int) -> np.ndarray:
        """Numbers in `shards` of this rank's rows of a batch, -1 for rows of padding; int64 [n]. Reads nothing.

        Raises:
            IndexError: there is no such batch.
        """
        number = index(batch)
        if not -len(self) <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        span = share(self.order.span(number % len(self)), self.rank, self.world)
        padding = self.order.batch // self.world - len(span) if self.order.last is Last.PAD else 0
        return np.concatenate([self.order.numbers(span), np.full(padding, -1, np.int64)])

    def __iter__(self) -> Iterator[Rows]:
        return self

    def __next__(self) -> Rows:
        if self.next_batch >= len(self):
            raise StopIteration
        batch = self._ahead.take(self.next_batch, len(self))
        self.next_batch += 1
        return batch

    def seek(self, batch: int) -> None:
        """Goes on with this batch; `len(loader)` is the end.

        Raises:
            IndexError: there is no such batch.
        """
        if not 0 <= index(batch) <= len(self):
            raise IndexError(f"batch {batch} of {len(self)}")
        self.next_batch = index(batch)

    def skip(self, batches: int) -> None:
        """Leaves out so many batches, or all that are left.

        Raises:
            IndexError: they are fewer than none.
        """
        if index(batches) < 0:
            raise IndexError(f"{batches} batches cannot be left out; `seek` goes back")
        self.seek(min(self.next_batch + index(batches), len(self)))

    def state_dict(self) -> dict[str, Any]:
        """Where this loader stands: plain JSON values. Every rank has the same; a loader of any other rank takes it."""
        return {**self._settings(), "next_batch": self.next_batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where another loader stood, whatever its rank and its number of ranks.

        Raises:
            BylineError: it is of another build, branch, view or order version, or of a loader with other settings.
        """
        name = self.shards.directory
        settings = self._settings()
        if not isinstance(state, Mapping) or state.keys() != {*settings, "next_batch"}:
            raise BylineError(f"{name}: not the state of a loader: {shown(state)}; give what `state_dict()` returned")
        for key, value in settings.items():
            if state[key] != value:
                raise BylineError(f"{name}: {_difference(key, state[key], value)}")
        number = state["next_batch"]
        if type(number) is not int or not 0 <= number <= len(self):
            raise BylineError(f"{name}: a state whose next batch is {shown(number)}, of {len(self):,} batches")
        self.next_batch = number

    def _settings(self) -> dict[str, Any]:
        """What the order of rows depends on."""
        order = self.order
        return {
            "order_version": ORDER_VERSION,
            "manifest_sha256": self.shards.manifest.sha256,
            "branch": self.shards.branch,
            "rows": self.shards.described_rows,
            "batch": order.batch,
            "epochs": order.epochs,
            "shuffle": order.shuffle,
            "seed": order.seed,
            "align_phases": order.aligned,
            "last": order.last.value,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.shards, self.order, self.rank, self.world, self.prefetch, self.next_batch)

    def __repr__(self) -> str:
        return (
            f"<byline.Loader {self.shards.directory}: batch {self.next_batch:,} of {len(self):,}, "
            f"rank {self.rank} of {self.world}>"
        )


def _restored(shards: "Shards", order: RowOrder, rank: int, world: int, prefetch: int, next_batch: int) -> Loader:
    loader = Loader(shards, order, rank, world, prefetch)
    loader.next_batch = next_batch
    return loader


class _Ahead:
    """Makes the batches that come next in threads, and hands them out in order."""

    def __init__(self, make: Callable[[int], Rows], count: int) -> None:
        self._make, self._count = make, count
        self._reset()

    def _reset(self) -> None:
        """Forgets all batches and threads, and touches none of them."""
        self._process = os.getpid()
        self._futures: deque[tuple[int, Future[Rows]]] = deque()
        self._threads: ThreadPoolExecutor | None = None

    def take(self, number: int, end: int) -> Rows:
        """A batch; those after it, up to `end`, are begun."""
        if not self._count:
            return self._make(number)
        if self._process != os.getpid():
            # After a fork, the threads are those of the parent, which may have held the locks of its futures.
            self._reset()
        elif self._futures and self._futures[0][0] != number:
            for _, future in self._futures:
                future.cancel()
            self._reset()
        self._threads = self._threads or ThreadPoolExecutor(self._count, thread_name_prefix="byline-loader")
        for following in range(number + len(self._futures), min(number + self._count + 1, end)):
            self._futures.append((following, self._threads.submit(self._make, following)))
        return self._futures.popleft()[1].result()


def _check_ranks(batch: int, rank: int, world: int) -> None:
    if type(world) is not int or world < 1 or type(rank) is not int or not 0 <= rank < world:
        raise BylineError(f"loader: rank={shown(rank)}, world={shown(world)}; expected a rank from 0 to world - 1")
    if batch % world:
        raise BylineError(
            f"loader: batch={batch:,} rows of all ranks together cannot be shared evenly by world={world:,} ranks; "
            f"give a multiple of {world:,}, such as {-(-batch // world) * world:,}"
        )


def _difference(key: str, found: Any, expected: Any) -> str:
    """What differs between a state and this loader, and what to do."""
    if key == "manifest_sha256":
        return (
            f"the state is of another build (manifest sha256 {shown(found)}, this one's is {expected!r}); "
            "open the build that it was saved with"
        )
    if key == "order_version":
        return f"the state is of order version {shown(found)}, this Byline has {expected}; use the Byline that saved it"
    if key in ("branch", "rows"):
        return f"the state is of a view with {key} {shown(found)}, this one has {expected!r}; open the same view"
    return f"the state is of a loader with {key}={shown(found)}, this one has {key}={expected!r}; give the same"
