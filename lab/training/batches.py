"""Rows of a build as a model takes them, divided evenly over the steps of a training.

```
10 rows, 4 steps   step 0: rows 0 1    step 1: 2 3 4    step 2: 5 6    step 3: 7 8 9

row                BOS U  :  h  The cat EOS BOS A  dog EOS pad pad      two segments and padding
predicted          .   .  .  .  The cat EOS .   A  dog EOS .   .        the labels that `byline.collate` gives

input_ids          BOS U  :  h  The cat   BOS A  dog                    what the predictions are made of, and no more
groups             1 x 6                  1 x 3
targets            The cat EOS  A  dog EOS
at                 3   4   5    6  7   8                                the token of `input_ids` that predicts each
```

The last token of a segment predicts nothing, nor does what follows a segment's last target, nor padding: these are left
out. Segments of like length are a group; the shorter ones are filled at their ends, where nothing sees it.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

import byline
from byline.lab.training.model import Group

_IGNORED = -100
# What a group may have of tokens that fill: calling attention once more costs as much as some 16 tokens, on one core
# with models of 0.2 to 2 M parameters. In large groups a small share, so that batches of many rows have few groups.
_FILLING = 16
_FILLING_SHARE = 1 / 32


@dataclass(frozen=True)
class Batch:
    """Some rows.

    Attributes:
        input_ids: int64 [N], the segments, group after group.
        groups: of the segments.
        targets: int64 [m], the ids to predict.
        at: int64 [m], which of the N tokens predicts each.
        domains: int64 [m], the domain of each target's document.
        segments: int64 [m], which of the batch's segments each target is of, from 0; they ascend.
        positions: of the rows, n * L.
        weights: float32 [m], of the targets' losses; None of a build without loss weights.
    """

    input_ids: torch.Tensor
    groups: tuple[Group, ...]
    targets: torch.Tensor
    at: torch.Tensor
    domains: torch.Tensor
    segments: torch.Tensor
    positions: int
    weights: torch.Tensor | None = None

    def to(self, device: str) -> "Batch":
        """On that device."""
        if device == "cpu":
            return self
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        moved = {name: value.to(device, non_blocking=True) for name, value in tensors.items()}
        return Batch(**{**vars(self), **moved})


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
    """The rows as a batch; `input_ids` and `targets` are empty if nothing is predicted."""
    read = shards.batch(rows)
    made = byline.collate(read, "varlen")
    ids, trained = made["input_ids"], np.flatnonzero(made["labels"] != _IGNORED)
    starts = made["cu_seqlens"][:-1].astype(np.int64)
    of_target = np.searchsorted(starts, trained, side="right") - 1
    with_targets, segments = np.unique(of_target, return_inverse=True)
    starts = starts[with_targets]
    lengths = trained[np.searchsorted(segments, np.arange(len(starts)), side="right") - 1] - starts
    groups, sources, first = _laid_out(starts, lengths)
    return Batch(
        torch.from_numpy(ids[sources]),
        groups,
        torch.from_numpy(ids[trained]),
        torch.from_numpy(first[segments] + trained - starts[segments] - 1),
        torch.from_numpy(domains.of(read["doc_ids"])[of_target]),
        torch.from_numpy(segments),
        len(ids),
        torch.from_numpy(made["loss_weight"][trained]) if "loss_weight" in made else None,
    )


def _laid_out(starts: np.ndarray, lengths: np.ndarray) -> tuple[tuple[Group, ...], np.ndarray, np.ndarray]:
    """Groups of segments.

    Args:
        starts, lengths: int64 [S], of the segments in the rows' tokens.

    Returns:
        The groups; int64 [N], which token of the rows each of theirs is; int64 [S], where each segment begins in them.
    """
    order = np.argsort(-lengths, kind="stable")
    groups = grouped(lengths[order].tolist())
    sources, first, done, before = [np.empty(0, np.int64)], np.empty(len(starts), np.int64), 0, 0
    for count, length in groups:
        chosen = order[done : done + count, None]
        within = np.minimum(np.arange(length), lengths[chosen] - 1)
        sources.append((starts[chosen] + within).ravel())
        first[chosen[:, 0]] = before + length * np.arange(count)
        done, before = done + count, before + count * length
    return tuple(groups), np.concatenate(sources), first


def grouped(lengths: list[int]) -> list[Group]:
    """Segments of these lengths, the longest first, as groups: (how many, the longest's length)."""
    groups: list[Group] = []
    count = longest = filling = 0
    for length in lengths:
        filling += longest - length
        if count and filling > max(_FILLING, count * longest * _FILLING_SHARE):
            groups.append((count, longest))
            count = 0
        if not count:
            longest, filling = length, 0
        count += 1
    return [*groups, (count, longest)] if count else groups


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
