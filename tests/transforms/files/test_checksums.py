import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.transforms.files import checksums, storage
from byline.transforms.files.checksums import FILE_NAME, checksums_of, nothing_kept, sha256_of, sha256s_of

SECOND = 10**9


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts the clock forward; a minute at first, so that every file has rested."""
    forward = [60.0]
    monkeypatch.setattr(checksums.time, "time_ns", lambda: int((time.time() + forward[0]) * SECOND))
    monkeypatch.setattr(checksums, "_known", {})

    def put(seconds: float) -> None:
        forward[0] = seconds

    return put


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_known", {})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_again(uri: str) -> str:
    raise AssertionError(f"{uri} was read again")


def kept(folder: Path) -> dict[str, dict[str, list[object]]]:
    content: dict[str, dict[str, list[object]]] = json.loads((folder / FILE_NAME).read_text())
    return content


def test_a_file_that_has_not_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    assert sha256_of(str(path), str(tmp_path / "kept")) == sha256(b"one")
    status = path.stat()
    identity = [3, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    assert kept(tmp_path / "kept")["sha256"] == {str(path): [identity, sha256(b"one")]}
    monkeypatch.setattr(storage, "file_sha256", read_again)
    assert sha256_of(str(path), str(tmp_path / "kept")) == sha256(b"one")
    another_process(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert sha256_of("a.bin", "kept") == sha256(b"one")
    # What a process knows serves another token store, too.
    assert sha256_of("a.bin", "other") == sha256(b"one")


def append(path: Path) -> None:
    path.write_bytes(b"other content")


def same_size(path: Path) -> None:
    path.write_bytes(b"two")


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    before, beside = path.stat(), path.with_name("beside")
    beside.write_bytes(b"two")
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.rename(path)


def touched(path: Path) -> None:
    os.utime(path)


@pytest.mark.parametrize("change", [append, same_size, same_size_and_time, replaced, touched])
@pytest.mark.parametrize("is_other_process", [False, True])
def test_a_file_that_changes_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], is_other_process: bool
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    sha256_of(str(path), str(tmp_path))
    change(path)
    if is_other_process:
        another_process(monkeypatch)
    assert sha256_of(str(path), str(tmp_path)) == sha256(path.read_bytes())
    another_process(monkeypatch)
    monkeypatch.setattr(storage, "file_sha256", read_again)
    assert sha256_of(str(path), str(tmp_path)) == sha256(path.read_bytes())


def test_what_has_not_rested_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    # A file system whose clock advances in steps longer than this test.
    stopped = path.stat().st_mtime_ns
    monkeypatch.setattr(checksums, "_identity", lambda uri: [3, stopped, stopped, 7])
    monkeypatch.setattr(checksums.time, "time_ns", lambda: stopped + 2 * SECOND)
    for content in (b"one", b"two", b"six"):
        path.write_bytes(content)
        assert sha256_of(str(path), str(tmp_path)) == sha256(content)
    assert not (tmp_path / FILE_NAME).exists()
    monkeypatch.setattr(checksums.time, "time_ns", lambda: stopped + 2 * SECOND + 1)
    assert sha256_of(str(path), str(tmp_path)) == sha256(b"six")
    monkeypatch.setattr(storage, "file_sha256", read_again)
    another_process(monkeypatch)
    assert sha256_of(str(path), str(tmp_path)) == sha256(b"six")


@pytest.mark.parametrize("forward", [0.0, -3600.0])
def test_a_young_file_is_read_by_each_command(tmp_path: Path, later: Callable[[float], None], forward: float) -> None:
    """A clock that was put back makes every file look young."""
    later(forward)
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    assert sha256_of(str(path), str(tmp_path / "kept")) == sha256(b"one")
    assert not (tmp_path / "kept").exists()


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        halved,
        lambda content: b"",
        lambda content: b"[]",
        lambda content: b"{}",
        lambda content: b"null",
        lambda content: b"\xff\xfe",
        lambda content: b"[" * 100_000,
        lambda content: b'{"digest": 1, "sha256": []}',
        # One digit of a checksum, of an identity, of the digest.
        lambda content: content.replace(sha256(b"one").encode(), sha256(b"two").encode()),
        lambda content: content.replace(b"\n    3,", b"\n    4,"),
        lambda content: content.replace(b'"digest": "', b'"digest": "0'),
    ],
)
def test_a_damaged_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    path, file = tmp_path / "a.bin", tmp_path / FILE_NAME
    path.write_bytes(b"one")
    sha256_of(str(path), str(tmp_path))
    whole = file.read_bytes()
    assert damage(whole) != whole
    file.write_bytes(damage(whole))
    another_process(monkeypatch)
    assert sha256_of(str(path), str(tmp_path)) == sha256(b"one")
    assert file.read_bytes() == whole


def test_a_checksum_of_a_damaged_file_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other half of the test above: were the file not damaged, its checksum would be taken."""
    path, file = tmp_path / "a.bin", tmp_path / FILE_NAME
    path.write_bytes(b"one")
    sha256_of(str(path), str(tmp_path))
    content = json.loads(file.read_text())
    content["sha256"][str(path)][1] = "wrong"
    content["digest"] = checksums._digest({"sha256": content["sha256"]})
    file.write_text(json.dumps(content))
    another_process(monkeypatch)
    assert sha256_of(str(path), str(tmp_path)) == "wrong"


