"""What each of several ranks gets: of accelerate (`Trainer`), of PyTorch's sampler (Lightning), of Byline's loader.

The ranks are made one after another in this process, by what each of several processes calls.
"""

from functools import partial

import numpy as np
import pytest
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader, DistributedSampler

import byline
from byline.adapters.torch import ShardDataset, collate, whole

ROWS = 8  # of one rank's batch


def by_accelerate(shards: byline.Shards, rank: int, world: int, drop_last: bool = False) -> list:
    loader = DataLoader(ShardDataset(shards), batch_size=ROWS, drop_last=drop_last, collate_fn=whole)
    return list(prepare_data_loader(loader, num_processes=world, process_index=rank, put_on_device=False))


def by_sampler(shards: byline.Shards, rank: int, world: int, drop_last: bool = False) -> list:
    dataset = ShardDataset(shards)
    sampler = DistributedSampler(dataset, world, rank, shuffle=False, drop_last=drop_last)
    return list(DataLoader(dataset, batch_size=ROWS, sampler=sampler, collate_fn=whole))


def by_loader(shards: byline.Shards, rank: int, world: int) -> list:
    return [collate(rows) for rows in shards.loader(batch=ROWS * world, rank=rank, world=world)]


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("read", [by_accelerate, by_sampler, by_loader])
def test_rows_that_fill_the_batches_of_all_ranks(shards, read, world):
    """Exact, and step k of all ranks together has the rows of global batch k."""
    parts = [read(shards, rank, world) for rank in range(world)]
    assert byline.audit([batch for part in parts for batch in part], shards).is_equal
    expected = shards.batch(range(len(shards)))["input_ids"].reshape(-1, ROWS * world, shards.sequence_length)
    for step, rows in zip(zip(*parts, strict=True), expected, strict=True):
        ids = np.concatenate([batch["input_ids"].numpy() for batch in step])
        assert sorted(ids.tolist()) == sorted(rows.tolist())


@pytest.mark.parametrize("read", [by_accelerate, by_sampler])
def test_rows_that_do_not_are_repeated(concat, read):
    """In silence; without the last, incomplete batch they are left out instead."""
    odd = concat[:61]
    differences = [
        [each.what for each in byline.audit([*made(odd, 0, 2), *made(odd, 1, 2)], odd).differences]
        for made in (read, partial(read, drop_last=True))
    ]
    assert differences == [["trained more often than they are in the shards"], ["that are not trained"]]


def test_the_loader_pads_them(concat):
    odd = concat[:61]
    batches = [batch for rank in range(2) for batch in by_loader(odd, rank, 2)]
    assert byline.audit(batches, odd).is_equal
    assert {len(batch["input_ids"]) for batch in batches} == {ROWS}
