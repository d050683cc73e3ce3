"""Additions held out by their problem: none is trained on in any style, and `verify` and the slow reference agree."""

from fractions import Fraction
from pathlib import Path

import pytest

from byline.schemas.corpora import Arithmetic, ArithmeticStyle
from tests.reference import compare_build, documents, hashing
from tests.support import small
from tests.support.builds import build, segments_of, verify

SHARE = Fraction(1, 10)
# Twenty times as many as there are pairs of one digit: each occurs often.
MADE = {style.value: Arithmetic(style=style, digits=1, examples=500) for style in ArithmeticStyle}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("additions")
    values = {
        "sources": {
            name: {"format": "arithmetic", "arithmetic": made.model_dump(mode="json")} for name, made in MADE.items()
        },
        "tokenizer": {"file": str(small.tokenizer_file(folder)), "eos": small.BOS, "pad": small.PAD},
        "sequence": {"length": 512, "packing": "best_fit"},
        "phases": [
            {"name": "told", "share": 0.5, "condition": {"template": "Task {problem}\n"}},
            {"name": "plain", "share": 0.5},
        ],
        "holdout": {"share": "10%", "by": "problem"},
        "store": str(folder / "store"),
        "output": str(folder / "shards"),
    }
    return build(values)


def test_no_held_out_problem_is_trained_on_in_any_style(built: Path) -> None:
    held: dict[str, set[str]] = {name: set() for name in MADE}
    trained: dict[str, set[str]] = {name: set() for name in MADE}
    for segment in segments_of(built):
        raw = documents.RawDocument(segment.source, segment.path, segment.document, None, None, {})
        problem = documents.problem_of(raw, MADE[segment.source])
        assert problem is not None
        is_held_out = hashing.held_out(hashing.shuffle_key(*segment.key), problem, SHARE)
        assert is_held_out == (segment.phase == "holdout")
        (held if is_held_out else trained)[segment.source].add(problem)
    assert len(held["plain"]) > 5
    assert all(problems == held["plain"] for problems in held.values())
    assert not any(held["plain"] & problems for problems in trained.values())
    # 2 + 5 and 5 + 2 are two problems.
    assert any(
        f"{right}+{left}" in trained["plain"] for left, _, right in (one.partition("+") for one in held["plain"])
    )


def test_verify_and_the_reference_know_them(built: Path) -> None:
    status, found = verify(built)
    assert status == 0, found
    compare_build.main(built)
