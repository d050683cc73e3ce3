"""The PyTorch data set, against a stand-in that hands numpy arrays through."""

import copy
import importlib
import pickle
import sys
import warnings
from multiprocessing.reduction import ForkingPickler
from types import ModuleType

import numpy as np
import pytest

import byline
from byline.adapters import blocks
from byline.forms import FORMS
from tests.support.shards import PackedRow, numbered_build, write_build

with_blocks = pytest.mark.skipif(sys.platform != "linux", reason="blocks are on Linux alone")


class Tensor(np.ndarray):
    """An array with what the adapter asks of a tensor."""

    def unbind(self):
        return list(self)


@pytest.fixture
def adapter(monkeypatch):
    torch, utils, data = ModuleType("torch"), ModuleType("torch.utils"), ModuleType("torch.utils.data")
    torch.Tensor, torch.from_numpy, data.Dataset = Tensor, lambda array: array.view(Tensor), object
    data.get_worker_info = lambda: None
    for module in (torch, utils, data):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "byline.adapters.torch", raising=False)
    yield importlib.import_module("byline.adapters.torch")
    sys.modules.pop("byline.adapters.torch", None)


def test_rows_as_tensors(adapter, tmp_path):
    rows = numbered_build(tmp_path, {"conditioned": [3], "cooldown": [2]})
    dataset = adapter.ShardDataset(byline.open(tmp_path))
    assert len(dataset) == 5
    item = dataset[4]
    assert item["input_ids"].tolist() == rows[4].input_ids == [28, 29, 30, 31, 32, 33, 34, 1]
    assert item["labels"].tolist() == [-100, 29, 30, 31, 32, 33, 34, -100]
    assert item["position_ids"].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    assert {name: str(array.dtype) for name, array in item.items()} == dict.fromkeys(
        ("input_ids", "labels", "position_ids"), "int64"
    )
    # PyTorch warns of, and may write through, arrays that are not its own.
    assert all(array.flags.writeable for array in item.values())


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_at_once(adapter, tmp_path, form):
    write_build(tmp_path, {"a": [[PackedRow([5, 6, 7, 1], [1] * 4, [3, 1], [3, -1], [0, 0])] * 3]}, 4)
    shards = byline.open(tmp_path)
    dataset = adapter.ShardDataset(shards, form, dtype="int32", train_starts=True, add=("phase", "doc_ids"))
    rows = dataset.__getitems__([2, 0])
    batch = adapter.whole(rows)
    expected = byline.collate(shards.batch([2, 0]), form, dtype="int32", train_starts=True, add=("phase", "doc_ids"))
    assert batch.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(batch[name], value), name
        assert isinstance(batch[name], Tensor) == (isinstance(value, np.ndarray) and name != "phase"), name
    if FORMS[form].is_flat:
        assert (len(rows), rows[0] is batch) == (1, True)
        return
    assert [[row[name] for row in rows] for name in ("phase",)] == [["a", "a"]]
    for row, values in enumerate(rows):
        assert all(np.array_equal(values[name], batch[name][row]) for name in batch)
        # Only the loader's own collate_fn copies.
        assert all(np.shares_memory(values[name], batch[name]) for name in batch if isinstance(batch[name], Tensor))


@pytest.mark.parametrize("form", ["huggingface", "varlen"])
@pytest.mark.parametrize("has_blocks", [False, pytest.param(True, marks=with_blocks)])
def test_what_a_worker_sends_arrives_as_the_batch(adapter, tmp_path, monkeypatch, form, has_blocks):
    numbered_build(tmp_path, {"conditioned": [3]})
    shards = byline.open(tmp_path)
    dataset = adapter.ShardDataset(shards, form, add=("phase",))
    monkeypatch.setattr(blocks, "_can_share", lambda: has_blocks)
    monkeypatch.setattr(adapter, "get_worker_info", lambda: "worker 1 of 2")
    for numbers in ([0, 1], [2, 0]):
        pickled = ForkingPickler.dumps((5, adapter.whole(dataset.__getitems__(numbers))))
        _, arrived = pickle.loads(pickled)
        expected = byline.collate(shards.batch(numbers), form, add=("phase",))
        assert (type(arrived), list(arrived)) == (dict, list(expected))
        assert all(np.array_equal(arrived[name], value) for name, value in expected.items())
        assert isinstance(arrived["labels"], Tensor)
        assert arrived["labels"].flags.writeable
    # The first batch tells how large a block is to be.
    assert (b"numpy" not in bytes(pickled)) == has_blocks


