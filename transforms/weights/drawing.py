"""Mixtures for a swarm of proxy runs (RegMix, arXiv 2407.01492; Olmix, arXiv 2602.12237), drawn around the natural one.

```
sizes  code 1000, web 3000     natural q = 0.25, 0.75
s ~ log-uniform over strengths 0.1 to 5        p ~ Dirichlet(s q)        a small s leaves few domains with a share
p < 0.002 -> 0     caps     p to 6 places, sums to 1                     no two mixtures alike
```

Near-natural mixtures alone would tell a regression little, and mixtures far from it are of no use: hence the range of
strengths, which is Olmix's. The same arguments give the same mixtures.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from byline.errors import BylineError
from byline.transforms.weights.mixture_file import PLACES, decimals

Array = NDArray[np.float64]

# `ConfigDefaults` of olmix/generate/synthesize_mixture.py.
STRENGTHS = (0.1, 5.0)
MIN_WEIGHT = 0.002
# Of draws for each mixture: most are alike where a few domains have nearly everything.
_DRAWS = 200


def draw_mixtures(
    sizes: Mapping[str, int],
    count: int,
    seed: int,
    *,
    strengths: tuple[float, float] = STRENGTHS,
    min_weight: float = MIN_WEIGHT,
    caps: Mapping[str, float] | None = None,
) -> Array:
    """Draws mixtures, each once.

    Args:
        sizes: domain -> its tokens.
        count: N, how many.
        seed: decides them.
        strengths: the least and the largest concentration of the Dirichlet distribution.
        min_weight: a share below it becomes zero.
        caps: domain -> its largest share; what a cap takes goes to the other domains in proportion.

    Returns:
        float64 (N, k), in the order of `sizes`; each row sums to one and has 6 places.

    Raises:
        BylineError: an argument is out of range, or there are not so many mixtures.
    """
    _check(sizes, count, strengths, min_weight)
    natural = np.array([*sizes.values()], np.float64) / sum(sizes.values())
    most = np.ones(len(sizes)) if caps is None else written_caps(np.array([caps[name] for name in sizes], np.float64))
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[tuple[float, ...], None] = {}
    for _ in range(_DRAWS * count):
        strength = math.exp(generator.uniform(math.log(strengths[0]), math.log(strengths[1])))
        shares = generator.dirichlet(natural * strength)
        shares[shares < min_weight] = 0.0
        shares = under_caps(shares[None] / shares.sum(), most)[0]
        drawn.setdefault(tuple(float(share) for share in decimals(shares)))
        if len(drawn) == count:
            return np.array(list(drawn))
    raise BylineError(
        f"count: found {len(drawn)} different mixtures in {_DRAWS * count} draws, and {count} were asked for; "
        f"ask for fewer, raise the strengths or the epochs, or lower the least weight"
    )


def under_caps(weights: Array, caps: Array) -> Array:
    """Weights under caps; what a cap takes goes to the other domains in proportion to their weights, as in a plan.

    Where the domains with a weight cannot take all of it, those without one take the rest, in proportion to their caps.

    Args:
        weights: float64 (n, k), rows sum to one.
        caps: float64 (k,).

    Returns:
        float64 (n, k), rows sum to one, none above its cap.

    Raises:
        BylineError: the caps sum to less than one, so that no mixture is under them.
    """
    check_caps(caps)
    if (caps >= 1).all():
        return weights
    given = np.minimum(weights, caps)
    for _ in range(2 * len(caps)):
        rest = 1 - given.sum(axis=1, keepdims=True)
        if (rest < 10.0 ** -(PLACES + 6)).all():
            break
        room = caps - given
        free = np.where((weights > 0) & (room > 0), weights, 0.0)
        nobody = ~free.any(axis=1, keepdims=True)
        free = np.where(nobody, room, free)
        # A row that is full has no room left to divide by.
        given = np.minimum(given + rest * free / np.maximum(free.sum(axis=1, keepdims=True), 1e-300), caps)
    return given


def written_caps(caps: Array) -> Array:
    """Caps that hold for weights of 6 places, too, which may be rounded up; those of 1 or more are none."""
    return np.where(caps >= 1, 1.0, np.maximum(caps - 10.0**-PLACES, 0.0))


def check_caps(caps: Array) -> None:
    """Refuses caps under which there is no mixture. Raises: BylineError."""
    total = float(np.minimum(caps, 1).sum())
    if total < 1:
        raise BylineError(
            f"max_epochs: all domains together may give {total:.1%} of the tokens that are asked for; raise the epochs "
            f"or ask for fewer tokens"
        )


def _check(sizes: Mapping[str, int], count: int, strengths: tuple[float, float], min_weight: float) -> None:
    if len(sizes) < 2:
        raise BylineError(f"found {len(sizes)} domains ({', '.join(sizes)}); a mixture needs at least two sources")
    for name, size in sizes.items():
        if size <= 0:
            raise BylineError(f"{name}: has no tokens, so no share of a mixture can be of it; remove the source")
    if count < 1:
        raise BylineError(f"count: expected a number of mixtures from 1 on, found {count}")
    low, high = strengths
    if not (0 < low <= high < math.inf):
        raise BylineError(f"strength: expected two numbers above 0, the smaller first, found {low} and {high}")
    if not 0 <= min_weight <= 1 / len(sizes):
        raise BylineError(f"min_weight: expected a share from 0 to 1 / {len(sizes)} domains, found {min_weight}")
