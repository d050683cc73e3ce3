"""Ray Data: `python examples/trainers/train_ray.py OUT`, with the folder of a build."""

import sys
from functools import partial
from typing import Any

import numpy as np
import ray
import torch
from tiny_model import tiny_model

import byline


def read(batch: dict[str, np.ndarray], shards: byline.Shards) -> dict[str, Any]:
    """The rows of these numbers; in any process, as `shards` is sent as a path."""
    return byline.collate(shards.batch(batch["id"]))


def train(shards: byline.Shards, model: torch.nn.Module) -> None:
    """One pass over the rows, in training order."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    dataset = ray.data.range(len(shards)).map_batches(partial(read, shards=shards), batch_size=64)
    optimizer = torch.optim.AdamW(model.parameters())
    for batch in dataset.iter_torch_batches(batch_size=8, device="cpu"):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.3f}")


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    train(rows, tiny_model(rows))
