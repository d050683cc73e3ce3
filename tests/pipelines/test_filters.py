"""`filter` from a recipe to the token store: which documents are kept, what is counted, and when it is made anew."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.console import plan_report
from byline.pipelines.console.diff_lines import show_diff
from byline.pipelines.console.funnel import Funnel, funnel_lines, funnels_of
from byline.pipelines.doctor.recipe import check_recipe
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.recipes import load_recipe
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.filters import write_entry
from byline.schemas.reasons import DropReasons
from byline.transforms.filters.tables import check_filters, drop_reasons_of, rules_of
from byline.transforms.store.fingerprint import changed_keys, fingerprint, settings_by_path, source_settings
from byline.transforms.store.state import StoreState
from tests.reference import compare_build, filters
from tests.support import small
from tests.support.builds import manifest_of, verify, write_manifest
from tests.support.corpora import write_recipe

HOSTS = ("a.example", "www.b.example", "c.example.org")
TEXTS = [f"The cat of house {number} sat. It was happy there {number} times.\n" * (number % 7) for number in range(60)]
TEXTS += ["lorem ipsum", "x { y", " ", "home | about | home | about | home | about | home | about"]
COMMON = ["c4_lorem_ipsum", {"characters": {"at_least": 60, "name": "short"}}, {"hosts": {"deny": ["A.example"]}}]
OWN = [{"number": {"by": "quality", "at_least": 0.25}}, {"gopher_duplicate_lines": {"at_most": 0.7}}]


def records(source: str) -> list[dict[str, Any]]:
    return [
        {"text": text, "url": f"http://{HOSTS[number % 3]}/{source}", "quality": number % 8 / 8 if number % 5 else None}
        for number, text in enumerate(TEXTS)
    ]


def config_of(folder: Path, **changes: Any) -> Config:
    """Sources `a` and `b` of the same texts, rules for both and for `b` alone, and additions."""
    small.tokenizer_file(folder)
    for source in "ab":
        small.write_jsonl(folder / source / "x.jsonl", records(source))
    own = {"format": "jsonl", "score": {"quality": "quality"}}
    sources = {
        "a": {**own, "path": str(folder / "a/*.jsonl")},
        "add": {"format": "arithmetic", "arithmetic": {"examples": 50, "per_document": 4}},
        "b": {**own, "path": str(folder / "b/*.jsonl"), "filter": OWN},
    }
    return small.small_config(folder, **{"sources": sources, "filter": COMMON, **changes})


def reason(config: Config, source: str, record: dict[str, Any]) -> str | None:
    """Of the reference."""
    if not record["text"].strip():
        return "empty_text"
    host = record["url"].split("/")[2]
    seen = filters.Filtered(record["text"], {"quality": record["quality"]}, {"host": host})
    entries = [*config.filter, *config.sources[source].filter]
    return filters.reason([write_entry(entry) for entry in entries], seen)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = config_of(tmp_path_factory.mktemp("filters"))
    small.build_quietly(config)
    return config


def state_of(config: Config) -> StoreState:
    return small.prepare_quietly(config)


def test_the_rules_decide_what_is_kept_and_each_counts(built: Config) -> None:
    runs = {run.source: run for run in state_of(built).runs}
    for source in "ab":
        reasons = [reason(built, source, record) for record in records(source)]
        counted = {name: reasons.count(name) for name in {*reasons} if name is not None}
        assert runs[source].dropped == counted
        assert runs[source].rows == reasons.count(None) > 5
    assert {*runs["b"].dropped} == {
        *("empty_text", "filter_c4_lorem_ipsum", "filter_short", "filter_hosts"),
        *("filter_number", "filter_gopher_duplicate_lines"),
    }
    # Additions are short, but rules for all sources are for those that are read.
    assert (runs["add"].dropped, runs["add"].rows) == ({}, 13)


def test_the_build_is_the_references_and_verifies(built: Config) -> None:
    compare_build.main(Path(built.output))
    status, said = verify(built.output)
    assert (status, said.count("ok ")) == (0, 7), said


def test_a_reason_that_no_rule_gives_is_a_fault(built: Config) -> None:
    out = Path(built.output)
    values = manifest_of(out)
    before = json.dumps(values)
    values["ledger"]["sources"]["a"]["dropped"]["filter_number"] = 0
    try:
        write_manifest(out, values)
        status, said = verify(out)
    finally:
        write_manifest(out, json.loads(before))
    assert status == 1
    assert "source a: documents dropped for 'filter_number', a reason that none of its rules gives" in said


def test_prepare_and_plan_show_the_funnel(built: Config) -> None:
    console = Console(file=io.StringIO(), width=200)
    state = prepare(built, RunnerSettings(workers=1), console)
    lines = console.file.getvalue().splitlines()
    dropped = next(run for run in state.runs if run.source == "a").dropped
    assert lines[1].split() == ["source", "documents", "number", "share"]
    assert lines[2].split() == ["a", "read", "64", "100.00%"]
    order = ["empty_text", "filter_c4_lorem_ipsum", "filter_short", "filter_hosts"]
    shown = [line.split() for line in lines[3:7]]
    assert shown == [[name, str(dropped[name]), f"{dropped[name] / 64:.2%}"] for name in order]
    assert lines[7].split()[0] == "kept"
    funnel = funnels_of(built, state.runs)[0].to_json()
    assert funnel["dropped"] == {"malformed": 0, "too_long": 0, "missing_text": 0, **dropped, "no_tokens": 0}
    assert [*funnel["dropped"]][3:7] == order
    plan = small.make_recipe_plan(built, state, [], RunnerSettings(workers=1))
    report = json.loads(plan_report.as_json(plan_report.report(plan, state, funnels_of(built, state.runs))))
    assert report["funnel"]["a"] == funnel
    console = Console(file=io.StringIO(), width=200)
    plan_report.show(plan_report.report(plan, state, funnels_of(built, state.runs)), console)
    said = ", ".join(f"{name} {dropped[name]}" for name in order)
    share = f"{sum(dropped.values()) / 64:.2%}"
    assert f"dropped of a: {sum(dropped.values())} of 64 documents ({share}): {said}" in console.file.getvalue()


def test_a_source_that_loses_nothing_has_no_lines() -> None:
    assert funnel_lines([Funnel("a", 5, {"malformed": 0}, 5), Funnel("b", 0, {}, 0)]) == []


def test_reasons_in_the_order_of_the_steps() -> None:
    reasons = DropReasons(["malformed", "filter_own", "filter_b", "no_tokens"], ["filter_own"])
    counts = {"filter_b": 2, "filter_own_long": 1, "filter_own_a": 3, "no_tokens": 4}
    assert [*reasons.in_order(counts).items()] == [
        ("malformed", 0), ("filter_own", 0), ("filter_own_a", 3), ("filter_own_long", 1), ("filter_b", 2),
        ("no_tokens", 4),
    ]  # fmt: skip
    accepted = ["malformed", "filter_own", "filter_own_why", "filter_b_why", "filter_c", "filter_owned"]
    assert [reasons.accepts(reason) for reason in accepted] == [True, True, True, False, False, False]


# --- when the token store is made anew


def test_without_rules_the_token_store_is_what_it_was(tmp_path: Path) -> None:
    small.tokenizer_file(tmp_path)
    parts = source_settings(small.small_config(tmp_path), "a")
    assert not [key for key in parts if "filter" in key]


def test_what_makes_a_source_be_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "denied.txt").write_text("a.example\n")
    (tmp_path / "moved.txt").write_text("a.example\n")

    def parts(*rules: Any, source: str = "a") -> dict[str, Any]:
        return source_settings(config_of(tmp_path, filter=list(rules)), source)

    assert parts({"gopher_words": {"at_least": 50}}) == parts("gopher_words")
    listed = parts({"hosts": {"deny": str(tmp_path / "denied.txt")}})
    assert parts({"hosts": {"deny": str(tmp_path / "moved.txt")}}) == listed
    (tmp_path / "moved.txt").write_text("b.example\n")
    changed = parts({"hosts": {"deny": str(tmp_path / "moved.txt")}})
    assert changed_keys(listed, changed) == ["filter"]
    assert fingerprint(listed) != fingerprint(changed)
    assert changed_keys(parts("c4"), parts("c4_curly_bracket")) == ["filter"]
    assert parts("c4", source="add") == parts(source="add")
    own = [source_settings(config_of(tmp_path), source) for source in ("a", "b")]
    assert [[key for key in parts if key.endswith("filter")] for parts in own] == [
        ["filter"],
        ["filter", "sources.b.filter"],
    ]
    by_path = settings_by_path(config_of(tmp_path, filter=[{"hosts": {"deny": "no_such_file.txt"}}]), "a")
    assert by_path["filter"] == [{"rule": "hosts", "deny": "no_such_file.txt"}]


def test_prepare_says_that_the_rules_changed(built: Config) -> None:
    (entry,) = [entry for entry in built.filter if entry.rule == "hosts"]
    other = built.model_copy(update={"filter": [entry]})
    console = Console(file=io.StringIO(), width=200)
    prepare(other, RunnerSettings(workers=1), console)
    assert "prepared before with another configuration, changed: filter" in console.file.getvalue()
    state_of(built)


@pytest.mark.parametrize(
    ("before", "after", "line", "cost"),
    [
        ({"filter": ["c4"]}, {}, "[c4] -> []", "prepares a again"),
        ({}, {"filter": [{"words": {"at_least": 2}}]}, "words", "prepares a again"),
        (
            {"filter": [{"words": {"at_least": 2}}]},
            {"filter": [{"words": {"at_least": 3}}]},
            "filter.0.words.at_least  2 -> 3",
            "prepares a again",
        ),
        ({"filter": ["gopher_words"]}, {"filter": [{"gopher_words": {"at_least": 50}}]}, "", "nothing: the same rules"),
    ],
)
def test_diff(tmp_path: Path, before: Any, after: Any, line: str, cost: str) -> None:
    for name, change in (("before", before), ("after", after)):
        config = config_of(tmp_path).model_dump(mode="json", exclude_defaults=True, exclude={"filter"})
        config["sources"].pop("b")
        write_recipe(tmp_path / f"{name}.yaml", {**config, **change})
    console = Console(file=io.StringIO(), width=200)
    show_diff(load_recipe(tmp_path / "before.yaml"), load_recipe(tmp_path / "after.yaml"), console)
    half, first, *_, last = console.file.getvalue().splitlines()
    assert half == "token store"
    assert line in first
    assert cost in first
    assert last.startswith("cost: preparing a again" if "again" in cost else "cost: nothing")


# --- before anything is read


@pytest.mark.parametrize(
    ("common", "own", "problem"),
    [
        (["gopher_wrods"], [], "filter.0.gopher_wrods: there is no such rule; did you mean 'gopher_words'?"),
        ([], ["no"], "sources.b.filter.0.no: there is no such rule"),
        ([{"number": {"by": "qualty", "at_least": 0}}], [], "filter.0.number: by: source 'a' has no number 'qualty'"),
        (
            ["c4"],
            ["c4_sentences"],
            "sources.b: two rules of its filter count as 'filter_c4_sentences'; give one a `name`",
        ),
        ([{"words": 3}], [], "filter.0: words: expected settings"),
        ([{"words": {}, "c4": {}}], [], "filter.0: expected the name of a rule, or one rule and its settings"),
        (["c4", {"matches": {"drop": "["}}], [], r"filter.1.matches: drop: '\[' is not a regular expression of RE2"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, common: Any, own: Any, problem: str) -> None:
    values = config_of(tmp_path).model_dump(mode="json", exclude_defaults=True)
    values["filter"] = common
    values["sources"]["b"]["filter"] = own
    path = write_recipe(tmp_path / "recipe.yaml", values)
    with pytest.raises(BylineError, match=problem) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    config = config_of(tmp_path, filter=[{"domains": {"deny": str(tmp_path / "none.txt")}}])
    check_filters(config)
    with pytest.raises(BylineError, match=r"none\.txt: there is no such file; expected a list or a model"):
        state_of(config)
    assert not (tmp_path / "store").exists()


def test_doctor_opens_what_rules_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "denied.txt").write_text("a.example\nb.example\n")
    (tmp_path / "lid.bin").write_bytes(b"PK\3\4")
    values = config_of(tmp_path).model_dump(mode="json", exclude_defaults=True)
    values["filter"] = [
        {"hosts": {"deny": "denied.txt"}},
        {"domains": {"allow": "none.txt"}},
        {"label": {"model": "lid.bin", "keep": ["en"]}},
        "c4",
    ]
    values["sources"]["b"]["filter"] = [{"function": {"call": "no_such_module:f", "name": "mine"}}]
    path = write_recipe(tmp_path / "recipe.yaml", values)
    checks = {check.name: check for check in check_recipe(str(path)) if "filter" in check.name}
    assert {name: check.found for name, check in checks.items()} == {
        "filter_hosts": "denied.txt, 2 values",
        "filter_domains": "none.txt: cannot be opened (No such file or directory)",
        "model filter_label": "lid.bin: not a fastText model (.bin)",
        "filter_mine": "filter.mine: no_such_module cannot be imported (No module named 'no_such_module'); "
        "install its package, or run in the folder that holds it",
    }
    assert checks["filter_domains"].mend == f"correct filter in {path}"
    assert checks["model filter_label"].mend == f"correct filter.model in {path}"
    assert checks["filter_mine"].mend == f"correct sources.b.filter in {path}"


def test_rules_of_a_made_source_are_its_own(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert rules_of(config, "add") == []
    assert drop_reasons_of(config, "add").names == ["malformed", "too_long", "missing_text", "empty_text", "no_tokens"]
    own = {"format": "arithmetic", "filter": [{"characters": {"at_most": 5}}]}
    config = config_of(tmp_path, sources={**config.model_dump()["sources"], "add": own})
    assert [rule.reason for rule in rules_of(config, "add")] == ["filter_characters"]
