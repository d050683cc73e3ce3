"""Rows a second of each way to read a build, in order and at random: `python -m benchmarks.reading [BUILD]`.

```
                                    in order   at random    rows a second, the median of several rounds
raw memmap                           427,848     375,923
shards.batch                         142,436      22,190
DataLoader, 2 workers                 12,209       8,000    where torch is installed
```

Without a build, one of made rows is written to a temporary folder. All ways take turns, so that what else the machine
does strikes all alike. What is not installed (torch, datasets) is left out.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import byline
from benchmarks.made_shards import write_made_build

BATCH = 64
ROUNDS = 3
SEED = 0
# A way to read: row numbers of batches -> the batches.
Read = Callable[[list[np.ndarray]], Iterable[Any]]


def ways(shards: byline.Shards, folder: Path) -> dict[str, Read]:
    """Name -> a way to read batches of rows."""
    found: dict[str, Read] = {
        "raw memmap": raw_memmap(shards, folder),
        "rows one by one": lambda batches: ([shards[int(row)] for row in batch] for batch in batches),
        "shards.batch": lambda batches: map(shards.batch, batches),
        "Parquet, row groups": parquet(shards, folder),
    }
    for prefetch in (0, 1, 4):
        found[f"shards.loader, prefetch={prefetch}"] = loader(shards, prefetch)
    if find_spec("torch"):
        for workers in (0, 1, 2, 4):
            found[f"DataLoader, {workers} workers"] = data_loader(shards, workers)
    if find_spec("datasets"):
        found["datasets"] = hugging_face(shards, folder)
    return found


def raw_memmap(shards: byline.Shards, folder: Path) -> Read:
    """Ids and masks of all rows in two files, without anything else."""
    shape = (len(shards), shards.sequence_length)
    ids = np.memmap(folder / "ids", np.int32, "w+", shape=shape)
    mask = np.memmap(folder / "mask", np.uint8, "w+", shape=shape)
    for start in range(0, len(shards), 1000):
        rows = shards.batch(range(start, min(start + 1000, len(shards))))
        ids[start : start + 1000], mask[start : start + 1000] = rows["input_ids"], rows["loss_mask"]
    return lambda batches: ((ids[batch], mask[batch]) for batch in batches)


def loader(shards: byline.Shards, prefetch: int) -> Read:
    """In order, or shuffled by phase, which is what comes nearest to the rows that are asked for."""

    def read(batches: list[np.ndarray]) -> Iterator[byline.Rows]:
        shuffle = None if (np.diff(batches[0]) == 1).all() else "phase"
        made = shards.loader(batch=BATCH, shuffle=shuffle, seed=SEED, prefetch=prefetch)
        return (next(made) for _ in batches)

    return read


def parquet(shards: byline.Shards, folder: Path) -> Read:
    """Row groups of 1,000 rows, of which the last is kept."""
    path, kept = folder / "rows.parquet", {}
    writer = None
    for start in range(0, len(shards), 1000):
        rows = shards.batch(range(start, min(start + 1000, len(shards))))
        table = pa.table({"input_ids": list(rows["input_ids"]), "loss_mask": list(rows["loss_mask"])})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    file = pq.ParquetFile(path)

    def row(number: int) -> tuple[Any, Any]:
        group, inside = divmod(number, 1000)
        if group not in kept:
            kept.clear()
            kept[group] = file.read_row_group(group).combine_chunks()
        return tuple(kept[group][name][inside].values.to_numpy() for name in ("input_ids", "loss_mask"))

    return lambda batches: ([row(int(number)) for number in batch] for batch in batches)


def data_loader(shards: byline.Shards, workers: int) -> Read:
    """PyTorch's, with the data set of the adapter."""
    from torch.utils.data import DataLoader

    from byline.adapters.torch import ShardDataset, whole

    def read(batches: list[np.ndarray]) -> Iterable[Any]:
        sampler = [batch.tolist() for batch in batches]
        return DataLoader(ShardDataset(shards), batch_sampler=sampler, num_workers=workers, collate_fn=whole)

    return read


def hugging_face(shards: byline.Shards, folder: Path) -> Read:
    """The shards as `datasets` copies and maps them, as numpy arrays."""
    from datasets import load_dataset

    files = [str(Path(shards.directory) / entry.path) for phase in shards.manifest.phases for entry in phase.shards]
    data = load_dataset("arrow", data_files=files, split="train", cache_dir=str(folder / "cache")).with_format("numpy")
    return lambda batches: (data[batch.tolist()] for batch in batches)


def rate(read: Read, batches: list[np.ndarray], seconds: float) -> float:
    """Rows a second, from the second batch on, as workers take a while to start."""
    iterator = iter(read(batches))
    next(iterator)
    count, start = 0, time.perf_counter()
    for _ in iterator:
        count += 1
        if time.perf_counter() - start > seconds:
            break
    return count * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Rows a second of each way to read a build.")
    parser.add_argument("build", nargs="?", help="output folder of a build; without one, made rows are read")
    parser.add_argument("--rows", type=int, default=20_000, help="how many rows are made")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.build is None:
            write_made_build(folder / "build", 4, options.rows // 4)
        shards = byline.open(options.build or folder / "build")
        numbers = np.arange(len(shards) // BATCH * BATCH)
        shuffled = np.random.default_rng(SEED).permutation(numbers)
        orders = {"in order": numbers.reshape(-1, BATCH), "at random": shuffled.reshape(-1, BATCH)}
        print(f"{shards}, batches of {BATCH}\n\n{'':32}" + "".join(f"{order:>12}" for order in orders))
        found = ways(shards, folder)
        rates: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS):
            for way, read in found.items():
                for order, batches in orders.items():
                    rates.setdefault((way, order), []).append(rate(read, list(batches), options.seconds))
        for way in found:
            print(f"{way:32}" + "".join(f"{statistics.median(rates[way, order]):12,.0f}" for order in orders))


if __name__ == "__main__":
    main()
