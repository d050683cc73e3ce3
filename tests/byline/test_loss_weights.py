"""Loss weights of a build as rows, batches of each form, tables, and in `byline.audit`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline.errors import BylineError
from byline.forms import FORMS
from byline.rows import stack_rows
from tests.support.rows import ROW, as_row, as_rows, weighed_rows
from tests.support.shards import numbered_build, weighed, write_build
from tests.support.thorough import examples

# Documents of weights 0.5 and 2, and padding.
WEIGHED = weighed(ROW, [0.5] * 6 + [2] * 3 + [1])
SHIFTED = [0, 0, 0.5, 0.5, 0.5, 0, 2, 2, 0, 0]
BESIDE = [0, 0, 0, 0.5, 0.5, 0.5, 0, 2, 2, 0]
LITERAL: dict[str, Any] = {
    "huggingface": [BESIDE],
    "huggingface_flat": [BESIDE],
    "trl": [BESIDE],
    "varlen": BESIDE,
    "meco": BESIDE,
    "flex": [BESIDE],
    "dense": [BESIDE],
    "megatron": [SHIFTED],
    "shifted": [SHIFTED],
    "plus_one": [BESIDE[1:]],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_has_them_beside_its_labels(form: str) -> None:
    rows = as_rows([WEIGHED])
    batch = byline.collate(rows, form)
    name = "loss_mask" if form == "megatron" else "loss_weight"
    assert batch[name].tolist() == LITERAL[form]
    assert batch[name].dtype == np.float32
    assert batch[name].flags.writeable
    assert batch.keys() - {"loss_weight"} == byline.collate(as_rows([ROW]), form).keys()
    assert rows["loss_weight"].tolist() == [WEIGHED.loss_weight]


def test_starts_of_segments_have_them_where_they_are_trained() -> None:
    batch = byline.collate(as_rows([WEIGHED]), train_starts=True)
    assert batch["loss_weight"].tolist() == [[0, 0, 0, 0.5, 0.5, 0.5, 2, 2, 2, 0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss_weight", ["float16", "float32"])
def test_batches_that_are_right(tmp_path: Path, form: str, loss_weight: str) -> None:
    write_build(tmp_path, {"conditioned": [[WEIGHED, WEIGHED]]}, 10, loss_weight=loss_weight)
    shards = byline.open(tmp_path)
    batches = [byline.collate(shards.batch([number]), form) for number in (1, 0)]
    assert str(byline.audit(batches, shards, form)) == "equal: 10 targets of weight 11"


@given(st.lists(weighed_rows(6), min_size=1, max_size=4), st.sampled_from(list(FORMS)))
@examples(40)
def test_any_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], form: str) -> None:
    directory = tmp_path_factory.mktemp("build", numbered=True)
    write_build(directory, {"conditioned": [rows]}, 6, loss_weight="float16")
    shards = byline.open(directory)
    batches = [byline.collate(shards.batch([number]), form) for number in range(len(rows))]
    assert byline.audit(batches, shards, form).is_equal


def test_a_trainer_that_leaves_them_out_is_seen(tmp_path: Path) -> None:
    write_build(tmp_path, {"conditioned": [[WEIGHED]]}, 10, loss_weight="float32")
    shards = byline.open(tmp_path)
    batch = byline.collate(shards.batch([0]))
    del batch["loss_weight"]
    assert str(byline.audit([batch], shards)).splitlines() == [
        "different: 5 targets of weight 5, the shards have 5 of weight 5.5",
        "5 targets of another weight; first: batch 0, row 0, position 2, token 27 to predict 5 at position id 2, "
        "seeing 3 tokens; the shards have it at position id 2, seeing 3 tokens, of weight 0.5",
    ]


@pytest.mark.parametrize("loss_weight", ["float16", "float32"])
def test_they_are_a_column_of_a_table(tmp_path: Path, loss_weight: str) -> None:
    rows = numbered_build(tmp_path, {"conditioned": [3], "cooldown": [2]}, loss_weight=loss_weight)
    shards = byline.open(tmp_path)
    table = byline.to_table(shards)
    assert str(table.schema.field("loss_weight").type) == "list<item: float not null>"
    assert table["loss_weight"].to_pylist() == [row.loss_weight for row in rows]
    assert byline.to_table(shards, ["loss_weight"]).column_names == ["loss_weight"]


def test_a_build_without_them_has_no_such_column(tmp_path: Path) -> None:
    numbered_build(tmp_path, {"conditioned": [3]})
    with pytest.raises(BylineError, match="no column 'loss_weight' of a table"):
        byline.to_table(byline.open(tmp_path), ["loss_weight"])


@pytest.mark.parametrize("loss_weight", ["float16", "float32"])
def test_rows_of_a_build(tmp_path: Path, loss_weight: str) -> None:
    rows = numbered_build(tmp_path, {"conditioned": [3], "cooldown": [2]}, loss_weight=loss_weight)
    shards = byline.open(tmp_path)
    for number, row in enumerate(shards):
        assert row["loss_weight"].tolist() == rows[number].loss_weight
        assert row["loss_weight"].dtype == loss_weight
        assert not row["loss_weight"].flags.writeable
    for asked in ([4, 0, 2], [1, 2], []):
        batch = shards.batch(asked)
        assert batch["loss_weight"].tolist() == [rows[number].loss_weight for number in asked]
        assert (batch["loss_weight"].dtype, batch["loss_weight"].shape) == (loss_weight, (len(asked), 8))
    stacked = stack_rows([shards[4], shards[0]])
    assert np.array_equal(stacked["loss_weight"], shards.batch([4, 0])["loss_weight"])
    *_, last = shards.loader(3)
    assert last["loss_weight"].tolist() == [rows[3].loss_weight, rows[4].loss_weight, [0] * 8]
    assert last["loss_weight"].dtype == loss_weight


def test_rows_of_several_builds_are_refused() -> None:
    with pytest.raises(BylineError, match="1 of 2 rows have a loss_weight; expected rows of one build"):
        stack_rows([as_row(ROW), as_row(WEIGHED)])
