"""The configuration's values: places, shares, tokens, names, and every mistake with what would work."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.attribute_kinds.duplicates import DuplicatesAttribute
from byline.schemas.config_file import parse_config
from byline.schemas.corpora import Malformed
from byline.schemas.mixtures.reading import read_mixture
from byline.schemas.recipe import Shortage
from tests.support.configs import MINIMAL, config, mistake


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


def test_problems_of_additions() -> None:
    held = {"holdout": {"share": 0.1, "by": "problem"}, "mixture": {"add": 1}}

    def sources(**arithmetic: int) -> dict[str, Any]:
        return {"sources": {"add": {"format": "arithmetic", "arithmetic": arithmetic}}}

    made = config(**held, **sources())
    assert made.columns_of("add") == {"problem": "kept string"}
    said = mistake(**held, **sources(per_document=2))
    assert said.startswith("test: holdout.by: source 'add' has no field 'problem'; it has: url, host, ")
    assert said.endswith("; with sources.add.arithmetic.per_document: 1, each document has one")
    said = mistake(**sources(), classifiers={"problem": {"model": "x.bin", "label": "a"}})
    assert said == "test: sources.add: two columns are called 'problem'; give one another name"


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


def test_equal_documents_alone_can_be_asked_for_by_name() -> None:
    attribute = config(attributes={"twins": {"kind": "duplicates", "near": "none"}}).attributes["twins"]
    assert attribute == DuplicatesAttribute(near=None)
