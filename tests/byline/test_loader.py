"""`shards.loader`: batches of any rank, states that any other number of ranks takes, threads and processes."""

import json
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline import open_files
from byline.errors import BylineError
from tests.support.shards import loader_refused, numbered_build, numbers, read_numbers
from tests.support.thorough import examples

# ----------------------------------------------------------------------------------------------------------- literally


def test_batches_in_training_order(shards):
    loader = shards.loader(batch=4)
    assert (len(loader), loader.next_batch) == (3, 0)
    assert read_numbers(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert (len(loader), loader.next_batch) == (3, 3)
    assert read_numbers(loader) == []
    batch = loader[1]
    assert batch["input_ids"].tolist() == shards.batch([4, 5, 6, 7])["input_ids"].tolist()
    assert batch["loss_mask"].tolist() == shards.batch([4, 5, 6, 7])["loss_mask"].tolist()


def test_ranks(shards):
    assert read_numbers(shards.loader(batch=4, rank=0, world=2)) == [[0, 1], [4, 5], [8, 9]]
    assert read_numbers(shards.loader(batch=4, rank=1, world=2)) == [[2, 3], [6, 7], [10, 11]]


def test_phases_aligned(shards):
    loader = shards.loader(batch=4, align_phases=True)
    assert read_numbers(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, -1, -1, -1], [9, 10, 11, -1]]
    assert read_numbers(shards.loader(batch=4, align_phases=True, last="keep"))[2:] == [[8], [9, 10, 11]]
    assert read_numbers(shards.loader(batch=3, align_phases=True, last="drop", epochs=2))[3:] == [
        [9, 10, 11],
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]


def test_rows_of_padding(shards):
    loader = shards.loader(batch=8)
    assert loader.rows(1).tolist() == [8, 9, 10, 11, -1, -1, -1, -1]
    batch = loader[1]
    assert batch["input_ids"][3:].tolist() == [[77, 78, 79, 80, 81, 82, 83, 1], *[[1] * 8] * 4]
    assert batch["loss_mask"][3:].tolist() == [[0, 1, 1, 1, 1, 1, 1, 0], *[[0] * 8] * 4]
    assert batch["segments"].tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    assert batch["seq_lengths"].tolist() == [7, 1, 7, 1, 7, 1, 7, 1, 8, 8, 8, 8]
    assert batch["doc_ids"][6:].tolist() == [(1 << 32) + 11, -1, -1, -1, -1, -1]
    assert batch["doc_offsets"].tolist() == [8, 0, 9, 0, 10, 0, 11, 0, 0, 0, 0, 0]
    assert batch["phase"].tolist() == ["conditioned"] + ["cooldown"] * 7
    assert {name: array.dtype for name, array in batch.items()} == {
        name: array.dtype for name, array in loader[0].items()
    }


def test_a_rank_with_padding_alone(shards):
    batch = shards.loader(batch=24, rank=0, world=24, align_phases=True)[1]
    assert (batch["phase"].tolist(), batch["input_ids"].tolist()) == (["cooldown"], [[1] * 8])
    assert not batch["loss_mask"].any()


def test_padding_is_spread_over_the_ranks(shards):
    ranks = [read_numbers(shards.loader(batch=8, rank=rank, world=4))[1] for rank in range(4)]
    assert ranks == [[8, -1], [9, -1], [10, -1], [11, -1]]
    kept = [read_numbers(shards.loader(batch=8, rank=rank, world=8, last="keep"))[1] for rank in range(8)]
    assert kept == [[], [8], [], [9], [], [10], [], [11]]


def test_a_batch_of_no_rows_has_its_shape(shards):
    batch = shards.loader(batch=8, world=8, last="keep")[1]
    assert {name: batch[name].shape for name in ("input_ids", "loss_mask")} == {
        "input_ids": (0, 8),
        "loss_mask": (0, 8),
    }


def test_views(shards):
    assert read_numbers(shards[2:].loader(batch=5)) == [[2, 3, 4, 5, 6], [7, 8, 9, 10, 11]]
    assert read_numbers(shards[::-2].loader(batch=4, align_phases=True)) == [[11, 9, -1, -1], [7, 5, 3, 1]]
    assert read_numbers(shards.phase("cooldown").loader(batch=2, epochs=2)) == [[9, 10], [11, 9], [10, 11]]
    assert read_numbers(shards[5:5].loader(batch=2)) == []


