"""What a configuration asks of its sources: columns, selections, mixtures and orders, and every mistake in full."""

from typing import Any

import pytest

from byline.schemas.config_file import parse_config
from byline.schemas.corpora import Kept
from tests.support.configs import config, mistake

SOURCES = {
    "given": {
        "format": "dclm",
        "path": "d/*",
        "score": {"quality": "their_score"},
        "keep": {"lang": "string", "n": "int"},
    },
    "bare": {"format": "c4", "path": "c/*"},
}
CLASSIFIERS = {"quality": {"model": "q.bin", "label": "hq"}, "topic": {"model": "t.bin"}}


def test_columns_of_a_source() -> None:
    found = config(sources=SOURCES, classifiers=CLASSIFIERS)
    assert found.numbers_of("given") == {
        "quality": "float32",
        "topic_score": "float32",
        "n": "int",
        "num_tokens": "int",
        "num_bytes": "int",
    }
    assert found.columns_of("given") == {
        "quality": "field their_score",
        "topic": "label topic",
        "topic_score": "classifier topic",
        "lang": "kept string",
        "n": "kept int",
    }
    assert found.columns_of("bare") == {
        "quality": "classifier quality",
        "topic": "label topic",
        "topic_score": "classifier topic",
    }
    assert found.scores_of("given") == {"quality": "field their_score", "topic_score": "classifier topic"}


def test_a_list_of_kept_fields_is_kept_as_text() -> None:
    source = {**SOURCES["bare"], "keep": ["license", "lang"]}
    assert config(sources={"a": source}).sources["a"].keep == {"license": Kept(), "lang": Kept()}
    assert "sources.a.keep.n: " in mistake(sources={"a": {**source, "keep": {"n": "date"}}})


def test_a_field_is_kept_under_another_name() -> None:
    keep = {"size": {"path": "meta.file", "type": "int"}, "lang": {"path": "language"}, "n": {"type": "float"}}
    source = config(sources={"a": {**SOURCES["bare"], "keep": keep}}).sources["a"]
    assert source.kept_paths == {"size": "meta.file", "lang": "language", "n": "n"}
    assert [kept.type for kept in source.keep.values()] == ["int", "string", "float"]
    written = {**keep, "lang": {"path": "language", "type": "string"}, "n": "float"}
    assert source.model_dump(mode="json")["keep"] == written


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (
            {"n": {"path": "a", "kind": "int"}},
            "n.kind: unknown key 'kind'; the keys here are path, type",
        ),
        ({"n": 3}, "sources.a.keep.n: expected string, int, float, bool or {path: ..., type: ...}; found 3"),
        ({"n": {"path": '"a'}}, "sources.a.keep.n.path: the quote at character 0 of the path '\"a' has no end"),
        ([["n"]], "sources.a.keep: expected names, as in [license, date]; found ['n']"),
    ],
)
def test_kept_fields_that_are_none(keep: Any, told: str) -> None:
    assert told in mistake(sources={"a": {**SOURCES["bare"], "keep": keep}})


def phase(**settings: Any) -> list[dict[str, Any]]:
    return [{"name": "a", "share": 1, **settings}]


def test_a_selection_needs_its_number_in_every_source_that_takes_stage() -> None:
    selected = phase(select={"top": 0.7, "by": "quality"})
    assert len(config(sources=SOURCES, classifiers=CLASSIFIERS, phases=selected).phases[0].select) == 1
    message = (
        "phases.a.select.by: source 'bare' has no number 'quality' (it has: num_tokens, num_bytes); "
        "give it a score with sources.bare.score or under classifiers, or keep a field as int or float"
    )
    assert message in mistake(sources=SOURCES, phases=selected)
    # A source without weight is never selected from, a step may leave one alone, and a label is no number.
    only = config(sources=SOURCES, phases=selected, mixture={"given": 1, "bare": 0})
    assert only.sources_of(only.phases[0]) == ["given"]
    config(sources=SOURCES, phases=phase(select={"top": 0.7, "by": "quality", "sources": ["given"]}))
    labelled = phase(select={"top": 0.7, "by": "topic"})
    assert "has no number 'topic'" in mistake(sources=SOURCES, classifiers=CLASSIFIERS, phases=labelled)


def test_the_number_of_a_selection_is_of_one_type_in_all_sources() -> None:
    sources = {**SOURCES, "bare": {**SOURCES["bare"], "keep": {"n": "float"}}}
    message = "phases.a.select.by: 'n' is of several types (float, int) in the sources"
    assert message in mistake(sources=sources, phases=phase(select={"at_least": 5, "by": "n"}))


@pytest.mark.parametrize("top", [0, 1.1, -1, "x"])
def test_a_selection_of_nothing(top: Any) -> None:
    found = mistake(sources=SOURCES, classifiers=CLASSIFIERS, phases=phase(select={"top": top, "by": "quality"}))
    assert "phases.0.select.0.top: " in found


def test_a_template_names_what_every_source_has() -> None:
    fields = "{url}{host}{registered_domain}{suffix}{path}{host_hash}{url_hash}{source}{topic}{quality}"
    fields += "{num_tokens}{num_bytes}"
    condition = {"template": fields}
    assert config(sources=SOURCES, classifiers=CLASSIFIERS, phases=phase(condition=condition)).phases[0].condition
    kept = phase(condition={"template": "{lang}"})
    message = "phases.a.condition.template: source 'bare' has no field 'lang'; it has: url, host, "
    assert message in mistake(sources=SOURCES, phases=kept)
    lone = phase(condition={"template": "a } b"})
    assert "a lone '}' at character 2; write '}}' for the brace itself" in mistake(phases=lone)


# -------------------------------------------------------------------------------------------------------- mixture


