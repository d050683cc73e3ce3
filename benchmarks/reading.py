"""Rows a second of each way to read a build, in order and at random: `python -m benchmarks.reading [BUILD]`.

```
in order                 no DataLoader       0 workers ...    rows a second, and their ratio to those of the raw memmap,
raw memmap             710,304  1.00   404,961  1.00          medians of several rounds
Byline, shards.batch   241,067  0.34   176,893  0.44
MDS                    not read: pip install '.[build]' mosaicml-streaming

from a store, 80,000 rows    0 ms: in order    0 ms: at random    20 ms: in order ...    until an answer begins
shards[i]                            17,091                344             19,296
```

Without a build, one of made rows is written to a temporary folder, and what other ways read is made of it. All ways
take turns, so that what else the machine does strikes all alike. What is not installed is named, with what installs it;
the columns of workers need torch.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import byline
from benchmarks.loopback_store import BUCKET, loopback_store
from benchmarks.made_shards import write_made_build
from benchmarks.reading_ways import RAW, WAYS, Fetch

BATCH = 64
SEED = 0
# Batches that are not counted: workers need a while to start, and begin with two each.
NOT_COUNTED = 8
ORDERS = ("in order", "at random")
PLAIN = "no DataLoader"

Numbers = Iterable[np.ndarray]
# Row numbers of batches, without end -> the batches.
Read = Callable[[Numbers], Iterable[Any]]


@dataclass(frozen=True)
class Cell:
    """One number of a table: what is read, where it stands, and in which order."""

    row: str
    column: str
    order: str
    read: Read
    environment: dict[str, str]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Rows a second of each way to read a build.")
    parser.add_argument("build", nargs="?", help="output folder of a build; without one, made rows are read")
    parser.add_argument("--rows", type=int, default=20_000, help="how many rows are made")
    parser.add_argument("--store-rows", type=int, default=80_000, help="how many are made in the store; 0: no store")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4], help="of DataLoaders")
    parser.add_argument("--latency", type=float, nargs="*", default=[0, 20], help="of the store, in ms")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement; from the store twice it")
    parser.add_argument("--rounds", type=int, default=3, help="of all measurements")
    options = parser.parse_args()
    # More workers than cores are what is asked about.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if options.build is None:
            write_made_build(folder / "build", 4, options.rows // 4)
        shards = byline.open(options.build or folder / "build")
        disk(shards, folder, options.workers, options.seconds, options.rounds)
    if options.store_rows:
        with tempfile.TemporaryDirectory() as name:
            write_made_build(Path(name), 8, options.store_rows // 8)
            store(Path(name), options.latency, 2 * options.seconds, options.rounds)


# --------------------------------------------------------------------------------------------------------------- disk


def disk(shards: byline.Shards, folder: Path, workers: Sequence[int], seconds: float, rounds: int) -> None:
    """The tables of files on a disk."""
    print(f"{shards}, batches of {BATCH}")
    absent = {way.name: f"not read: {way.install}" for way in WAYS if not all(map(find_spec, way.needs))}
    reads: list[tuple[str, str, Read]] = []
    columns = [PLAIN]
    if find_spec("torch"):
        columns += [f"{count} workers" for count in workers]
    else:
        print("no columns of DataLoaders: pip install torch")
    for way in WAYS:
        if way.name not in absent:
            fetch = way.open(shards, folder)
            reads.append((way.name, PLAIN, lambda batches, fetch=fetch: map(fetch, batches)))
            reads += [
                (way.name, column, lambda batches, fetch=fetch, count=count: data_loader(fetch, batches, count))
                for column, count in zip(columns[1:], workers, strict=False)
            ]
    reads += [
        ("Byline, for transformers", column, lambda batches, count=count: whole_batches(shards, batches, count))
        for column, count in zip(columns[1:], workers, strict=False)
    ]
    reads += [
        ("Byline, shards[i]", PLAIN, lambda batches: row_by_row(shards, batches)),
        ("Byline, shards.loader", PLAIN, lambda batches: loader(shards, batches, 0)),
    ]
    cells = [Cell(row, column, order, read, {}) for row, column, read in reads for order in ORDERS]
    rates = measure(cells, len(shards), seconds, rounds)
    for order in ORDERS:
        print(f"\n{order:30}" + "".join(f"{column:>18}" for column in columns))
        for row in dict.fromkeys([*(way.name for way in WAYS), *(row for row, _, _ in reads)]):
            shown = [
                f"{rates[row, column, order]:12,.0f} {rates[row, column, order] / rates[RAW.name, column, order]:5.2f}"
                if (row, column, order) in rates
                else f"{'':18}"
                for column in columns
            ]
            print(f"{row:30}" + absent.get(row, "".join(shown)).rstrip())


def data_loader(fetch: Fetch, batches: Numbers, workers: int) -> Iterable[Any]:
    """Ids and masks through PyTorch's, as tensors."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Batches(Dataset):
        def __getitems__(self, numbers: list[int]) -> Any:
            return {name: torch.from_numpy(values) for name, values in fetch(np.array(numbers)).items()}

    return DataLoader(Batches(), batch_sampler=map(np.ndarray.tolist, batches), num_workers=workers, collate_fn=same)


