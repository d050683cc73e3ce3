"""Caps: the most that a mixture may take of a source, and who gets what a cap frees.

```
equal weights of 90; caps a 10, b -, c -        a 10, b 40, c 40              (UniMax, arXiv 2304.09151)
```
"""

from collections.abc import Mapping
from fractions import Fraction


def cap_weights(weights: Mapping[str, Fraction], caps: Mapping[str, Fraction], total: int) -> dict[str, Fraction]:
    """Weights under caps; what a cap frees goes to the other sources in proportion to their weights.

    With equal weights this is UniMax (arXiv 2304.09151, algorithm 1): there the sources are taken by size, and each
    takes the smaller of its cap and an equal part of what is left.

    Args:
        weights: source -> weight.
        caps: source -> positions at most; sources without one have no cap.
        total: positions in all.

    Returns:
        Weights that sum to one. Where every source is at its cap before the total is reached, the caps in proportion.
    """
    capped: dict[str, Fraction] = {}
    free = {source: weight for source, weight in weights.items() if weight > 0}
    while free:
        scale = (total - sum(capped.values(), Fraction(0))) / sum(free.values(), Fraction(0))
        over = [source for source, weight in free.items() if source in caps and weight * scale > caps[source]]
        if not over:
            break
        for source in over:
            capped[source] = caps[source]
            del free[source]
    if not free:
        scale = Fraction(0)
    given = {source: capped.get(source, free.get(source, Fraction(0)) * scale) for source in weights}
    reached = sum(given.values(), Fraction(0))
    return {source: stage / reached for source, stage in given.items()} if reached else dict(weights)
