"""Megatron-core's indexed datasets: a pair of files a shard for the ids, and a pair for what is to be predicted.

```
conditioned/00003-of-00012.bin             ids, row after row: uint16, or int32 from 65,500 ids on
conditioned/00003-of-00012.idx             MMIDIDX\\0\\0  version 1  code of the type  sequences  documents
                                           lengths int32    offsets in bytes int64    first sequence of each row int64
conditioned/00003-of-00012_loss_mask.bin   uint8, 1 where a token is predicted; its .idx is the same but for the offsets
..._loss_weight.bin, .idx                  of a build with loss weights: float32, 0 where nothing is predicted

rows            0 22 27  5 | 8  0     3  4  5 | 6  7  1
sequences       0            1        2         3              a segment each
documents       0                     2                   4    a row each, and the end
```
"""

import struct
from contextlib import ExitStack

import numpy as np

from byline.transforms.exports.export_format import ExportFormat, ShardFiles, ShardRows, write_array

_MAGIC, _VERSION = b"MMIDIDX\x00\x00", 1
# Codes of the types, as Megatron-core numbers them.
_CODES = {"uint8": 1, "int32": 4, "float32": 7, "uint16": 8}
# What Megatron-core itself takes two bytes for.
_SMALL_VOCABULARY = 65_500


def index_bytes(lengths: np.ndarray, rows: np.ndarray, dtype: np.dtype) -> bytes:
    """The content of an `.idx` file.

    Args:
        lengths: int32 [S], of the sequences.
        rows: int64 [n + 1], the first sequence of each document, and how many sequences there are.
        dtype: of the values in the `.bin` file.
    """
    offsets = (np.cumsum(lengths, dtype=np.int64) - lengths) * dtype.itemsize
    head = _MAGIC + struct.pack("<QBQQ", _VERSION, _CODES[dtype.name], len(lengths), len(rows))
    return head + lengths.astype("<i4").tobytes() + offsets.astype("<i8").tobytes() + rows.astype("<i8").tobytes()


class Megatron(ExportFormat):
    """Ids and mask as indexed datasets; a row is a document, a segment a sequence."""

    name = "megatron"
    line = (
        "`PHASE/*.bin`, `.idx`: ids; `PHASE/*_loss_mask.bin`, `.idx`: uint8, 1 where a token is predicted; a document "
        "a row, a sequence a segment; of a build with weights `PHASE/*_loss_weight.bin`, `.idx`: float32 | "
        "Megatron-core's `IndexedDataset` | doc ids and doc offsets. `GPTDataset` reads "
        "neither the mask nor rows ([below](#megatron))"
    )
    keeps_weights = True
    note = "GPTDataset reads ids alone, and cuts rows anew: train with a dataset that reads the mask and rows"

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        dtype = np.dtype(np.uint16 if rows.vocabulary < _SMALL_VOCABULARY else np.int32)
        lengths, segments = [], []
        stems: dict[str, np.dtype] = {rows.stem: dtype, f"{rows.stem}_loss_mask": np.dtype(np.uint8)}
        if rows.loss_weight is not None:
            stems[f"{rows.stem}_loss_weight"] = np.dtype(np.float32)
        with ExitStack() as stack:
            sinks = [stack.enter_context(files.create(f"{stem}.bin", rows.count)) for stem in stems]
            for spread in rows.batches():
                weights = spread.weights
                columns = [spread.rows["input_ids"], spread.trained, *([] if weights is None else [weights])]
                for sink, values, kept in zip(sinks, columns, stems.values(), strict=True):
                    write_array(sink, values.astype(kept))
                lengths.append(spread.rows["seq_lengths"])
                segments.append(spread.rows["segments"])
        firsts = np.append(0, np.cumsum(np.concatenate(segments), dtype=np.int64))
        for stem, kept in stems.items():
            with files.create(f"{stem}.idx", rows.count) as sink:
                sink.write(index_bytes(np.concatenate(lengths), firsts, kept))
        return 0
