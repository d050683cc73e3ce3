"""Reading ranges of shuffle keys: what a filter of the whole run gives, and no more batches than needed."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas import store
from byline.transforms.store import run_reading
from byline.transforms.store.run_pieces import Piece
from byline.transforms.store.run_reading import Run, forget_runs, open_run
from byline.transforms.store.runs import write_run
from tests.support.small import FINGERPRINT, StoredRow, tokenized_batch
from tests.support.thorough import examples

# Neighbours that are equal as 64-bit floats, and the ends of the circle.
BASES = (0, 2**53, 2**62, 2**63, 2**64 - 8)
shuffle_keys = st.builds(int.__add__, st.sampled_from(BASES), st.integers(0, 7))


def write(folder: Path, given_shuffle_keys: list[int], batch_rows: int = 3) -> str:
    """A run of documents with these shuffle keys, `batch_rows` of them in a record batch."""
    rows = [StoredRow(row, [row]) for row in range(len(given_shuffle_keys))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "byline.transforms.store.runs.shuffle_keys",
            lambda source, path, rows: np.array(given_shuffle_keys, np.uint64),
        )
        patch.setattr(store, "BATCH_TOKEN_BYTES", 2 * batch_rows)
        return write_run(tokenized_batch("a", "x.jsonl", rows), FINGERPRINT, str(folder))


def read(piece: Piece) -> tuple[list[dict[str, Any]], list[list[list[int]]]]:
    """The rows of a piece, and the list of each as the only element of a list."""
    lists = []
    for number in range(piece.index.num_rows):
        into = np.full(1, 2**16 - 1, np.uint16)
        piece.tokens.copy(np.array([number]), into)
        lists.append([into.tolist()])
    return piece.index.to_pylist(), lists


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@examples(200)
@given(st.lists(shuffle_keys, max_size=20), shuffle_keys, shuffle_keys, st.integers(1, 4))
def test_a_range_is_what_a_filter_gives(
    folder: Path, given_shuffle_keys: list[int], low: int, high: int, rows: int
) -> None:
    uri = write(folder / str(len(list(folder.iterdir()))), given_shuffle_keys, rows)
    pieces = list(Run(uri, ("shuffle_key", "row", "tokens")).between(low, high))
    documents_read = [
        (row["shuffle_key"], row["row"], *lists) for piece in pieces for row, lists in zip(*read(piece), strict=True)
    ]
    assert documents_read == sorted(
        (shuffle_key, row, [row]) for row, shuffle_key in enumerate(given_shuffle_keys) if low <= shuffle_key <= high
    )
    assert all(piece.index.num_rows for piece in pieces)


def test_equal_shuffle_keys_on_both_sides_of_a_cut(tmp_path: Path) -> None:
    uri = write(tmp_path, [1, 5, 5, 5, 5, 9], batch_rows=2)
    run = Run(uri, ("shuffle_key", "row", "tokens"))
    assert run.info.batch_shuffle_keys == [1, 5, 5]
    assert [piece.index["row"].to_pylist() for piece in run.between(5, 5)] == [[1], [2, 3], [4]]


def test_a_range_reads_only_its_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(write(tmp_path, list(range(30)), batch_rows=5), ("shuffle_key", "tokens"))
    read: list[int] = []
    get_batch = run._reader.get_batch

    class Counting:
        num_record_batches = run._reader.num_record_batches

        def get_batch(self, number: int) -> pa.RecordBatch:
            read.append(number)
            return get_batch(number)

    monkeypatch.setattr(run, "_reader", Counting())
    assert [piece.index["shuffle_key"].to_pylist() for piece in run.between(12, 15)] == [[12, 13, 14], [15]]
    assert read == [2, 3]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    run = Run(write(tmp_path, [3, 1, 2]), ("shuffle_key", "row", "absent"))
    assert run.whole().schema.names == ["shuffle_key", "row"]
    assert run.whole()["row"].to_pylist() == [1, 2, 0]
    assert [batch.num_rows for batch in run.batches()] == [3]


def test_a_whole_run_of_several_batches_is_one_batch(tmp_path: Path) -> None:
    run = Run(write(tmp_path, list(range(7)), batch_rows=2), ("shuffle_key", "host"))
    assert len(list(run.batches())) == 4
    assert run.whole()["shuffle_key"].to_pylist() == list(range(7))
    # Texts are few beside documents, and predicates and templates are asked of each once.
    assert run.whole()["host"].type == pa.dictionary(pa.int32(), pa.string())


def test_a_run_without_documents(tmp_path: Path) -> None:
    run = Run(write(tmp_path, []), ("shuffle_key", "num_tokens", "host", "quality"))
    assert run.whole().num_rows == 0
    assert run.whole().schema.names == ["shuffle_key", "num_tokens", "quality", "host"]
    assert list(run.between(0, 2**64 - 1)) == []


def test_a_run_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write(tmp_path, [1])
    first = open_run(uri, ["row", "shuffle_key"])
    monkeypatch.setattr(run_reading, "Run", None)
    assert open_run(uri, ["shuffle_key", "row"]) is first


def test_a_run_that_was_written_again(tmp_path: Path) -> None:
    uri = write(tmp_path, [1, 2])
    assert open_run(uri, ["shuffle_key"]).whole()["shuffle_key"].to_pylist() == [1, 2]
    assert write(tmp_path, [5, 6, 7]) == uri
    forget_runs()
    assert open_run(uri, ["shuffle_key"]).whole()["shuffle_key"].to_pylist() == [5, 6, 7]


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"none\.arrow: cannot be opened"):
        open_run(str(tmp_path / "none.arrow"), ["shuffle_key"])


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    """Whatever eight bytes of it are lost, it can be read, or the error says which file it is."""
    path = Path(write(tmp_path, [1, 2, 3, 4, 5]))
    content, told = path.read_bytes(), []
    for start in range(0, len(content), 8):
        path.write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
        try:
            list(Run(str(path), ("shuffle_key", "row")).batches())
        except BylineError as error:
            told.append(str(error))
    assert len(told) > len(content) // 8 // 4
    assert [line for line in told if not line.startswith(f"{path}: ")] == []
    assert [line for line in told if "delete it and prepare again" not in line] == []
