"""Rows a second of PyTorch's `DataLoader` with workers, as ratios to none: `python -m benchmarks.torch_workers`.

```
batches of 512            none    1 worker    2 workers    4 workers
Byline                  60,000        0.80         0.90         0.85    medians of several rounds
nothing                                 12           10            5    batches that are made of nothing
```

What is read are 20,000 made rows of L = 2048 in a temporary folder, in order, several times over. All take turns, so
that what else the machine does strikes all alike. The second line is what `DataLoader` itself could give, whatever
reads. The first batches are not measured: workers have to start, and to find out how much memory a batch needs.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

import byline
from benchmarks.made_shards import write_made_build
from byline.adapters.torch import ShardDataset, whole

ROWS, PASSES, WORKERS = 20_000, 8, (0, 1, 2, 4)
FIRST = 32  # batches that are not measured


class Nothing(Dataset):
    """A data set of no bytes."""

    def __getitems__(self, numbers: list[int]) -> int:
        return len(numbers)


def first(batch: Any) -> Any:
    """A `collate_fn`, where the data set has made the batch."""
    return batch


def loader(dataset: Dataset, batch: int, workers: int) -> DataLoader:
    """All batches, several times over."""
    numbers = np.tile(np.arange(ROWS // batch * batch), PASSES).reshape(-1, batch).tolist()
    collate_fn = first if isinstance(dataset, Nothing) else whole
    return DataLoader(dataset, batch_sampler=numbers, num_workers=workers, collate_fn=collate_fn)


def rate(batches: Iterable[Any], size: int, seconds: float) -> float:
    """Rows a second, once all workers have started and are used to the size of a batch."""
    iterator = iter(batches)
    for _ in range(FIRST):
        next(iterator)
    count, start = 0, time.perf_counter()
    for batch in iterator:
        if isinstance(batch, dict):
            # A value of each page, as whoever trains on it reads all.
            batch["labels"][:, ::512].sum()
        count += size
        if time.perf_counter() - start > seconds:
            break
    return count / (time.perf_counter() - start)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Rows a second of a DataLoader with workers.")
    parser.add_argument("--batch", type=int, nargs="*", default=[64, 512], help="rows of a batch")
    parser.add_argument("--seconds", type=float, default=0.7, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements")
    options = parser.parse_args()
    # More workers than cores are what is asked about.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    with tempfile.TemporaryDirectory() as name:
        write_made_build(Path(name), 4, ROWS // 4)
        datasets = {"Byline": ShardDataset(byline.open(name)), "nothing": Nothing()}
        rates: dict[tuple[int, str, int], list[float]] = {}
        for _ in range(options.rounds):
            for size in options.batch:
                for what, dataset in datasets.items():
                    for workers in WORKERS:
                        measured = rate(loader(dataset, size, workers), size, options.seconds)
                        rates.setdefault((size, what, workers), []).append(measured)
    medians = {key: statistics.median(values) for key, values in rates.items()}
    for size in options.batch:
        none = medians[size, "Byline", 0]
        print(f"batches of {size:<9}{'none':>14}" + "".join(f"{count:>8} workers" for count in WORKERS[1:]))
        for what in datasets:
            ratios = "".join(f"{medians[size, what, count] / none:16.2f}" for count in WORKERS[1:])
            print(f"{what:20}{medians[size, what, 0]:14,.0f}{ratios}")


if __name__ == "__main__":
    main()