def test_what_a_batch_has_instead_of_an_array_is_sent(adapter, tmp_path, monkeypatch):
    numbered_build(tmp_path, {"conditioned": [3]})
    dataset = adapter.ShardDataset(byline.open(tmp_path))
    monkeypatch.setattr(adapter, "get_worker_info", lambda: "worker 1 of 2")
    batch = adapter.whole(dataset.__getitems__([0]))
    batch["labels"] = "mine"
    batch["more"] = 5
    del batch["position_ids"]
    arrived = pickle.loads(ForkingPickler.dumps(batch))
    assert (list(arrived), arrived["labels"], arrived["more"]) == (["input_ids", "labels", "more"], "mine", 5)


def pickled(batch):
    return pickle.loads(pickle.dumps(batch))


@with_blocks
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_that_a_worker_makes_is_a_dict(adapter, tmp_path, monkeypatch, copied):
    numbered_build(tmp_path, {"conditioned": [3]})
    dataset = adapter.ShardDataset(byline.open(tmp_path), add=("phase",))
    monkeypatch.setattr(blocks, "_can_share", lambda: True)
    expected = adapter.whole(dataset.__getitems__([2, 0]))
    monkeypatch.setattr(adapter, "get_worker_info", lambda: "worker 1 of 2")
    adapter.whole(dataset.__getitems__([2, 0])).block.pack({})  # tells how large a block is to be
    batch = adapter.whole(dataset.__getitems__([2, 0]))
    copies = copied(batch)
    assert (type(copies), list(copies)) == (dict, list(expected))
    assert all(np.array_equal(copies[name], value) for name, value in expected.items())
    assert batch.block.pack(batch.arrays) is not None, "the batch itself still goes in its block"


def test_shuffling_over_phases_is_told_once(adapter, tmp_path):
    numbered_build(tmp_path, {"conditioned": [3], "cooldown": [2]})
    dataset = adapter.ShardDataset(byline.open(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.__getitems__([0, 2, 3, 4])
        dataset.__getitems__([1, 0])
        adapter.ShardDataset(byline.open(tmp_path).phase("cooldown")).__getitems__([1, 0])
    with pytest.warns(UserWarning, match="a row of phase 'conditioned' after one of 'cooldown': the sampler shuffles"):
        dataset.__getitems__([1, 4, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.__getitems__([1, 4, 0])


def test_the_rest_of_a_branch(adapter, tmp_path):
    rows = numbered_build(tmp_path, {"a": [2, 2], "b-50": [1]}, branches={"b-50": ("a", 1)})
    shards = byline.open(tmp_path, branch="b-50")
    dataset = adapter.ShardDataset(shards[shards.branch_row("b-50") :])
    assert [dataset[n]["input_ids"].tolist() for n in range(len(dataset))] == [rows[4].input_ids]


def test_pickles_for_workers(adapter, tmp_path):
    numbered_build(tmp_path, {"conditioned": [3]})
    again = pickle.loads(pickle.dumps(adapter.ShardDataset(byline.open(tmp_path))))
    assert again[2]["input_ids"].tolist() == [14, 15, 16, 17, 18, 19, 20, 1]


def test_rows_that_were_read_otherwise(adapter, tmp_path):
    numbered_build(tmp_path, {"conditioned": [3]})
    shards = byline.open(tmp_path)
    expected = byline.collate(shards.batch([0, 1]), "varlen", dtype="int32", train_starts=True, add=("phase",))
    for rows in (shards.batch([0, 1]), [shards[0], shards[1]], shards.loader(batch=2)[0]):
        batch = adapter.collate(rows, "varlen", dtype="int32", train_starts=True, add=("phase",))
        assert batch.keys() == expected.keys()
        assert all(np.array_equal(batch[name], expected[name]) for name in batch)
        assert isinstance(batch["cu_seqlens"], Tensor)
        assert (batch["phase"], batch["max_seqlen"]) == (["conditioned"] * 2, 7)
