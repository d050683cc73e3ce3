"""What a trainer gives to a model, held against the shards.

```python
recorder = Recorder(model)
train(shards, model)            # the trainer's own loop
recorder.check(shards)          # each batch audited, and rows in training order
```
"""

from typing import Any

import numpy as np
import torch

import byline


class Recorder:
    """Keeps the arguments of each call of a model of transformers."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.batches: list[dict[str, Any]] = []
        self._hook = model.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, model: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        assert not arguments
        batch = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in named.items()}
        uses_cache = batch.pop("use_cache", None)
        if uses_cache is None:
            uses_cache = model.config.use_cache
        if uses_cache:
            # Positions that start again then mean nothing to it.
            batch.setdefault("attention_mask", torch.ones_like(batch["input_ids"]))
        self.batches.append(batch)

    def audit(self, shards: byline.Shards, form: str = "huggingface") -> byline.Audit:
        """What these batches train, against the shards."""
        return byline.audit(self.batches, shards, form)

    def check(self, shards: byline.Shards, form: str = "huggingface") -> None:
        """All targets are the shards', and rows come in their order."""
        report = self.audit(shards, form)
        assert report.is_equal, str(report)
        assert report.trained > 30 * len(shards)
        check_order((batch["input_ids"] for batch in self.batches), shards)


def check_order(ids: Any, shards: byline.Shards) -> None:
    """Tokens of all batches, one after another, are those of the rows in training order."""
    read = np.concatenate([np.asarray(each).reshape(-1, shards.sequence_length) for each in ids])
    assert np.array_equal(read, shards.batch(range(len(shards)))["input_ids"])
