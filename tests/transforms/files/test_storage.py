"""Files appear whole or not at all, and every error is one line."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from byline.errors import BylineError
from byline.transforms.files import leftovers, storage
from tests.support.object_server import BUCKET, Environ, object_server, quick_retries

HOUR, DAY = 3600, 24 * 3600
NOW = 1_800_000_000.0


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
    listed = storage.list_files(str(tmp_path))
    assert [os.path.relpath(info.path, tmp_path) for info in listed] == ["a-b.x", "a/c.x", "b.x", "é.x"]
    assert {info.size for info in listed} == {2}


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert storage.list_files(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    "opened", [storage.open_random, storage.open_unmapped, storage.open_stream, storage.read_bytes, storage.file_sha256]
)
def test_a_pipe_is_not_waited_for(tmp_path: Path, opened: Callable[[str], object]) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(BylineError, match=r"a: cannot be opened \(a named pipe, not a file\)"):
        opened(str(tmp_path / "a"))


@pytest.mark.parametrize("opened", [storage.open_random, storage.read_bytes])
def test_a_file_that_is_not_there(tmp_path: Path, opened: Callable[[str], object]) -> None:
    with pytest.raises(BylineError) as error:
        opened(str(tmp_path / "none"))
    assert str(error.value) == f"{tmp_path}/none: cannot be opened (No such file or directory)"


def test_a_file_that_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "empty").write_bytes(b"")
    names = ["a", "empty", "none", "none/b", "a/b"]
    assert [storage.read_if_there(str(tmp_path / name)) for name in names] == [b"one", b"", None, None, None]
    with pytest.raises(BylineError, match="cannot be opened"):
        storage.read_if_there(str(tmp_path / ("long" * 100)))


def test_an_address_of_an_unknown_kind() -> None:
    with pytest.raises(BylineError, match=r"^ftps://x/y: expected a path, s3://bucket/key or gs://bucket/key; "):
        storage.resolve("ftps://x/y")


def test_paths_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").write_bytes(b"x")
    for uri in ("a b", str(tmp_path / "a b"), f"{tmp_path}//x/../a b"):
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


# ------------------------------------------------------------------------------------------------ what was left behind


def leave(path: Path, seconds: float, content: bytes = b"12345") -> Path:
    """A file that was last changed so long before `NOW`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (NOW, NOW - seconds))
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


NAME = ".tmp-0123456789abcdef-a.arrow"


@pytest.mark.parametrize(
    ("location", "seconds", "is_removed"),
    [
        (f"c4/5f3e/{NAME}", DAY + 1, True),
        (f"c4/5f3e/{NAME}", DAY - 1, False),
        (f"models/{NAME}", DAY + 1, True),
        # Of a machine whose clock is ahead.
        (f"c4/5f3e/{NAME}", -2 * DAY, False),
        # Lists and counters, which a job of some days may read again.
        (".tmp-0123456789abcdef-inputs.jsonl", 14 * DAY + 1, True),
        (".tmp-0123456789abcdef-inputs.jsonl", 14 * DAY - 1, False),
        (".tmp-0123456789abcdef-.tmp-fedcba9876543210-inputs.jsonl", 14 * DAY + 1, True),
        # Deeper than anything of ours.
        (f"c4/5f3e/more/{NAME}", 100 * DAY, False),
        # Whole files, and what others call so.
        ("c4/5f3e/a.arrow", 100 * DAY, False),
        ("c4/5f3e/.tmp-x", 100 * DAY, False),
        ("c4/5f3e/.tmp-4711-a.arrow", 100 * DAY, False),
        ("c4/5f3e/.tmp-0123456789ABCDEF-a.arrow", 100 * DAY, False),
        ("c4/5f3e/.tmp-0123456789abcdef0-a.arrow", 100 * DAY, False),
        ("c4/5f3e/.tmp-0123456789abcdef-", 100 * DAY, False),
        ("c4/5f3e/a.tmp-0123456789abcdef-a.arrow", 100 * DAY, False),
        (f"{NAME}/mine.txt", 100 * DAY, False),
    ],
)
def test_only_what_nobody_can_be_writing_is_removed(
    tmp_path: Path, location: str, seconds: float, is_removed: bool
) -> None:
    leave(tmp_path / location, seconds)
    assert leftovers.remove_unfinished(str(tmp_path), NOW) == ((1, 5) if is_removed else (0, 0))
    assert files_below(tmp_path) == ([] if is_removed else [location])


