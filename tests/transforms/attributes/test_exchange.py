"""Grouping through files: every row in the partition of its hash, in order of file and row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from byline.errors import DamagedFileError
from byline.transforms.attributes.exchange import (
    PARTITION_ROWS,
    partition_of,
    partitions_for,
    read_partition,
    write_partitions,
)


def test_partitions_are_the_upper_bits_of_a_hash() -> None:
    hashes = np.array([0, 2**62, 2**63, 2**64 - 1], np.uint64)
    assert partition_of(hashes, 1).tolist() == [0, 0, 0, 0]
    assert partition_of(hashes, 2).tolist() == [0, 0, 1, 1]
    assert partition_of(hashes, 4).tolist() == [0, 1, 2, 3]


def test_there_are_as_many_partitions_as_keep_each_small() -> None:
    assert [partitions_for(rows) for rows in (0, 1, PARTITION_ROWS, PARTITION_ROWS + 1)] == [1, 1, 1, 2]
    assert partitions_for(5 * PARTITION_ROWS) == 8


def test_a_partition_has_its_rows_of_all_files(tmp_path: Path) -> None:
    uris = [str(tmp_path / name) for name in ("a.arrow", "b.arrow")]
    first = pa.record_batch({"key": [7, 1, 9], "text": pa.array(["x", "y", "x"]).dictionary_encode()})
    second = pa.record_batch({"key": [2, 8], "text": pa.array(["z", None]).dictionary_encode()})
    write_partitions(uris[0], first, np.array([1, 0, 1]), 2)
    write_partitions(uris[1], second, np.array([0, 1]), 2)
    assert read_partition(uris, 0).to_pydict() == {"key": [1, 2], "text": ["y", "z"]}
    assert read_partition(uris, 1).to_pydict() == {"key": [7, 9, 8], "text": ["x", "x", None]}


def test_a_partition_without_rows_is_empty(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.arrow")
    write_partitions(uri, pa.record_batch({"key": pa.array([], pa.int64())}), np.zeros(0, np.int64), 4)
    assert [read_partition([uri], number).num_rows for number in range(4)] == [0, 0, 0, 0]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    uri = tmp_path / "a.arrow"
    write_partitions(str(uri), pa.record_batch({"key": [1]}), np.array([0]), 1)
    uri.write_bytes(uri.read_bytes()[:-20])
    with pytest.raises(DamagedFileError, match=r"a\.arrow"):
        read_partition([str(uri)], 0)
