"""That a way of benchmarks/reading_ways.py reads the rows of a build."""

import numpy as np

import byline
from benchmarks.reading_ways import Fetch


def same_rows(fetch: Fetch, shards: byline.Shards, dtypes: tuple[str, str] = ("int32", "uint8")) -> None:
    """Checks rows that follow each other, and rows from everywhere, in any order and one of them twice.

    Args:
        fetch: of the way.
        shards: of at least 8 rows.
        dtypes: of the ids and masks that it gives.
    """
    last = len(shards) - 1
    for numbers in ([2, 3, 4, 5], [last, 0, last // 2, 0, last // 2 + 1, last - 1]):
        batch, expected = fetch(np.array(numbers)), shards.batch(numbers)
        for name, dtype in zip(("input_ids", "loss_mask"), dtypes, strict=True):
            assert batch[name].dtype == dtype
            assert np.array_equal(batch[name], expected[name]), (name, numbers)
