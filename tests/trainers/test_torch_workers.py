"""What workers of PyTorch's `DataLoader` make: the batches of no workers, whatever becomes of either."""

import copy
import gc
import io
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import byline
from byline.adapters.blocks import MOST_BLOCKS
from byline.adapters.torch import ShardDataset, whole
from byline.forms import FORMS


def loader(
    shards: byline.Shards,
    workers: int,
    batch: int = 8,
    collate_fn: Any = whole,
    form: str = "huggingface",
    **options: Any,
) -> DataLoader:
    dataset = ShardDataset(shards, form, add=("phase", "segment_ids"))
    return DataLoader(dataset, batch_size=batch, num_workers=workers, collate_fn=collate_fn, **options)


def check(batches: Iterable[dict[str, Any]], expected: Iterable[dict[str, Any]]) -> None:
    for batch, other in zip(batches, expected, strict=True):
        assert type(batch) is dict
        assert list(batch) == list(other)
        for name, value in other.items():
            if isinstance(value, torch.Tensor):
                assert batch[name].dtype == value.dtype
                assert torch.equal(batch[name], value), name
            else:
                assert batch[name] == value


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_batches_of_workers_are_those_of_none(concat, method):
    check(loader(concat, 1, multiprocessing_context=method), loader(concat, 0))


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_every_form(concat, form):
    check(loader(concat, 1, form=form), loader(concat, 0, form=form))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("prefetch", [1, 8])
def test_however_many_batches_are_ahead(concat, workers, prefetch):
    check(loader(concat, workers, 1, prefetch_factor=prefetch), loader(concat, 0, 1))


def test_kept_batches_are_never_written_over(concat):
    assert len(concat) > MOST_BLOCKS + 2
    check(list(loader(concat, 1, 1)), loader(concat, 0, 1))


def test_a_kept_tensor_keeps_what_it_is(concat):
    kept = [batch["labels"][0, 5:] for batch in loader(concat, 2, 1)]
    expected = [batch["labels"][0, 5:] for batch in loader(concat, 0, 1)]
    assert all(map(torch.equal, kept, expected))


def test_batches_may_be_written_into(concat):
    """With workers that stay for several epochs, one of which is left early."""
    workers = loader(concat, 2, persistent_workers=True)
    for stop in (None, 3, None):
        for number, (batch, expected) in enumerate(zip(workers, loader(concat, 0), strict=True)):
            if number == stop:
                break
            check([batch], [expected])
            for value in batch.values():
                if isinstance(value, torch.Tensor):
                    value.zero_()


def with_more(rows: Any, is_new: bool) -> dict[str, Any]:
    batch = whole(rows)
    batch["count"] = torch.tensor(len(batch["labels"]))
    batch["labels"] = batch["labels"] + 1
    del batch["segment_ids"]
    return {**batch} if is_new else batch


@pytest.mark.parametrize("is_new", [False, True])
def test_a_collate_fn_of_ones_own_may_take_the_batch(concat, is_new):
    collate_fn = partial(with_more, is_new=is_new)
    check(loader(concat, 2, collate_fn=collate_fn), loader(concat, 0, collate_fn=collate_fn))


def copied(rows: Any) -> dict[str, Any]:
    batch = whole(rows)
    saved = io.BytesIO()
    torch.save(batch, saved)
    saved.seek(0)
    return {
        "deep": copy.deepcopy(batch),
        "pickled": pickle.loads(pickle.dumps(batch)),
        "saved": torch.load(saved, weights_only=False),
    }


def test_a_collate_fn_of_ones_own_may_copy_the_batch(concat):
    for batch, expected in zip(loader(concat, 1, collate_fn=copied), loader(concat, 0), strict=True):
        check(batch.values(), [expected] * 3)


@pytest.mark.parametrize("persistent", [False, True])
def test_nothing_is_left_when_the_loader_is_gone(concat, persistent):
    def left() -> tuple[int, int, int]:
        """Tensors that PyTorch shares as files in /dev/shm; descriptors; blocks."""
        gc.collect()
        maps = Path("/proc/self/maps").read_text()
        return maps.count("/dev/shm/torch_"), len(os.listdir("/proc/self/fd")), maps.count("byline-batch")

    list(loader(concat, 1))
    before = left()
    workers = loader(concat, 2, persistent_workers=persistent)
    kept = list(workers)
    assert left()[2] > 0
    assert left()[0] == before[0]
    del workers, kept
    assert left() == before


def end_early(batches: Any) -> None:
    os.kill(batches._workers[0].pid, signal.SIGKILL)
    list(batches)


def kill_a_worker(directory: str) -> None:
    """In a process of its own: PyTorch raises the error again in whatever is done when another worker ends."""
    shards = byline.open(directory)
    batches = iter(loader(shards, 2, 1))
    kept = [next(batches) for _ in range(5)]
    try:
        with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid"):
            end_early(batches)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        check(kept, list(loader(shards, 0, 1))[:5])
        os._exit(0)
    finally:
        os._exit(1)


def test_a_worker_that_is_killed_is_an_error(concat):
    process = multiprocessing.get_context("spawn").Process(target=kill_a_worker, args=(concat.directory,))
    process.start()
    process.join()
    assert process.exitcode == 0
