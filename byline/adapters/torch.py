"""Byline's shards as a PyTorch map-style data set.

```python
import byline
from byline.adapters.torch import ShardDataset
from torch.utils.data import DataLoader

shards = byline.open("out/meco")
for batch in DataLoader(ShardDataset(shards), batch_size=8, num_workers=2):
    loss = model(input_ids=batch["input_ids"], labels=batch["labels"]).loss  # as a Hugging Face model takes them
    loss.backward()
```

No `shuffle`: the rows come in training order, phase after phase, and are already shuffled unless the recipe asks for
another order. A branch is a data set of its own: `ShardDataset(byline.open("out/meco", branch="cooldown-25"))`. To
continue from the timeline's checkpoint, start it at row `shards.branch_row("cooldown-25")`.
"""

import numpy as np
import torch
from torch.utils.data import Dataset

from byline.labels import labels
from byline.reader import Shards


class ShardDataset(Dataset):
    """Rows as dicts of tensors [L]: `input_ids` and `labels` int64 (-100 where no loss counts), `loss_mask` uint8."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.shards[index]
        arrays = {
            "input_ids": row["input_ids"].astype(np.int64),
            "labels": labels(row),
            "loss_mask": row["loss_mask"].copy(),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
