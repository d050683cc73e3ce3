"""How many held-out additions are expected to be trained on, counted by hand and against what is drawn."""

from fractions import Fraction
from typing import Any

import pytest

from byline.schemas.config_file import parse_config
from byline.schemas.corpora import Arithmetic
from byline.transforms.fields.held_out_additions import held_out_warnings
from tests.reference import documents, hashing


def warnings(holdout: dict[str, Any] | None, **sources: dict[str, Any]) -> list[str]:
    values: dict[str, Any] = {
        "sources": {name: {"format": "arithmetic", "arithmetic": made} for name, made in sources.items()},
        "tokenizer": {"file": "tokenizer.json"},
        "phases": [{"name": "main", "share": 1}],
    }
    return held_out_warnings(parse_config({**values, "holdout": holdout}, "test"))


@pytest.mark.parametrize("by", ["document", "host", "url_hash"])
def test_additions_held_out_by_document(by: str) -> None:
    # 1 - (1 - 1/10,000)^57,000 = 0.99666
    assert warnings({"share": 0.05, "by": by}, add={"digits": 2, "examples": 60_000}) == [
        "holdout: documents of source add are held out, but their additions may be in others: about 2,990 of 3,000 "
        "held-out additions are among those to train on; hold out what is never trained on with by: problem"
    ]


def test_several_in_a_document() -> None:
    (line,) = warnings({"share": 0.5}, add={"digits": 1, "examples": 200, "per_document": 4})
    # 1 - 0.99^100 = 0.63397
    assert "about 63 of 100 held-out" in line
    assert line.endswith("with by: problem and sources.add.arithmetic.per_document: 1")


def test_other_sources_with_the_same_operands() -> None:
    made = {"digits": 9, "examples": 1000}
    (line, _) = warnings({"share": 0.1}, a=made, b={**made, "style": "reverse"})
    assert "source a are held out, but" in line
    assert "about 90 of 100" in line
    # A tenth as many of them: 0.9 of a tenth.
    (line, _) = warnings({"share": 0.1}, a=made, b={**made, "examples": 100})
    assert "about 9 of 100" in line
    assert warnings({"share": 0.1}, a=made, b={**made, "seed": 1}) == []


@pytest.mark.parametrize(
    "holdout", [None, {"share": 0.05, "by": "problem"}, {"share": 0.05, "by": "num_tokens"}, {"share": 1e-5}]
)
def test_nothing_to_warn_of(holdout: dict[str, Any] | None) -> None:
    assert warnings(holdout, add={"digits": 2, "examples": 60_000}) == []


def test_about_as_many_as_there_are() -> None:
    made = Arithmetic(digits=2, examples=5000)
    problems: dict[bool, list[str | None]] = {True: [], False: []}
    for raw in documents.made_documents("add", "additions-00000", made):
        key = hashing.shuffle_key(raw.source, raw.path, raw.row)
        problems[hashing.held_out(key, None, Fraction("0.2"))].append(documents.problem_of(raw, made))
    trained = set(problems[False])
    counted = sum(problem in trained for problem in problems[True])
    (line,) = warnings({"share": 0.2}, add={"digits": 2, "examples": 5000})
    assert "about 330 of 1,000" in line
    assert 290 < counted < 370
