"""MDS files, written slowly: one sample and one value at a time, after the layout that mosaicml-streaming publishes.

```
file     n uint32 | offsets uint32 [n + 1] | columns as JSON | samples
sample   the size of each column that has no fixed one, uint32 | the columns in order of name
```
"""

import gzip
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

# The columns of MeCo's packer, with `--add_metadata_mask`.
MECO = {
    "domain": "str",
    "indices": "ndarray:uint32",
    "input_ids": "ndarray:uint32",
    "length": "uint64",
    "mask": "ndarray:uint8",
}
CODES = {"uint8": 8, "int8": 9, "uint16": 16, "int16": 17, "uint32": 32, "int32": 33, "uint64": 64, "int64": 65}
FORMATS = {"int": "q", "int64": "q", "uint64": "Q", "int32": "i", "uint32": "I", "int16": "h", "uint16": "H"}

Sample = Mapping[str, Any]


def meco_sample(ids: Sequence[int], mask: Sequence[int], indices: Sequence[Sequence[int]], domain: str = "d") -> Sample:
    """A sample as MeCo's packer makes one, with plain lists."""
    return {"input_ids": ids, "mask": mask, "indices": indices, "length": len(ids), "domain": domain}


def encoded(encoding: str, value: Any) -> bytes:
    """One value."""
    kind, _, rest = encoding.partition(":")
    if kind == "str":
        return value.encode()
    if kind == "ndarray":
        return _encoded_array(rest, value)
    return struct.pack(f"<{FORMATS[kind]}", value) if kind in FORMATS else bytes(value)


def _encoded_array(rest: str, value: Any) -> bytes:
    said, _, shape = rest.partition(":")
    dtype = said or "int32"
    array = np.array(value, dtype)
    content = b"" if said else bytes([CODES[dtype]])
    if not shape:
        width = next(code for code in range(4) if max(array.shape) < 256 ** (1 << code))
        content += bytes([array.ndim << 2 | width])
        for size in array.shape:
            content += int(size).to_bytes(1 << width, "little")
    for number in array.ravel().tolist():
        content += int(number).to_bytes(array.itemsize, "little", signed=number < 0)
    return content


def fixed_size(encoding: str) -> int | None:
    """Bytes of a value, where all have as many."""
    kind, _, rest = encoding.partition(":")
    if kind in FORMATS:
        return struct.calcsize(f"<{FORMATS[kind]}")
    dtype, _, shape = rest.partition(":")
    if kind != "ndarray" or not dtype or not shape:
        return None
    size = np.dtype(dtype).itemsize
    for number in shape.split(","):
        size *= int(number)
    return size


def sample_bytes(sample: Sample, columns: Mapping[str, str]) -> bytes:
    """One sample."""
    head, body = b"", b""
    for name in sorted(columns):
        value = encoded(columns[name], sample[name])
        if fixed_size(columns[name]) is None:
            head += struct.pack("<I", len(value))
        body += value
    return head + body


def file_bytes(samples: Sequence[Sample], columns: Mapping[str, str]) -> bytes:
    """The content of a file."""
    config = json.dumps(_config(columns, None), sort_keys=True).encode()
    parts = [sample_bytes(sample, columns) for sample in samples]
    offset = 4 + 4 * (len(parts) + 1) + len(config)
    offsets = [offset]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack("<I", len(parts)) + struct.pack(f"<{len(offsets)}I", *offsets) + config + b"".join(parts)


def _config(columns: Mapping[str, str], compression: str | None) -> dict[str, Any]:
    names = sorted(columns)
    return {
        "version": 2,
        "format": "mds",
        "compression": compression,
        "hashes": [],
        "size_limit": 1 << 26,
        "column_names": names,
        "column_encodings": [columns[name] for name in names],
        "column_sizes": [fixed_size(columns[name]) for name in names],
    }


def write_mds(
    folder: Path,
    files: Sequence[Sequence[Sample]],
    columns: Mapping[str, str] = MECO,
    *,
    compression: str | None = None,
    subfolders: Sequence[str] = (),
    hashes: Sequence[str] = (),
) -> None:
    """Writes a folder.

    Args:
        folder: of it.
        files: the samples of each file.
        columns: name -> encoding.
        compression: `zstd`, `gz` or None; compressed files alone are written.
        subfolders: of each file, as in an index that was merged.
        hashes: algorithms whose checksums the index has.
    """
    entries = []
    for number, samples in enumerate(files):
        content = file_bytes(samples, columns)
        name = f"shard.{number:05d}.mds"
        if subfolders:
            name = f"{subfolders[number]}/{name}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        raw, zipped = {"basename": name, "bytes": len(content), "hashes": _hashes(content, hashes)}, None
        if compression is None:
            (folder / name).write_bytes(content)
        else:
            content = (
                pa.compress(content, "zstd", asbytes=True) if compression.startswith("zstd") else gzip.compress(content)
            )
            name = f"{name}.{compression.partition(':')[0]}"
            (folder / name).write_bytes(content)
            zipped = {"basename": name, "bytes": len(content), "hashes": _hashes(content, hashes)}
        config = _config(columns, compression)
        entries.append({**config, "samples": len(samples), "raw_data": raw, "zip_data": zipped})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").write_text(json.dumps({"version": 2, "shards": entries}))


def _hashes(content: bytes, names: Sequence[str]) -> dict[str, str]:
    return {name: hashlib.new(name, content).hexdigest() for name in names}
