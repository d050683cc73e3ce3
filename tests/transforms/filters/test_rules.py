"""Each rule that is no bound on a measure, their order, and what a recipe may say of them."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.filters import read_entry
from byline.transforms.filters.applying import open_rules, refusals
from byline.transforms.filters.every_rule import GROUPS, RULES
from byline.transforms.filters.rules import Bounds, SourceColumns
from byline.transforms.filters.tables import read_rules
from byline.transforms.filters.word_lists import are_listed, make_word_list
from tests.reference import filters as reference
from tests.support.thorough import examples

COLUMNS = SourceColumns("web", ["quality", "length"], ["text", "url", "host", "registered_domain", "topic"])
HOST = pa.dictionary(pa.int32(), pa.string())


def rules_from(*entries: Any) -> list[Any]:
    return read_rules("filter", [read_entry(entry) for entry in entries], COLUMNS)


def reasons(columns: dict[str, Any], *entries: Any) -> list[str | None]:
    batch = pa.record_batch(columns)
    return refusals(batch, open_rules(rules_from(*entries), "")).to_pylist()


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.large_string())


def hosts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string()).dictionary_encode().cast(HOST)


# --- one rule


def test_hosts_that_are_allowed_and_denied(tmp_path):
    (tmp_path / "denied.txt").write_text("# spam\n\n Spam.example \nads.example.org\n")
    columns = {
        "text": texts(*["x"] * 5),
        "host": hosts("spam.example", "ads.example.org", "www.spam.example", None, "example.org"),
        "registered_domain": hosts("spam.example", "example.org", "spam.example", None, "example.org"),
    }
    denied, allowed = "filter_hosts", "filter_domains"
    assert reasons(columns, {"hosts": {"deny": str(tmp_path / "denied.txt")}}) == [denied, denied, None, None, None]
    assert reasons(columns, {"domains": {"allow": ["EXAMPLE.org"]}}) == [allowed, None, allowed, allowed, None]
    both = {"domains": {"allow": ["example.org", "spam.example"], "deny": ["spam.example"]}}
    assert reasons(columns, both) == [allowed, None, allowed, allowed, None]


def test_a_plain_column_is_looked_up_as_well():
    listed = make_word_list(["a.example", "ß"])
    assert are_listed(pa.array(["A.EXAMPLE", None, "", "ß", "a.exampl"]), listed).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert are_listed(pa.array(["a"]).slice(1), listed).tolist() == []


@examples(50)
@given(st.lists(st.text("abß.", max_size=4)), st.lists(st.text("abß.", max_size=4) | st.none()))
def test_lists_are_sets(values, column):
    flags = are_listed(pa.array(column, pa.string()), make_word_list(values))
    assert flags.tolist() == [value is not None and value in values for value in column]


def test_an_expression_keeps_or_drops():
    columns = {"text": texts("Buy NOW", "read", None), "url": texts(None, "http://a.example/", "http://b.example/x")}
    assert reasons(columns, {"matches": {"drop": "(?i)now$"}}) == ["filter_matches", None, None]
    assert reasons(columns, {"matches": {"keep": "e", "name": "with_e"}}) == ["filter_with_e", None, "filter_with_e"]
    assert reasons(columns, {"matches": {"drop": r"\.example/.", "field": "url"}}) == [None, None, "filter_matches"]
    with_label = {**columns, "topic": hosts("news", None, "sport")}
    assert reasons(with_label, {"matches": {"keep": "^news$", "field": "topic"}}) == [None, *["filter_matches"] * 2]


def test_a_number_within_bounds_and_one_that_is_missing():
    columns = {
        "text": texts(*"abcd"),
        "quality": pa.array([0.5, 0.25, None, float("nan")], pa.float32()),
        "length": pa.array([1, 2**53 + 1, 3, None], pa.int64()),
    }
    dropped = "filter_number"
    assert reasons(columns, {"number": {"by": "quality", "at_least": 0.5}}) == [None, dropped, dropped, dropped]
    assert reasons(columns, {"number": {"by": "length", "at_most": 2}}) == [None, dropped, dropped, dropped]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A DARN shame", False),
        ("darn", False),
        ("darned", True),
        ("a(darn)b", False),
        ("ädarn", True),
        ("darn_it", True),
        ("heck no", False),
        ("heck  no", True),
        ("a c++ fan", False),
        ("ÉCLAT!", False),
    ],
)
def test_bad_words(tmp_path, text, kept):
    (tmp_path / "bad.txt").write_text("darn\nheck no\nc++\néclat\n", encoding="utf-8")
    entry = {"c4_bad_words": {"file": str(tmp_path / "bad.txt")}}
    assert reasons({"text": texts(text)}, entry) == [None if kept else "filter_c4_bad_words"]
    assert (reference.reason([entry], reference.Filtered(text)) is None) == kept


def test_lorem_ipsum_and_curly_brackets():
    columns = {"text": texts("LOREM Ipsum dolor", "a { b", "a } b")}
    assert reasons(columns, "c4_lorem_ipsum", "c4_curly_bracket") == [
        "filter_c4_lorem_ipsum",
        "filter_c4_curly_bracket",
        None,
    ]


@pytest.fixture(scope="module")
def topic_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "topic.txt").write_text("__label__cook boil the soup\n__label__sport kick the ball\n" * 20)
    model = fasttext.train_supervised(
        str(folder / "topic.txt"), dim=8, bucket=200, epoch=50, lr=0.5, thread=1, verbose=0
    )
    model.save_model(str(folder / "topic.bin"))
    return str(folder / "topic.bin")


def test_a_label_by_a_model(topic_model, tmp_path):
    columns = {"text": texts("boil soup", "kick the ball", "soup\u2028soup")}
    entry = {"label": {"model": topic_model, "keep": ["cook"], "at_least": 0.5, "name": "cooking"}}
    rules = open_rules(rules_from(entry), str(tmp_path))
    assert refusals(pa.record_batch(columns), rules).to_pylist() == [None, "filter_cooking", None]
    sure = {"label": {"model": topic_model, "keep": ["cook", "sport"], "at_least": 1.0}}
    assert reasons_in(tmp_path, columns, sure) == ["filter_label"] * 3
    with pytest.raises(BylineError, match="has no label 'news'; it has cook, sport"):
        open_rules(rules_from({"label": {"model": topic_model, "keep": ["news"]}}), str(tmp_path))


def reasons_in(folder: Any, columns: dict[str, Any], *entries: Any) -> list[str | None]:
    return refusals(pa.record_batch(columns), open_rules(rules_from(*entries), str(folder))).to_pylist()


# --- a function of one's own

FUNCTIONS = """
import numpy as np, pyarrow as pa, pyarrow.compute as pc

