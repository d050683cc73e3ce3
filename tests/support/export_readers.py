"""Slow readers of the files that exports write, each after the layout that its trainer publishes."""

import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

MEGATRON_TYPES = {1: np.uint8, 4: np.int32, 7: np.float32, 8: np.uint16}


def read_parquet(files: list[Path]) -> list[dict[str, Any]]:
    """Rows of Parquet files."""
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def load_dataset(folder: Path, name: str = "default") -> list[dict[str, Any]]:
    """The split `train` of a configuration, as `datasets` finds its files: patterns in order, files sorted."""
    _, head, _ = (folder / "README.md").read_text().split("---\n")
    configs = {config["config_name"]: config["data_files"] for config in yaml.safe_load(head)["configs"]}
    (split,) = configs[name]
    assert split["split"] == "train"
    return read_parquet([file for pattern in split["path"] for file in sorted(folder.glob(pattern))])


def read_indexed(prefix: Path) -> tuple[list[list[list[int]]], type]:
    """Documents, each a list of sequences, of Megatron-core's indexed dataset, and the type of its values."""
    index, values = (
        prefix.with_name(f"{prefix.name}.idx").read_bytes(),
        prefix.with_name(f"{prefix.name}.bin").read_bytes(),
    )
    assert index[:9] == b"MMIDIDX\0\0"
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", index, 9)
    assert version == 1
    dtype = MEGATRON_TYPES[code]
    lengths = struct.unpack_from(f"<{sequences}i", index, 34)
    offsets = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
    documents = struct.unpack_from(f"<{bounds}q", index, 34 + 12 * sequences)
    assert len(index) == 34 + 12 * sequences + 8 * bounds
    read = [
        np.frombuffer(values, dtype, length, offset).tolist() for length, offset in zip(lengths, offsets, strict=True)
    ]
    return [read[first:end] for first, end in pairwise(documents)], dtype


def read_flat(file: Path, dtype: type, length: int) -> list[list[int]]:
    """Rows of a flat array without a header; what is left after the last whole row is an error."""
    return np.frombuffer(file.read_bytes(), dtype).reshape(-1, length).tolist()


def read_mds(folder: Path) -> Iterator[dict[str, Any]]:
    """Samples of a folder of MDS files, in the order of its index."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for entry in index["shards"]:
        content = (folder / entry["raw_data"]["basename"]).read_bytes()
        assert (len(content), entry["format"], entry["zip_data"]) == (entry["raw_data"]["bytes"], "mds", None)
        (count,) = struct.unpack_from("<I", content)
        assert count == entry["samples"]
        offsets = struct.unpack_from(f"<{count + 1}I", content, 4)
        assert offsets[-1] == len(content)
        config = json.loads(content[4 + 4 * (count + 1) : offsets[0]])
        assert config == {key: value for key, value in entry.items() if key not in ("raw_data", "zip_data", "samples")}
        for first, end in pairwise(offsets):
            yield _sample(content[first:end], config)


def read_litdata(folder: Path, block: int) -> Iterator[list[int]]:
    """Blocks of litdata's chunks of tokens, as `TokensLoader` cuts them; every chunk holds whole ones."""
    index = json.loads((folder / "index.json").read_text())
    config = index["config"]
    assert (config["item_loader"], config["data_format"]) == ("TokensLoader", ["no_header_tensor:16"])
    for chunk in index["chunks"]:
        content = (folder / chunk["filename"]).read_bytes()
        (count,) = struct.unpack_from("<I", content)
        offsets = struct.unpack_from(f"<{count + 1}I", content, 4)
        assert (count, len(content)) == (chunk["chunk_size"], chunk["chunk_bytes"])
        assert (offsets[0], offsets[-1]) == (4 * (count + 2), len(content))
        assert chunk["dim"] % block == 0
        ids = np.frombuffer(content, np.int32, chunk["dim"], 4 * (1 + chunk["chunk_size"] + 1)).tolist()
        for first in range(0, len(ids), block):
            yield ids[first : first + block]


def _sample(content: bytes, config: dict[str, Any]) -> dict[str, Any]:
    sizes, at = [], 0
    for size in config["column_sizes"]:
        if size is None:
            (size,) = struct.unpack_from("<I", content, at)
            at += 4
        sizes.append(size)
    sample = {}
    for name, encoding, size in zip(config["column_names"], config["column_encodings"], sizes, strict=True):
        sample[name] = _value(content[at : at + size], encoding)
        at += size
    assert at == len(content)
    return sample


def _value(content: bytes, encoding: str) -> Any:
    kind, _, rest = encoding.partition(":")
    if kind == "str":
        return content.decode()
    if kind == "uint64":
        return struct.unpack("<Q", content)[0]
    assert kind == "ndarray", encoding
    dtype, _, shape_text = rest.partition(":")
    if shape_text:
        shape = tuple(map(int, shape_text.split(",")))
    else:
        dimensions, width = content[0] >> 2, 1 << content[0] % 4
        shape = tuple(np.frombuffer(content[1 : 1 + dimensions * width], f"<u{width}").tolist())
        content = content[1 + dimensions * width :]
    return np.frombuffer(content, dtype).reshape(shape).tolist()
