"""Rows of a build as a model takes them, divided evenly over the steps of a training.

```
10 rows, 4 steps       step 0: rows 0 1    step 1: 2 3 4    step 2: 5 6    step 3: 7 8 9

row            BOS U  :  h  The cat EOS BOS A
document       7   7  7  7  7   7   7   8   8        attention stays inside
position       0   1  2  3  4   5   6   0   1
label          -100 -100 -100 -100 The cat EOS -100 A         at their own tokens, as `byline.collate` gives them
predicted at               3       4   5        7            `at`: the position before each
```
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

import byline
from byline.adapters.torch import collate


@dataclass(frozen=True)
class Batch:
    """Some rows.

    Attributes:
        input_ids, position_ids, document_ids: int64 [n, L].
        targets: int64 [m], the ids to predict.
        at: int64 [m], which position of the n * L predicts each.
        domains: int64 [m], the domain of each target's document.
        segments: int64 [m], which segment of the batch each target is of; they ascend.
        positions: n * L.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    document_ids: torch.Tensor
    targets: torch.Tensor
    at: torch.Tensor
    domains: torch.Tensor
    segments: torch.Tensor

    @property
    def positions(self) -> int:
        return self.input_ids.numel()

    def to(self, device: str) -> "Batch":
        """On that device."""
        if device == "cpu":
            return self
        return Batch(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


class Domains:
    """The domain of a document is its source.

    Args:
        shards: of the build.

    Attributes:
        names: the sources, sorted.
    """

    def __init__(self, shards: byline.Shards) -> None:
        sources = {number: source for number, (source, _) in shards.inputs.items()}
        self.names = sorted(set(sources.values()))
        self._of_file = np.zeros(max(sources, default=0) + 1, np.int64)
        for number, source in sources.items():
            self._of_file[number] = self.names.index(source)

    def of(self, doc_ids: np.ndarray) -> np.ndarray:
        """int64, numbers in `names`, of doc ids; any number for padding."""
        return self._of_file[np.maximum(doc_ids, 0) >> 32]


def make_batch(shards: byline.Shards, rows: range, domains: Domains) -> Batch:
    """The rows as a batch."""
    made = collate(shards.batch(rows), "flex", add=("segment_ids", "doc_ids"))
    labels = made["labels"].reshape(-1)
    at = torch.nonzero(labels != -100).reshape(-1)
    doc_ids = made["doc_ids"].reshape(-1)[at].numpy()
    length = made["input_ids"].shape[1]
    # Unlike numbers in all rows, ascending: a row has at most L segments.
    segments = made["segment_ids"].reshape(-1)[at].long() + at // length * length
    return Batch(
        made["input_ids"],
        made["position_ids"],
        made["document_ids"],
        labels[at],
        at - 1,
        torch.from_numpy(domains.of(doc_ids)),
        segments,
    )


@dataclass(frozen=True)
class StepRows:
    """Which rows each step reads: step k those from floor(k r) to floor((k + 1) r)."""

    rows: int
    per_step: Fraction

    def of(self, step: int) -> range:
        """The rows of a step, from 0."""
        return range(self._start(step), self._start(step + 1))

    def _start(self, step: int) -> int:
        return min(int(step * self.per_step), self.rows)
