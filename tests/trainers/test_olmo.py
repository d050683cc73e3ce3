"""`byline export --to olmo`: what OLMo-core reads of it, as its own collator and its own labels have it.

`NumpyPackedFSLDataset` told where segments begin is exact; `NumpyFSLDataset` keeps rows, and guesses.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from olmo_core.data import DataCollator, NumpyFSLDataset, NumpyPackedFSLDataset
from olmo_core.data.numpy_dataset import NumpyFSLDatasetBase
from olmo_core.data.utils import get_labels

import byline
from byline.transforms.exports.export_manifest import read_export
from tests.trainers.conftest import BUILDS
from tests.trainers.packings import PACKINGS, PHASES
from tests.trainers.recorder import check_order

OTHERWISE = {"that see other tokens, at another position", "that see other tokens, at the same position"}


def dataset(kind: type[NumpyFSLDatasetBase], shards: byline.Shards, work: Path, **settings: object):
    """As docs/exports.md has it; shards of one phase."""
    folder, phase = BUILDS / "olmo" / Path(shards.directory).name, shards[0]["phase"]
    tokens = sorted(map(str, (folder / "tokens" / phase).glob("*.npy")))
    tokenizer = shards.manifest.tokenizer
    made = kind(
        *tokens,
        label_mask_paths=[path.replace("/tokens/", "/label_mask/") for path in tokens],
        sequence_length=shards.sequence_length,
        dtype=np.uint16,
        pad_token_id=tokenizer["pad_id"],
        eos_token_id=tokenizer["eos_id"],
        vocab_size=tokenizer["vocab_size"],
        generate_doc_lengths=True,
        **{"bos_token_id": tokenizer["bos_id"], **settings},
    )
    made.work_dir = work
    made.prepare()
    return made


def batches(made: NumpyFSLDatasetBase, first: int = 0, end: int | None = None) -> list[dict]:
    """What its train module gives to a model: labels shifted, attention within what it takes for documents.

    Its rotary positions count from a row's start, of which attention within documents sees differences alone.
    """
    collate = DataCollator(pad_token_id=made.pad_token_id)
    rows = range(first, len(made) if end is None else end)
    read = [collate([made[row] for row in rows[first : first + 8]]) for first in range(0, len(rows), 8)]
    return [
        {"input_ids": batch["input_ids"], "labels": get_labels(batch), "position_ids": positions(batch["doc_lens"])}
        for batch in read
    ]


def positions(lengths: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.cat([torch.arange(length) for length in row]) for row in lengths.tolist()])


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_anew_of_the_segments(packing, phase, tmp_path):
    """Exact, whatever the packing; rows are others, in another order."""
    shards = byline.open(BUILDS / packing).phase(phase)
    packed = batches(dataset(NumpyPackedFSLDataset, shards, tmp_path, use_array_if_local=False))
    assert byline.audit(packed, shards, "shifted").is_equal


@pytest.mark.parametrize("packing", PACKINGS)
def test_rows_as_they_are(packing, tmp_path):
    """Rows and loss mask are kept. Documents begin elsewhere in as many rows as the export says, and in no others."""
    build, otherwise, different = byline.open(BUILDS / packing), 0, 0
    for phase in PHASES:
        shards = build.phase(phase)
        made = dataset(NumpyFSLDataset, shards, tmp_path)
        check_order((made[row]["input_ids"] for row in range(len(made))), shards)
        for row in range(len(made)):
            report = byline.audit(batches(made, row, row + 1), shards[row : row + 1], "shifted")
            if made[row]["doc_lens"].tolist() == shards[row]["seq_lengths"].tolist():
                assert report.is_equal
            else:
                # Except under best_fit it is padding alone that is divided otherwise, which changes no target.
                otherwise += 1
                different += not report.is_equal
                assert {each.what for each in report.differences} <= OTHERWISE
    assert otherwise == sum(shard.otherwise for shard in read_export(str(BUILDS / "olmo" / packing)).shards) > 0
    assert (different > 0) == (packing == "best_fit")


def test_without_bos_every_document_ends_at_eos(tmp_path):
    """Where BOS and EOS are one token, it is a document of its own."""
    shards = byline.open(BUILDS / "concat").phase("cooldown")
    made = dataset(NumpyFSLDataset, shards, tmp_path, bos_token_id=None)
    assert made[0]["doc_lens"][0] == 1
    report = byline.audit(batches(made), shards, "shifted")
    assert not report.is_equal
    assert {each.what for each in report.differences} <= OTHERWISE
