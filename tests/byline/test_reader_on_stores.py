"""`byline.open` on an object store: the same rows as on a disk, few calls, and what goes wrong."""

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import byline
from byline import object_shards, object_stores
from byline.errors import BylineError
from tests.support.object_server import (
    BUCKET,
    Environ,
    ObjectServer,
    no_fault,
    object_server,
    put_folder,
    quick_retries,
    some_faults,
)
from tests.support.shards import ARRAYS, SHARDS, ids_in_a_process, numbered_build
from tests.support.thorough import examples


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectServer]:
    with quick_retries(), object_server() as running:
        yield running


@pytest.fixture
def rows(s3: ObjectServer, tmp_path: Path) -> Iterator[byline.Shards]:
    """Twelve rows, two in a record batch, on a disk; the same are below `tiny/` on the store."""
    numbered_build(tmp_path, SHARDS, rows_per_batch=2)
    put_folder(s3, tmp_path, "tiny")
    yield byline.open(tmp_path)
    for key in s3.list_keys("tiny/"):
        s3.client.delete_object(Bucket=BUCKET, Key=key)


TINY = f"s3://{BUCKET}/tiny"


def same(found: byline.Row, expected: byline.Row) -> bool:
    return all(np.array_equal(found[name], expected[name]) for name in ARRAYS) and found["phase"] == expected["phase"]


def test_rows_are_those_on_a_disk(s3: ObjectServer, rows: byline.Shards) -> None:
    with s3.faults(some_faults) as answers:
        shards = byline.open(f"{TINY}/")
        assert shards.directory == TINY
        assert len(shards) == 12
        assert all(map(same, shards, rows))
        assert all(map(same, shards[::-5], rows[::-5]))
        # Resumed in the middle, and every third row as a rank reads them.
        assert all(map(same, pickle.loads(pickle.dumps(shards[7:])), rows[7:]))
        assert all(map(same, shards.phase("cooldown")[1::3], rows.phase("cooldown")[1::3]))
        found, expected = shards.batch([11, 0, 3]), rows.batch([11, 0, 3])
        assert all(np.array_equal(found[name], expected[name]) for name in ("input_ids", "loss_mask"))
        assert shards.origin(3) == rows.origin(3)
        assert shards.inputs == rows.inputs
    assert answers["cut"] >= 1
    assert not any(row[name].flags.writeable for row in shards for name in ARRAYS)


def test_a_record_batch_is_fetched_once_and_a_few_are_kept(
    s3: ObjectServer, rows: byline.Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_shards, "MAX_HELD", 2)
    monkeypatch.setattr(object_stores, "TAIL_BYTES", 8)
    shards = byline.open(TINY)
    kept = list(shards[:5])

    def calls(*numbers: int) -> int:
        with s3.faults(no_fault):
            assert all(same(shards[number], rows[number]) for number in numbers)
        return s3.calls["GET"]

    assert calls(3, 4, 2) == 0
    once = calls(0)
    assert once > 0
    assert calls(1, 0, 2) == 0
    assert calls(4) == once
    assert all(map(same, kept, rows[:5]))


# ------------------------------------------------------------------------------------------- rows from here and there

LARGE = f"s3://{BUCKET}/large"


@pytest.fixture(scope="module", params=[("int32", None), ("uint16", None), ("int32", "float16"), ("uint16", "float32")])
def large(s3: ObjectServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> byline.Shards:
    """2,100 rows of 256 tokens in three shards, 100 in a record batch; the same are below `large/` on the store."""
    directory = tmp_path_factory.mktemp("large")
    shards = {"conditioned": [1000, 350], "cooldown": [750]}
    ids, loss_weight = request.param
    numbered_build(directory, shards, length=256, rows_per_batch=100, ids=ids, loss_weight=loss_weight)
    put_folder(s3, directory, "large")
    return byline.open(directory)


def same_rows(found: byline.Rows, expected: byline.Rows) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype for name in expected
    )


def test_rows_from_here_and_there_are_fetched_alone(s3: ObjectServer, large: byline.Shards) -> None:
    shards, numbers = byline.open(LARGE), [1999, 3, 3, 777, 778, 779, 1001, 5, 2099]
    with s3.faults(some_faults) as answers:
        assert same_rows(shards.batch(numbers), large.batch(numbers))
        assert same(shards[1234], large[1234])
        assert not any(shards[1234][name].flags.writeable for name in ARRAYS)
    assert answers["cut"] >= 1
    with s3.faults(no_fault):
        assert same_rows(shards.batch([111, 1333, 2022]), large.batch([111, 1333, 2022]))
    # A record batch has 100 rows of 1,280 bytes (ids as int32) and their lists.
    assert s3.sent < 40_000


