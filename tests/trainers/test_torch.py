"""PyTorch's `DataLoader`, torchdata's `StatefulDataLoader`, and what a model of transformers makes of each form."""

from functools import partial

import numpy as np
import pytest
import torch
import train_torch
import train_torchdata
from tiny_model import tiny_model
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import byline
from byline.adapters.torch import ShardDataset, collate, whole
from byline.forms import FORMS
from tests.trainers.recorder import Recorder, check_order


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_of_ones_own(shards, workers):
    model = tiny_model(shards)
    recorder = Recorder(model)
    train_torch.train(shards, model, workers)
    recorder.check(shards)


def test_with_a_cache_attention_crosses_documents(concat):
    """Without `use_cache=False`."""
    model = tiny_model(concat)
    recorder = Recorder(model)
    for batch in DataLoader(ShardDataset(concat), batch_size=8):
        model(**batch)
    report = recorder.audit(concat)
    assert [each.what for each in report.differences] == ["that see other tokens, at the same position"]


def test_what_a_model_does_with_a_cache_and_a_mask(concat):
    """What `Recorder` takes it for: with a cache it is as with an attention mask of ones."""
    batch = collate(concat.batch(range(8)))
    model = tiny_model(concat).eval()
    ones = torch.ones_like(batch["input_ids"])
    with torch.no_grad():
        alone, cached = (model(**batch, use_cache=is_cached).logits for is_cached in (False, True))
        masked = model(**batch, attention_mask=ones, use_cache=False).logits
    assert torch.allclose(cached, masked, atol=1e-5)
    assert (cached - alone).abs().max() > 1e-2


@pytest.mark.parametrize("form", [name for name in FORMS if name != "trl"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_form_through_workers(concat, form, workers):
    batches = list(DataLoader(ShardDataset(concat, form), batch_size=8, collate_fn=whole, num_workers=workers))
    assert byline.audit(batches, concat, form).is_equal


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_the_loader(concat, workers):
    """With the state of Byline's own loader, whole batches through PyTorch's workers."""

    def read(loader, end):
        sampler = range(loader.next_batch, end)
        return list(DataLoader(loader, batch_size=None, sampler=sampler, num_workers=workers, collate_fn=collate))

    loader = concat.loader(batch=8, last="keep")
    batches = read(loader, 7)
    loader.seek(7)
    resumed = concat.loader(batch=8, last="keep", state=loader.state_dict())
    batches += read(resumed, len(resumed))
    assert byline.audit(batches, concat).is_equal
    check_order((batch["input_ids"] for batch in batches), concat)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_stateful_loader_goes_on(shards, workers, steps):
    model = tiny_model(shards)
    recorder = Recorder(model)
    state = train_torchdata.train(shards, model, steps=steps, workers=workers)
    assert len(recorder.batches) == steps
    train_torchdata.train(shards, model, state, workers=workers)
    recorder.check(shards)


def test_a_stateful_loader_over_byline_s_batches(concat):
    make = partial(StatefulDataLoader, concat.loader(batch=8, last="keep"), batch_size=None, collate_fn=collate)
    loader, batches = make(num_workers=2), []
    for batch in loader:
        batches.append(batch)
        if len(batches) == 5:
            break
    resumed = make(num_workers=2)
    resumed.load_state_dict(loader.state_dict())
    batches += list(resumed)
    assert byline.audit(batches, concat).is_equal
    check_order((batch["input_ids"] for batch in batches), concat)


@pytest.mark.parametrize("form", ["huggingface", "huggingface_flat", "dense"])
def test_a_model_trains_each_segment_alone(shards, form):
    """What `audit` says of a form is so: the loss is that of every segment as a sequence of its own."""
    model = tiny_model(shards).eval()
    rows = shards.batch(range(8))
    with torch.no_grad():
        loss = model(**collate(rows, form), use_cache=False).loss.item()
        alone = [loss_of(model, *segment) for row in range(8) for segment in segments_of(shards[row])]
    total, count = np.sum(alone, axis=0)
    assert loss == pytest.approx(total / count, rel=1e-4)
    assert count == sum(byline.audit([], shards[n : n + 1]).expected for n in range(8))


def segments_of(row: byline.Row) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens and loss mask of each segment."""
    ends = np.cumsum(row["seq_lengths"])[:-1]
    return list(zip(np.split(row["input_ids"], ends), np.split(row["loss_mask"], ends), strict=True))


def loss_of(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> tuple[float, int]:
    """The sum of the losses of one segment, and how many there are; a sequence's first token has none."""
    logits = model(torch.tensor(ids[None].astype(np.int64)), use_cache=False).logits[0, :-1]
    trained = torch.tensor(mask[1:] == 1)
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:].astype(np.int64)), reduction="none")
    return losses[trained].sum().item(), int(trained.sum())
