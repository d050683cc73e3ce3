"""A loop of one's own over a `DataLoader`: `python examples/trainers/train_torch.py OUT`, the folder of a build."""

import sys

import torch
from tiny_model import tiny_model
from torch.utils.data import DataLoader

import byline
from byline.adapters.torch import ShardDataset, whole


def train(shards: byline.Shards, model: torch.nn.Module, workers: int = 2) -> None:
    """One pass over the rows."""
    optimizer = torch.optim.AdamW(model.parameters())
    for step, batch in enumerate(DataLoader(ShardDataset(shards), batch_size=8, num_workers=workers, collate_fn=whole)):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step}: loss {loss.item():.3f}")


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    train(rows, tiny_model(rows))
