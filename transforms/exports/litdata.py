"""litdata's chunks of tokens, as litgpt trains on them: ids alone. Each phase is a data set of its own.

```
conditioned/00003-of-00012.00000.bin   rows n uint32 | offsets uint32 [n + 1] | ids int32, row after row
conditioned/index.json                 all of the phase's chunks

TokensLoader(block_size=L)   row i of a chunk = the L ids from byte 4 * (n + 2) + 4 * L * i on
```

A chunk is at most 64 MiB. litgpt trains on blocks of one token more than its sequences have.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from byline.transforms.exports.export_format import (
    ExportedFile,
    ExportedShard,
    ExportFormat,
    ShardFiles,
    ShardRows,
    files_by_phase,
    write_array,
)

_SIZE_LIMIT = 64 << 20
# litdata's number for int32.
_DATA_FORMAT = "no_header_tensor:16"


class LitData(ExportFormat):
    """Ids as `TokensLoader` reads them."""

    name = "litdata"
    line = (
        "`PHASE/index.json`, `PHASE/*.bin`: ids, int32 | litdata's `StreamingDataset` with `TokensLoader`, litgpt | "
        "the loss mask (`--drop-mask`), loss weights (`--drop-weights`); segments, doc ids and doc offsets"
    )
    keeps_mask = False
    note = "litgpt predicts every token, prefixes and padding too, and attends across documents"

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        row_bytes = 4 * rows.length
        step = max((_SIZE_LIMIT - 8) // (row_bytes + 4), 1)
        otherwise = 0
        for spread in rows.batches(step):
            ids = spread.rows["input_ids"]
            offsets = 4 * (len(ids) + 2) + row_bytes * np.arange(len(ids) + 1)
            with files.create(f"{rows.stem}.{len(files.files):05d}.bin", len(ids)) as sink:
                write_array(sink, np.array([len(ids), *offsets], "<u4"))
                write_array(sink, ids.astype("<i4", copy=False))
            otherwise += int((spread.rows["segments"] > 1).sum())
        return otherwise

    def whole(self, shards: Sequence[ExportedShard], length: int) -> dict[str, bytes]:
        return {
            f"{phase}/index.json": json.dumps(_index(files, length), sort_keys=True).encode()
            for phase, files in files_by_phase(shards).items()
        }


def _index(files: Sequence[ExportedFile], length: int) -> dict[str, Any]:
    """The index of one phase's chunks."""
    chunks = [
        {
            "chunk_bytes": file.bytes,
            "chunk_size": file.rows,
            "dim": file.rows * length,
            "filename": file.path.rpartition("/")[2],
        }
        for file in files
    ]
    config = {
        "chunk_bytes": _SIZE_LIMIT,
        "chunk_size": None,
        "compression": None,
        "data_format": [_DATA_FORMAT],
        "data_spec": None,
        "encryption": None,
        "item_loader": "TokensLoader",
    }
    return {"chunks": chunks, "config": config}
