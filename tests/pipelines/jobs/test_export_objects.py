"""`byline export` from and to an object store: the same bytes, and no request more than the files need."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byline.errors import BylineError
from tests.support.exports import contents, run
from tests.support.object_server import BUCKET, Environ, ObjectServer, object_server, put_folder, quick_retries
from tests.support.shards import numbered_build


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectServer]:
    with quick_retries(), object_server() as running:
        yield running


@pytest.fixture
def server(shared: ObjectServer) -> ObjectServer:
    shared.empty()
    return shared


def requests(server: ObjectServer, job: Callable[[], object]) -> Counter[str]:
    """How many shards were asked for while `job` ran, as `GET shard`, and how many folders, as `list`."""
    seen: Counter[str] = Counter()

    def note(number: int, environ: Environ) -> None:
        if "max-keys=1000" in environ.get("QUERY_STRING", ""):
            seen["list"] += 1
        elif re.search(r"out/.*\.arrow$", environ["PATH_INFO"]):
            seen[f"{environ['REQUEST_METHOD']} shard"] += 1

    with server.faults(note):
        job()
    return seen


def put_build(server: ObjectServer, folder: Path, shards: int) -> str:
    numbered_build(folder, {"conditioned": [2] * shards, "cooldown": (3,)})
    put_folder(server, folder, "out")
    return f"s3://{BUCKET}/out"


def test_the_same_files_as_on_a_disk(server: ObjectServer, tmp_path: Path) -> None:
    address = put_build(server, tmp_path / "out", 2)
    run(tmp_path / "out", tmp_path / "disk", "mds")
    run(address, tmp_path / "from", "mds")
    run(tmp_path / "out", f"s3://{BUCKET}/to", "mds")
    for key in server.list_keys("to/"):
        if key.endswith("/"):
            # How the store marks a folder.
            continue
        path = tmp_path / "copied" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(server.content(key))
    assert contents(tmp_path / "from") == contents(tmp_path / "disk")
    assert contents(tmp_path / "copied/to") == contents(tmp_path / "disk")


def test_a_shard_is_asked_for_once_and_folders_are_not_listed_for_each(server: ObjectServer, tmp_path: Path) -> None:
    few = requests(server, lambda: run(put_build(server, tmp_path / "few", 1), f"s3://{BUCKET}/few"))
    more = requests(server, lambda: run(put_build(server, tmp_path / "more", 5), f"s3://{BUCKET}/more"))
    assert (few["GET shard"], more["GET shard"]) == (2, 6)
    assert few["list"] == more["list"]


def test_what_is_lost_is_written_again_alone(server: ObjectServer, tmp_path: Path) -> None:
    address = put_build(server, tmp_path / "out", 2)
    run(address, f"s3://{BUCKET}/to")
    lost = "to/conditioned/00001-of-00002.parquet"
    before = server.content(lost)
    server.client.delete_object(Bucket=BUCKET, Key=lost)
    with server.faults(lambda number, environ: None):
        run(address, f"s3://{BUCKET}/to")
        written = {key for key in server.written if key.endswith(".parquet")}
    assert written == {lost}
    assert server.content(lost) == before


def test_a_damaged_object_is_named_as_it_was_given(server: ObjectServer, tmp_path: Path) -> None:
    address = put_build(server, tmp_path / "out", 1)
    key = "out/cooldown/00000-of-00001.arrow"
    server.put(key, server.content(key)[:-8])
    with pytest.raises(BylineError) as error:
        run(address, tmp_path / "to")
    assert str(error.value) == (
        f"s3://{BUCKET}/{key}: has another sha256 than the manifest lists; copy it anew or build again"
    )
