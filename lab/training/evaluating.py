"""What a model makes of rows: by source, and of all together.

```
source    metric     value
addition  loss       0.21     mean of -log p over the targets, in nats
addition  accuracy   0.93     share of the targets that are what the model holds likeliest
addition  exact      0.80     share of the segments of which all targets are
all       loss       0.21
```

`exact` is what greedy decoding gives: it writes a segment's trained tokens if, and only if, each is the likeliest after
those before it. That takes one pass in place of one for each token.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

import byline
from byline.errors import BylineError
from byline.lab.training.batches import Batch, Domains, make_batch
from byline.lab.training.model import Transformer
from byline.lab.training.predicting import target_logits

# Of all sources together.
ALL = "all"
# Positions of one pass: with 4,096 ids their logits are 128 MiB.
_POSITIONS = 1 << 13


@dataclass(frozen=True)
class Measured:
    """One number.

    Attributes:
        source: of the documents, or `all`.
        metric: `loss`, `accuracy` or `exact`.
        value: of it.
        count: targets, or segments, that it is a mean of.
    """

    source: str
    metric: str
    value: float
    count: int


class EvaluationRows:
    """Rows to evaluate on, kept as batches.

    Args:
        batches: of the rows.
        names: of the domains.
    """

    def __init__(self, batches: list[Batch], names: list[str]) -> None:
        self.batches, self.names = batches, names

    @classmethod
    def of(cls, shards: byline.Shards) -> "EvaluationRows":
        """All rows of a view. Raises: BylineError: no token of theirs is predicted."""
        domains, rows = Domains(shards), max(1, _POSITIONS // shards.sequence_length)
        starts = range(0, len(shards), rows)
        made = [make_batch(shards, range(start, min(start + rows, len(shards))), domains) for start in starts]
        kept = [batch for batch in made if len(batch.targets)]
        if not kept:
            raise BylineError(
                f"{shards.directory}: none of the {len(shards):,} rows to evaluate has a token to predict"
            )
        return cls(kept, domains.names)


@torch.no_grad()
def evaluate(model: Transformer, rows: EvaluationRows, device: str = "cpu") -> list[Measured]:
    """Every metric of every source that has targets, then of all."""
    model.eval()
    parts = [_measure(model, batch.to(device)) for batch in rows.batches]
    model.train()
    losses, hits, domains, segments = (np.concatenate(one) for one in zip(*_numbered(parts), strict=True))
    present = np.unique(domains)
    measured = []
    for name, chosen in [
        *((rows.names[domain], domains == domain) for domain in present),
        (ALL, np.ones(len(domains), bool)),
    ]:
        exact = _whole(hits[chosen], segments[chosen])
        targets = int(chosen.sum())
        measured += [
            Measured(name, "loss", float(losses[chosen].mean(dtype=np.float64)), targets),
            Measured(name, "accuracy", float(hits[chosen].mean()), targets),
            Measured(name, "exact", float(exact.mean()), len(exact)),
        ]
    return measured


def _measure(model: Transformer, batch: Batch) -> list[np.ndarray]:
    """Losses, hits, domains and segments of a batch's targets."""
    logits = target_logits(model, batch)
    losses = functional.cross_entropy(logits, batch.targets, reduction="none")
    hits = logits.argmax(dim=-1) == batch.targets
    return [value.cpu().numpy() for value in (losses, hits, batch.domains, batch.segments)]


def _numbered(parts: list[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """The same, with segments numbered through all batches."""
    before = 0
    for losses, hits, domains, segments in parts:
        yield [losses, hits, domains, segments + before]
        before += int(segments.max(initial=0)) + 1


def _whole(hits: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """bool: of each segment, whether all of its targets are hit."""
    starts = np.flatnonzero(np.diff(segments, prepend=-1))
    return np.logical_and.reduceat(hits, starts) if len(starts) else np.empty(0, bool)
