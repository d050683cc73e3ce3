"""RegMix's regression (arXiv 2407.01492): boosted trees of LightGBM (the extra `lightgbm`).

```
learning rate 0.01, 1000 trees, L2        no leaf of fewer than n / 8 runs, nor more than 20 asked for
```

The first line is RegMix's. LightGBM's own 20 runs a leaf leave nothing to learn from where there are fewer than 40.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byline.errors import BylineError

Array = NDArray[np.float64]

TREES = 1000
SETTINGS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.01,
    "seed": 42,
    # One thread and one order of additions, so that the same runs give the same trees.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class BoostedTrees:
    """Trees for one metric, fitted on construction.

    Args:
        shares: float64 (n, k).
        losses: float64 (n,).

    Raises:
        BylineError: LightGBM is not installed.
    """

    is_smooth = False

    def __init__(self, shares: Array, losses: Array) -> None:
        try:
            import lightgbm
        except ImportError as error:
            raise BylineError(
                f"regression: lightgbm is not installed ({error}); pip install 'byline[lightgbm]'"
            ) from None
        leaf = min(20, max(2, len(losses) // 8))
        data = lightgbm.Dataset(shares, losses, params={"verbosity": -1})
        self._trees = lightgbm.train({**SETTINGS, "min_data_in_leaf": leaf}, data, TREES)

    @staticmethod
    def parameters_of(domains: int) -> int:
        """With fewer runs than two for each domain trees have little to split."""
        return 2 * domains

    def predict(self, shares: Array) -> Array:
        """float64 (n,): the loss of each mixture."""
        return np.asarray(self._trees.predict(shares, num_threads=1), np.float64)
