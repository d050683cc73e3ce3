"""What a training minimises: the mean loss, or a loss whose domains have weights.

```
standard   mean of all targets' losses, by the loss weights of a build that has any
DoReMi     lambda[i] = mean over domain i's targets of max(loss of the model - loss of the reference, 0)
           alpha     = next_weights(alpha, lambda)                        (byline.transforms.weights.doremi)
           minimised: sum over i of alpha[i] * mean of domain i's losses
```

DoReMi's proxy (arXiv 2305.10429, Algorithm 1) reads domains evenly; a domain without a target in a batch keeps its last
lambda. An objective's `state` is what a training that was stopped goes on with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from byline.errors import BylineError
from byline.lab.training.batches import Batch
from byline.lab.training.checkpoints import load_model
from byline.lab.training.model import Transformer
from byline.lab.training.predicting import target_losses
from byline.transforms.weights.doremi import ETA, SMOOTHING, next_weights


class Objective(Protocol):
    """What the loop asks of it."""

    def __call__(self, losses: torch.Tensor, batch: Batch, names: list[str]) -> torch.Tensor:
        """The scalar to minimise, of the targets' losses [m]."""

    def state(self) -> dict[str, Any]:
        """To go on from."""

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from it."""

    def finish(self) -> None:
        """After the last step."""


class Standard:
    """The mean over all targets, each by its weight."""

    def __call__(self, losses: torch.Tensor, batch: Batch, names: list[str]) -> torch.Tensor:
        if batch.weights is None:
            return losses.mean()
        # Of targets without any weight, nothing.
        return (losses * batch.weights).sum() / batch.weights.sum().clamp(min=torch.finfo(torch.float32).tiny)

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass

    def finish(self) -> None:
        pass


class DoReMi:
    """Domains' losses by weights that follow the excess over a reference model.

    Args:
        reference: the trained reference model.
        log: a CSV file for `step,domain,excess_loss`, which `byline weights doremi` reads.
        eta, smoothing: of an update.

    Attributes:
        alpha: float64 [domains], the weights after the last update.
    """

    def __init__(self, reference: Transformer, log: Path, eta: float = ETA, smoothing: float = SMOOTHING) -> None:
        self.reference, self.log, self.eta, self.smoothing = reference.eval(), log, eta, smoothing
        self.alpha = np.empty(0)
        self.lines: list[str] = []
        self._excess = np.empty(0)

    def __call__(self, losses: torch.Tensor, batch: Batch, names: list[str]) -> torch.Tensor:
        if batch.weights is not None:
            raise BylineError("objective: doremi weighs domains itself; train it on a build without loss_weight")
        if not len(self.alpha):
            self.alpha, self._excess = np.full(len(names), 1 / len(names)), np.zeros(len(names))
        with torch.no_grad():
            excess = (losses - target_losses(self.reference.to(losses.device), batch)).clamp(min=0)
        counts = torch.bincount(batch.domains, minlength=len(names)).clamp(min=1)
        sums = torch.zeros(len(names), device=losses.device).index_add(0, batch.domains, excess)
        present = torch.bincount(batch.domains, minlength=len(names)).cpu().numpy() > 0
        self._excess = np.where(present, (sums / counts).double().cpu().numpy(), self._excess)
        self.alpha = next_weights(self.alpha, self._excess, self.eta, self.smoothing)
        self._write(names)
        means = torch.zeros(len(names), device=losses.device).index_add(0, batch.domains, losses) / counts
        return (torch.from_numpy(self.alpha).to(means) * means).sum()

    def state(self) -> dict[str, Any]:
        return {"alpha": self.alpha.tolist(), "excess": self._excess.tolist(), "lines": self.lines}

    def restore(self, state: dict[str, Any]) -> None:
        self.alpha, self._excess = np.array(state["alpha"]), np.array(state["excess"])
        self.lines = list(state["lines"])

    def _write(self, names: list[str]) -> None:
        step = len(self.lines) // len(names) + 1
        self.lines += [f"{step},{name},{value:.9g}" for name, value in zip(names, self._excess, strict=True)]

    def finish(self) -> None:
        """Writes the log."""
        self.log.write_text("\n".join(["step,domain,excess_loss", *self.lines]) + "\n", encoding="utf-8")


def objective_of(values: Mapping[str, Any], folder: Path) -> Objective:
    """The objective that a task names by its `kind`. Raises: BylineError: there is no such kind."""
    if values["kind"] == "doremi":
        return DoReMi(load_model(Path(values["reference"])), folder / "excess.csv", values["eta"], values["smoothing"])
    raise BylineError(f"objective: expected doremi, found {values['kind']!r}")
