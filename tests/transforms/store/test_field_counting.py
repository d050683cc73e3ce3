"""The counts of fields are those of plain Python, document by document."""

import math
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.documents import HOST, LABEL_TYPE, REGISTERED_DOMAIN, ROW, URL
from byline.schemas.field_counts import FieldCounts, total_fields
from byline.transforms.store.field_counting import count_fields

COLUMNS = {
    "url": (URL.type, ["http://a.org/", "mailto:a@b.c", ""]),
    "host": (HOST.type, ["a.org"]),
    "registered_domain": (REGISTERED_DOMAIN.type, ["a.org"]),
    "quality": (pa.float32(), [0.25, math.nan]),
    "topic": (LABEL_TYPE, ["news"]),
    "license": (pa.string(), ["cc-by", ""]),
    "year": (pa.int64(), [0, 7]),
    "is_new": (pa.bool_(), [True, False]),
}
Rows = list[dict[str, Any]]


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[str], Rows]:
    """The names of some columns, and rows of them."""
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), unique=True))
    row = st.fixed_dictionaries({name: st.sampled_from([None, *COLUMNS[name][1]]) for name in names})
    return names, draw(st.lists(row, max_size=12))


def slow_counts(names: list[str], rows: Rows) -> dict[str, FieldCounts]:
    """Each value by itself."""
    counts = {name: dict.fromkeys(("known", "null", "unknown"), 0) for name in names}
    for row in rows:
        for name in names:
            counts[name][state_of(name, row)] += 1
    return {name: FieldCounts(**count) for name, count in counts.items()}


def state_of(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    is_usable = value is not None and value == value and not (name == "url" and value == "")
    if is_usable:
        return "known"
    given = row["url"] if name in ("host", "registered_domain") and "url" in row else value
    return "null" if given is None else "unknown"


@given(documents())
def test_counts_are_those_of_single_documents(made: tuple[list[str], Rows]) -> None:
    names, rows = made
    arrays = [pa.array([row[name] for row in rows], COLUMNS[name][0]) for name in names]
    rows_column = pa.array(range(len(rows)), ROW.type)
    batch = pa.RecordBatch.from_arrays([rows_column, *arrays], names=[ROW.name, *names])
    counts = count_fields(batch)
    assert counts == slow_counts(names, rows)
    assert list(counts) == names
    assert all(count.documents == len(rows) for count in counts.values())


def test_sums_and_shares() -> None:
    runs = [{"url": FieldCounts(3, 1, 0)}, {"url": FieldCounts(0, 0, 4), "year": FieldCounts(1, 0, 0)}, {}]
    assert total_fields(runs) == {"url": FieldCounts(3, 1, 4), "year": FieldCounts(1, 0, 0)}
    assert (FieldCounts(3, 1, 4).share_known, FieldCounts().share_known) == (0.375, 1.0)
