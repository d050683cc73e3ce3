"""Ways to read the same rows from files on a disk, each as whoever publishes it has it: ids and masks of a batch.

```
                          files                                   read by
raw memmap                ids [rows, L] int32, mask uint8         numpy, nothing else
Byline                    the shards                              `shards.batch`
MDS                       `byline export --to mds`                mosaicml-streaming: `StreamingDataset`, by samples
ArrayRecord               ids and mask of a row, one after the    array_record: `ArrayRecordDataSource`, all rows of a
                          other; group_size:1                     batch at once
Parquet                   row groups of 100 rows                  pyarrow, each row group that a batch has rows of once
datasets                  the shards                              `load_dataset("arrow")`, as numpy arrays (int64)
```
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import byline

ROW_GROUP = 100
# Rows that are copied at once where files are made.
PIECE = 1000
COLUMNS = ("input_ids", "loss_mask")

# Row numbers, int64 [n] -> `input_ids` int32 [n, L] and `loss_mask` uint8 [n, L], in new arrays; from datasets int64.
Batch = dict[str, np.ndarray]
Fetch = Callable[[np.ndarray], Batch]
Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        name: in the table.
        open: makes its files in a folder, from these shards, and says how rows are read of them.
        needs: modules that it imports.
        install: what gives these modules.
    """

    name: str
    open: Callable[[byline.Shards, Path], Fetch]
    needs: tuple[str, ...] = ()
    install: str = ""


class PerProcess(Generic[Opened]):
    """What a process opens for itself, so that a forked worker does not go on with its parent's files and threads."""

    def __init__(self, opened: Callable[[], Opened]) -> None:
        self._opened = opened
        self._of_process: tuple[int, Opened] | None = None

    def get(self) -> Opened:
        """What this process has opened."""
        if self._of_process is None or self._of_process[0] != os.getpid():
            self._of_process = os.getpid(), self._opened()
        return self._of_process[1]


def raw_memmap(shards: byline.Shards, folder: Path) -> Fetch:
    """Ids and masks of all rows in two files, without anything else."""
    shape = (len(shards), shards.sequence_length)
    ids = np.memmap(folder / "ids", np.int32, "w+", shape=shape)
    mask = np.memmap(folder / "mask", np.uint8, "w+", shape=shape)
    for numbers, rows in _pieces(shards):
        ids[numbers], mask[numbers] = rows["input_ids"], rows["loss_mask"]
    return lambda numbers: {"input_ids": ids[numbers], "loss_mask": mask[numbers]}


def byline_shards(shards: byline.Shards, folder: Path) -> Fetch:
    """All columns are read, and two of them given."""

    def fetch(numbers: np.ndarray) -> Batch:
        rows = shards.batch(numbers)
        return {"input_ids": rows["input_ids"], "loss_mask": rows["loss_mask"]}

    return fetch


