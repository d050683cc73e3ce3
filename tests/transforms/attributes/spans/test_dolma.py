"""Dolma's attribute files to rows of spans."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byline.errors import BylineError
from byline.schemas.documents import InputFile
from byline.transforms.attributes.spans.dolma import read_dolma

RECORDS: list[dict[str, Any]] = [
    {"id": "x1", "attributes": {"pii": [[3, 9, 1.0], [20, 31, 0.5]], "ip": [], "other": [[1, 2, 3, 4]]}, "more": 1},
    {"id": "x2", "attributes": {"ip": [[0, 4, 0.25]]}},
    {"id": "x3", "attributes": None},
    {"id": None, "attributes": {"pii": [[0, 1, 1]]}},
]
SPANS = [(0, "x1", 3, 9, "pii"), (0, "x1", 20, 31, "pii"), (1, "x2", 0, 4, "ip"), (3, None, 0, 1, "pii")]


def write(folder: Path, records: list[dict[str, Any]], name: str = "a.jsonl.gz") -> InputFile:
    uri = folder / name
    with gzip.open(uri, "wt") as file:
        file.write("\n\n".join(map(json.dumps, records)))
    return InputFile("", name, str(uri), 1)


def read(file: InputFile, kind: pa.DataType | None = None, least: float | None = None) -> list[tuple[Any, ...]]:
    batches = list(read_dolma(file, "id", kind or pa.string(), ["pii", "ip"], least))
    for batch in batches:
        batch.validate(full=True)
    names = ("row", "key", "value0", "value1", "value2")
    return sorted(
        (tuple(row[name] for name in names) for batch in batches for row in batch.to_pylist()), key=lambda row: row[0]
    )


def test_a_row_for_each_span(tmp_path: Path) -> None:
    assert read(write(tmp_path, RECORDS)) == SPANS
    assert read(write(tmp_path, RECORDS), least=0.5) == [SPANS[0], SPANS[1], SPANS[3]]


def test_parquet(tmp_path: Path) -> None:
    spans = pa.list_(pa.list_(pa.float32()))
    kind = pa.struct([("ip", spans), ("pii", spans)])
    attributes = [{name: (record["attributes"] or {}).get(name) for name in ("ip", "pii")} for record in RECORDS]
    table = pa.table({"attributes": pa.array(attributes, kind), "id": [record["id"] for record in RECORDS]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert read(InputFile("", "a", str(tmp_path / "a.parquet"), 1)) == SPANS


def test_numbers_as_keys(tmp_path: Path) -> None:
    records = [{"id": 7, "attributes": {"ip": [[0, 4, 1]]}}]
    assert read(write(tmp_path, records), pa.int64()) == [(0, 7, 0, 4, "ip")]


@pytest.mark.parametrize("spans", [[[1, 2]], [[1, 2, 3, 4]], [[0.5, 2, 1]], [[None, 2, 1]], [None]])
def test_spans_that_are_none(tmp_path: Path, spans: list[Any]) -> None:
    file = write(tmp_path, [RECORDS[0], {"id": "x", "attributes": {"pii": spans}}])
    with pytest.raises(BylineError, match=r"a\.jsonl\.gz: row 1: expected spans of 'pii' as \[start, stop, score\]"):
        read(file)


@pytest.mark.parametrize("record", [{"id": 3}, {"id": "x", "attributes": []}, {"id": "x", "attributes": {"ip": 1}}])
def test_records_of_another_layout(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(BylineError, match=r"a\.jsonl\.gz: behind byte 0: .*expected records with 'id' \(string\)"):
        read(write(tmp_path, [record]))