def same(batch: Any) -> Any:
    """A `collate_fn`, where the data set has made the batch."""
    return batch


def whole_batches(shards: byline.Shards, batches: Numbers, workers: int) -> Iterable[Any]:
    """Labels and positions, too, by the adapter's data set."""
    from torch.utils.data import DataLoader

    from byline.adapters.torch import ShardDataset, whole

    sampler = map(np.ndarray.tolist, batches)
    return DataLoader(ShardDataset(shards), batch_sampler=sampler, num_workers=workers, collate_fn=whole)


def row_by_row(shards: byline.Shards, batches: Numbers) -> Iterator[list[byline.Row]]:
    """`shards[i]`."""
    return ([shards[number] for number in batch.tolist()] for batch in batches)


def loader(shards: byline.Shards, batches: Numbers, prefetch: int) -> Iterator[byline.Rows]:
    """In order, or shuffled by phase, which is what comes nearest to the rows that are asked for."""
    shuffle = "phase" if (np.diff(next(iter(batches))) != 1).any() else None
    while True:
        yield from shards.loader(batch=BATCH, shuffle=shuffle, seed=SEED, prefetch=prefetch)


# -------------------------------------------------------------------------------------------------------------- store


def store(folder: Path, latencies: Sequence[float], seconds: float, rounds: int) -> None:
    """The table of the same rows in a store, opened anew for each measurement, so that nothing of it is kept."""
    length = len(byline.open(folder))

    def opened() -> byline.Shards:
        return byline.open(f"s3://{BUCKET}")

    reads: dict[str, Read] = {
        "shards[i]": lambda batches: row_by_row(opened(), batches),
        "shards.batch": lambda batches: map(opened().batch, batches),
        "shards.loader": lambda batches: loader(opened(), batches, 0),
        "shards.loader, prefetch=4": lambda batches: loader(opened(), batches, 4),
    }
    with ExitStack() as stack:
        stores = {f"{ms:g} ms": stack.enter_context(loopback_store(folder, ms / 1000)) for ms in latencies}
        cells = [
            Cell(row, column, order, read, environment)
            for row, read in reads.items()
            for column, environment in stores.items()
            for order in ORDERS
        ]
        rates = measure(cells, length, seconds, rounds)
    heads = [(column, order) for column in stores for order in ORDERS]
    print(f"\n{f'from a store, {length:,} rows':30}" + "".join(f"{f'{c}: {o}':>18}" for c, o in heads))
    for row in reads:
        print(f"{row:30}" + "".join(f"{rates[row, column, order]:18,.0f}" for column, order in heads))


# ------------------------------------------------------------------------------------------------------------ measure


def measure(cells: Sequence[Cell], length: int, seconds: float, rounds: int) -> dict[tuple[str, str, str], float]:
    """Rows a second of each cell, the median of so many rounds; all cells take turns."""
    numbers = np.arange(length // BATCH * BATCH)
    shuffled = np.random.default_rng(SEED).permutation(numbers)
    batches = {"in order": numbers.reshape(-1, BATCH), "at random": shuffled.reshape(-1, BATCH)}
    rates: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(rounds):
        for cell in cells:
            os.environ.update(cell.environment)
            of_cell = rates.setdefault((cell.row, cell.column, cell.order), [])
            of_cell.append(rate(cell.read(itertools.cycle(batches[cell.order])), seconds))
    return {key: statistics.median(values) for key, values in rates.items()}


def rate(batches: Iterable[Any], seconds: float) -> float:
    """Rows a second for about so many seconds, after some batches that are not counted, for a third of that at most."""
    iterator = iter(batches)
    next(iterator)
    start = time.perf_counter()
    for _ in range(NOT_COUNTED - 1):
        if time.perf_counter() - start > seconds / 3:
            break
        next(iterator)
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < seconds:
        next(iterator)
        count += 1
    return count * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
