"""Rows as an Arrow table, against the reader."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import byline
from byline import tables
from byline.errors import BylineError
from tests.support.rows import packed_rows
from tests.support.shards import PackedRow, numbered_build, write_build
from tests.support.thorough import examples

FIRST = PackedRow([0, 22, 5, 0, 8, 1], [0, 0, 1, 1, 1, 0], [3, 2, 1], [3, 4, -1], [0, 7, 0])
SECOND = PackedRow([5, 6, 7, 8, 9, 0], [1] * 6, [6], [4], [9])


def test_rows_as_a_table(tmp_path):
    write_build(tmp_path, {"conditioned": [[FIRST]], "cooldown": [[SECOND]]}, 6)
    table = byline.to_table(byline.open(tmp_path))
    assert table.to_pylist() == [
        {"row": 0, "phase": "conditioned", **vars(FIRST)},
        {"row": 1, "phase": "cooldown", **vars(SECOND)},
    ]
    assert [f"{field.name} {field.type}" for field in table.schema] == [
        "row int64",
        "phase string",
        "input_ids list<item: int32 not null>",
        "loss_mask list<item: uint8 not null>",
        "seq_lengths list<item: int32 not null>",
        "doc_ids list<item: int64 not null>",
        "doc_offsets list<item: int32 not null>",
    ]
    assert not any(field.nullable for field in table.schema)
    table.validate(full=True)


def test_columns_by_name(tmp_path):
    numbered_build(tmp_path, {"conditioned": [3], "cooldown": [2]})
    table = byline.to_table(byline.open(tmp_path)[::-2], ["phase", "row"])
    assert table.to_pydict() == {"phase": ["cooldown", "conditioned", "conditioned"], "row": [0, 1, 2]}
    with pytest.raises(BylineError) as refusal:
        byline.to_table(byline.open(tmp_path), ["rows"])
    assert str(refusal.value) == (
        "no column 'rows' of a table; there are row, phase, input_ids, loss_mask, seq_lengths, doc_ids, doc_offsets"
    )


def test_no_rows(tmp_path):
    numbered_build(tmp_path, {"conditioned": [3]})
    shards = byline.open(tmp_path)
    table = byline.to_table(shards[:0])
    assert (len(table), table.schema) == (0, byline.to_table(shards).schema)


@given(st.lists(packed_rows(6), min_size=1, max_size=7), st.integers(1, 30))
@examples(30)
def test_any_rows(tmp_path_factory, rows, tokens):
    """However many fit in a record batch of the table."""
    directory = tmp_path_factory.mktemp("build", numbered=True)
    write_build(directory, {"a": [rows[:1]], "b": [rows[1:]]} if len(rows) > 1 else {"a": [rows]}, 6)
    shards = byline.open(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_TOKENS", tokens)
        table = byline.to_table(shards)
    assert max(map(len, table.to_batches())) == min(len(rows), max(1, tokens // 6))
    assert table["row"].to_pylist() == list(range(len(rows)))
    for row, values in zip(shards, table.to_pylist(), strict=True):
        assert values["phase"] == row["phase"]
        assert all(np.array_equal(values[name], row[name]) for name in values.keys() - {"row", "phase"})
