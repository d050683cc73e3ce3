"""Objects appear whole or not at all, reads survive what a network does, and a build is the same as on a disk."""

import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs

from byline import object_stores
from byline.errors import BylineError
from byline.transforms.files import object_store, storage
from byline.transforms.files.checksums import sha256_of
from byline.transforms.files.local_copies import local_copy
from byline.transforms.scores.fasttext_folding import LibraryModel, open_model
from byline.transforms.store import store_index
from tests.support.fasttext_models import train
from tests.support.object_server import BUCKET, SLOW_SECONDS, Environ, ObjectServer, some_faults

ROOT = f"s3://{BUCKET}"
# Compresses badly and repeats nowhere, so that two pieces in the wrong order are told.
NOISE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1000))


def write(uri: str, content: bytes) -> None:
    with storage.write_file(uri) as sink:
        sink.write(content)


def always(what: str, *methods: str) -> Any:
    def fault(number: int, environ: Environ) -> str | None:
        return what if environ["REQUEST_METHOD"] in methods else None

    return fault


@pytest.mark.parametrize("content", [b"", b"one", NOISE])
def test_an_object_is_written_and_read_and_deleted(server: ObjectServer, content: bytes) -> None:
    uri = f"{ROOT}/a/b/c.bin"
    write(uri, content)
    # No temporary name, and no empty objects that stand for folders.
    assert server.list_keys() == ["a/b/c.bin"]
    assert server.content("a/b/c.bin") == content == storage.read_bytes(uri)
    assert storage.exists(uri)
    assert not storage.exists(f"{ROOT}/a/b")
    assert not storage.exists(f"{ROOT}/a/b/none")
    storage.delete_file(uri)
    storage.delete_file(uri)
    assert not storage.exists(uri)


def test_an_object_appears_when_it_is_whole(server: ObjectServer) -> None:
    server.put("a.bin", b"old")
    with storage.write_file(f"{ROOT}/a.bin") as sink:
        sink.write(NOISE)
        assert server.content("a.bin") == b"old"
    assert server.content("a.bin") == NOISE


