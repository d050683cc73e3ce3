"""A `StatefulDataLoader` of torchdata, stopped and resumed: `python examples/trainers/train_torchdata.py OUT`."""

import sys
from typing import Any

import torch
from tiny_model import tiny_model
from torchdata.stateful_dataloader import StatefulDataLoader

import byline
from byline.adapters.torch import ShardDataset, whole


def train(
    shards: byline.Shards,
    model: torch.nn.Module,
    state: dict[str, Any] | None = None,
    steps: int | None = None,
    workers: int = 2,
) -> dict[str, Any]:
    """Goes on from a state for so many steps, or to the end; returns the state to go on from."""
    loader = StatefulDataLoader(ShardDataset(shards), batch_size=8, num_workers=workers, collate_fn=whole)
    if state is not None:
        loader.load_state_dict(state)
    optimizer = torch.optim.AdamW(model.parameters())
    for step, batch in enumerate(loader, 1):
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.3f}")
        if step == steps:
            break
    return loader.state_dict()


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    llama = tiny_model(rows)
    train(rows, llama, train(rows, llama, steps=2))
