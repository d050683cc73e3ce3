"""DoReMi's domain weights, line by line as in Algorithm 1 of arXiv 2305.10429.

```
alpha = [1/2, 1/2]   lambda = [0, ln 3]   eta = 1   c = 1/10
alpha'               = [0.5, 1.5]                            sum 2
alpha                = 9/10 [0.25, 0.75] + [0.05, 0.05]      = [0.275, 0.725]
```
"""

import math


def excess_of_tokens(tokens: list[tuple[float, float]]) -> float:
    """lambda of one domain in one batch: tokens are (loss of the proxy, loss of the reference)."""
    return sum(max(loss - reference, 0.0) for loss, reference in tokens) / len(tokens)


def all_weights(
    excess: list[list[float]], eta: float, c: float, initial: list[float] | None = None
) -> list[list[float]]:
    """alpha_1 ... alpha_T from lambda_1 ... lambda_T."""
    k = len(excess[0])
    alpha = [1 / k] * k if initial is None else initial
    path = []
    for lambda_t in excess:
        raised = [alpha[i] * math.exp(eta * lambda_t[i]) for i in range(k)]
        total = math.fsum(raised)
        alpha = [(1 - c) * raised[i] / total + c * (1 / k) for i in range(k)]
        path.append(alpha)
    return path


def final_weights(excess: list[list[float]], eta: float, c: float, initial: list[float] | None = None) -> list[float]:
    """What Algorithm 1 returns: 1/T times the sum of alpha_1 ... alpha_T."""
    path = all_weights(excess, eta, c, initial)
    return [math.fsum(alpha[i] for alpha in path) / len(path) for i in range(len(path[0]))]
