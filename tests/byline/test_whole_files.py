"""`byline.open(..., verify=...)`: one error lists the files that are not whole; on an object store, too."""

import hashlib
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import byline
from byline import whole_files
from byline.errors import BylineError
from byline.manifest import ShardEntry
from byline.whole_files import Verify
from tests.support.object_server import (
    BUCKET,
    Environ,
    ObjectServer,
    no_fault,
    object_server,
    put_folder,
    quick_retries,
)
from tests.support.shards import numbered_build

SHARDS = {"conditioned": [5, 0, 4], "cooldown": [3, 0], "cooldown-50": [2]}
FIRST, THIRD, BRANCH = (
    "conditioned/00000-of-00003.arrow",
    "conditioned/00002-of-00003.arrow",
    "cooldown-50/00000-of-00001.arrow",
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    numbered_build(tmp_path, SHARDS, branches={"cooldown-50": ("conditioned", 1)})
    return tmp_path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def wrong(directory: Path | str, verify: Verify, branch: str | None = None) -> str:
    """What the error says is wrong."""
    with pytest.raises(BylineError) as error:
        byline.open(directory, branch=branch, verify=verify)
    message = str(error.value)
    start, end = f"{directory}: ", "; copy them anew or build again"
    assert message.startswith(start)
    assert message.endswith(end)
    return message[len(start) : -len(end)]


@pytest.mark.parametrize("verify", ["sizes", "sha256"])
@pytest.mark.parametrize("branch", [None, "cooldown-50"])
def test_whole_files(out: Path, verify: Verify, branch: str | None) -> None:
    assert len(byline.open(out, branch=branch, verify=verify)) == (7 if branch else 12)


def test_each_file_that_is_not_whole_is_named(out: Path) -> None:
    size = (out / FIRST).stat().st_size
    os.truncate(out / FIRST, 17)
    (out / THIRD).unlink()
    (out / "_inputs.ipc").unlink()
    flip(out / "cooldown/00000-of-00002.arrow")
    sizes = f"{FIRST} has 17 bytes, not {size:,}; {THIRD} is missing; "
    listed = "files are not what the manifest lists: "
    assert wrong(out, "sizes") == f"3 of 6 {listed}{sizes}_inputs.ipc is missing"
    flipped = "cooldown/00000-of-00002.arrow has another sha256; "
    assert wrong(out, "sha256") == f"4 of 6 {listed}{sizes}{flipped}_inputs.ipc is missing"


def test_problems_by_path(out: Path) -> None:
    (out / "a").write_bytes(b"abc")
    (out / "b").write_bytes(b"")
    sha256 = hashlib.sha256(b"abc").hexdigest()
    files = [ShardEntry(path, 0, 0, 0, 0, size, sha256) for path, size in (("c", 3), ("a", 3), ("b", 3))]
    assert whole_files.file_problems(str(out), files, {}, "sizes") == {
        "c": "is missing",
        "b": "has 0 bytes, not 3",
    }
    assert whole_files.file_problems(str(out), files, {"_inputs.ipc": ""}, "sha256") == {
        "c": "is missing",
        "b": "has 0 bytes, not 3",
        "_inputs.ipc": "has another sha256",
    }
    assert whole_files.file_problems(str(out), files[1:2], {}, "sha256") == {}


def test_a_list_of_inputs_that_changed(out: Path) -> None:
    flip(out / "_inputs.ipc")
    byline.open(out, verify="sizes")
    assert wrong(out, "sha256").endswith("1 of 6 files are not what the manifest lists: _inputs.ipc has another sha256")


def test_only_files_that_are_opened(out: Path) -> None:
    flip(out / BRANCH)
    byline.open(out, verify="sha256")
    assert wrong(out, "sha256", "cooldown-50").startswith("1 of 3 files ")
    flip(out / BRANCH)
    (out / THIRD).unlink()
    byline.open(out, branch="cooldown-50", verify="sha256")
    assert wrong(out, "sizes").startswith("1 of 6 files ")


def test_something_else_under_the_name(out: Path) -> None:
    (out / FIRST).unlink()
    os.mkfifo(out / FIRST)
    assert f"{FIRST} has 0 bytes, not " in wrong(out, "sizes")
    assert f"{FIRST} cannot be read (a named pipe, not a file)" in wrong(out, "sha256")
    (out / "_inputs.ipc").unlink()
    (out / "_inputs.ipc").mkdir()
    assert "_inputs.ipc cannot be read (a folder, not a file)" in wrong(out, "sha256")


def test_a_long_list_ends_with_a_number(tmp_path: Path) -> None:
    numbered_build(tmp_path, {"conditioned": [1] * 14, "cooldown": [1]})
    for path in (tmp_path / "conditioned").iterdir():
        path.unlink()
    message = wrong(tmp_path, "sizes")
    assert message.startswith(
        "14 of 16 files are not what the manifest lists: conditioned/00000-of-00014.arrow is miss"
    )
    assert message.endswith("; conditioned/00009-of-00014.arrow is missing; and 4 more")


@pytest.mark.parametrize("verify", ["size", "", True, ["sizes"]])
def test_another_way(out: Path, verify: Any) -> None:
    message = f"verify={verify!r}: expected 'sizes', 'sha256' or None"
    with pytest.raises(BylineError, match=f"^{re.escape(message)}$"):
        byline.open(out, verify=verify)


def test_whoever_unpickles_does_not_check_again(out: Path) -> None:
    pickled = pickle.dumps(byline.open(out, verify="sha256"))
    (out / THIRD).unlink()
    assert len(pickle.loads(pickled)) == 12


def test_files_are_read_in_pieces(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "_PIECE_BYTES", 7)
    byline.open(out, verify="sha256")
    flip(out / THIRD)
    assert f"{THIRD} has another sha256" in wrong(out, "sha256")


# ------------------------------------------------------------------------------------------------------ object stores


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectServer]:
    with quick_retries(), object_server() as running:
        yield running


@pytest.fixture
def address(s3: ObjectServer, out: Path) -> Iterator[str]:
    put_folder(s3, out, "whole")
    yield f"s3://{BUCKET}/whole"
    for key in s3.list_keys("whole/"):
        s3.client.delete_object(Bucket=BUCKET, Key=key)


def test_objects(s3: ObjectServer, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_files, "_REQUEST_BYTES", 1000)
    byline.open(address, verify="sha256")
    with s3.faults(no_fault):
        byline.open(address, verify="sizes")
    # The manifest is read; for the shards, the folders are listed: of two phases and of the build.
    assert s3.calls["GET"] <= 2 + 3
    listings: list[str] = []

    def note(number: int, environ: Environ) -> None:
        if "list-type" in environ.get("QUERY_STRING", ""):
            listings.append(environ["QUERY_STRING"])

    with s3.faults(note):
        byline.open(address, verify="sha256")
    assert not listings, "opening a file tells its size"
    size = len(s3.content(f"whole/{FIRST}"))
    s3.put(f"whole/{FIRST}", s3.content(f"whole/{FIRST}")[:-8])
    s3.client.delete_object(Bucket=BUCKET, Key=f"whole/{THIRD}")
    s3.put("whole/_inputs.ipc", b"x")
    sizes = f"{FIRST} has {size - 8:,} bytes, not {size:,}; {THIRD} is missing"
    assert wrong(address, "sizes") == f"2 of 6 files are not what the manifest lists: {sizes}"
    assert wrong(address, "sha256").endswith(
        f"3 of 6 files are not what the manifest lists: {sizes}; _inputs.ipc has another sha256"
    )
