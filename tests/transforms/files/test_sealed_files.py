"""Sealed files: Arrow files that any reader opens, of which every byte is covered by a checksum."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.transforms.files import sealed_files
from byline.transforms.files.sealed_files import SealedReader, check_sealed, open_sealed, write_sealed
from tests.support.seals import seal_again

DAMAGED = r"seal|not an Arrow IPC file|its footer has a length"
SCHEMA = pa.schema([("n", pa.int64())], {b"key": b"value"})


def write(path: Path, batches: int) -> Path:
    with write_sealed(str(path), SCHEMA) as writer:
        for number in range(batches):
            writer.write_batch(pa.record_batch([pa.array(np.arange(5) + number)], schema=SCHEMA))
    return path


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_sealed_file_is_an_arrow_file(tmp_path: Path, batches: int) -> None:
    path = write(tmp_path / "a.arrow", batches)
    check_sealed(str(path))
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    assert table["n"].to_pylist() == [row + number for number in range(batches) for row in range(5)]
    assert table.schema.metadata == {b"key": b"value"}
    # Written from its description: magic, checksum of what is before, checksum of what is after.
    assert seal_again(path.read_bytes()) == path.read_bytes()


def test_any_changed_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_files, "_BLOCK_BYTES", 100)
    path = write(tmp_path / "a.arrow", 2)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        with pytest.raises(ValueError, match=DAMAGED):
            check_sealed(str(path))


@pytest.mark.parametrize("size", [0, 5, 47, 300, -1, -40])
def test_a_cut_file_is_found(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.arrow", 2)
    path.write_bytes(path.read_bytes()[:size])
    for check in (
        check_sealed,
        lambda uri: open_sealed(pa.memory_map(uri)) if size else check_sealed(uri),
        SealedReader,
    ):
        with pytest.raises(ValueError, match=DAMAGED):
            check(str(path))


def test_a_damaged_footer_never_reaches_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.arrow", 1)
    content = path.read_bytes()
    monkeypatch.setattr(pa.ipc, "open_file", None)
    for position in range(len(content) - 200, len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pa.memory_map(str(path)) as source, pytest.raises(ValueError, match=DAMAGED):
            open_sealed(source)


def test_reading_in_order_checks_every_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", 3)
    content = path.read_bytes()
    reader = SealedReader(str(path))
    assert (reader.num_record_batches, reader.size, reader.schema.metadata) == (3, len(content), {b"key": b"value"})
    assert [reader.read_next()["n"][0].as_py() for _ in range(3)] == [0, 1, 2]
    reader.finish()
    position = content.index(np.arange(5).tobytes())
    path.write_bytes(content[:position] + b"\7" + content[position + 1 :])
    reader = SealedReader(str(path))
    assert [reader.read_next()["n"][0].as_py() for _ in range(3)] == [7, 1, 2]
    with pytest.raises(ValueError, match="its contents are damaged"):
        reader.finish()


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match="no"), write_sealed(str(tmp_path / "a.arrow"), SCHEMA):
        raise BylineError("no")
    assert list(tmp_path.iterdir()) == []
