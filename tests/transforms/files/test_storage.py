"""Files appear whole or not at all, and every error is one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from byline.errors import BylineError
from transforms.files import storage


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.bin"
    with storage.write_file(str(file)) as sink:
        sink.write(b"one")
        (temporary,) = names(file.parent)
        assert temporary.startswith(storage.TEMPORARY_PREFIX)
    assert names(file.parent) == ["a.bin"]
    assert storage.read_bytes(str(file)) == b"one"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")

    def write_half() -> None:
        with storage.write_file(str(file)) as sink:
            sink.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names(tmp_path) == ["a.bin"]
    assert file.read_bytes() == b"old"


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"old and long", b"new"):
        with storage.write_file(str(tmp_path / "a.bin")) as sink:
            sink.write(content)
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_map_of_the_old_file_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"old")
    source = storage.open_random(str(file))
    with storage.write_file(str(file)) as sink:
        sink.write(b"other")
    assert source.read() == b"old"


def test_lists_files_of_all_folders_in_order_and_no_temporary_ones(tmp_path: Path) -> None:
    for name in ("b.x", "a/c.x", "a/.tmp-1-d.x", "a-b.x", "é.x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    found = storage.list_files(str(tmp_path))
    assert [os.path.relpath(info.path, tmp_path) for info in found] == ["a-b.x", "a/c.x", "b.x", "é.x"]
    assert {info.size for info in found} == {2}


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert storage.list_files(str(tmp_path / "none")) == []


@pytest.mark.parametrize("opened", [storage.open_random, storage.read_bytes])
def test_a_file_that_is_not_there(tmp_path: Path, opened: Callable[[str], object]) -> None:
    with pytest.raises(BylineError) as error:
        opened(str(tmp_path / "none"))
    assert str(error.value) == f"{tmp_path}/none: cannot be opened (No such file or directory)"


def test_an_address_of_an_unknown_kind() -> None:
    with pytest.raises(BylineError, match=r"^ftps://x/y: no file system for this address \("):
        storage.resolve("ftps://x/y")


def test_paths_and_addresses_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").write_bytes(b"x")
    for uri in ("a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b"):
        filesystem, path = storage.resolve(uri)
        assert isinstance(filesystem, fs.LocalFileSystem)
        assert path == str(tmp_path / "a b")
        assert storage.exists(uri)


def test_a_local_file_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"xyz")
    source = storage.open_random(str(tmp_path / "a"))
    assert isinstance(source, pa.MemoryMappedFile)
    assert source.read_at(1, 2) == b"z"


def test_joins_with_one_slash() -> None:
    assert storage.join("s3://bucket/", "a", "b.arrow") == "s3://bucket/a/b.arrow"
    assert storage.join("out", "a") == "out/a"


def test_deletes_what_is_there(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "folder" / "sub" / "file"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert storage.exists(str(file))
    assert not storage.exists(str(folder))
    storage.delete_file(str(folder))
    assert folder.exists()
    storage.delete_file(str(file))
    storage.delete_file(str(file))
    assert not file.exists()
    storage.delete_folder(str(folder))
    storage.delete_folder(str(folder))
    assert names(tmp_path) == []


def test_files_are_deleted_side_by_side_and_none_there_is_no_error(tmp_path: Path) -> None:
    uris = [str(tmp_path / f"{number}.bin") for number in range(100)]
    for uri in uris[:90]:
        Path(uri).write_bytes(b"x")
    (tmp_path / "kept.bin").write_bytes(b"x")
    storage.side_by_side(storage.delete_file, uris)
    storage.delete_file(str(tmp_path / "no such folder" / "a.bin"))
    assert names(tmp_path) == ["kept.bin"]


def test_answers_side_by_side_are_in_order_and_the_first_error_is_raised(tmp_path: Path) -> None:
    assert storage.side_by_side(lambda number: number * 2, range(1000)) == [number * 2 for number in range(1000)]
    assert storage.side_by_side(storage.read_bytes, []) == []
    with pytest.raises(BylineError, match=r"missing\.bin: cannot be opened"):
        storage.side_by_side(storage.read_bytes, [str(tmp_path / "missing.bin")] * 3)
