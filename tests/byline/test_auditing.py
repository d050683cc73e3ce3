"""`byline.audit`: batches that train what the shards say, and each way in which they may not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline.errors import BylineError
from byline.forms import FORMS
from tests.support.rows import ROW, packed_rows
from tests.support.shards import PackedRow, write_build
from tests.support.thorough import examples

SECOND = PackedRow([0, 31, 32, 33, 34, 35, 36, 37, 38, 39], [1] * 10, [10], [5], [0])


@pytest.fixture
def shards(tmp_path) -> byline.Shards:
    write_build(tmp_path, {"conditioned": [[ROW, SECOND]]}, 10)
    return byline.open(tmp_path)


def huggingface(shards: byline.Shards, **changes: Any) -> dict[str, Any]:
    return {**byline.collate(shards.batch(range(len(shards)))), **changes}


@pytest.mark.parametrize("form", FORMS)
def test_batches_that_are_right(shards, form):
    """In any order, and in batches of any size."""
    batches = [byline.collate(shards.batch([1]), form), byline.collate(shards.batch([0]), form)]
    report = byline.audit(batches, shards, form)
    assert str(report) == "equal: 14 targets"
    assert (report.is_equal, report.trained, report.expected) == (True, 14, 14)
    assert not byline.audit(batches[:1], shards, form).is_equal


@given(st.lists(packed_rows(6), min_size=1, max_size=4), st.sampled_from(list(FORMS)), st.booleans())
@examples(40)
def test_any_rows(tmp_path_factory, rows, form, train_starts):
    train_starts &= form != "trl"
    directory = tmp_path_factory.mktemp("build", numbered=True)
    write_build(directory, {"conditioned": [rows]}, 6)
    shards = byline.open(directory)
    batches = [byline.collate(shards.batch([n]), form, train_starts=train_starts) for n in range(len(rows))]
    assert byline.audit(batches, shards, form, train_starts=train_starts).is_equal
    if byline.audit([], shards, train_starts=train_starts).expected:
        assert not byline.audit(batches * 2, shards, form, train_starts=train_starts).is_equal


def test_what_a_trainer_makes_of_ids_and_labels_alone(shards):
    """As one that knows of no segments: whole rows, labels by the loss mask alone."""
    rows = shards.batch([0, 1])
    labels = np.where(rows["loss_mask"] == 0, -100, rows["input_ids"])
    report = byline.audit([{"input_ids": rows["input_ids"], "labels": labels}], shards)
    assert str(report).splitlines() == [
        "different: 15 targets, the shards have 14",
        "2 targets that see other tokens, at another position; first: batch 0, row 0, position 6, token 0 to predict 8 "
        "at position id 6, seeing 7 tokens; the shards have it at position id 0, seeing 1 token",
        "1 target trained at the start of a segment, from the document before it; first: batch 0, row 0, position 5, "
        "token 0 to predict 0 at position id 5, seeing 6 tokens",
    ]


def test_an_attention_mask_of_ones(shards):
    report = byline.audit([huggingface(shards, attention_mask=np.ones((2, 10), np.int64))], shards)
    head, difference, note = str(report).splitlines()
    assert head == "different: 14 targets, the shards have 14"
    assert difference.startswith(
        "2 targets that see other tokens, at the same position; first: batch 0, row 0, position 6"
    )
    assert note.startswith("an attention_mask of ones beside position_ids that restart")
    whole = byline.audit([huggingface(shards[1:], attention_mask=np.ones((1, 10)))], shards[1:])
    assert str(whole) == "equal: 9 targets"


def changed(array: np.ndarray, at: tuple[int, ...], value: Any) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        # Masked: 22 is not to be predicted of BOS.
        (
            lambda b: {"labels": changed(b["labels"], (0, 1), 22)},
            [
                "1 target trained though the loss mask leaves them out; first: batch 0, row 0, position 0, "
                "token 0 to predict 22"
            ],
        ),
        (
            lambda b: {"labels": changed(b["labels"], (0, 4), -100)},
            ["1 target that are not trained; first: row 0 of the shards, position 3, token 5 to predict 9"],
        ),
        # Another word: none of it is in the shards, so one is missing.
        (
            lambda b: {"labels": changed(b["labels"], (1, 9), 77)},
            [
                "1 target that are in no row of the shards; first: batch 0, row 1, position 8, token 38 to predict 77",
                "1",
            ],
        ),
        (
            lambda b: {"position_ids": b["position_ids"] + 3},
            ["14 targets at another position, after the same tokens; first: batch 0, row 0, position 2, token 27 to"],
        ),
    ],
)
def test_one_thing_wrong(shards, change, kinds):
    batch = huggingface(shards)
    lines = str(byline.audit([{**batch, **change(batch)}], shards)).splitlines()[1:]
    assert len(lines) == len(kinds)
    assert all(line.startswith(kind) for line, kind in zip(lines, kinds, strict=True)), lines


def test_a_row_twice(shards):
    report = byline.audit([huggingface(shards), huggingface(shards[1:])], shards)
    (difference,) = report.differences
    assert (difference.what, difference.count) == ("trained more often than they are in the shards", 9)
    assert difference.first.startswith("batch 1, row 0, position 0, token 0 to predict 31")


def test_a_row_missing(shards):
    (difference,) = byline.audit([huggingface(shards[:1])], shards).differences
    assert (difference.what, difference.count) == ("that are not trained", 9)
    assert difference.first == "row 1 of the shards, position 0, token 0 to predict 31"


def test_another_weight(shards):
    batch = byline.collate(shards.batch([0, 1]), "megatron")
    (difference,) = byline.audit([{**batch, "loss_mask": batch["loss_mask"] / 2}], shards, "megatron").differences
    assert (difference.what, difference.count) == ("of another weight", 14)
    assert difference.first.endswith(
        "seeing 3 tokens, of weight 0.5; the shards have it at position id 2, seeing 3 tokens"
    )


def test_one_row_of_positions_for_all(shards):
    batch = huggingface(shards[1:], position_ids=np.arange(10)[None])
    batch = {name: np.concatenate([values] * 2) if name != "position_ids" else values for name, values in batch.items()}
    (difference,) = byline.audit([batch], shards[1:]).differences
    assert (difference.what, difference.count) == ("trained more often than they are in the shards", 9)


@pytest.mark.parametrize("sees", [lambda mask: mask[..., ::-1], lambda mask: np.zeros_like(mask), np.ones_like])
def test_attention_to_anything_else(shards, sees):
    batch = byline.collate(shards.batch([1]), "dense")
    batch["attention_mask"] = sees(batch["attention_mask"])
    report = byline.audit([batch], shards[1:], "dense")
    assert sum(difference.count for difference in report.differences) >= 8


def test_a_float_mask(shards):
    """As transformers adds it to the scores."""
    batch = byline.collate(shards.batch([0, 1]), "dense")
    batch["attention_mask"] = np.where(batch["attention_mask"], 0.0, -1e9)
    assert byline.audit([batch], shards, "dense").is_equal


class Tensor:
    """What a tensor on a device can be asked for."""

    def __init__(self, array, dtype):
        self.array, self.dtype = array, dtype

    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.array.astype(np.float32), "torch.float32")

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


def test_tensors(shards):
    batch = {name: Tensor(array, f"torch.{array.dtype}") for name, array in huggingface(shards).items()}
    assert byline.audit([batch], shards).is_equal


def test_a_tensor_of_a_type_that_numpy_lacks(shards):
    batch = byline.collate(shards.batch([0, 1]), "megatron")
    batch["loss_mask"] = Tensor(batch["loss_mask"], "torch.bfloat16")
    assert byline.audit([batch], shards, "megatron").is_equal


def test_a_batch_of_another_form(shards):
    with pytest.raises(
        BylineError, match="batch 0 has no 'labels', which a batch of form 'huggingface' has; it has inp"
    ):
        byline.audit([{"input_ids": np.zeros((1, 10))}], shards)
    with pytest.raises(BylineError, match=r"batch 0 has no 'labels', .*; it has input_ids, position_ids$"):
        byline.audit([huggingface(shards, labels=None)], shards)
    with pytest.raises(BylineError, match="no form 'jax' of a batch"):
        byline.audit([], shards, "jax")
