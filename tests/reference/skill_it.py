"""Skill-it's mixtures, line by line as in Algorithm 1 and equations (2) and (4) of arXiv 2307.14430.

```
A = [[1, 1/2], [0, 1]]   L(f_1) = [1/2, 2]   eta = 1
p_1 ~ exp([3/2, 1])                                  line 3
p_2 ~ p_1 * exp([1/2 + 1/2 * 2, 2])                  equation (4)
p_2 ~ exp([1/2 + 1/2 * 2, 2])                        line 7, w = 1
```
"""

import math


def mixtures(graph: list[list[float]], losses: list[list[float]], eta: float, window: int | None) -> list[list[float]]:
    """p_1 ... p_T from the losses of T - 1 rounds; `window=None` is equation (4)."""
    skills = range(len(graph))
    path = [_normal([math.exp(eta * sum(row)) for row in graph])]
    for t in range(1, len(losses) + 1):
        rounds = [t] if window is None else [tau for tau in range(t - window + 1, t + 1) if tau >= 1]
        gains = [sum(_gain(graph[i], losses[tau - 1]) for tau in rounds) for i in skills]
        before = path[-1] if window is None else [1.0] * len(graph)
        path.append(_normal([before[i] * math.exp(eta * gains[i]) for i in skills]))
    return path


def next_losses(graph: list[list[float]], losses: list[float], mixture: list[float]) -> list[float]:
    """The paper's model of training, equation (2): L_j(f_t) = L_j(f_{t-1}) (1 - A[:, j] . p_{t-1})."""
    return [loss * (1 - sum(graph[i][j] * mixture[i] for i in range(len(mixture)))) for j, loss in enumerate(losses)]


def _gain(edges: list[float], losses: list[float]) -> float:
    return sum(edge * loss for edge, loss in zip(edges, losses, strict=True))


def _normal(values: list[float]) -> list[float]:
    total = math.fsum(values)
    return [value / total for value in values]
