"""grain, stopped and resumed: `python examples/trainers/train_grain.py OUT`, with the folder of a build.

The model is one of PyTorch; one of JAX takes the same arrays.
"""

import sys
from typing import Any

import grain
import torch
from tiny_model import tiny_model

import byline


def train(
    shards: byline.Shards, model: torch.nn.Module, state: dict[str, Any] | None = None, steps: int | None = None
) -> dict[str, Any]:
    """Goes on from a state for so many steps, or to the end; returns the state to go on from."""
    batches = iter(grain.MapDataset.source(shards).batch(8, batch_fn=byline.collate).to_iter_dataset())
    if state is not None:
        batches.set_state(state)
    optimizer = torch.optim.AdamW(model.parameters())
    for step, batch in enumerate(batches, 1):
        loss = model(**{name: torch.from_numpy(values) for name, values in batch.items()}, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.3f}")
        if step == steps:
            break
    return batches.get_state()


if __name__ == "__main__":
    rows = byline.open(sys.argv[1])[:40]
    llama = tiny_model(rows)
    train(rows, llama, train(rows, llama, steps=2))
