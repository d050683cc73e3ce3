"""grain: `byline.open` is a data source as it is, and so is a loader, whose items are batches."""

import grain
import pytest
import train_grain
from tiny_model import tiny_model

import byline
from tests.trainers.recorder import Recorder, check_order


@pytest.mark.parametrize("steps", [1, 7])
def test_the_example_goes_on(shards, steps):
    model = tiny_model(shards)
    recorder = Recorder(model)
    state = train_grain.train(shards, model, steps=steps)
    assert len(recorder.batches) == steps
    train_grain.train(shards, model, state)
    recorder.check(shards)


def test_batches_of_the_loader(concat):
    loader = concat.loader(batch=8, last="keep")
    batches = list(grain.MapDataset.source(loader).map(byline.collate).to_iter_dataset())
    assert byline.audit(batches, concat).is_equal
    check_order((batch["input_ids"] for batch in batches), concat)


def test_processes(concat):
    """Each reads a part of the batches, which come in order."""
    dataset = grain.MapDataset.source(concat).batch(8, batch_fn=byline.collate).to_iter_dataset()
    batches = list(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=2)))
    assert byline.audit(batches, concat).is_equal
    check_order((batch["input_ids"] for batch in batches), concat)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks(concat, world):
    """A slice for each, as grain has it."""
    parts = [grain.MapDataset.source(concat)[rank::world].batch(8, batch_fn=byline.collate) for rank in range(world)]
    assert byline.audit([batch for part in parts for batch in part], concat).is_equal


def test_its_own_shuffle_mixes_phases(concat):
    """`shards.loader(shuffle="phase")` as the source mends it."""
    shuffled = grain.MapDataset.source(concat).shuffle(seed=1).batch(8, batch_fn=lambda rows: rows)
    phases = [row["phase"] for batch in shuffled for row in batch]
    assert phases != sorted(phases)
    loader = concat.loader(batch=8, last="keep", shuffle="phase", seed=1)
    batches = list(grain.MapDataset.source(loader))
    phases = [phase for batch in batches for phase in batch["phase"].tolist()]
    assert phases == sorted(phases)
    assert byline.audit(map(byline.collate, batches), concat).is_equal
    with pytest.raises(AssertionError):
        check_order((batch["input_ids"] for batch in batches), concat)
