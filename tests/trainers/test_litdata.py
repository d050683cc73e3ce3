"""`byline export --to litdata --drop-mask`: rows of ids are there, the mask and the borders of documents are lost."""

import numpy as np
import pytest
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader

import byline
from tests.trainers.conftest import BUILDS
from tests.trainers.packings import PACKINGS, PHASES
from tests.trainers.recorder import check_order

# What comes of that, and nothing else.
LOST = {
    "that see other tokens, at another position",
    "trained though the loss mask leaves them out",
    "trained more often than they are in the shards",
    "trained at the start of a segment, from the document before it",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_blocks_are_rows(packing, phase, tmp_path):
    """As litgpt takes them: it trains every token of a block but its first, each of which sees all before it."""
    shards = byline.open(BUILDS / packing).phase(phase)
    folder, length = BUILDS / "litdata" / packing / phase, shards.sequence_length
    dataset = StreamingDataset(str(folder), cache_dir=str(tmp_path), item_loader=TokensLoader(block_size=length))
    blocks = [block.numpy() for block in StreamingDataLoader(dataset, batch_size=8)]
    check_order(blocks, shards)
    report = byline.audit(map(trained_by_litgpt, blocks), shards, "plus_one")
    lost = {each.what: each.count for each in report.differences}
    assert not report.is_equal
    assert lost.keys() <= LOST
    assert report.trained == len(shards) * (length - 1)
    assert report.trained - report.expected == sum(count for what, count in lost.items() if what.startswith("trained"))


def trained_by_litgpt(block: np.ndarray) -> dict[str, np.ndarray]:
    positions = np.broadcast_to(np.arange(block.shape[1] - 1), block[:, 1:].shape)
    return {"inputs": block[:, :-1], "targets": block[:, 1:], "position_ids": positions}
