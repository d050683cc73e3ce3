"""MDS, the shards of mosaicml-streaming, with the columns of MeCo's own trainer; each phase a dataset of its own.

```
conditioned/00003-of-00012.00000.mds   rows n uint32 | offsets uint32 [n + 1] | columns as JSON | the rows
conditioned/index.json                 all of the phase's files

a row: sizes of domain and indices (uint32) | domain | indices | input_ids | length | mask
domain      str                  the phase
indices     ndarray:uint32       [segments, 2], first token of each segment and the one behind its last
input_ids   ndarray:uint32:L
length      uint64               L
mask        ndarray:uint8:L      1 where a token is predicted
```

A file is at most 64 MiB, as mosaicml-streaming writes them by default.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from byline.targets import Spread
from byline.transforms.exports.export_format import (
    ExportedFile,
    ExportedShard,
    ExportFormat,
    ShardFiles,
    ShardRows,
    files_by_phase,
)

_SIZE_LIMIT = 64 << 20
_VERSION = 2


def _columns(length: int) -> dict[str, tuple[str, int | None]]:
    """Column -> its encoding, and its size in bytes if that is fixed; in the order in which they are stored."""
    return {
        "domain": ("str", None),
        "indices": ("ndarray:uint32", None),
        "input_ids": (f"ndarray:uint32:{length}", 4 * length),
        "length": ("uint64", 8),
        "mask": (f"ndarray:uint8:{length}", length),
    }


def _config(length: int) -> dict[str, Any]:
    """What files and index say of the columns."""
    columns = _columns(length)
    return {
        "column_encodings": [encoding for encoding, _ in columns.values()],
        "column_names": list(columns),
        "column_sizes": [size for _, size in columns.values()],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": _SIZE_LIMIT,
        "version": _VERSION,
    }


def _indices_bytes(indices: np.ndarray) -> bytes:
    """An array of two dimensions whose shape is not fixed: dimensions and width of the shape, shape, values."""
    width = next(code for code in range(4) if indices.shape[0] < 1 << (8 << code))
    shape = np.array(indices.shape, f"<u{1 << width}")
    return bytes([indices.ndim << 2 | width]) + shape.tobytes() + indices.astype("<u4").tobytes()


def _encoded(spread: Spread, phase: str) -> Iterator[bytes]:
    """Each row of a batch as bytes."""
    domain = phase.encode()
    ids = spread.rows["input_ids"].astype("<u4")
    length = np.uint64(ids.shape[1]).tobytes()
    masks = spread.trained.astype(np.uint8)
    starts = (spread.starts % ids.shape[1]).astype(np.uint32)
    bounds = np.stack([starts, starts + spread.rows["seq_lengths"].astype(np.uint32)], axis=1)
    lasts = np.cumsum(spread.rows["segments"])
    for row, last in enumerate(lasts):
        indices = _indices_bytes(bounds[last - spread.rows["segments"][row] : last])
        sizes = np.array([len(domain), len(indices)], "<u4").tobytes()
        yield b"".join((sizes, domain, indices, ids[row].tobytes(), length, masks[row].tobytes()))


def _config_bytes(length: int) -> bytes:
    return json.dumps(_config(length), sort_keys=True).encode()


def file_bytes(samples: Sequence[bytes], length: int) -> bytes:
    """The content of an `.mds` file."""
    config = _config_bytes(length)
    count = len(samples)
    sizes = np.array([4 + 4 * (count + 1) + len(config), *map(len, samples)], np.int64)
    return b"".join((np.uint32(count).tobytes(), np.cumsum(sizes).astype("<u4").tobytes(), config, *samples))


class Mds(ExportFormat):
    """Ids, mask and segments as MeCo's trainer reads them."""

    name = "mds"
    line = (
        "`PHASE/index.json`, `PHASE/*.mds`: `input_ids`, `mask` (1 where a token is predicted), `indices` (segments), "
        "`length`, `domain` (the phase) | mosaicml-streaming, MeCo's trainer | doc ids and doc offsets"
    )
    note = "a phase is a dataset: read them one after another, with shuffle=False to keep the order"

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        pending: list[bytes] = []
        # The number of rows, where the first begins, and the columns; then 4 bytes a row besides its own.
        head = 4 + 4 + len(_config_bytes(rows.length))
        size = head
        for spread in rows.batches():
            for sample in _encoded(spread, rows.phase):
                if pending and size + len(sample) + 4 > _SIZE_LIMIT:
                    _write(pending, rows, files)
                    pending, size = [], head
                pending.append(sample)
                size += len(sample) + 4
        _write(pending, rows, files)
        return 0

    def whole(self, shards: Sequence[ExportedShard], length: int) -> dict[str, bytes]:
        return {
            f"{phase}/index.json": json.dumps(
                {"shards": [_entry(file, length) for file in files], "version": _VERSION}, sort_keys=True
            ).encode()
            for phase, files in files_by_phase(shards).items()
        }


def _write(samples: Sequence[bytes], rows: ShardRows, files: ShardFiles) -> None:
    with files.create(f"{rows.stem}.{len(files.files):05d}.mds", len(samples)) as sink:
        sink.write(file_bytes(samples, rows.length))


def _entry(file: ExportedFile, length: int) -> dict[str, Any]:
    """A file as the index of its phase lists it."""
    raw = {"basename": file.path.rpartition("/")[2], "bytes": file.bytes, "hashes": {}}
    return {**_config(length), "raw_data": raw, "samples": file.rows, "zip_data": None}
