"""The PyTorch data set, against a stand-in that hands numpy arrays through."""

import importlib
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest

import byline
from tests.support.shards import numbered_build


@pytest.fixture
def adapter(monkeypatch):
    torch, utils, data = ModuleType("torch"), ModuleType("torch.utils"), ModuleType("torch.utils.data")
    torch.Tensor, torch.from_numpy, data.Dataset = np.ndarray, lambda array: array, object
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
    assert item["loss_mask"].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert {name: str(array.dtype) for name, array in item.items()} == {
        "input_ids": "int64",
        "labels": "int64",
        "loss_mask": "uint8",
    }
    # PyTorch warns of, and may write through, arrays that are not its own.
    assert all(array.flags.writeable for array in item.values())


def test_the_rest_of_a_branch(adapter, tmp_path):
    rows = numbered_build(tmp_path, {"a": [2, 2], "b-50": [1]}, branches={"b-50": ("a", 1)})
    shards = byline.open(tmp_path, branch="b-50")
    dataset = adapter.ShardDataset(shards[shards.branch_row("b-50") :])
    assert [dataset[n]["input_ids"].tolist() for n in range(len(dataset))] == [rows[4].input_ids]


def test_pickles_for_workers(adapter, tmp_path):
    numbered_build(tmp_path, {"conditioned": [3]})
    again = pickle.loads(pickle.dumps(adapter.ShardDataset(byline.open(tmp_path))))
    assert again[2]["input_ids"].tolist() == [14, 15, 16, 17, 18, 19, 20, 1]
