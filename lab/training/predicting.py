"""What a model says of a batch's targets, in the same precision for training, evaluation and a reference."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional

from byline.lab.training.batches import Batch
from byline.lab.training.model import Transformer


def target_logits(model: Transformer, batch: Batch) -> torch.Tensor:
    """float32 [m, vocab_size]: of each target alone, as logits of all positions would cost as much as a block."""
    with _precision(batch.input_ids.device.type):
        hidden = model.hidden(batch.input_ids, batch.groups)
        return model.logits(hidden.index_select(0, batch.at)).float()


def target_losses(model: Transformer, batch: Batch) -> torch.Tensor:
    """float32 [m], of each target: -log p, in nats."""
    return functional.cross_entropy(target_logits(model, batch), batch.targets, reduction="none")


def _precision(device: str) -> AbstractContextManager[Any]:
    """bfloat16 on a GPU, where it is fast."""
    return torch.autocast(device, torch.bfloat16) if device == "cuda" else nullcontext()