def test_a_process_that_is_killed_while_it_writes_leaves_nothing(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with storage.write_file(f"{ROOT}/a.bin") as sink:
        sink.write(NOISE)
        sink.flush()
        # What has no name is gone with the process.
        assert list(tmp_path.iterdir()) == []
    assert server.content("a.bin") == NOISE


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_object_and_nothing_else(server: ObjectServer, error: type) -> None:
    server.put("a.bin", b"old")

    def write_half(name: str) -> None:
        with storage.write_file(f"{ROOT}/{name}") as sink:
            sink.write(b"new")
            raise error

    for name in ("a.bin", "b.bin"):
        with pytest.raises(error):
            write_half(name)
    assert server.list_keys() == ["a.bin"]
    assert server.content("a.bin") == b"old"


def test_large_objects_go_up_in_parts_and_come_back_in_ranges(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stores, "_CLIENT_ATTEMPTS", 5)
    content = NOISE * 1000  # 32 MB: four ranges or parts
    with server.faults(some_faults):
        write(f"{ROOT}/large.bin", content)
    assert (server.calls["POST"], server.calls["PUT"]) == (2, 5), "four parts, one of them twice"
    assert server.content("large.bin") == content
    with server.faults(some_faults) as answers:
        assert storage.read_bytes(f"{ROOT}/large.bin") == content
    assert answers["busy"] == 1
    assert server.calls == {"HEAD": 1, "GET": 5}, "four ranges, one of them twice"
    with storage.open_random(f"{ROOT}/large.bin") as source:
        edge = object_store.RANGE_BYTES
        assert source.size() == len(content)
        assert source.read_at(2 * edge + 2, edge - 1) == content[edge - 1 : 3 * edge + 1]
        assert source.read_at(10, len(content) - 4) == content[-4:]
        source.seek(-3, 2)
        assert (source.read(2), source.tell(), source.read(), source.read(5)) == (
            content[-3:-1],
            len(content) - 1,
            content[-1:],
            b"",
        )


@pytest.mark.parametrize("what", ["busy", "cut"])
@pytest.mark.parametrize("size", [10, 12 << 20])
def test_an_upload_that_fails_leaves_the_old_object(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch, what: str, size: int
) -> None:
    monkeypatch.setattr(object_stores, "_TRIES", 2)
    server.put("a.bin", b"old")
    with server.faults(always(what, "PUT")), pytest.raises(BylineError) as error:
        write(f"{ROOT}/a.bin", bytes(size))
    assert str(error.value).startswith(f"{ROOT}/a.bin: cannot be written after 2 tries (When ")
    assert "\n" not in str(error.value)
    assert server.list_keys() == ["a.bin"]
    assert server.content("a.bin") == b"old"


@pytest.mark.parametrize("what", ["busy", "cut"])
def test_a_read_that_fails_for_good_says_which_object(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(object_stores, "_TRIES", 2)
    server.put("a b.bin", NOISE)
    source = storage.open_random(f"{ROOT}/a%20b.bin")
    with server.faults(always(what, "GET")) as answers, pytest.raises(BylineError) as error:
        source.read()
    assert str(error.value).startswith(f"{ROOT}/a%20b.bin: cannot be read after 2 tries (")
    assert answers[what] >= 2
    assert source.read() == NOISE


@pytest.mark.parametrize("what", ["busy", "cut", "lost", "slow"])
def test_a_read_goes_on_after_a_fault(server: ObjectServer, what: str) -> None:
    content = NOISE * 10
    server.put("a.bin", content)
    source = storage.open_random(f"{ROOT}/a.bin")
    started = time.monotonic()
    with server.faults(lambda number, environ: what if number < 4 else None) as answers:
        assert [source.read(5000) for _ in range(5)] == [content[at : at + 5000] for at in range(0, 25_000, 5000)]
    assert answers[what] == 4
    assert server.calls["GET"] == (5 if what == "slow" else 9)
    assert what != "slow" or time.monotonic() - started > 4 * SLOW_SECONDS


def test_waits_twice_as_long_after_each_try(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(object_stores.time, "sleep", waited.append)
    store = object_store._Retrying("s3", fs.LocalFileSystem())

    def fail() -> None:
        raise OSError("gone\naway")

    with pytest.raises(BylineError) as error:
        store.retry("bucket/a b", "read", fail)
    assert str(error.value).startswith("s3://bucket/a%20b: cannot be read after 7 tries (gone away); check endpoint ")
    assert str(error.value).endswith(", and run again")
    assert waited == pytest.approx([0.5, 1, 2, 4, 8, 16])


def test_what_is_refused_is_not_tried_again(server: ObjectServer) -> None:
    with server.faults(lambda *_: None) as answers, pytest.raises(BylineError) as error:
        write("s3://no-such-bucket/a", b"x")
    assert str(error.value).startswith("s3://no-such-bucket/a: cannot be written (When uploading object")
    told = f"check the bucket's name, the credentials, and endpoint {server.url} (AWS_ENDPOINT_URL) "
    assert told in str(error.value)
    assert answers.total() == 1


@pytest.mark.parametrize("cause", ["AWS Error UNKNOWN (HTTP status 301) during HeadObject operation", "NO_SUCH_BUCKET"])
def test_what_no_second_try_changes(monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    monkeypatch.setattr(object_stores.time, "sleep", lambda seconds: None)
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise OSError(cause)

    with pytest.raises(BylineError, match="cannot be read"):
        object_stores.retry("s3://bucket/a", "read", fail)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("uri", "environment", "told"),
    [
        (
            "s3://b/a",
            {"AWS_ENDPOINT_URL": "http://me:secret@h:1", "AWS_DEFAULT_REGION": "eu-west-1"},
            "endpoint http://...@h:1 (AWS_ENDPOINT_URL) and region eu-west-1 (AWS_DEFAULT_REGION)",
        ),
        (
            "s3://b/a",
            {"AWS_ENDPOINT_URL_S3": "http://h", "AWS_ENDPOINT_URL": "http://i"},
            "endpoint http://h (AWS_ENDPOINT_URL_S3) and region us-east-1 (no AWS_REGION or AWS_DEFAULT_REGION is set)",
        ),
        (
            "s3://b/a",
            {"AWS_REGION": "eu-west-1"},
            "endpoint of Amazon (no AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is set) and region eu-west-1 (AWS_REGION)",
        ),
        ("gs://b/a", {"CLOUD_STORAGE_EMULATOR_ENDPOINT": "http://h:3"}, "http://h:3 (CLOUD_STORAGE_EMULATOR_ENDPOINT)"),
        ("gs://b/a", {}, "endpoint of Google (no CLOUD_STORAGE_EMULATOR_ENDPOINT is set)"),
    ],
)
def test_the_last_failure_names_the_server(
    monkeypatch: pytest.MonkeyPatch, uri: str, environment: dict[str, str], told: str
) -> None:
    for names in (
        object_stores._ENDPOINT_VARIABLES,
        object_stores._REGION_VARIABLES,
        (object_stores._EMULATOR_VARIABLE,),
    ):
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_stores, "_TRIES", 1)

    def fail() -> None:
        raise OSError("no route to host")

    with pytest.raises(BylineError) as error:
        object_stores.retry(uri, "listed", fail)
    assert f"{told}, and run again" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("size", [2, 20_000])
def test_an_object_that_is_deleted_while_it_is_read(server: ObjectServer, size: int) -> None:
    content = NOISE * 10
    server.put("store/a.arrow", content)
    source = storage.open_ranges(f"{ROOT}/store/a.arrow")
    assert source.read_at(0, size) == content[:size]
    server.client.delete_object(Bucket=BUCKET, Key="store/a.arrow")
    with server.faults(lambda *_: None), pytest.raises(BylineError) as error:
        source.read_at(5, 5 + size)
    assert str(error.value).startswith(f"{ROOT}/store/a.arrow: was deleted while it was read (by `byline compact`, ")
    assert server.calls == {"GET": 1, "HEAD": 1}


class Doubtful:
    """An object that is there, and of which a read says now and then what it says of one that is not."""

    def __init__(self) -> None:
        self.errors = ["NO_SUCH_KEY", "Failed to flush response stream"]

    def size(self) -> int:
        return 10

    def read_at(self, size: int, start: int) -> bytes:
        if self.errors:
            raise OSError(self.errors.pop())
        return bytes(size)

    def close(self) -> None:
        pass


def test_an_object_of_which_the_client_itself_says_that_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    file: Any = Doubtful()
    monkeypatch.setattr(file, "read_at", lambda size, start: Path("/no such folder/file").read_bytes())
    # As Google's client does.
    with pytest.raises(BylineError, match=r"^gs://bucket/a: was deleted while it was read"):
        object_stores.ObjectFile("gs://bucket/a", lambda: file).read_at(3, 9)


def test_what_only_looks_like_a_deleted_object_is_tried_again(server: ObjectServer) -> None:
    file: Any = Doubtful()
    assert object_stores.ObjectFile("s3://bucket/a", lambda: file).read_at(3, 9) == bytes(6)
    assert file.errors == []


@pytest.mark.parametrize("opened", [storage.open_random, storage.read_bytes])
def test_an_object_that_is_not_there(server: ObjectServer, opened: Any) -> None:
    with pytest.raises(BylineError) as error:
        opened(f"{ROOT}/none")
    assert str(error.value) == f"{ROOT}/none: cannot be opened (No such file or directory)"
    assert storage.read_if_there(f"{ROOT}/none") is None


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://x/path"])
def test_an_endpoint_is_a_host(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(BylineError, match=r"^AWS_ENDPOINT_URL: expected http://host:port or https://host:port, found "):
        storage.resolve("s3://bucket/a")


def test_the_end_of_a_file_is_fetched_once(server: ObjectServer) -> None:
    content = NOISE * 10
    server.put("a.bin", content)
    with server.faults(lambda *_: None), storage.open_random(f"{ROOT}/a.bin") as source:
        for start in range(len(content) - object_stores.TAIL_BYTES, len(content), 5000):
            assert source.read_at(5000, start) == content[start : start + 5000]
        assert server.calls == {"HEAD": 1, "GET": 1}
        assert source.read_at(5000, 0) == content[:5000]
        assert server.calls["GET"] == 2


def test_an_arrow_file_is_read_by_columns(server: ObjectServer) -> None:
    table = pa.table({"a": list(range(100_000)), "b": [bytes(100)] * 100_000})
    with storage.write_file(f"{ROOT}/t.arrow") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with server.faults(some_faults):
        source = storage.open_random(f"{ROOT}/t.arrow")
        reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=[0]))
        assert reader.read_all() == table.select(["a"])


def test_a_changed_source_is_compared_with_the_ones_on_the_store(server: ObjectServer) -> None:
    store_index.write_settings(f"{ROOT}/store/mine/one", {"a": 1, "b": 2})
    assert store_index.nearest_change(f"{ROOT}/store", "mine", {"a": 1, "b": 3}) == ["b"]


def test_a_copy_of_an_object_is_made_once(server: ObjectServer) -> None:
    server.put("models/a b.bin", NOISE)
    uri = f"{ROOT}/models/a%20b.bin"
    with server.faults(some_faults):
        path = local_copy(uri)
        assert Path(path).read_bytes() == NOISE
        calls = server.calls.total()
        assert local_copy(uri) == path
    assert server.calls.total() == calls
    assert local_copy("models/c.bin") == "models/c.bin"
    with pytest.raises(BylineError, match="cannot be opened"):
        local_copy(f"{ROOT}/models/none.bin")


def test_the_checksum_of_an_object_is_that_of_what_the_store_has_now(server: ObjectServer) -> None:
    uri = f"{ROOT}/models/model.bin"
    for content in (NOISE, NOISE[:-1]):
        server.put("models/model.bin", content)
        assert sha256_of(uri, f"{ROOT}/kept") == hashlib.sha256(content).hexdigest()
        # Which stays, whatever becomes of the object.
        local_copy(uri)


def test_a_model_that_only_the_library_scores(server: ObjectServer, tmp_path: Path) -> None:
    path = train(tmp_path, "subwords", minn=2, maxn=3)
    server.put("models/subwords.bin", Path(path).read_bytes())
    texts = pa.array(["a word", "another one"], pa.large_string())
    model = open_model(f"{ROOT}/models/subwords.bin", f"{ROOT}/folded")
    assert isinstance(model, LibraryModel)
    assert model.probabilities(texts).tolist() == open_model(path, str(tmp_path)).probabilities(texts).tolist()
