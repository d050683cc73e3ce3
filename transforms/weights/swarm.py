"""A mixture from a swarm of proxy runs (RegMix, arXiv 2407.01492; Olmix, arXiv 2602.12237).

```
ratios (N, k)   losses (N, m)                            candidates                     mixture
code  web       code  web        a regression for        0.4 0.6    mean 2.41
0.3   0.7       1.9   3.1   ->   each metric, and   ->   0.5 0.5    mean 2.38     ->    0.52 0.48
0.1   0.9       2.2   3.0        how well it ranks       ...
```

- Each regression is tried by cross-validation: runs are left out in turn, at most 10 times, and the rank correlation
  of what is predicted of them with what was measured is told. Where it is low, the mixture means little.
- The search is Olmix's: candidates from a Dirichlet distribution around the natural mixture, then around the best so
  far, ten times, all of them under the caps. A smooth law is followed to its lowest point by moving shares from domain
  to domain. The mixture is the one of the least mean of the predicted losses, plus `kl` times its divergence from the
  natural mixture (0.1 in Olmix's example), which holds it where the runs are.

The same arguments give the same mixture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from byline.errors import BylineError
from byline.transforms.weights.boosted_trees import BoostedTrees
from byline.transforms.weights.drawing import check_caps, under_caps
from byline.transforms.weights.log_linear import LogLinear

Array = NDArray[np.float64]

FOLDS = 10
# Of `SimulationProposer` of olmix/fit/utils.py, which takes 100,000 candidates for its 24 domains.
_ROUNDS = 10
_CANDIDATES = 20_000
_LEAST, _LARGEST = 1.0, 100.0
_NEAR_BEST = 1e-3
_SMALLEST_MOVE = 1e-5


class Regression(Protocol):
    """Predicts one metric; the class is called with shares and losses, and says how many runs it needs."""

    is_smooth: bool

    def predict(self, shares: Array) -> Array: ...


REGRESSIONS: dict[str, type[LogLinear] | type[BoostedTrees]] = {"log_linear": LogLinear, "lightgbm": BoostedTrees}


@dataclass(frozen=True)
class SwarmFit:
    """What a swarm came to.

    Attributes:
        weights: float64 (k,), the mixture.
        predicted: float64 (m,), the metrics that are predicted of it.
        predicted_natural: float64 (m,), those of the natural mixture.
        correlations: float64 (m,), Spearman's, of the cross-validation; NaN where one side is the same for all runs.
        errors: float64 (m,), the mean absolute error of the cross-validation.
        folds: of the cross-validation.
        needed: runs that each regression needs at least.
    """

    weights: Array
    predicted: Array
    predicted_natural: Array
    correlations: Array
    errors: Array
    folds: int
    needed: int


def fit_swarm(
    ratios: Array,
    losses: Array,
    *,
    regression: str = "log_linear",
    natural: Array | None = None,
    caps: Array | None = None,
    kl: float = 0.0,
    seed: int = 0,
) -> SwarmFit:
    """Fits a regression for each metric, and searches the mixture of the least mean.

    Args:
        ratios: float64 (N, k), N >= 2; rows sum to one.
        losses: float64 (N, m), non-negative; lower is better.
        regression: a key of `REGRESSIONS`.
        natural: float64 (k,), where the search begins; None for the mean of the runs.
        caps: float64 (k,), the largest share of each domain; None for none.
        kl: weight of the divergence from `natural`.
        seed: of the candidates.

    Raises:
        BylineError: an argument is out of range, or no mixture is under the caps.
    """
    _check(ratios, regression, kl)
    start = ratios.mean(axis=0) if natural is None else natural
    most = np.ones(ratios.shape[1]) if caps is None else caps
    check_caps(most)
    make = REGRESSIONS[regression]
    held_out, folds = _held_out(make, ratios, losses)
    laws: list[Regression] = [make(ratios, column) for column in losses.T]

    def predict(shares: Array) -> Array:
        return np.stack([law.predict(shares) for law in laws], axis=1)

    def objective(shares: Array) -> Array:
        return np.asarray(predict(shares).mean(axis=1) + kl * _divergence(shares, start))

    weights = _search(objective, start, most, seed)
    if laws[0].is_smooth:
        weights = _descend(objective, weights, most)
    return SwarmFit(
        weights=weights,
        predicted=predict(weights[None])[0],
        predicted_natural=predict(start[None])[0],
        correlations=np.array([spearman(*pair) for pair in zip(held_out.T, losses.T, strict=True)]),
        errors=np.abs(held_out - losses).mean(axis=0),
        folds=folds,
        needed=make.parameters_of(ratios.shape[1]),
    )


def spearman(first: Array, second: Array) -> float:
    """The correlation of ranks; equal values share the mean of theirs. NaN where one side has one value only."""
    ranks = np.stack([_ranks(first), _ranks(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=1))
    return float(centred[0] @ centred[1] / lengths.prod()) if lengths.all() else math.nan


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse.reshape(-1)])


def _held_out(make: Callable[[Array, Array], Regression], ratios: Array, losses: Array) -> tuple[Array, int]:
    """float64 (N, m): of each run what is predicted without it."""
    folds = min(FOLDS, len(ratios))
    fold = np.arange(len(ratios)) % folds
    predicted = np.empty_like(losses)
    for number in range(folds):
        left_out = fold == number
        for metric in range(losses.shape[1]):
            law = make(ratios[~left_out], losses[~left_out, metric])
            predicted[left_out, metric] = law.predict(ratios[left_out])
    return predicted, folds


def _search(objective: Callable[[Array], Array], natural: Array, caps: Array, seed: int) -> Array:
    """float64 (k,): the mean of the candidates that are nearly the best."""
    generator = np.random.Generator(np.random.PCG64(seed))
    around, best, lowest = natural, under_caps(natural[None], caps)[0], math.inf
    for number in range(_ROUNDS):
        strengths = 2 * (number + 1) * np.exp(generator.uniform(math.log(_LEAST), math.log(_LARGEST), _CANDIDATES))
        # Gammas divided by their sum are a Dirichlet distribution; a domain whose gamma vanishes has no share.
        gammas = generator.standard_gamma(np.maximum(strengths[:, None] * around, 1e-4)) + 1e-300
        shares = under_caps(gammas / gammas.sum(axis=1, keepdims=True), caps)
        values = objective(shares)
        near = shares[values - values.min() < _NEAR_BEST].mean(axis=0)
        value = float(objective(near[None])[0])
        if value < lowest:
            best, lowest = near, value
        around = (best + around) / 2
    return best


def _descend(objective: Callable[[Array], Array], weights: Array, caps: Array) -> Array:
    """Moves shares between pairs of domains while that lowers a smooth objective; the moves get smaller."""
    domains = len(weights)
    moves = np.array([np.eye(domains)[to] - np.eye(domains)[of] for of in range(domains) for to in range(domains)])
    size, lowest = 0.1, float(objective(weights[None])[0])
    while size > _SMALLEST_MOVE:
        tried = np.concatenate([weights + size * moves, weights + _partial(weights, caps, moves)])
        tried = tried[((tried >= -1e-12) & (tried <= caps + 1e-12)).all(axis=1)].clip(0)
        values = objective(tried)
        if values.min() < lowest - 1e-12:
            weights, lowest = tried[int(np.argmin(values))], float(values.min())
        else:
            size /= 2
    return weights / weights.sum()


def _partial(weights: Array, caps: Array, moves: Array) -> Array:
    """Each move as far as it can go, so that a domain gets to exactly zero or to its cap."""
    room = np.where(moves < 0, weights, np.where(moves > 0, caps - weights, np.inf)).min(axis=1)
    return np.where(np.isfinite(room), room, 0.0)[:, None] * moves


def _divergence(shares: Array, natural: Array) -> Array:
    """float64 (n,): KL(p || q), in nats."""
    ratio = np.where(shares > 0, shares, 1.0) / np.maximum(natural, 1e-12)
    return np.asarray((shares * np.log(ratio)).sum(axis=1))


def _check(ratios: Array, regression: str, kl: float) -> None:
    if regression not in REGRESSIONS:
        raise BylineError(f"regression: expected {' or '.join(REGRESSIONS)}, found {regression!r}")
    if len(ratios) < 2:
        raise BylineError("found one run; a regression needs several")
    if not (math.isfinite(kl) and kl >= 0):
        raise BylineError(f"kl: expected a finite number from 0 on, found {kl}; Olmix's example has 0.1")
