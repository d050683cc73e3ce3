"""Evaluation files to the texts of items."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byline.errors import BylineError
from byline.schemas.attribute_kinds.contamination import ContaminationAttribute, EvaluationSet
from byline.transforms.attributes.contamination.items import Items, read_items


def read(folder: Path, records: list[Any], *fields: str) -> Items:
    (folder / "test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return read_items("attributes.evals.sets", {"a": evaluation(folder / "*.jsonl", *fields)})


def evaluation(path: Path, *fields: str) -> EvaluationSet:
    return EvaluationSet(path=str(path), fields=list(fields))


def test_fields_are_joined_in_their_order(tmp_path: Path) -> None:
    records = [
        {"question": "Why?", "answer": 42, "choices": {"text": ["a b", "c"], "label": ["A", "B"]}},
        {"question": None, "choices": {"text": []}, "answer": True},
        {"answer": 0.5, "question": "é"},
    ]
    items = read(tmp_path, records, "choices.text", "question", "answer")
    assert items.texts.to_pylist() == ["a b c Why? 42", "", "é 0.5"]


def test_files_of_several_sets(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with gzip.open(tmp_path / "b" / "2.jsonl.gz", "wt") as file:
        file.write('{"q": "two"}\n\n{"q": "three"}\n')
    pq.write_table(pa.table({"q": ["one"], "n": [[{"x": "y"}]]}), tmp_path / "b" / "1.parquet")
    pq.write_table(pa.table({"n": [[{"x": "zero"}]]}), tmp_path / "a.parquet")
    sets = {"b": evaluation(tmp_path / "b" / "*", "q"), "a": evaluation(tmp_path / "a.parquet", "n[0].x")}
    items = read_items("sets", sets)
    assert items.names == ["a", "b"]
    assert items.texts.to_pylist() == ["zero", "one", "two", "three"]
    assert items.sets.tolist() == [0, 1, 1, 1]
    assert items.name_of(3) == f"b: {tmp_path}/b/2.jsonl.gz, record 1"


def test_a_field_that_no_record_has(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"^attributes\.evals\.sets\.a\.fields: 'answr' has no text in any record"):
        read(tmp_path, [{"question": "x", "answer": "y"}], "question", "answr")


def test_a_pattern_without_files(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"^attributes\.evals\.sets\.a\.path: no file matches "):
        read_items("attributes.evals.sets", {"a": evaluation(tmp_path / "none.jsonl", "q")})


@pytest.mark.parametrize(("name", "content"), [("x.jsonl", b'{"q": "a"}\n{"q": \n'), ("x.parquet", b"PAR1 cut")])
def test_a_damaged_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BylineError, match=rf"^{tmp_path}/{name}: "):
        read_items("sets", {"a": evaluation(tmp_path / name, "q")})


def test_settings() -> None:
    sets = {"a": evaluation(Path("x"), "q")}
    assert ContaminationAttribute(sets=sets).fewest == 8
    assert ContaminationAttribute(sets=sets, words=5).fewest == 5
    assert ContaminationAttribute(sets=sets, words=13, least_words=2).fewest == 2
    with pytest.raises(ValueError, match=r"least_words: expected 8 \(`words`\) at most, found 9"):
        ContaminationAttribute(sets=sets, words=8, least_words=9)
    assert list(ContaminationAttribute(sets=sets).column_types("x")) == ["x", "x_overlap", "x_sets", "x_ranges"]