def test_rows_of_more_record_batches_than_are_held_stay_alone(
    s3: ObjectServer, large: byline.Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_shards, "MAX_RUNS", 2)
    monkeypatch.setattr(object_shards, "LATELY", 20)
    shards, numbers = byline.open(LARGE), np.arange(96) * 7919 % 2100
    with s3.faults(no_fault):
        for asked in np.split(numbers, 8):
            assert same_rows(shards.batch(asked), large.batch(asked))
    # The ends of 3 shards, metadata and lists of 22 record batches, 4 or 5 rows of each, of 1,792 bytes with weights;
    # two of them whole, where threads come to three of their rows within the last 20.
    assert s3.sent < 3 * 65_536 + 22 * 8000 + (96 + 2 * 100) * 1792


def test_buffers_that_lie_elsewhere_than_usual(
    s3: ObjectServer, large: byline.Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alignment in (1, 4096):
        monkeypatch.setattr(object_shards, "_ALIGNMENT", alignment)
        shards = byline.open(LARGE)
        assert same_rows(shards.batch([1999, 3, 1349]), large.batch([1999, 3, 1349]))


def test_rows_in_order_are_fetched_as_whole_record_batches(s3: ObjectServer, large: byline.Shards) -> None:
    shards = byline.open(LARGE)
    with s3.faults(no_fault):
        assert all(same(shards[number], large[number]) for number in range(250))
    # The shard's size and its end, the first row alone (metadata, lists, ids, mask, weights), four record batches.
    assert s3.calls["GET"] <= 1 + 4 + (large.manifest.loss_weight is not None) + 4
    with s3.faults(no_fault):
        for start in range(250, 1000, 50):
            assert same_rows(shards.batch(range(start, start + 50)), large.batch(range(start, start + 50)))
    assert s3.calls["GET"] <= 7


def test_a_shuffled_window_fetches_its_record_batches_once(s3: ObjectServer, large: byline.Shards) -> None:
    loader = byline.open(LARGE)[:900].loader(batch=8, shuffle=400, prefetch=3)
    expected = large[:900].loader(batch=8, shuffle=400)
    with s3.faults(no_fault):
        assert all(map(same_rows, loader, expected))
    assert loader.next_batch == expected.next_batch == 113
    # Each of the 9 record batches whole, after a few rows of it.
    assert s3.calls["GET"] < 9 * 50


@given(st.data())
@examples(12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_rows_are_asked_for(s3: ObjectServer, large: byline.Shards, data: st.DataObject) -> None:
    shards = byline.open(LARGE)
    for _ in range(3):
        start = data.draw(st.integers(0, 2000))
        numbers = data.draw(
            st.just(list(range(start, start + 30))) | st.lists(st.integers(0, 2099), max_size=30),
        )
        assert same_rows(shards.batch(numbers), large.batch(numbers))


def test_threads_read_one_object(s3: ObjectServer, large: byline.Shards) -> None:
    shards = byline.open(LARGE)
    numbers = [(number * 7919) % 2100 for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: same(shards[number], large[number]), numbers))


def test_damaged_lists_of_a_record_batch_are_told(s3: ObjectServer, large: byline.Shards) -> None:
    key = f"large/{large.manifest.phases[1].shards[0].path}"
    content = s3.content(key)
    # Every 4 bytes that could be one of the offsets [0, 2, 4, ...] of a list.
    start = content.find(np.arange(0, 60, 2, dtype=np.int32).tobytes())
    s3.put(key, content[: start + 40] + b"\xff\xff\xff\x7f" + content[start + 44 :])
    with pytest.raises(BylineError, match=f"^s3://{BUCKET}/{key}: damaged") as error:
        byline.open(LARGE)[1357]
    assert "\n" not in str(error.value)
    s3.put(key, content)
    assert same(byline.open(LARGE)[1357], large[1357])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(s3: ObjectServer, rows: byline.Shards, method: str) -> None:
    shards = byline.open(TINY)
    assert same(shards[0], rows[0])
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=ids_in_a_process, args=(shards[rank::2], queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    ids_read = sorted(ids for _ in workers for ids in queue.get(timeout=60))
    for worker in workers:
        worker.join()
    assert ids_read == sorted(row["input_ids"].tolist() for row in rows)


def test_a_damaged_shard_is_told(s3: ObjectServer, rows: byline.Shards) -> None:
    key = f"tiny/{rows.manifest.phases[0].shards[0].path}"
    s3.put(key, s3.content(key)[:-8])
    with pytest.raises(BylineError, match=f"^s3://{BUCKET}/{key}: "):
        byline.open(TINY)[0]
    s3.client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(BylineError, match=f"^s3://{BUCKET}/{key}: missing, though the build is finished; "):
        byline.open(TINY)[0]


def test_a_store_that_stays_away_is_told(
    s3: ObjectServer, rows: byline.Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stores, "_TRIES", 2)

    def busy(number: int, environ: Environ) -> str:
        return "busy"

    with s3.faults(busy), pytest.raises(BylineError) as error:
        byline.open(TINY)
    assert str(error.value).startswith(f"{TINY}/_manifest.json: cannot be opened after 2 tries (")
    assert len(rows) == 12


def test_an_address_is_no_path() -> None:
    with pytest.raises(BylineError, match=r"^s3:/bucket/out: an address begins with s3://; give it as a string"):
        byline.open(Path("s3://bucket/out"))
