"""DoReMi (arXiv 2305.10429, Algorithm 1): domain weights from the excess loss of a proxy model over a reference model.

```
                                                     eta = 1, c = 0      c4     dclm
alpha_0  = u = 1/k                                   alpha_0             0.5    0.5
lambda_t = clipped excess losses                     lambda_1            0      ln 3
alpha'_t = alpha_{t-1} exp(eta lambda_t)             alpha'_1            0.5    1.5
alpha_t  = (1 - c) alpha'_t / sum(alpha'_t) + c u    alpha_1             0.25   0.75
weights  = mean of alpha_1 ... alpha_T
```

lambda_t[i] is the mean, over domain i's tokens in the batch of step t, of max(proxy's loss - reference's loss, 0). If
the trainer logs it, the updates are exactly the paper's. From a domain's mean losses only the clipped difference of the
means is known (`clipped_excess`), which is never larger: tokens on which the proxy is better offset the others.

Training the proxy is left to the trainer: it draws batches by u and weights the loss by alpha_t. The weights come

- from the log of a finished proxy run that was trained with these updates: `replay`, then the mean;
- or step by step in the training loop: `next_weights`, or the last row of `replay` over the log so far.
"""

import math

import numpy as np
from numpy.typing import NDArray

from byline.errors import BylineError

Array = NDArray[np.float64]

# "in all our experiments" (section 2, details for step 2).
ETA = 1.0
SMOOTHING = 1e-3


def clipped_excess(loss: Array, reference_loss: Array) -> Array:
    """max(loss - reference_loss, 0), elementwise; equal to the paper's only for the losses of single tokens."""
    return np.maximum(loss - reference_loss, 0.0)


def next_weights(weights: Array, excess: Array, eta: float = ETA, smoothing: float = SMOOTHING) -> Array:
    """One update: alpha_t from alpha_{t-1}.

    Args:
        weights: float64 (k,), sums to one.
        excess: float64 (k,), lambda_t, non-negative, in nats per token.
        eta: step size.
        smoothing: c, the share of uniform weights in the result; no weight is below c / k.

    Returns:
        float64 (k,), sums to one.
    """
    exponents = eta * excess
    # exp(800) is infinite, so the largest exponent is subtracted from all; the division cancels it. A weight of zero
    # stays zero whatever its exponent.
    largest = exponents[weights > 0].max()
    raised = weights * np.exp(np.minimum(exponents - largest, 0.0))
    return (1 - smoothing) * raised / raised.sum() + smoothing / len(weights)


def replay(excess: Array, eta: float = ETA, smoothing: float = SMOOTHING, initial: Array | None = None) -> Array:
    """All updates of a run.

    Args:
        excess: float64 (T, k), T >= 1; row t - 1 is lambda_t.
        eta, smoothing: as `next_weights`.
        initial: float64 (k,), alpha_0; None for uniform, as in the paper.

    Returns:
        float64 (T, k): alpha_1 ... alpha_T. Their mean over the rows is the result of Algorithm 1.

    Raises:
        BylineError: eta or smoothing is out of range, or eta times an excess loss overflows a float64.
    """
    _check(eta, smoothing, excess)
    steps, domains = excess.shape
    weights = np.full(domains, 1 / domains) if initial is None else initial
    path = np.empty((steps, domains))
    for step in range(steps):
        path[step] = weights = next_weights(weights, excess[step], eta, smoothing)
    return path


def _check(eta: float, smoothing: float, excess: Array) -> None:
    if not (math.isfinite(eta) and eta >= 0):
        raise BylineError(f"eta: expected a finite number from 0 on, found {eta}; the paper uses {ETA:g}")
    if not 0 <= smoothing <= 1:
        raise BylineError(f"smoothing: expected a number from 0 to 1, found {smoothing}; the paper uses {SMOOTHING:g}")
    if not math.isfinite(eta * float(excess.max())):
        raise BylineError(f"eta: {eta} times an excess loss of {excess.max()} is beyond a float64; take a smaller eta")
