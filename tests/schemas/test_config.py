"""The configuration's values: shares, tokens, names, columns, and every mistake with what would work."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.corpora import Kept, Malformed
from byline.schemas.mixtures.reading import read_mixture
from byline.schemas.recipe import Shortage

MINIMAL: dict[str, Any] = {
    "sources": {"mine": {"format": "jsonl", "path": "data/*.jsonl"}},
    "tokenizer": {"file": "tokenizer.json", "eos": "</s>"},
    "phases": [{"name": "all", "share": 1}],
}


def config(**changes: Any) -> Config:
    return parse_config({**MINIMAL, **changes}, "test")


def mistake(**changes: Any) -> str:
    with pytest.raises(BylineError) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_not_given() -> None:
    found = config()
    assert (found.seed, found.tokens, found.shortage) == (0, "all", Shortage.ERROR)
    assert found.mixture == read_mixture("natural")
    assert found.branches == []
    assert (found.sequence.length, found.sequence.packing) == (8192, "document_start")
    assert (found.shard.sequences, found.shard.ids) == (4096, "int32")
    assert (found.store, found.output) == ("out/store", "out/shards")
    source = found.sources["mine"]
    assert (source.format, source.fields, source.keep, source.score) == ("jsonl", {}, {}, {})
    assert source.malformed is Malformed.ERROR
    assert (source.formatter, source.arithmetic, source.is_formatted) == (None, None, False)
    assert (found.tokenizer.library, found.tokenizer.add) == ("fastest", [])
    phase = found.phases[0]
    assert (phase.condition, phase.select, phase.mixture, phase.order, phase.packing) == (None, [], None, None, None)


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 1  # type: ignore[misc]


# --------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    "place", ["s3:/corpus/x", "s3://", "S3://corpus/x", "file:///tmp/o", "hdfs://nn/x", "s3://b//x"]
)
@pytest.mark.parametrize("key", ["store", "output", "tokenizer.file", "classifiers.quality.model", "sources.mine.path"])
def test_a_place_that_is_none(key: str, place: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "store": {"store": place},
        "output": {"output": place},
        "tokenizer.file": {"tokenizer": {"file": place}},
        "classifiers.quality.model": {"classifiers": {"quality": {"model": place}}},
        "sources.mine.path": {"sources": {"mine": {"format": "jsonl", "path": ["s3://b/x" for _ in "1"] + [place]}}},
    }
    assert mistake(**changes[key]).startswith(f"test: {key}: {place}: ")


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        ({}, "holdout.share: this key is needed"),
        ({"share": 1}, "holdout.share: input should be less than 1; found 1"),
        ({"share": 0}, "holdout.share: input should be greater than 0; found 0"),
        ({"share": 0.1, "mixture": {"mine": 1}}, "holdout: mixture: a holdout has everything that is held out, in its"),
        ({"share": 0.1, "order": {"by": "num_tokens"}}, "holdout: order: a holdout has everything that is held out"),
        ({"share": 0.1, "by": "hosts"}, "holdout.by: "),
        ({"share": 0.1, "name": "Main"}, "holdout: two phases, branches or holdouts are called 'Main' and 'main', one"),
        ({"share": 0.1, "name": "_x"}, "holdout: '_x' begins with '_', so readers would skip its folder; rename it"),
    ],
)
def test_a_holdout(holdout: dict[str, Any], message: str) -> None:
    said = mistake(holdout=holdout, phases=[{"name": "main", "share": 1}])
    assert said.startswith(f"test: {message}"), said


@pytest.mark.parametrize(
    ("store", "output"),
    [("out", "out"), ("out/store", "out"), ("out/a/store/", "./out/a"), ("s3://b/out/store", "s3://b/out/")],
)
def test_a_store_in_the_output(store: str, output: str) -> None:
    message = f"store: {store} is in `output`, {output}, whose readers would take runs for shards; give it a folder of"
    assert message in mistake(store=store, output=output)


@pytest.mark.parametrize(
    ("store", "output"), [("out/store", "out/store/shards"), ("out/ab", "out/a"), ("a", "s3://b/a")]
)
def test_a_store_beside_the_output(store: str, output: str) -> None:
    assert parse_config({**MINIMAL, "store": store, "output": output}, "test").output == output


# -------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("written", "tokens"),
    [
        ("160B", 160 * 10**9),
        ("2.5M", 2_500_000),
        ("1_000_000", 10**6),
        ("4 T", 4 * 10**12),
        ("10K", 10_000),
        ("  9000 ", 9000),
        (12345, 12345),
        ("all", "all"),
    ],
)
def test_tokens(written: Any, tokens: Any) -> None:
    assert config(tokens=written).tokens == tokens


@pytest.mark.parametrize("written", ["", "B", "1,000,000", "10k", "-5M", "1e9", "1.2.3M", "five", None, [1], True])
def test_tokens_that_are_none(written: Any) -> None:
    assert "tokens: expected a number of tokens such as 160B, 2.5M or 1_000_000, or all" in mistake(tokens=written)


def test_tokens_that_are_not_whole() -> None:
    assert "tokens: '0.0005K' is not a whole number of tokens" in mistake(tokens="0.0005K")
    assert "tokens: 8191 is less than one sequence of 8192" in mistake(tokens=8191)


@given(st.lists(st.integers(1, 999), min_size=2, max_size=6))
def test_shares_are_the_decimals_that_were_written(stages: list[int]) -> None:
    """Sums of decimals such as 0.1 + 0.2 + 0.7 are 1 exactly, and what is written down reads back the same."""
    total = sum(stages)
    shares = [Fraction(stage, total) for stage in stages]
    phases = [{"name": f"p{number}", "share": str(share)} for number, share in enumerate(shares)]
    found = config(phases=phases)
    assert [phase.share for phase in found.phases] == shares
    again = parse_config(found.model_dump(mode="json"), "test")
    assert again == found


@pytest.mark.parametrize("shares", [[0.1, 0.2, 0.7], ["0.9", "1/10"], ["1/3", "1/3", "1/3"], [1e-3, 0.999]])
def test_shares_that_sum_to_one(shares: list[Any]) -> None:
    phases = [{"name": f"p{number}", "share": share} for number, share in enumerate(shares)]
    assert sum(phase.share for phase in config(phases=phases).phases) == 1


@pytest.mark.parametrize("shares", [[0.1, 0.2, 0.69], [0.5], [0.9, 0.2]])
def test_shares_that_do_not(shares: list[float]) -> None:
    phases = [{"name": f"p{number}", "share": share} for number, share in enumerate(shares)]
    total = sum(Fraction(str(share)) for share in shares)
    message = f"phases: the shares sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}"
    assert message in mistake(phases=phases)


@pytest.mark.parametrize("share", [0, -0.5, 1.5, "a", "1/0", None, [1], "nan"])
def test_a_share_that_is_none(share: Any) -> None:
    assert "phases.0.share: " in mistake(phases=[{"name": "a", "share": share}])


@pytest.mark.parametrize(("length", "valid"), [(7, False), (8, True), (2**24, True), (2**24 + 1, False)])
def test_the_length_of_a_sequence(length: int, valid: bool) -> None:
    if valid:
        assert config(sequence={"length": length}).sequence.length == length
    else:
        assert "sequence.length: input should be " in mistake(sequence={"length": length})


@pytest.mark.parametrize("dropout", [1, -0.1, 2])
def test_a_dropout_that_is_none(dropout: float) -> None:
    phase = {"name": "a", "share": 1, "condition": {"template": "{host}", "dropout": dropout}}
    assert "phases.0.condition.dropout: " in mistake(phases=[phase])


# ---------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["a/b", "", ".hidden", "-x", "ü", "a b", "../up"])
def test_a_name_that_would_be_no_folder(name: str) -> None:
    assert "is not a usable name" in mistake(sources={name: MINIMAL["sources"]["mine"]})
    assert "is not a usable name" in mistake(phases=[{"name": name, "share": 1}])


def test_names_stand_for_folders_and_columns_once() -> None:
    phases = [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}]
    assert "phases: two phases are called 'a'; each has a folder of its own" in mistake(phases=phases)
    phases[1]["name"] = "A"
    assert "phases: two phases are called 'A' and 'a', one name on some disks; each" in mistake(phases=phases)
    phases[1]["name"] = "_plan.ipc"
    assert "phases: '_plan.ipc' begins with '_', so readers would skip its folder; rename it" in mistake(phases=phases)
    for name in (".byline", "a/b", "a\0b", "..", "-a", "a\n", "é"):
        phases[1]["name"] = name
        assert f"{name!r} is not a usable name" in mistake(phases=phases)
    source = {**MINIMAL["sources"]["mine"], "keep": ["quality"]}
    quality = {"quality": {"model": "q.bin", "label": "l"}}
    assert "sources.mine: two columns are called 'quality'" in mistake(sources={"mine": source}, classifiers=quality)
    topic = {"topic": {"model": "t.bin"}, "topic_score": {"model": "q.bin", "label": "l"}}
    assert "two columns are called 'topic_score'" in mistake(classifiers=topic)


@pytest.mark.parametrize(
    "name",
    ["tokens", "shuffle_key", "url", "host_hash", "epoch", "row", "file", "masked", "messages", "num_bytes", "source"],
)
def test_names_of_own_columns(name: str) -> None:
    source = MINIMAL["sources"]["mine"]
    message = f"{name!r} is the name of a column or template field of Byline's own; "
    assert message in mistake(sources={"mine": {**source, "keep": [name]}})
    assert message in mistake(sources={"mine": {**source, "score": {name: "x"}}})
    assert message in mistake(classifiers={name: {"model": "q.bin", "label": "l"}})


def test_another_name_is_offered_for_that_of_an_own_column() -> None:
    source = MINIMAL["sources"]["mine"]
    keep = mistake(sources={"mine": {**source, "keep": {"file": "int"}}})
    assert "sources.mine.keep: 'file' is the name of a column" in keep
    assert keep.endswith("keep it under another name: keep: {my_file: {path: file, type: int}}")
    score = mistake(sources={"mine": {**source, "score": {"row": "r"}}})
    assert "sources.mine.score.row: 'row' is the name" in score
    assert score.endswith("give it another name: score: {my_row: r}")
    assert "classifiers.host: 'host' is the name" in mistake(classifiers={"host": {"model": "q.bin", "label": "l"}})
    kept = {"my_file": {"path": "file", "type": "int"}}
    assert config(sources={"mine": {**source, "keep": kept}}).sources["mine"].kept_paths == {"my_file": "file"}


# -------------------------------------------------------------------------------------------------------- columns

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


def test_branches_have_folders_of_their_own() -> None:
    branches = [{"name": "cool", "at": 0.25, "share": "1/2"}, {"name": "cool", "at": [0.5, 1]}]
    found = config(branches=branches).branches
    assert [branch.name_at(at) for branch in found for at in branch.at] == ["cool-25", "cool-50", "cool-100"]
    message = "branches: two phases or branches are called 'cool-50'; each has a folder of its own, so give one another"
    assert message in mistake(branches=[*branches, {"name": "cool", "at": 0.5}])
    phases = [{"name": "cool-50", "share": 1}]
    assert message in mistake(phases=phases, branches=branches)


@pytest.mark.parametrize("seed", [-1, 2**32, "x", 1.5])
def test_a_seed_that_is_none(seed: Any) -> None:
    assert "seed: " in mistake(seed=seed)


def test_something_must_be_read_and_trained() -> None:
    assert "sources: " in mistake(sources={})
    assert "phases: " in mistake(phases=[])


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
