"""AdamW (1711.05101), which decays matrices alone.

The numbers are PyTorch's: its function does each update. Its class does the same, and imports the compiler of PyTorch
for it, which takes 4 s of a core in each process: a small training takes 30.
"""

from typing import Any

import torch
from torch import nn
from torch.optim.adamw import adamw

_EPSILON = 1e-8


class AdamW:
    """The optimizer of a model.

    Args:
        model: whose parameters are trained, all of them in each step.
        betas: of the means of gradients and of their squares.
        weight_decay: of matrices.
    """

    def __init__(self, model: nn.Module, betas: tuple[float, float], weight_decay: float) -> None:
        self.betas, self.groups = betas, []
        weights = list(model.parameters())
        for is_matrix, decay in ((True, weight_decay), (False, 0.0)):
            chosen = [weight for weight in weights if (weight.dim() == 2) == is_matrix]
            self.groups.append(_Group(chosen, decay))

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """An update at this learning rate, and no gradients afterwards."""
        for group in self.groups:
            gradients = [weight.grad for weight in group.weights if weight.grad is not None]
            assert len(gradients) == len(group.weights), "a parameter has no gradient"
            adamw(
                group.weights,
                gradients,
                group.means,
                group.squares,
                [],
                group.steps,
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=rate,
                weight_decay=group.decay,
                eps=_EPSILON,
                maximize=False,
            )
            for weight in group.weights:
                weight.grad = None

    def state(self) -> list[dict[str, Any]]:
        """To go on from."""
        return [{"means": one.means, "squares": one.squares, "steps": one.steps} for one in self.groups]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Goes on from it. Raises: RuntimeError: it is of another model."""
        for group, saved in zip(self.groups, state, strict=True):
            for name, tensors in saved.items():
                for own, tensor in zip(getattr(group, name), tensors, strict=True):
                    own.copy_(tensor)


class _Group:
    """Parameters with one decay, and the means, squares and steps of each."""

    def __init__(self, weights: list[nn.Parameter], decay: float) -> None:
        self.weights: list[torch.Tensor] = [*weights]
        self.decay = decay
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.steps = [torch.zeros((), device=weight.device) for weight in weights]