def test_kinds_and_files_stand_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / name) for name in "ab"]
    for path in paths:
        Path(path).write_bytes(path.encode())
    assert checksums_of(paths, str(tmp_path), "length", lambda uri: f"length of {uri}") == [
        f"length of {path}" for path in paths
    ]
    assert [sha256_of(path, str(tmp_path)) for path in reversed(paths)] == [
        sha256(path.encode()) for path in reversed(paths)
    ]
    another_process(monkeypatch)
    assert checksums_of(paths[::-1], str(tmp_path), "length", read_again) == [
        f"length of {path}" for path in paths[::-1]
    ]
    assert set(kept(tmp_path)) == {"digest", "length", "sha256"}


def test_workers_keep_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    assert sha256_of(str(path), str(tmp_path), keeps=False) == sha256(b"one")
    assert not (tmp_path / FILE_NAME).exists()


def test_a_command_that_keeps_nothing_is_alone_in_that(tmp_path: Path) -> None:
    """Another thread works for another command."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    with nothing_kept(), ThreadPoolExecutor(1) as other:
        sha256_of(str(paths[0]), str(tmp_path))
        assert not (tmp_path / FILE_NAME).exists()
        other.submit(sha256_of, str(paths[1]), str(tmp_path)).result()
        assert list(kept(tmp_path)["sha256"]) == [str(paths[1])]
    sha256_of(str(paths[2]), str(tmp_path))
    assert list(kept(tmp_path)["sha256"]) == [str(paths[1]), str(paths[2])]


def test_many_files_are_kept_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, keep, times = [tmp_path / f"{number}.bin" for number in range(5)], checksums._keep, []
    for path in paths:
        path.write_bytes(path.name.encode())
    monkeypatch.setattr(checksums, "_keep", lambda *given: (times.append(given), keep(*given)))
    expected = [sha256(path.name.encode()) for path in paths]
    assert sha256s_of([*map(str, paths), str(paths[0])], str(tmp_path)) == [*expected, expected[0]]
    assert len(times) == 1
    assert len(kept(tmp_path)["sha256"]) == 5


def test_where_nothing_can_be_written_it_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    for _ in range(2):
        assert sha256_of(str(path), str(path)) == sha256(b"one")
        another_process(monkeypatch)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_no_file(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(BylineError, match=r": there is no such file; expected a fastText model$"):
            sha256_of(str(missing), str(tmp_path), what="a fastText model")


def test_a_file_that_is_written_to_while_it_is_read(tmp_path: Path) -> None:
    path, times = tmp_path / "a.bin", []
    path.write_bytes(b"one")

    def grows(most: int) -> Callable[[str], str]:
        def compute(uri: str) -> str:
            content = path.read_bytes()
            if len(times) < most:
                times.append(content)
                path.write_bytes(content + b"x")
            return sha256(content)

        return compute

    assert checksums_of([str(path)], str(tmp_path), "a", grows(2)) == [sha256(b"onexx")]
    with pytest.raises(BylineError, match=r"a\.bin: is written to while it is read; run the command again"):
        checksums_of([str(path)], str(tmp_path), "b", grows(1000))


def test_an_object_counts_by_size_and_time_once_it_has_rested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, now = "s3://bucket/model.bin", time.time_ns()
    states = {"has": (10, now // SECOND * SECOND)}
    monkeypatch.setattr(storage, "modified", lambda _: states["has"])
    monkeypatch.setattr(checksums.time, "time_ns", lambda: now + 50 * SECOND)

    def of(compute: Callable[[str], str]) -> str:
        another_process(monkeypatch)
        return checksums_of([uri], str(tmp_path), "length", compute)[0]

    assert of(lambda _: "first") == "first"
    assert of(lambda _: "second") == "second"
    monkeypatch.setattr(checksums.time, "time_ns", lambda: now + 61 * SECOND)
    assert of(lambda _: "third") == "third"
    assert of(read_again) == "third"
    states["has"] = (11, states["has"][1])
    assert of(lambda _: "fourth") == "fourth"


def test_an_object_of_which_nobody_says_when_it_changed_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "modified", lambda _: (10, 0))
    for answer in ("first", "second"):
        assert checksums_of(["s3://bucket/model.bin"], str(tmp_path), "length", lambda _: answer) == [answer]  # noqa: B023
    assert not (tmp_path / FILE_NAME).exists()


WORKER = """
import sys
from byline.transforms.files import checksums
checksums._REST_NS = -(10**18)
folder, *paths = sys.argv[1:]
for _ in range(20):
    for path in paths:
        checksums._known.clear()
        print(checksums.sha256_of(path, folder))
"""


def test_processes_that_keep_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{number}.bin" for number in range(6)]
    for path in paths:
        path.write_bytes(path.name.encode())
    folder = str(tmp_path / "kept")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, folder, *map(str, paths[first:] + paths[:first])],
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 3)
    ]
    answers = [process.communicate()[0].split() for process in started]
    expected = [sha256(path.name.encode()) for path in paths]
    assert answers == [20 * expected, 20 * (expected[3:] + expected[:3])]
    assert [entry.name for entry in Path(folder).iterdir()] == [FILE_NAME]
    # Each read what the other had kept, so that in the end nothing is lost.
    monkeypatch.setattr(storage, "file_sha256", read_again)
    assert [sha256_of(str(path), folder) for path in paths] == expected
