"""Byline's shards as a PyTorch map-style data set, and batches as tensors.

```python
import byline
from byline.adapters.torch import ShardDataset, whole
from torch.utils.data import DataLoader

shards = byline.open("out/meco")
for batch in DataLoader(ShardDataset(shards), batch_size=8, num_workers=2, collate_fn=whole):
    loss = model(**batch, use_cache=False).loss  # a model of transformers
    loss.backward()
```

No `shuffle`: the rows come in training order, phase after phase, and are already shuffled unless the recipe asks for
another order. A branch is a data set of its own: `ShardDataset(byline.open("out/meco", branch="cooldown-25"))`. To
continue from the timeline's checkpoint, start it at row `shards.branch_row("cooldown-25")`.

A data loader asks for all rows of a batch at once, so they are read and made into tensors at once. With `whole` it
gives that batch, as the form has it; its workers make it in memory that the loader's process maps
(`byline.adapters.blocks`). Any other `collate_fn`, PyTorch's own too, gets a list of rows, views of the batch, which it
copies.

`collate` makes tensors of rows that were read otherwise, such as those of `shards.loader` (docs/loader.md):

```python
for rows in shards.loader(batch=512, rank=rank, world=world, prefetch=2, state=state):
    batch = collate(rows, "varlen")
```
"""

import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

import byline
from byline.adapters.blocks import Block, Blocks, Packed, unpack
from byline.forms import form_of
from byline.reader import Shards
from byline.rows import Row, Rows

_BLOCKS = Blocks()


class ShardDataset(Dataset):
    """Rows as dicts of tensors, each what a batch of the form has for one row: `input_ids` [L], ...

    Args:
        shards: the rows.
        form, dtype, train_starts, add: as for `byline.collate`, which docs/trainers.md describes.
    """

    def __init__(
        self,
        shards: Shards,
        form: str = "huggingface",
        *,
        dtype: str = "int64",
        train_starts: bool = False,
        add: Sequence[str] = (),
    ) -> None:
        self.shards = shards
        self._is_flat = form_of(form).is_flat
        self._collate = partial(collate, form=form, dtype=dtype, train_starts=train_starts, add=tuple(add))
        self._has_warned = False

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> "BatchRows":
        rows = self.shards.batch(indices)
        self._warn_of_mixed_phases(rows)
        return BatchRows(rows, self._collate, self._is_flat)

    def _warn_of_mixed_phases(self, rows: Rows) -> None:
        phases = self.shards.phases
        if self._has_warned or len(phases) == 1:
            return
        order = np.array([phases.index(name) for name in rows["phase"]])
        back = np.flatnonzero(np.diff(order) < 0)
        if len(back):
            self._has_warned = True
            later, earlier = rows["phase"][back[0]], rows["phase"][back[0] + 1]
            warnings.warn(
                f"a batch has a row of phase {str(earlier)!r} after one of {str(later)!r}: the sampler shuffles across "
                "phases, which the recipe keeps apart; read in order, or shuffle within one, shards.phase(NAME)",
                stacklevel=2,
            )


class BatchRows(Sequence):
    """The rows of one batch, as a data loader takes them to its `collate_fn`.

    A batch that is one sequence is the only item.

    Args:
        rows: as read.
        made: makes the batch of them.
        is_flat: whether the batch is one sequence.

    Attributes:
        whole: the batch; items are views of it.
    """

    def __init__(self, rows: Rows, made: "partial[dict[str, Any]]", is_flat: bool) -> None:
        self.rows, self.made, self.is_flat = rows, made, is_flat

    @cached_property
    def whole(self) -> dict[str, Any]:
        return self.made(self.rows)

    @cached_property
    def _items(self) -> list[dict[str, Any]]:
        batch = self.whole
        if self.is_flat:
            return [batch]
        columns = [value.unbind() if isinstance(value, torch.Tensor) else value for value in batch.values()]
        return [dict(zip(batch, values, strict=True)) for values in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]


class _Made(dict):
    """A batch that a worker made; it is a dict where it arrives, and in a copy.

    Args:
        batch: arrays and other values.
        block: has most of the arrays.
    """

    def __init__(self, batch: dict[str, Any], block: Block) -> None:
        super().__init__({name: _tensor(value) for name, value in batch.items()})
        self.block = block
        self.arrays = {name: value for name, value in batch.items() if isinstance(self[name], torch.Tensor)}
        self.tensors = {name: self[name] for name in self.arrays}

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and other pickles than those that multiprocessing sends have no block.
        return dict, (dict(self),)


def _sent(batch: _Made) -> tuple[Any, ...]:
    """What multiprocessing sends of a batch."""
    # Whoever had it from `collate` may have put something else where an array was.
    arrays = {name: array for name, array in batch.arrays.items() if batch.get(name) is batch.tensors[name]}
    others = {name: None if name in arrays else value for name, value in batch.items()}
    return _arrived, (batch.block.pack(arrays) or arrays, others)


ForkingPickler.register(_Made, _sent)


def _arrived(sent: Packed | dict[str, np.ndarray], others: dict[str, Any]) -> dict[str, Any]:
    arrays = unpack(sent) if isinstance(sent, Packed) else sent
    return {**others, **{name: _tensor(array) for name, array in arrays.items()}}


def whole(rows: BatchRows) -> Any:
    """A `collate_fn` for a `ShardDataset`: the batch as the form has it."""
    return rows.whole


def collate(
    rows: Rows | Sequence[Row],
    form: str = "huggingface",
    *,
    dtype: str = "int64",
    train_starts: bool = False,
    add: Sequence[str] = (),
) -> dict[str, Any]:
    """As `byline.collate`, with tensors in place of arrays and lists in place of arrays of texts."""
    made = partial(byline.collate, rows, form, dtype=dtype, train_starts=train_starts, add=add)
    if get_worker_info() is not None:
        block = _BLOCKS.take()
        return _Made(made(empty=block.empty), block)
    return {name: _tensor(value) for name, value in made().items()}


def _tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return value.tolist() if value.dtype.kind == "U" else torch.from_numpy(value)