@pytest.mark.parametrize("form", ["{}", "{}/"])
def test_what_is_removed_is_counted(tmp_path: Path, form: str) -> None:
    for number in range(3):
        leave(tmp_path / "c4/5f3e" / storage.temporary_name(f"{number}.arrow"), 2 * DAY, b"x" * number)
    leave(tmp_path / "c4/5f3e/0.arrow", 2 * DAY)
    assert leftovers.remove_unfinished(form.format(tmp_path), NOW) == (3, 3)
    assert leftovers.remove_unfinished(form.format(tmp_path), NOW) == (0, 0)
    assert files_below(tmp_path) == ["c4/5f3e/0.arrow"]
    assert leftovers.remove_unfinished(form.format(tmp_path / "none"), NOW) == (0, 0)


def test_by_this_machines_clock_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    leave(tmp_path / "c4" / NAME, 0)
    os.utime(tmp_path / "c4" / NAME, (0, 0))
    with storage.write_file(str(tmp_path / "c4" / "a.arrow")) as sink:
        assert leftovers.remove_unfinished(str(tmp_path)) == (1, 5)
        sink.write(b"whole")
    assert files_below(tmp_path) == ["c4/a.arrow"]


def test_links_are_not_followed_and_stay(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    leave(other / NAME, 100 * DAY)
    (store / "c4").mkdir(parents=True)
    (store / "linked").symlink_to(other)
    (store / "c4" / NAME).symlink_to(other / NAME)
    (store / "c4" / ".tmp-0123456789abcdef-none").symlink_to(tmp_path / "none")
    assert leftovers.remove_unfinished(str(store), NOW) == (0, 0)
    assert os.path.islink(store / "c4" / NAME)
    assert files_below(other) == [NAME]
    # But the store itself may be one.
    (tmp_path / "link").symlink_to(other)
    leave(other / "c4" / NAME, 2 * DAY)
    assert leftovers.remove_unfinished(str(tmp_path / "link"), NOW) == (2, 10)


class Refusing(fs.LocalFileSystem):
    """A disk on which nothing may be deleted but what is gone already."""

    def __init__(self, error: type[OSError]) -> None:
        super().__init__()
        self.error = error

    def delete_file(self, path: str) -> None:
        raise self.error(path)


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_what_cannot_be_deleted_is_neither_counted_nor_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    leave(tmp_path / "c4" / NAME, 2 * DAY)
    monkeypatch.setattr(leftovers, "resolve", lambda uri: (Refusing(error), uri))
    assert leftovers.remove_unfinished(str(tmp_path), NOW) == (0, 0)


def test_what_vanishes_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, there = (leave(tmp_path / "c4" / f".tmp-0123456789abcdef-{name}", 2 * DAY) for name in "ab")
    ask = os.lstat

    def lstat(path: str) -> os.stat_result:
        if os.path.basename(path).startswith(storage.TEMPORARY_PREFIX):
            gone.unlink(missing_ok=True)
        return ask(path)

    monkeypatch.setattr(os, "lstat", lstat)
    assert leftovers.remove_unfinished(str(tmp_path), NOW) == (1, 5)
    assert not there.exists()


def refuse(method: str) -> Callable[[int, Environ], str | None]:
    return lambda number, environ: "busy" if environ["REQUEST_METHOD"] == method else None


def test_in_an_object_store_one_listing_tells_and_old_lists_go() -> None:
    kept = [f"store/c4/5f3e/{NAME}", *(f"store/c4/5f3e/{number}.arrow" for number in range(1500)), "store/.tmp-mine"]
    uri = f"s3://{BUCKET}/store"
    with object_server() as server, quick_retries():
        for key in [*kept, "store/.tmp-0123456789abcdef-a b.jsonl"]:
            server.put_at_once(key, b"12345")
        modified = server.client.head_object(Bucket=BUCKET, Key=kept[0])["LastModified"].timestamp()
        with server.faults(lambda number, environ: None):
            assert leftovers.remove_unfinished(uri, modified + 14 * DAY - HOUR) == (0, 0)
            assert server.calls == Counter(GET=1)
        # A store that is away, or that lets nobody delete, fails nothing.
        for fault in (refuse("GET"), refuse("DELETE")):
            with server.faults(fault):
                assert leftovers.remove_unfinished(uri, modified + 14 * DAY + HOUR) == (0, 0)
        assert leftovers.remove_unfinished(uri, modified + 14 * DAY + HOUR) == (1, 5)
        assert sorted(set(server.list_keys()) - {"store/"}) == sorted(kept)