def mds(shards: byline.Shards, folder: Path) -> Fetch:
    """As `byline export` writes it; the mask is 1 where a token is predicted."""
    command = [sys.executable, "-m", "byline.pipelines.cli", "export", shards.directory, "--to", "mds", folder / "mds"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return mds_of(folder / "mds", shards.phases)


def mds_of(folder: Path, phases: Sequence[str]) -> Fetch:
    """What an export has, a stream for each phase; samples by their numbers, in order too."""
    from streaming import Stream, StreamingDataset

    streams = [Stream(local=str(folder / phase)) for phase in phases]
    data = StreamingDataset(streams=streams, shuffle=False, batch_size=1)

    def fetch(numbers: np.ndarray) -> Batch:
        samples = [data[number] for number in numbers.tolist()]
        return {
            "input_ids": np.stack([sample["input_ids"] for sample in samples]).view(np.int32),
            "loss_mask": np.stack([sample["mask"] for sample in samples]),
        }

    return fetch


def array_record(shards: byline.Shards, folder: Path) -> Fetch:
    """A record has the bytes of a row's ids, then of its mask; one record a chunk, as grain asks for."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from array_record.python.array_record_module import ArrayRecordWriter

    path, length = str(folder / "rows.array_record"), shards.sequence_length
    writer = ArrayRecordWriter(path, "group_size:1")
    for _, rows in _pieces(shards):
        for ids, mask in zip(rows["input_ids"], rows["loss_mask"], strict=True):
            writer.write(ids.tobytes() + mask.tobytes())
    writer.close()
    source = PerProcess(lambda: ArrayRecordDataSource(path))

    def fetch(numbers: np.ndarray) -> Batch:
        records = np.frombuffer(b"".join(source.get().__getitems__(numbers.tolist())), np.uint8).reshape(-1, 5 * length)
        ids = np.ascontiguousarray(records[:, : 4 * length]).view(np.int32)
        return {"input_ids": ids, "loss_mask": records[:, 4 * length :].copy()}

    return fetch


def parquet(shards: byline.Shards, folder: Path) -> Fetch:
    """Lists of L; of the row groups, the last that was read is kept."""
    path, length = folder / "rows.parquet", shards.sequence_length
    types = {"input_ids": pa.list_(pa.int32(), length), "loss_mask": pa.list_(pa.uint8(), length)}
    with pq.ParquetWriter(path, pa.schema(list(types.items()))) as writer:
        for _, rows in _pieces(shards):
            columns = [rows["input_ids"], rows["loss_mask"]]
            arrays = [pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), length) for values in columns]
            writer.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), row_group_size=ROW_GROUP)
    file = PerProcess(lambda: pq.ParquetFile(path))
    kept: dict[int, Batch] = {}

    def row_group(number: int) -> Batch:
        if number not in kept:
            table = file.get().read_row_group(number).combine_chunks()
            kept.clear()
            kept[number] = {
                name: table[name].chunk(0).flatten().to_numpy().reshape(-1, length) for name in table.column_names
            }
        return kept[number]

    def fetch(numbers: np.ndarray) -> Batch:
        of_group, inside = np.divmod(numbers, ROW_GROUP)
        ids, mask = np.empty((len(numbers), length), np.int32), np.empty((len(numbers), length), np.uint8)
        for number in np.unique(of_group):
            rows, targets = row_group(int(number)), of_group == number
            ids[targets] = rows["input_ids"][inside[targets]]
            mask[targets] = rows["loss_mask"][inside[targets]]
        return {"input_ids": ids, "loss_mask": mask}

    return fetch


def hugging_face(shards: byline.Shards, folder: Path) -> Fetch:
    """The shards as `datasets` copies and maps them; its numpy arrays are int64, whatever the columns are."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    parts = [phase.shards[:count] for phase, count in shards.manifest.training_order()]
    files = [str(Path(shards.directory) / entry.path) for part in parts for entry in part]
    rows = load_dataset("arrow", data_files=files, split="train", cache_dir=str(folder / "cache"))
    data = rows.select_columns(list(COLUMNS)).with_format("numpy")
    return lambda numbers: data[numbers.tolist()]


RAW = Way("raw memmap", raw_memmap)
WAYS = (
    RAW,
    Way("Byline, shards.batch", byline_shards),
    Way("MDS", mds, ("streaming", "apache_beam"), "pip install '.[build]' mosaicml-streaming"),
    Way("ArrayRecord", array_record, ("array_record",), "pip install array_record"),
    Way("Parquet, row groups of 100", parquet),
    Way("datasets", hugging_face, ("datasets",), "pip install datasets"),
)


def _pieces(shards: byline.Shards) -> Iterator[tuple[slice, byline.Rows]]:
    """All rows, a thousand at a time, and where they are."""
    for start in range(0, len(shards), PIECE):
        end = min(start + PIECE, len(shards))
        yield slice(start, end), shards.batch(range(start, end))
