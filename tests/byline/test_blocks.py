"""Arrays in blocks of shared memory: what is read stays what it is, and what is free is used again."""

import gc
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from byline.adapters import blocks
from byline.adapters.blocks import Blocks, Packed, unpack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="blocks are on Linux alone")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """One process is the worker and its parent."""
    monkeypatch.setattr(blocks, "_can_share", lambda: True)


def sent(pool: Blocks, value: int, count: int = 1000) -> Packed | None:
    block = pool.take()
    ids = block.empty((2, count), np.int64)
    ids[...] = value
    return block.pack({"ids": ids.reshape(-1), "ends": np.array([value, value + 1], np.int32)})


def started(count: int = 1000) -> Blocks:
    """What has seen its first batch."""
    pool = Blocks()
    assert sent(pool, 0, count) is None, "it was not known how large a block is to be"
    return pool


def open_files() -> int:
    # What other tests left in cycles is closed.
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def mapped() -> int:
    """How many blocks this process has mapped."""
    gc.collect()
    return Path("/proc/self/maps").read_text().count("byline-batch")


def test_arrays_arrive_as_they_are():
    pool = started()
    block = pool.take()
    made = block.empty((2, 3), np.int64)
    made[...] = [[1, 2, 3], [4, 5, 6]]
    arrays = {
        "made": made,
        "flat": made.reshape(-1),
        "cut": made[:, :-1],
        "every second": made[:, ::2],
        "backwards": made[:, ::-1],
        "elsewhere": np.array([[True], [False]]),
        "none": np.empty((0, 3), np.float32),
    }
    packed = block.pack(arrays)
    assert len({packed.arrays[name][2] for name in ("made", "flat", "cut", "every second")}) == 1, "copied"
    arrived = unpack(packed)
    assert arrived.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (arrived[name].dtype, arrived[name].tolist()) == (array.dtype, array.tolist())
        assert arrived[name].flags.writeable


def test_a_block_is_used_again_when_its_last_array_is_gone():
    pool = started()
    first = sent(pool, 1)
    arrived = unpack(first)
    other = sent(pool, 2)
    assert other.descriptor != first.descriptor
    part = arrived["ids"][5:7]
    del arrived
    third = sent(pool, 3)
    assert third.descriptor not in (first.descriptor, other.descriptor)
    assert part.tolist() == [1, 1]
    del part
    assert sent(pool, 4).descriptor == first.descriptor


def test_what_was_not_received_is_not_written_over():
    pool = started()
    on_their_way = [sent(pool, value) for value in range(5)]
    assert len({packed.descriptor for packed in on_their_way}) == 5
    assert [unpack(packed)["ids"][0] for packed in on_their_way] == [0, 1, 2, 3, 4]


def test_what_is_left_in_the_worker_is_not_written_over():
    pool = started()
    block = pool.take()
    kept = block.empty((4,), np.int64)
    kept[...] = 7
    del block
    packed = sent(pool, 8)
    assert kept.tolist() == [7] * 4
    assert packed is not None


def test_a_batch_is_packed_once():
    block = started().take()
    ids = block.empty((3,), np.int64)
    assert block.pack({"ids": ids}) is not None
    assert block.pack({"ids": ids}) is None


def test_kept_arrays_stay_what_they_are(monkeypatch):
    """More than blocks are for: some are copies, and then there is no block for more."""
    monkeypatch.setattr(blocks, "MOST_KEPT", 3)
    monkeypatch.setattr(blocks, "MOST_BLOCKS", 4)
    pool, before = started(), open_files()
    kept = [unpack(sent(pool, value))["ids"] for value in range(1, 8)]
    assert [set(ids.tolist()) for ids in kept] == [{value} for value in range(1, 8)]
    kept[0][...] = 9
    assert [ids[0] for ids in kept] == [9, *range(2, 8)]
    assert [ids.base is None for ids in kept] == [False] * 3 + [True] * 4
    unreceived = sent(pool, 8)
    assert sent(pool, 9) is None, "all four blocks are taken"
    assert unpack(unreceived)["ids"][0] == 8
    # Two in the worker for each block, two in the parent for each kept one.
    assert open_files() <= before + 2 * 4 + 2 * 4


def test_larger_batches_get_larger_blocks():
    pool = started(100)
    assert unpack(sent(pool, 1, 100))["ids"].size == 200
    assert sent(pool, 2, 500) is None
    assert unpack(sent(pool, 3, 500))["ids"].tolist() == [3] * 1000
    assert unpack(sent(pool, 4, 10))["ids"].tolist() == [4] * 20


def test_a_small_block_goes_only_where_no_large_one_is_free():
    pool = started(100)
    small = [sent(pool, value, 100) for value in (1, 2)]
    assert sent(pool, 3, 500) is None
    large = sent(pool, 4, 500)
    assert all(unpack(packed)["ids"].size == 200 for packed in small), "both are free now"
    assert unpack(large)["ids"].size == 1000
    for value in (5, 6, 7):
        again = sent(pool, value, 500)
        assert again.descriptor == large.descriptor
        assert unpack(again)["ids"][0] == value


def test_no_file_is_left_open():
    before = open_files()
    pool = started()
    for value in range(3):
        arrived = unpack(sent(pool, value))
    assert open_files() > before
    del pool, arrived
    assert open_files() == before


def test_a_process_forked_from_the_parent_has_a_share():
    pool = started()
    first = sent(pool, 1)
    arrived = unpack(first)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0 if set(arrived["ids"].tolist()) == {1} else 1)
    os.close(reading)
    del arrived
    again = sent(pool, 2)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert again.descriptor != first.descriptor
    assert sent(pool, 3).descriptor == first.descriptor


def work(connection: Connection) -> None:
    pool = started()
    for value in (1, 2):
        connection.send(sent(pool, value))
    connection.recv()
    connection.send([sent(pool, value).descriptor for value in (3, 4)])


def test_a_block_that_stays_mapped_is_used_again(monkeypatch):
    monkeypatch.undo()
    connection, other = multiprocessing.Pipe()
    before = mapped()
    worker = multiprocessing.get_context("fork").Process(target=work, args=(other,))
    worker.start()
    packed = [connection.recv(), connection.recv()]
    for each in packed:
        assert unpack(each)["ids"].size == 2000
    assert mapped() == before + 2
    connection.send(None)
    assert connection.recv() == [each.descriptor for each in packed]
    worker.join()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_that_is_killed(monkeypatch, method):
    monkeypatch.undo()
    context = multiprocessing.get_context(method)
    connection, other = context.Pipe()
    worker = context.Process(target=work, args=(other,))
    worker.start()
    before = open_files(), mapped()
    arrived, unread = unpack(connection.recv()), connection.recv()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert set(arrived["ids"].tolist()) == {1}
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid \d+\) ended, and a batch"):
        unpack(unread)
    assert mapped() == before[1] + 1
    worker.close()
    del worker, arrived
    assert mapped() == before[1]
    assert open_files() <= before[0]
