"""Olmix's log-linear law (arXiv 2602.12237; first in Data Mixing Laws, arXiv 2403.16952): a loss from shares.

```
y(p) = c + exp(t . p)        c > 0 is what no mixture takes away; t[i] < 0 where domain i lowers the loss
```

As the shares sum to one, no constant is needed beside t. Both are found by minimizing Olmix's Huber loss (delta 0.02),
by damped Gauss-Newton steps from several values of c, of which the best result counts: no draw is involved.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# `LogLinearRegressor.fit` of olmix/fit/utils.py.
DELTA = 0.02
# Values of c that are begun from, as shares of the lowest loss; the other parameters follow by least squares.
_STARTS = np.array([0.02, 0.2, 0.4, 0.6, 0.75, 0.85, 0.93, 0.98])
_STEPS = 150
# Steps without a gain in the best of them, after which no more are made.
_PATIENCE = 12
# exp() of more would be far from any loss.
_LARGEST = 50.0


class LogLinear:
    """A law for one metric, fitted on construction.

    Args:
        shares: float64 (n, k).
        losses: float64 (n,), non-negative.
    """

    is_smooth = True

    def __init__(self, shares: Array, losses: Array) -> None:
        self.parameters = _fit(shares, losses)

    @staticmethod
    def parameters_of(domains: int) -> int:
        """How many numbers a fit finds."""
        return domains + 1

    def predict(self, shares: Array) -> Array:
        """float64 (n,): the loss of each mixture."""
        return _law(self.parameters[None], shares)[0]


def _law(parameters: Array, shares: Array) -> Array:
    """float64 (s, n) for s sets of parameters (ln c, t)."""
    return np.asarray(np.exp(parameters[:, :1]) + np.exp(np.minimum(parameters[:, 1:] @ shares.T, _LARGEST)))


def _fit(shares: Array, losses: Array) -> Array:
    """float64 (k + 1,): ln c and t."""
    parameters = _starts(shares, losses)
    damping = np.full(len(parameters), 1e-3)
    costs = _huber(_law(parameters, shares) - losses)
    lowest: list[float] = []
    for _ in range(_STEPS):
        tried = np.clip(parameters - _step(parameters, shares, losses, damping), -_LARGEST, _LARGEST)
        tried_costs = _huber(_law(tried, shares) - losses)
        better = tried_costs < costs
        parameters = np.where(better[:, None], tried, parameters)
        costs = np.where(better, tried_costs, costs)
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-12, 1e8)
        lowest.append(float(costs.min()))
        if len(lowest) > _PATIENCE and lowest[-1 - _PATIENCE] - lowest[-1] <= 1e-8 * lowest[-1] + 1e-16:
            break
    return np.asarray(parameters[int(np.argmin(costs))])


def _starts(shares: Array, losses: Array) -> Array:
    """float64 (s, k + 1)."""
    lowest = max(float(losses.min()), 1e-6)
    rows = []
    for share in _STARTS:
        constant = share * lowest
        exponents, *_ = np.linalg.lstsq(shares, np.log(np.maximum(losses - constant, 1e-6)), rcond=1e-6)
        rows.append([np.log(constant), *exponents])
    return np.clip(np.array(rows), -_LARGEST, _LARGEST)


def _step(parameters: Array, shares: Array, losses: Array, damping: Array) -> Array:
    """A step for each set of parameters; residuals beyond delta weigh as in Huber's loss."""
    constants = np.exp(parameters[:, :1])
    raised = np.exp(np.minimum(parameters[:, 1:] @ shares.T, _LARGEST))
    residuals = constants + raised - losses
    weights = np.minimum(1.0, DELTA / np.maximum(np.abs(residuals), 1e-300))
    slopes = np.concatenate([np.broadcast_to(constants[..., None], (*raised.shape, 1)), raised[..., None] * shares], -1)
    weighted = slopes * weights[..., None]
    curvature = weighted.swapaxes(1, 2) @ slopes
    gradient = (weighted.swapaxes(1, 2) @ residuals[..., None])[..., 0]
    size = np.einsum("sii->si", curvature)
    diagonal = damping[:, None] * (size + 1e-3 * size.max(axis=1, keepdims=True) + 1e-12)
    curvature = curvature + np.einsum("si,ij->sij", diagonal, np.eye(curvature.shape[-1]))
    return np.asarray(np.linalg.solve(curvature, gradient[..., None])[..., 0])


def _huber(residuals: Array) -> Array:
    """float64 (s,): summed over the runs."""
    sizes = np.abs(residuals)
    return np.where(sizes <= DELTA, sizes**2 / 2, DELTA * (sizes - DELTA / 2)).sum(axis=1)
