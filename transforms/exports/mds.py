"""MDS, the shards of mosaicml-streaming, with the columns of MeCo's own data; each phase a dataset of its own.

```
conditioned/00003-of-00012.00000.mds   rows n uint32 | offsets uint32 [n + 1] | columns as JSON | the rows
conditioned/index.json                 all of the phase's files

a row: sizes of columns without a fixed one (uint32) | domain | indices | input_ids | length | mask
            mds                mds-meco
domain      str                str               the phase; of an import the domain that all its samples had
indices     ndarray:uint32     ndarray:uint32    [segments, 2]: first token of a segment, and the one behind its last
input_ids   ndarray:uint32:L   ndarray:uint32
length      uint64             uint64            L
mask        ndarray:uint8:L    ndarray:uint8     1 where a token is predicted; in mds-meco the loss mask itself
```

An array whose shape the encoding does not have says it before its values. A file is at most 64 MiB, as
mosaicml-streaming writes them by default.
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


# Column -> its encoding, and its size in bytes if that is fixed; in the order in which they are stored.
_Columns = dict[str, tuple[str, int | None]]


def _config(columns: _Columns) -> dict[str, Any]:
    """What files and index say of the columns."""
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


def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    """What stands before values whose shape is not fixed: dimensions and width of the shape, shape."""
    width = next(code for code in range(4) if max(shape) < 1 << (8 << code))
    return bytes([len(shape) << 2 | width]) + np.array(shape, f"<u{1 << width}").tobytes()


def _encoded(spread: Spread, masks: np.ndarray, domain: bytes, has_shapes: bool) -> Iterator[bytes]:
    """Each row of a batch as bytes.

    Args:
        spread: the rows.
        masks: uint8 [n, L].
        domain: of all rows.
        has_shapes: whether ids and mask say their shapes.
    """
    ids = spread.rows["input_ids"].astype("<u4")
    length = np.uint64(ids.shape[1]).tobytes()
    shape = _shape_bytes(ids.shape[1:]) if has_shapes else b""
    starts = (spread.starts % ids.shape[1]).astype(np.uint32)
    bounds = np.stack([starts, starts + spread.rows["seq_lengths"].astype(np.uint32)], axis=1)
    lasts = np.cumsum(spread.rows["segments"])
    for row, last in enumerate(lasts):
        pairs = bounds[last - spread.rows["segments"][row] : last]
        indices, own_ids = _shape_bytes(pairs.shape) + pairs.astype("<u4").tobytes(), shape + ids[row].tobytes()
        mask = shape + masks[row].tobytes()
        sized = (domain, indices, own_ids, mask) if has_shapes else (domain, indices)
        sizes = np.array([*map(len, sized)], "<u4").tobytes()
        yield b"".join((sizes, domain, indices, own_ids, length, mask))


def _config_bytes(columns: _Columns) -> bytes:
    return json.dumps(_config(columns), sort_keys=True).encode()


def file_bytes(samples: Sequence[bytes], columns: _Columns) -> bytes:
    """The content of an `.mds` file."""
    config = _config_bytes(columns)
    count = len(samples)
    sizes = np.array([4 + 4 * (count + 1) + len(config), *map(len, samples)], np.int64)
    return b"".join((np.uint32(count).tobytes(), np.cumsum(sizes).astype("<u4").tobytes(), config, *samples))


class Mds(ExportFormat):
    """Ids, mask and segments as MeCo's trainer reads them."""

    name = "mds"
    line = (
        "`PHASE/index.json`, `PHASE/*.mds`: `input_ids`, `mask` (1 where a token is predicted), `indices` (segments), "
        "`length`, `domain` (the phase) | mosaicml-streaming, MeCo's trainer | doc ids and doc offsets; loss weights "
        "(`--drop-weights`)"
    )
    note = "a phase is a dataset: read them one after another, with shuffle=False to keep the order"

    has_shapes = False

    def columns(self, length: int) -> _Columns:
        """The columns of rows of so many tokens."""
        return {
            "domain": ("str", None),
            "indices": ("ndarray:uint32", None),
            "input_ids": (f"ndarray:uint32:{length}", 4 * length),
            "length": ("uint64", 8),
            "mask": (f"ndarray:uint8:{length}", length),
        }

    def mask(self, spread: Spread) -> np.ndarray:
        """The column of that name: uint8 [n, L]."""
        return spread.trained.astype(np.uint8)

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        pending: list[bytes] = []
        columns, domain = self.columns(rows.length), rows.domain.encode()
        # The number of rows, where the first begins, and the columns; then 4 bytes a row besides its own.
        head = 4 + 4 + len(_config_bytes(columns))
        size = head
        for spread in rows.batches():
            for sample in _encoded(spread, self.mask(spread), domain, self.has_shapes):
                if pending and size + len(sample) + 4 > _SIZE_LIMIT:
                    _write(pending, columns, rows, files)
                    pending, size = [], head
                pending.append(sample)
                size += len(sample) + 4
        _write(pending, columns, rows, files)
        return 0

    def whole(self, shards: Sequence[ExportedShard], length: int) -> dict[str, bytes]:
        columns = self.columns(length)
        return {
            f"{phase}/index.json": json.dumps(
                {"shards": [_entry(file, columns) for file in files], "version": _VERSION}, sort_keys=True
            ).encode()
            for phase, files in files_by_phase(shards).items()
        }


class MdsMeco(Mds):
    """Rows as MeCo's packer writes them, so that what was imported comes out as it was."""

    name = "mds-meco"
    line = (
        "as `mds` with the encodings of MeCo's packer, so that an import comes out as it was: `mask` is the loss "
        "mask itself, `domain` that of an import if its samples had one ([imports.md](imports.md)) | "
        "mosaicml-streaming, MeCo's trainer | doc ids and doc offsets; loss weights (`--drop-weights`)"
    )
    note = (
        "MeCo's trainer predicts the first token of a segment from the one before where the mask has it; the mask of "
        "`mds` leaves it out"
    )
    has_shapes = True

    def columns(self, length: int) -> _Columns:
        return {
            "domain": ("str", None),
            "indices": ("ndarray:uint32", None),
            "input_ids": ("ndarray:uint32", None),
            "length": ("uint64", 8),
            "mask": ("ndarray:uint8", None),
        }

    def mask(self, spread: Spread) -> np.ndarray:
        return spread.rows["loss_mask"]


def _write(samples: Sequence[bytes], columns: _Columns, rows: ShardRows, files: ShardFiles) -> None:
    with files.create(f"{rows.stem}.{len(files.files):05d}.mds", len(samples)) as sink:
        sink.write(file_bytes(samples, columns))


def _entry(file: ExportedFile, columns: _Columns) -> dict[str, Any]:
    """A file as the index of its phase lists it."""
    raw = {"basename": file.path.rpartition("/")[2], "bytes": file.bytes, "hashes": {}}
    return {**_config(columns), "raw_data": raw, "samples": file.rows, "zip_data": None}