@given(st.data())
@examples(40, deadline=None)
def test_a_view_shuffled_by_phase_keeps_its_phases(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("build", numbered=True)
    counts = {name: data.draw(st.lists(st.integers(0, 4), max_size=3)) for name in ("a", "b", "c")}
    numbered_build(directory, counts)
    bound = st.none() | st.integers(-12, 12)
    view = byline.open(directory)
    view = view[data.draw(bound) : data.draw(bound) : data.draw(st.sampled_from([None, 1, 2, 3, -1, -2]))]
    loader = view.loader(batch=3, shuffle="phase", align_phases=True, last="keep")
    rows = [*chain(*(loader.rows(batch).tolist() for batch in range(len(loader))))]
    assert sorted(rows) == list(range(len(view)))
    assert [view[row]["phase"] for row in rows] == [row["phase"] for row in view]
    for batch in range(len(loader)):
        assert len({view[int(row)]["phase"] for row in loader.rows(batch)}) == 1


# --------------------------------------------------------------------------------------------------- seeking, refusing


def test_seek_and_skip(shards):
    loader = shards.loader(batch=2)
    loader.seek(4)
    assert numbers(next(loader)) == [8, 9]
    loader.seek(1)
    loader.skip(2)
    assert numbers(next(loader)) == [6, 7]
    loader.skip(99)
    assert read_numbers(loader) == []
    with pytest.raises(IndexError, match="batch 7 of 6"):
        loader.seek(7)
    with pytest.raises(IndexError, match="-1 batches cannot be left out; `seek` goes back"):
        loader.skip(-1)


def test_batches_by_number(shards):
    loader = shards.loader(batch=2)
    assert [numbers(loader[batch]) for batch in (5, 0, -1, np.int64(2))] == [[10, 11], [0, 1], [10, 11], [4, 5]]
    assert loader.next_batch == 0
    for wrong in (6, -7):
        with pytest.raises(IndexError, match=f"batch {wrong} of 6"):
            loader[wrong]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"batch": 4, "world": 3},
            "loader: batch=4 rows of all ranks together cannot be shared evenly by world=3",
        ),
        ({"batch": 1000, "world": 3}, "give a multiple of 3, such as 1,002"),
        ({"world": 2, "rank": 2}, "loader: rank=2, world=2; expected a rank from 0 to world - 1"),
        ({"world": 0}, "loader: rank=0, world=0; expected a rank"),
        ({"rank": -1}, "loader: rank=-1, world=1; expected a rank"),
        ({"last": "none"}, "loader: last='none'; expected one of 'keep', 'drop', 'pad'"),
        ({"prefetch": -1}, "loader: prefetch=-1; expected how many batches to make ahead, from 0 on"),
        ({"shuffle": "\n\x1b[2J"}, r"loader: shuffle='\n\x1b[2J'; expected"),
    ],
)
def test_settings_that_cannot_be(shards, settings, message):
    loader_refused(shards, settings, message)


def test_numbers_of_numpy_are_numbers(shards):
    four, one = np.int64(4), np.int32(1)
    loader = shards.loader(batch=four, rank=one, world=np.uint8(2), shuffle=four, seed=one, epochs=one, prefetch=one)
    assert json.dumps(loader.state_dict()) == json.dumps(
        shards.loader(batch=4, world=2, shuffle=4, seed=1).state_dict()
    )


def test_repr(shards):
    loader = shards.loader(batch=2, rank=1, world=2)
    next(loader)
    assert repr(loader) == f"<byline.Loader {shards.directory}: batch 1 of 6, rank 1 of 2>"


# ------------------------------------------------------------------------------------------------ threads and processes


@pytest.mark.parametrize("prefetch", [1, 3, 8])
def test_made_ahead_in_order(shards, prefetch):
    loader = shards.loader(batch=1, prefetch=prefetch)
    assert numbers(next(loader)) == [0]
    assert loader.state_dict()["next_batch"] == 1
    loader.seek(7)
    assert [numbers(next(loader)) for _ in range(2)] == [[7], [8]]
    loader.seek(3)
    assert read_numbers(loader) == [[row] for row in range(3, 12)]
    assert read_numbers(pickle.loads(pickle.dumps(loader))) == []


def test_no_more_is_made_ahead_than_asked_for(shards, monkeypatch):
    made = []
    whole = threading.Event()
    batch = byline.Shards.batch

    def counted(self, rows):
        made.append(int(rows[0]))
        if len(made) == 4:
            whole.set()
        return batch(self, rows)

    monkeypatch.setattr(byline.Shards, "batch", counted)
    loader = shards.loader(batch=1, prefetch=3)
    next(loader)
    assert whole.wait(30)
    assert sorted(made) == [0, 1, 2, 3]
    assert [number for number, _ in loader._ahead._futures] == [1, 2, 3]


def test_an_error_comes_with_its_batch_and_again(shards):
    damaged = Path(shards.directory) / shards.manifest.phases[1].shards[0].path
    damaged.rename(damaged.with_suffix(".away"))
    loader = shards.loader(batch=3, prefetch=4)
    assert [numbers(next(loader)) for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    for _ in range(2):
        with pytest.raises(BylineError, match="missing, though the build is finished"):
            next(loader)
    assert loader.next_batch == 3
    damaged.with_suffix(".away").rename(damaged)
    assert read_numbers(loader) == [[9, 10, 11]]


def test_threads_index_one_loader(shards, monkeypatch):
    monkeypatch.setattr(open_files, "MAX_OPEN", 1)
    loader = shards.loader(batch=2, shuffle="phase", epochs=20)
    expected = [numbers(loader[batch]) for batch in range(len(loader))]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda batch: numbers(loader[batch]), range(len(loader)))) == expected


def put_rest(loader: byline.Loader, queue: Any) -> None:
    queue.put(read_numbers(loader))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_goes_on(shards, method):
    context = multiprocessing.get_context(method)
    loader = shards.loader(batch=4, prefetch=2)
    next(loader)
    queue = context.Queue()
    worker = context.Process(target=put_rest, args=(loader, queue))
    worker.start()
    assert queue.get(timeout=60) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    worker.join()
    assert read_numbers(loader) == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_fork_while_a_thread_holds_a_batch(shards):
    """A child makes its batches anew; if it cancelled those of its parent, it would wait for ever."""
    loader = shards.loader(batch=4, prefetch=2)
    next(loader)
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with loader._ahead._futures[0][1]._condition:
            held.set()
            forked.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    loader.seek(2)
    worker = context.Process(target=put_rest, args=(loader, queue), daemon=True)
    worker.start()
    forked.set()
    thread.join()
    assert queue.get(timeout=20) == [[8, 9, 10, 11]]
    worker.join()