def short(batch, most=3):
    return pc.less_equal(pc.utf8_length(batch["text"]), most)

def as_numpy(batch):
    return np.arange(len(batch)) % 2 == 0

def why(batch):
    return pa.array([None, "long", None])

def strange(batch):
    return ["no name!"] * len(batch)

def few(batch):
    return [True]

def number(batch):
    return 3
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "own_rules.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("own_rules", None)


@pytest.mark.usefixtures("functions")
def test_a_function_of_ones_own():
    columns = {"text": texts("abc", "abcd", None)}
    assert reasons(columns, {"function": {"call": "own_rules:short"}}) == [None, *["filter_function"] * 2]
    options = {"call": "own_rules:short", "options": {"most": 4}, "name": "short"}
    assert reasons(columns, {"function": options}) == [None, None, "filter_short"]
    assert reasons(columns, {"function": {"call": "own_rules:as_numpy"}}) == [None, "filter_function", None]
    assert reasons(columns, {"function": {"call": "own_rules:why", "name": "mine"}}) == [None, "filter_mine_long", None]


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"call": "own_rules:strange"}, "gave the reason 'no name!'; expected letters, digits"),
        ({"call": "own_rules:few"}, "gave 1 values for 2 rows; expected a boolean for each row"),
        ({"call": "own_rules:number"}, "gave int; expected a boolean for each row"),
        ({"call": "own_rules:none"}, "has no function 'none'"),
        ({"call": "no_such_module:f"}, "no_such_module cannot be imported"),
        ({"call": "own_rules:short", "options": {"least": 1}}, "it takes: most"),
    ],
)
def test_a_function_that_does_not_do(settings, problem):
    with pytest.raises(BylineError, match=problem):
        reasons({"text": texts("a", "b")}, {"function": settings})


@pytest.mark.usefixtures("functions")
def test_the_file_of_a_function_is_a_version_of_its_rule():
    (rule,) = rules_from({"function": {"call": "own_rules:short"}})
    digest = hashlib.sha256(Path("own_rules.py").read_bytes()).hexdigest()
    assert rule.versions() == {"module": f"sha256 {digest}"}


# --- several rules


def test_the_first_rule_that_refuses_gives_the_reason():
    columns = {"text": texts("a { b", "{", "a b", "a")}
    rules = [{"words": {"at_least": 2}}, "c4_curly_bracket"]
    assert reasons(columns, *rules) == ["filter_c4_curly_bracket", "filter_words", None, "filter_words"]
    assert reasons(columns, *rules[::-1]) == ["filter_c4_curly_bracket"] * 2 + [None, "filter_words"]


