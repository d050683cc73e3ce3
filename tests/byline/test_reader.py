"""`byline.open`: rows by index, views, and use from several threads, processes and libraries."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import dataset

import byline
from byline.errors import BylineError
from tests.support.shards import ARRAYS, SHARDS, PackedRow, as_packed, numbered_build, write_build
from tests.support.thorough import examples


def test_import_takes_what_reading_rows_needs_and_the_rest_when_it_is_asked_for():
    program = """
import sys, byline
later = ["pyarrow.fs", *(f"byline.{name}" for name in ("object_stores", "auditing", "forms", "prompt", "tables"))]
print([name for name in later if name in sys.modules])
print([name for name in byline.__all__ if name not in dir(byline) or not callable(getattr(byline, name))])
print([name for name in later if name in sys.modules][-1], hasattr(byline, "none"))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["[]", "[]", "byline.tables False"]


def test_rows_stand_in_training_order(build):
    directory, rows = build
    shards = byline.open(directory)
    assert len(shards) == 12
    assert [as_packed(row) for row in shards] == rows
    assert [as_packed(shards[i]) for i in range(-12, 12)] == rows + rows
    assert [row["phase"] for row in shards] == ["conditioned"] * 9 + ["cooldown"] * 3


def test_one_row_literally(tmp_path):
    row = PackedRow([0, 7, 8, 1, 0, 9, 1, 1], [0, 0, 1, 1, 1, 1, 1, 0], [4, 3, 1], [3, (1 << 32) + 19, -1], [0, 5, 0])
    write_build(tmp_path, {"conditioned": [[row]]}, 8)
    row_read = byline.open(str(tmp_path))[0]
    assert row_read["input_ids"].tolist() == [0, 7, 8, 1, 0, 9, 1, 1]
    assert row_read["loss_mask"].tolist() == [0, 0, 1, 1, 1, 1, 1, 0]
    assert row_read["seq_lengths"].tolist() == [4, 3, 1]
    assert row_read["doc_ids"].tolist() == [3, 4294967315, -1]
    assert row_read["doc_offsets"].tolist() == [0, 5, 0]


@pytest.mark.parametrize("ids", ["int32", "uint16"])
def test_types_are_the_same_for_both_profiles_and_read_only(tmp_path, ids):
    rows = numbered_build(tmp_path, SHARDS, ids=ids)
    shards = byline.open(tmp_path)
    row = shards[6]
    assert as_packed(row) == rows[6]
    assert [row[name].dtype.str for name in ARRAYS] == ["<i4", "|u1", "<i4", "<i8", "<i4"]
    assert not any(row[name].flags.writeable for name in ARRAYS)
    assert shards.batch([6, 0])["input_ids"].dtype == np.int32
    assert shards.batch([6, 0])["input_ids"].tolist() == [rows[6].input_ids, rows[0].input_ids]


def test_a_row_is_a_view_of_the_map(build):
    shards = byline.open(build[0])
    before = pa.total_allocated_bytes()
    kept = [shards[i] for i in range(len(shards))]
    assert not any(row[name].flags.owndata for row in kept for name in ARRAYS)
    assert np.shares_memory(kept[0]["input_ids"], shards[0]["input_ids"])
    assert pa.total_allocated_bytes() == before


