"""`byline export --to mds` and `mds-meco`: what mosaicml-streaming reads of it trains what the shards say."""

import shutil

import numpy as np
import pytest
from streaming import StreamingDataset
from torch.utils.data import DataLoader

import byline
from tests.trainers.conftest import BUILDS
from tests.trainers.packings import PACKINGS, PHASES
from tests.trainers.recorder import check_order


@pytest.fixture
def read(tmp_path):
    """Opens a copy of an export: folders that are open on this machine are known by name, in memory that all share."""

    def opened(name: str, packing: str, phase: str, **settings: object) -> StreamingDataset:
        copy = shutil.copytree(BUILDS / name / packing / phase, tmp_path / phase)
        return StreamingDataset(local=str(copy), batch_size=8, **settings)

    return opened


def item(sample: dict) -> dict[str, np.ndarray]:
    """What MeCo's trainer makes of a sample, with `--return_indices`."""
    labels = np.where(sample["mask"] == 1, sample["input_ids"].astype(np.int64), -100)
    return {"input_ids": sample["input_ids"].astype(np.int64), "labels": labels, "indices": sample["indices"]}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_every_sample(read, packing, phase):
    shards = byline.open(BUILDS / packing).phase(phase)
    samples = list(read("mds", packing, phase, shuffle=False))
    batches = [item(sample) for sample in samples]
    assert byline.audit(batches, shards, "meco").is_equal
    check_order((batch["input_ids"] for batch in batches), shards)
    assert {sample["domain"] for sample in samples} == {phase}
    assert {sample["length"] for sample in samples} == {shards.sequence_length}


@pytest.mark.parametrize("packing", PACKINGS)
def test_encodings_of_meco_s_packer(read, packing):
    """The mask is the loss mask itself, which has the starts of segments."""
    shards = byline.open(BUILDS / packing).phase("conditioned")
    batches = [item(sample) for sample in read("mds-meco", packing, "conditioned", shuffle=False)]
    assert byline.audit(batches, shards, "meco", train_starts=True).is_equal
    check_order((batch["input_ids"] for batch in batches), shards)


def test_workers_and_its_own_shuffle(read):
    """Its batches through PyTorch's workers: the same targets in another order."""
    shards = byline.open(BUILDS / "best_fit").phase("conditioned")
    loader = DataLoader(
        read("mds", "best_fit", "conditioned", shuffle=True), batch_size=8, num_workers=2, collate_fn=list
    )
    batches = [item(sample) for samples in loader for sample in samples]
    assert byline.audit(batches, shards, "meco").is_equal
    with pytest.raises(AssertionError):
        check_order((batch["input_ids"] for batch in batches), shards)