@pytest.mark.usefixtures("functions")
def test_a_costly_rule_is_asked_about_the_documents_that_are_left():
    columns = {"text": texts("x y", "a b", "a b", "x y", "a b")}
    rules = [{"matches": {"drop": "x"}}, {"function": {"call": "own_rules:why", "name": "mine"}}]
    assert reasons(columns, *rules) == ["filter_matches", None, "filter_mine_long", "filter_matches", None]


def test_no_rule_and_no_document():
    assert reasons({"text": texts("a", "b")}) == [None, None]
    assert reasons({"text": texts()}, "gopher_quality", {"matches": {"keep": "a"}}) == []
    assert reasons({"text": texts("a")}, *["gopher_words"], {"matches": {"keep": "a"}}) == ["filter_gopher_words"]


SENTENCES = st.sampled_from(
    ["The cat sat. ", "Of dogs and cats; be there!\n", "- x\n", "{", "...\n", "#", "1 2 3 4 ", "漢 "]
)


@examples(60)
@given(st.lists(st.lists(SENTENCES, max_size=40).map("".join), max_size=6), st.permutations([*GROUPS]))
def test_groups_are_those_of_the_reference(values, names):
    expected = [reference.reason(names, reference.Filtered(text)) for text in values]
    assert reasons({"text": texts(*values)}, *names) == expected


# --- what a recipe may say


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("gopher_wrds", "filter.0.gopher_wrds: there is no such rule; did you mean 'gopher_words'?"),
        ({"words": {"at_lest": 1}}, "filter.0.words: unknown key 'at_lest'; did you mean 'at_least'?"),
        ({"words": {}}, "filter.0.words: expected at_least, at_most or both"),
        (
            {"words": {"at_least": 3, "at_most": 2}},
            "filter.0.words: at_least is 3, more than at_most 2; no document is both",
        ),
        ({"words": {"at_least": "few"}}, "filter.0.words: at_least: .*; found 'few'"),
        ({"words": {"at_least": float("nan")}}, "expected finite bounds"),
        ({"gopher_hashes": {"at_least": 0.5}}, "at_least is 0.5, more than at_most 0.1"),
        ({"gopher_top_ngram": {"size": 7}}, "filter.0.gopher_top_ngram: size: expected one of 2, 3, 4, found 7"),
        ({"gopher_top_ngram": {}}, "filter.0.gopher_top_ngram: size: this key is needed"),
        ({"matches": {"drop": "("}}, r"filter.0.matches: drop: '\(' is not a regular expression of RE2 \(.*missing \)"),
        ({"matches": {}}, "expected one of keep and drop"),
        (
            {"matches": {"keep": "a", "field": "title"}},
            "field: source 'web' has no text 'title'; it has: text, url, host",
        ),
        (
            {"number": {"by": "qualty", "at_least": 0}},
            r"source 'web' has no number 'qualty' \(it has: quality, length\)",
        ),
        ({"c4": {"at_least": 1}}, "a group takes no settings; list its rules instead: c4_lorem_ipsum"),
        ({"hosts": {}}, "expected allow, deny or both"),
        ({"hosts": {"deny": []}}, "deny: expected values, or a file of them, found none"),
        ({"label": {"model": "lid.bin"}}, "filter.0.label: keep: this key is needed"),
        ({"function": {"call": "mine"}}, "call: expected package.module:function, found 'mine'"),
        ({"words": {"at_least": 1, "name": "a b"}}, "name: 'a b' is not a usable name"),
    ],
)
def test_a_mistake_is_one_line(entry, problem):
    with pytest.raises(BylineError, match=problem) as error:
        rules_from(entry)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"# only this\n", b"\xff\xfe"])
def test_a_list_that_cannot_be_read(tmp_path, content):
    file = tmp_path / "hosts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BylineError, match=r"hosts\.txt"):
        open_rules(rules_from({"hosts": {"deny": str(file)}}), "")


def test_a_batch_without_the_column_of_a_rule():
    with pytest.raises(BylineError, match="expected a batch with a column 'host', found text; put the step"):
        reasons({"text": texts("a")}, {"hosts": {"deny": ["a"]}})


def test_every_rule_says_what_it_keeps():
    for kind, rule in RULES.items():
        assert rule.kind == kind
        assert rule.keeps.rstrip(".") == rule.keeps != ""
        assert bool(rule.source) == kind.startswith(("gopher_", "c4_", "fineweb_"))
    members = {rule for group in GROUPS.values() for rule, _ in group}
    published = {rule for rule in RULES.values() if rule.source}
    assert published - members == {RULES["c4_bad_words"]}
    assert all(isinstance(rule, type) and (issubclass(rule, Bounds) or rule.open) for rule in members)


def test_reasons_are_of_the_name():
    (plain, named) = rules_from("gopher_words", {"gopher_words": {"name": "brief"}})
    assert (plain.reason, named.reason) == ("filter_gopher_words", "filter_brief")
