"""Several rows at once: every column of them, whatever record batches and shards they come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline.errors import BylineError
from byline.rows import stack_rows
from tests.support.rows import packed_rows
from tests.support.shards import PackedRow, numbered_build, write_build
from tests.support.thorough import examples

LISTS = ("seq_lengths", "doc_ids", "doc_offsets")
DTYPES = {
    "input_ids": np.int32,
    "loss_mask": np.uint8,
    "segments": np.int32,
    "seq_lengths": np.int32,
    "doc_ids": np.int64,
    "doc_offsets": np.int32,
}


def one_by_one(rows: list[PackedRow]) -> list[PackedRow]:
    """The rows with plain lists, to compare with."""
    return [PackedRow(*map(list, vars(row).values())) for row in rows]


def taken_apart(batch: byline.Rows) -> list[PackedRow]:
    """A batch row by row."""
    ends = np.cumsum(batch["segments"])
    return [
        PackedRow(ids.tolist(), mask.tolist(), *(batch[name][end - count : end].tolist() for name in LISTS))
        for ids, mask, count, end in zip(batch["input_ids"], batch["loss_mask"], batch["segments"], ends, strict=True)
    ]


@given(st.data())
@examples(40)
def test_a_batch_is_its_rows(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("build", numbered=True)
    shards_of = st.lists(st.lists(packed_rows(6), max_size=4), min_size=1, max_size=3)
    phases = {name: data.draw(shards_of) for name in ("conditioned", "cooldown")}
    ids = data.draw(st.sampled_from(["int32", "uint16"]))
    write_build(directory, phases, 6, ids=ids, rows_per_batch=data.draw(st.integers(1, 3)))
    rows = [(row, name) for name, shards in phases.items() for shard in shards for row in shard]
    asked = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=9)) if rows else []
    shards = byline.open(directory)
    batch = shards.batch(asked)
    assert taken_apart(batch) == one_by_one([rows[i][0] for i in asked])
    assert batch["phase"].tolist() == [rows[i][1] for i in asked]
    assert {name: batch[name].dtype for name in DTYPES} == DTYPES
    assert batch["phase"].dtype.kind == "U"
    assert all(array.flags.writeable for array in batch.values())
    if asked:
        stacked = stack_rows([shards[i] for i in asked])
        assert all(np.array_equal(stacked[name], batch[name]) for name in batch)
        assert {name: stacked[name].dtype for name in DTYPES} == DTYPES


def test_rows_of_two_lengths(tmp_path):
    rows = []
    for length in (8, 10):
        numbered_build(tmp_path / str(length), {"conditioned": [1]}, length)
        rows.append(byline.open(tmp_path / str(length))[0])
    with pytest.raises(BylineError, match="expected one or more rows of one length, found rows of 8 and of 10 tokens"):
        stack_rows(rows)
    with pytest.raises(BylineError, match="found no rows"):
        stack_rows([])