@given(st.data())
@examples(50)
def test_slices_and_batches_are_those_of_a_list(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("build", numbered=True)
    counts = data.draw(st.lists(st.integers(0, 5), max_size=4))
    per_batch = data.draw(st.integers(1, 4))
    rows = numbered_build(directory, {"conditioned": counts, "cooldown": [2]}, rows_per_batch=per_batch)
    numbers = list(range(len(rows)))
    shards = byline.open(directory)
    bound = st.none() | st.integers(-20, 20)
    for _ in range(2):
        cut = slice(data.draw(bound), data.draw(bound), data.draw(st.none() | st.sampled_from([1, 2, 3, -1, -2])))
        shards, numbers = shards[cut], numbers[cut]
    assert [as_packed(row) for row in shards] == [rows[number] for number in numbers]
    if numbers:
        asked = data.draw(st.lists(st.integers(-len(numbers), len(numbers) - 1), max_size=8))
        batch = shards.batch(np.array(asked, dtype=np.int64))
        assert batch["input_ids"].tolist() == [rows[numbers[i]].input_ids for i in asked]
        assert batch["loss_mask"].tolist() == [rows[numbers[i]].loss_mask for i in asked]


def test_phase_is_a_view(build):
    directory, rows = build
    shards = byline.open(directory)
    assert shards.phases == ("conditioned", "cooldown")
    assert [as_packed(row) for row in shards.phase("cooldown")] == rows[9:]
    assert [as_packed(row) for row in shards.phase("conditioned")[::4]] == rows[:9:4]
    with pytest.raises(BylineError, match="no phase 'warmup'; its phases are conditioned, cooldown"):
        shards.phase("warmup")


def test_pickles_only_the_directory_and_the_rows(build, monkeypatch):
    directory, rows = build
    monkeypatch.chdir(directory.parent)
    shards = byline.open(directory.name)[1::3]
    assert as_packed(shards[0]) == rows[1]
    pickled = pickle.dumps(shards)
    assert len(pickled) < 300
    monkeypatch.chdir("/")
    assert [as_packed(row) for row in pickle.loads(pickled)] == rows[1::3]


def _row(shards: byline.Shards, index: int) -> PackedRow:
    return as_packed(shards[index])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(build, method):
    directory, rows = build
    shards = byline.open(directory)
    assert as_packed(shards[9]) == rows[9]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_row, [(shards, i) for i in range(12)]) == rows


def test_a_fork_while_a_thread_holds_the_lock(build):
    """A child gets files and a lock of its own; with its parent's it would wait for ever."""
    directory, rows = build
    shards = byline.open(directory)
    assert as_packed(shards[0]) == rows[0]
    with shards._build._files._open._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if as_packed(shards[0]) == rows[0] else 1)
        stop = threading.Timer(10, os.kill, (child, signal.SIGKILL))
        stop.start()
        assert os.waitpid(child, 0)[1] == 0
        stop.cancel()


def test_threads(build):
    directory, rows = build
    shards = byline.open(directory)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: as_packed(shards[i % 12]), range(600))) == [rows[i % 12] for i in range(600)]


def default_collate(rows):
    raise RuntimeError("stack expects each tensor to be equal size")


def test_a_data_loader_that_would_stack_rows(build):
    """As PyTorch fetches a batch: by `__getitems__`, from an object that has the function to collate with."""

    class Fetcher:
        def __init__(self, dataset, collate_fn):
            self.dataset, self.collate_fn = dataset, collate_fn

        def fetch(self, indices):
            return self.collate_fn(self.dataset.__getitems__(indices))

    directory, rows = build
    shards = byline.open(directory)
    assert [as_packed(row) for row in Fetcher(shards, list).fetch([3, -1, 0])] == [rows[3], rows[11], rows[0]]
    message = (
        rf"^{directory}: rows have lists of different lengths, which a DataLoader cannot stack; give it "
        r"byline\.adapters\.torch\.ShardDataset\(shards\), or a collate_fn of its own$"
    )
    with pytest.raises(BylineError, match=message):
        Fetcher(shards, default_collate).fetch([0])


def test_readers_of_arrow_files_find_the_rows_and_nothing_else(build):
    directory, rows = build
    (directory / "_plan.ipc").write_bytes((directory / "_inputs.ipc").read_bytes())
    table = dataset.dataset(directory, format="arrow").to_table(columns=["input_ids"])
    assert sorted(table["input_ids"].to_pylist()) == sorted(row.input_ids for row in rows)
    assert {path.parent.name for path in directory.glob("**/*.arrow")} == set(SHARDS)


def test_repr(build):
    assert repr(byline.open(build[0])) == (
        f"<byline.Shards {build[0]}: 12 rows of 8 tokens, phases conditioned, cooldown>"
    )


def test_importing_needs_only_pyarrow_and_numpy():
    code = (
        "import sys; before = set(sys.modules); import byline; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    # Modules that extensions compiled by Cython make up are no packages.
    made_up = {name for name in modules if name.startswith("_") or name == "cython_runtime"}
    assert set(modules) - made_up == {"byline", "numpy", "pyarrow"}