def test_the_sources_of_a_stage() -> None:
    found = config(
        sources=SOURCES,
        phases=[
            {"name": "a", "share": 0.5},
            {"name": "b", "share": 0.5, "mixture": {"bare": 1}},
        ],
        branches=[{"name": "c", "at": 0.5, "mixture": {"given": 1, "bare": 0}}],
    )
    assert [found.sources_of(stage) for stage in found.stages] == [["bare", "given"], ["bare"], ["given"]]
    assert [where for where, _ in found.located_stages()] == ["phases.a", "phases.b", "branches.c"]
    assert [found.mixture_of(stage).method for stage in found.stages] == ["natural", "weights", "weights"]


def test_a_mixture_names_sources() -> None:
    unknown = "there is no source 'x'; the sources are bare, given"
    assert f"mixture: {unknown}" in mistake(sources=SOURCES, mixture={"x": 1})
    points = [{"at": 0, "weights": {"bare": 1}}, {"at": 1, "weights": {"x": 1}}]
    assert f"mixture: {unknown}" in mistake(sources=SOURCES, mixture={"method": "linear", "points": points})
    capped = {"method": "unimax", "max_epochs": {"x": 2}}
    assert f"phases.a.mixture: {unknown}" in mistake(sources=SOURCES, phases=phase(mixture=capped))
    branch = {"name": "b", "at": 1, "mixture": {"method": "epochs", "epochs": {"x": 1}}}
    assert f"branches.b.mixture: {unknown}" in mistake(sources=SOURCES, branches=[branch])


@pytest.mark.parametrize("sequence", [["bare"], ["given", "bare", "x"], ["given", "x"]])
def test_an_order_by_source_names_every_source_once(sequence: list[str]) -> None:
    order = {"by": "source", "sources": sequence}
    message = (
        f"phases.a.order.sources: expected every source of the mixture once (bare, given), found {', '.join(sequence)}"
    )
    assert message in mistake(sources=SOURCES, phases=phase(order=order))
    assert config(sources=SOURCES, phases=phase(order=order | {"sources": ["given", "bare"]})).phases[0].order


def test_an_order_by_source_takes_no_schedule() -> None:
    points = [{"at": 0, "weights": {"bare": 1}}, {"at": 1, "weights": {"given": 1}}]
    order = {"by": "source", "sources": ["bare", "given"]}
    message = "phases.a.order: one source after the other, and a mixture that changes, exclude each other"
    mixture = {"method": "linear", "points": points}
    assert message in mistake(sources=SOURCES, mixture=mixture, phases=phase(order=order))


def test_an_order_needs_its_number_in_every_source() -> None:
    assert config(sources=SOURCES, phases=phase(order={"by": "num_bytes"})).phases[0].order
    message = "phases.a.order.by: source 'bare' has no number 'quality'"
    assert message in mistake(sources=SOURCES, phases=phase(order={"by": "quality"}))


def test_steps_are_told_by_their_number() -> None:
    steps = [{"at_least": 8, "by": "num_tokens"}, {"deny": {"hots": ["a"]}}]
    message = "phases.a.select.1: source 'given' has no field 'hots'; it has: url, host, "
    assert message in mistake(sources={"given": SOURCES["given"]}, phases=phase(select=steps))
    steps[1] = {"top": 0.5, "by": "num_tokens", "sources": ["x"]}
    message = "phases.a.select.1.sources: there is no source 'x'; the sources are bare, given"
    assert message in mistake(sources=SOURCES, phases=phase(select=steps))


def test_bins_are_of_numbers() -> None:
    condition = {"template": "{num_tokens}{n}", "bins": {"num_tokens": 4, "n": [1, 2]}}
    given = {"given": SOURCES["given"]}
    assert config(sources=given, phases=phase(condition=condition)).phases[0].condition
    condition = {"template": "{lang}", "bins": {"lang": 4}}
    message = "phases.a.condition.bins: source 'given' has no number 'lang'"
    assert message in mistake(sources=given, phases=phase(condition=condition))


def test_the_resolved_configuration_reads_back_the_same() -> None:
    everything = {
        "seed": 7,
        "sources": SOURCES,
        "classifiers": CLASSIFIERS,
        "sequence": {"length": 64, "packing": "best_fit"},
        "shard": {"sequences": 3, "ids": "uint16"},
        "tokens": "1.5M",
        "mixture": {"given": "2/3", "bare": "1/3"},
        "shortage": "shrink",
        "phases": [
            {"name": "a", "share": "1/3", "select": {"top": 0.7, "by": "quality", "count": "tokens"}},
            {
                "name": "b",
                "share": "2/3",
                "select": [{"deny": {"host": ["a.example"]}}, {"at_least": 0.1, "at_most": "1/3", "by": "quality"}],
                "order": {"by": "num_tokens", "bins": 3},
                "packing": "concat",
                "mixture": {
                    "method": "cosine",
                    "points": [{"at": 0, "weights": {"bare": 1}}, {"at": 1, "weights": {"given": 1}}],
                    "max_epochs": {"bare": 2.5},
                },
                "condition": {
                    "template": "{host}{quality}",
                    "dropout": 0.1,
                    "empty": 0.2,
                    "begin": "<a>",
                    "top": {"host": "2%"},
                    "bins": {"quality": [0.1, 0.5]},
                },
            },
        ],
        "branches": [{"name": "c", "at": ["1/3", 1], "mixture": {"method": "unimax", "max_epochs": 2}}],
    }
    found = config(**everything)
    written = found.model_dump(mode="json")
    assert parse_config(written, "test") == found
    assert written["phases"][0]["share"] == "1/3"
    assert written["phases"][0]["select"][0]["top"] == 0.7
    assert written["branches"][0]["at"] == ["1/3", 1.0]
