"""The configuration's values: shares, tokens, names, columns, and every mistake with what would work."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from schemas.config import Config
from schemas.config_file import parse_config
from schemas.corpora import Malformed, SourceFormat
from schemas.recipe import Packing, Shortage

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
    assert (found.seed, found.tokens, found.mixture, found.shortage) == (0, "all", "natural", Shortage.ERROR)
    assert (found.sequence.length, found.sequence.packing) == (8192, Packing.DOCUMENT_START)
    assert (found.shard.sequences, found.shard.ids) == (4096, "int32")
    assert (found.store, found.output) == ("out/store", "out/shards")
    source = found.sources["mine"]
    assert (source.format, source.fields, source.keep, source.score) == (SourceFormat.JSONL, {}, {}, {})
    assert source.malformed is Malformed.ERROR
    assert found.tokenizer.library == "fastest"
    assert found.phases[0].condition is None
    assert found.phases[0].select is None


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 1  # type: ignore[misc]


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
def test_shares_are_the_decimals_that_were_written(parts: list[int]) -> None:
    """Sums of decimals such as 0.1 + 0.2 + 0.7 are 1 exactly, and what is written down reads back the same."""
    total = sum(parts)
    shares = [Fraction(part, total) for part in parts]
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
    source = {**MINIMAL["sources"]["mine"], "keep": ["quality"]}
    quality = {"quality": {"model": "q.bin", "label": "l"}}
    assert "sources.mine: two columns are called 'quality'" in mistake(sources={"mine": source}, classifiers=quality)
    topic = {"topic": {"model": "t.bin"}, "topic_score": {"model": "q.bin", "label": "l"}}
    assert "two columns are called 'topic_score'" in mistake(classifiers=topic)


@pytest.mark.parametrize("name", ["tokens", "place", "url", "host_hash", "epoch", "row"])
def test_names_of_own_columns(name: str) -> None:
    source = MINIMAL["sources"]["mine"]
    message = f"sources.mine: {name!r} is the name of one of Byline's own columns; choose another"
    assert message in mistake(sources={"mine": {**source, "keep": [name]}})
    assert message in mistake(sources={"mine": {**source, "score": {name: "x"}}})
    assert message in mistake(classifiers={name: {"model": "q.bin", "label": "l"}})


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
    assert config(sources={"a": source}).sources["a"].keep == {"license": "string", "lang": "string"}
    assert "sources.a.keep.n: " in mistake(sources={"a": {**source, "keep": {"n": "date"}}})


def phase(**settings: Any) -> list[dict[str, Any]]:
    return [{"name": "a", "share": 1, **settings}]


def test_a_selection_needs_its_score_in_every_source_that_takes_part() -> None:
    selected = phase(select={"top": 0.7, "by": "quality"})
    assert config(sources=SOURCES, classifiers=CLASSIFIERS, phases=selected).phases[0].select is not None
    message = (
        "phases.a.select.by: source 'bare' has no score 'quality' (it has: none); "
        "give it one with sources.bare.score or under classifiers"
    )
    assert message in mistake(sources=SOURCES, phases=selected)
    # A source without weight is never selected from, and a label is no score.
    only = {"given": 1, "bare": 0}
    assert config(sources=SOURCES, phases=selected, mixture=only).weights() == {"bare": 0, "given": 1}
    labelled = phase(select={"top": 0.7, "by": "topic"})
    assert "has no score 'topic'" in mistake(sources=SOURCES, classifiers=CLASSIFIERS, phases=labelled)


@pytest.mark.parametrize("top", [0, 1.1, -1, "x"])
def test_a_selection_of_nothing(top: Any) -> None:
    found = mistake(sources=SOURCES, classifiers=CLASSIFIERS, phases=phase(select={"top": top, "by": "quality"}))
    assert "phases.0.select.top: " in found


def test_a_template_names_what_every_source_has() -> None:
    fields = "{url}{host}{registered_domain}{suffix}{path}{host_hash}{url_hash}{source}{topic}{quality}"
    condition = {"template": fields}
    assert config(sources=SOURCES, classifiers=CLASSIFIERS, phases=phase(condition=condition)).phases[0].condition
    kept = phase(condition={"template": "{lang}"})
    message = "phases.a.condition.template: source 'bare' has no field 'lang'; it has: url, host, "
    assert message in mistake(sources=SOURCES, phases=kept)
    lone = phase(condition={"template": "a } b"})
    assert "a lone '}' at character 2; write '}}' for the brace itself" in mistake(phases=lone)


# -------------------------------------------------------------------------------------------------------- mixture


def test_weights() -> None:
    assert config(sources=SOURCES).weights() is None
    assert config(sources=SOURCES, mixture={"given": "2/3", "bare": "1/3"}).weights() == {
        "bare": Fraction(1, 3),
        "given": Fraction(2, 3),
    }
    assert config(sources=SOURCES, mixture={"bare": 1}).weights() == {"bare": 1, "given": 0}


def test_a_mixture_that_is_none() -> None:
    assert "mixture: there is no source 'x'; the sources are bare, given" in mistake(sources=SOURCES, mixture={"x": 1})
    assert "mixture: the weights sum to 0.5, not to 1; change one by +0.5" in mistake(
        sources=SOURCES, mixture={"bare": 0.5}
    )
    assert "mixture" in mistake(sources=SOURCES, mixture={"bare": 1.5, "given": -0.5})
    assert "mixture" in mistake(sources=SOURCES, mixture="even")


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
            {"name": "b", "share": "2/3", "condition": {"template": "{host}", "dropout": 0.1, "place": "after"}},
        ],
    }
    found = config(**everything)
    written = found.model_dump(mode="json")
    assert parse_config(written, "test") == found
    assert written["phases"][0]["share"] == "1/3"
    assert written["phases"][0]["select"]["top"] == 0.7
