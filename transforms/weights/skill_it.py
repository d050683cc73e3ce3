"""Skill-it (arXiv 2307.14430, Algorithm 1): a mixture for each round, from evaluation losses and a skills graph.

```
A (graph)   trained \\ evaluated   a     b       L (losses)  a     b       eta = 1, no window
            a                  [ 1     0.5 ]    round 1     0.5   2.0     p_1 ~ exp(1.5, 1.0)      = 0.62  0.38
            b                  [ 0     1   ]                              p_2 ~ p_1 exp(1.5, 2.0)  = 0.50  0.50
```

- line 3, "the softmax over A":   p_1[i] ~ exp(eta sum_j A[i, j])
- equation (4), `window=None`:    p_{t+1}[i] ~ p_t[i] exp(eta sum_j A[i, j] L_j(f_t))
- line 7, with a window w:        p_{t+1}[i] ~ exp(eta sum_{tau = t-w+1 .. t} sum_j A[i, j] L_j(f_tau))

L_j(f_t) is the loss on evaluation skill j at the start of round t, before the model is trained on p_t, so the losses of
T - 1 rounds give the mixtures of T. With a window, p_1 is not a factor of the later mixtures, and rounds before the
first have no losses. The paper uses w = 3 and eta from 0.1 to 0.8 whenever it has several rounds (appendix C.3). With
the identity for A (its "empty graph"), an update depends only on each skill's own loss; if all entries of A are equal,
the mixture stays uniform.
"""

import math

import numpy as np
from numpy.typing import NDArray

from byline.errors import BylineError

Array = NDArray[np.float64]

# Of LEGO, the first experiment (appendix C.3).
ETA = 0.5
WINDOW = 3


def schedule(graph: Array, losses: Array, eta: float = ETA, window: int | None = WINDOW) -> Array:
    """The mixtures of all rounds.

    Args:
        graph: float64 (k, m), A: k trained and m evaluated skills.
        losses: float64 (T - 1, m); row t - 1 has the losses at the start of round t.
        eta: learning rate.
        window: w, how many rounds an update looks back; None for equation (4), which looks back over all of them.

    Returns:
        float64 (T, k): p_1 ... p_T, each sums to one. Each depends only on the losses of earlier rounds, so the last
        row is the mixture for the next round.

    Raises:
        BylineError: eta or window is out of range, or eta times the losses overflows a float64.
    """
    _check(eta, window)
    first = graph.sum(axis=1)
    gains = losses @ graph.T
    if window is None:
        exponents = np.cumsum(np.vstack([first, gains]), axis=0)
    else:
        exponents = np.vstack([first, _sums_of_last(gains, window)])
    if not math.isfinite(eta * float(exponents.max())):
        raise BylineError(f"eta: {eta} times a sum of losses is beyond a float64; take a smaller eta")
    return _softmax(eta * exponents)


def _sums_of_last(gains: Array, window: int) -> Array:
    """(T - 1, k): the sum of each row and the `window` - 1 rows before it."""
    window = min(window, max(len(gains), 1))
    padded = np.vstack([np.zeros((window - 1, gains.shape[1])), gains])
    # Each window is summed on its own: differences of a running sum would accumulate its rounding errors.
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).sum(axis=-1) if len(gains) else gains


def _softmax(exponents: Array) -> Array:
    """Over each row, without overflow."""
    raised = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _check(eta: float, window: int | None) -> None:
    if not (math.isfinite(eta) and eta >= 0):
        raise BylineError(f"eta: expected a finite number from 0 on, found {eta}; the paper uses 0.1 to 0.8")
    if window is not None and window < 1:
        raise BylineError(f"window: expected a number of rounds from 1 on, found {window}; the paper uses {WINDOW}")
