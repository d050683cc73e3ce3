"""Patterns as text: what braces and variables stand for, and where the root is cut."""

import pytest
from pydantic import ValidationError

from byline.schemas.corpora import Source
from byline.schemas.patterns import expand_braces, head_of, unset_variables


@pytest.mark.parametrize(
    ("pattern", "expanded"),
    [
        # as bash has them
        ("a{b,c}d", ["abd", "acd"]),
        ("x{,-v2}/y", ["x/y", "x-v2/y"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("x{a,{b,c}d}", ["xa", "xbd", "xcd"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{a..c}", ["a", "b", "c"]),
        ("{{x},y}", ["{x}", "y"]),
        ("{{a,b}", ["{a", "{b"]),
        ("{a,a}", ["a"]),
        # names
        *[(name, [name]) for name in ("a", "{a}", "{}", "{a,b", "a,b}", "}{", "{a..C}", "{1..}", "{x},", "a{,", "{/{")],
    ],
)
def test_braces(pattern, expanded):
    assert expand_braces(pattern) == expanded


@pytest.mark.parametrize("pattern", ["{0..1000}", "{0..999999999}", "{1..32}-{1..32}"])
def test_more_than_a_thousand(pattern):
    assert len(expand_braces("{1..10}{1..100}")) == 1000
    with pytest.raises(
        ValidationError, match="its braces stand for more than 1,000 patterns; write a wildcard instead"
    ):
        Source(format="jsonl", path=f"data/{pattern}.json")


@pytest.mark.parametrize(
    ("pattern", "head"),
    [
        ("x.json", ""),
        ("/x.json", "/"),
        ("a/b/x.json", "a/b/"),
        ("a/b*/x.json", "a/"),
        ("a/{b,c}/d/*.json", "a/"),
        ("a/b{c}/d/*.json", "a/b{c}/d/"),
        ("s3://bucket/a/{b,c}", "s3://bucket/a/"),
    ],
)
def test_the_root_is_cut_before_the_first_wildcard(pattern, head):
    assert head_of(pattern) == head


def test_a_bucket_takes_no_braces():
    with pytest.raises(ValidationError, match=r"s3://b\{1,2\}/x: a bucket takes no wildcard"):
        Source(format="jsonl", path="s3://b{1,2}/x")
    assert Source(format="jsonl", path="s3://b/{1,2}/x").patterns == ["s3://b/{1,2}/x"]


def test_an_address_may_come_from_a_variable(monkeypatch):
    monkeypatch.setenv("CORPUS", "s3://bucket/c4")
    assert Source(format="jsonl", path="$CORPUS/*.gz").patterns == ["s3://bucket/c4/*.gz"]
    monkeypatch.setenv("CORPUS", "http://host")
    with pytest.raises(ValidationError, match="http://host"):
        Source(format="jsonl", path="$CORPUS/*.gz")


def test_unset_variables(monkeypatch):
    monkeypatch.setenv("IS_SET", "1")
    assert unset_variables("$IS_SET/${NOT_SET}/$NEITHER/cost$/${}") == ["NOT_SET", "NEITHER"]
