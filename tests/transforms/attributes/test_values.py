"""Values of a chunk, and columns of documents made of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.values import read_values, values_of, write_values


def test_documents_without_a_value_are_null_or_false(tmp_path: Path) -> None:
    uri = str(tmp_path / "a.arrow")
    write_values(uri, pa.array([0, 3]), {"topic": pa.array(["bread", "sport"]), "flag": pa.array([True, False])})
    values = read_values(uri)
    rows = np.array([7, 0, 3])
    assert values_of(values, rows, "topic", "string").to_pylist() == [None, "bread", "sport"]
    assert values_of(values, rows, "flag", "bool").to_pylist() == [False, True, False]


def test_a_chunk_without_values_is_null_or_false(tmp_path: Path) -> None:
    assert read_values(str(tmp_path / "none.arrow")) is None
    assert values_of(None, np.array([1, 2]), "n", "int").to_pylist() == [None, None]
    assert values_of(None, np.array([1, 2]), "flag", "bool").to_pylist() == [False, False]
    empty = pa.record_batch({"row": pa.array([], pa.int64()), "n": pa.array([], pa.int64())})
    assert values_of(empty, np.array([5]), "n", "float32").to_pylist() == [None]


def test_values_have_the_type_of_their_column(tmp_path: Path) -> None:
    values = pa.record_batch({"row": [4], "n": pa.array([7], pa.int32()), "ranges": [[0, 2, 5, 6]]})
    assert values_of(values, np.array([4]), "n", "float32").type == pa.float32()
    assert values_of(values, np.array([4]), "ranges", "ranges").type == pa.list_(pa.int32())
