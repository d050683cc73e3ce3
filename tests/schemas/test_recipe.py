"""The parts of a recipe: what each method, step, order, condition and branch needs, and one line for each mistake."""

from fractions import Fraction
from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.mixtures import Epochs, Linear, Natural, Unimax
from byline.schemas.mixtures.reading import as_mixture, read_mixture
from byline.schemas.recipe import Condition

SOURCES = {
    "code": {"format": "jsonl", "path": "c/*", "score": {"quality": "q"}},
    "web": {"format": "dclm", "path": "w/*", "score": {"quality": "q"}},
}


def config(**changes: Any) -> Config:
    tokenizer, phases = {"file": "t.json"}, [{"name": "a", "share": 1}]
    return parse_config({"sources": SOURCES, "tokenizer": tokenizer, "phases": phases, **changes}, "test")


def mistake(**changes: Any) -> str:
    with pytest.raises(BylineError) as caught:
        config(**changes)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix("test: ")


def in_phase(**settings: Any) -> dict[str, Any]:
    return {"phases": [{"name": "a", "share": 1, **settings}]}


# -------------------------------------------------------------------------------------------------------- mixtures


def test_short_forms() -> None:
    assert config().mixture == config(mixture="natural").mixture == config(mixture={"method": "natural"}).mixture
    short = config(mixture={"web": 0.7, "code": "3/10"}).mixture
    assert short == config(mixture={"weights": {"web": 0.7, "code": 0.3}}).mixture
    assert short == config(mixture={"method": "weights", "weights": {"web": 0.7, "code": 0.3}}).mixture
    assert (short.method, short.weights) == ("weights", {"web": Fraction(7, 10), "code": Fraction(3, 10)})


def test_sources_that_are_called_as_keys_are() -> None:
    assert as_mixture({"weights": 0.5, "method": 0.5}) == {
        "method": "weights",
        "weights": {"weights": 0.5, "method": 0.5},
    }
    assert as_mixture({"weights": {"alpha": 1}}) == {"method": "weights", "weights": {"alpha": 1}}


def test_the_sources_that_a_mixture_names() -> None:
    def named(**values: Any) -> set[str] | None:
        return read_mixture(values).named

    assert named(method="natural") is None
    assert named(method="unimax", max_epochs={"web": 2}) is None
    assert named(method="weights", weights={"web": 1, "code": 0}) == {"web"}
    assert named(method="epochs", epochs={"web": 0, "code": 0.5}) == {"code"}
    points = [{"at": 0, "weights": {"web": 1, "code": 0}}, {"at": 1, "weights": {"books": 1}}]
    assert named(method="linear", points=points) == {"web", "books"}
    schedule = Linear(method="linear", points=points, max_epochs={"extra": 2})
    assert schedule.mentioned == {"web", "code", "books", "extra"}


def test_limits_of_epochs() -> None:
    assert read_mixture("natural").epoch_limit("web") is None
    assert Unimax(method="unimax", max_epochs="5/2").epoch_limit("web") == Fraction(5, 2)
    by_source = Natural(method="natural", max_epochs={"web": 3})
    assert (by_source.epoch_limit("web"), by_source.epoch_limit("code")) == (3, None)
    epochs = Epochs(method="epochs", epochs={"web": 0.64})
    assert (epochs.epoch_limit("web"), epochs.epoch_limit("code")) == (Fraction(16, 25), 0)


def points(*places: tuple[float, dict[str, float]], method: str = "linear") -> dict[str, Any]:
    return {"method": method, "points": [{"at": at, "weights": weights} for at, weights in places]}


WEB = {"web": 1}


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"x": 1}, "mixture: there is no source 'x'; the sources are code, web"),
        ({"web": 0.5}, "mixture: the weights sum to 0.5, not to 1; change one by +0.5"),
        ({"web": 1.5, "code": -0.5}, "mixture.weights.code: input should be greater than or equal to 0; found -0.5"),
        ({"web": "half"}, "mixture.weights.web: expected a number, found 'half'"),
        ({}, "mixture: method weights needs `weights`"),
        ("even", "mixture: method: expected natural, weights, temperature, unimax, epochs, "),
        (3, "mixture: expected keys and values (method, by, bins, max_epochs, alpha, epochs, points, weights"),
        ({"method": "natural", "weights": WEB}, "mixture: method natural takes no `weights`"),
        (
            {"method": "linear", "web": 1},
            "mixture.web: unknown key 'web'; the keys here are method, by, bins, max_epochs, ",
        ),
        ({"method": "unimax", "max_epoch": 4}, "mixture.max_epoch: unknown key 'max_epoch'; did you mean 'max_epochs'"),
        (
            {"web": 0.5, "code": 0.5, "max_epochs": 2},
            "mixture: with `max_epochs` the weights go under a key: {weights: {a: 0.5, b: 0.5}, max_epochs: 2}",
        ),
        ({"web": 1, "max_epochs": {"web": 2}}, "mixture: with `max_epochs` the weights go under a key"),
        ({"max_epochs": 2}, "mixture: `method` is needed beside max_epochs"),
        ({"points": [{"at": 0, "weights": WEB}]}, "mixture: `method` is needed beside points"),
        ({"method": "temperature"}, "mixture: method temperature needs `alpha`"),
        ({"method": "temperature", "alpha": 2}, "mixture.alpha: input should be less than or equal to 1; found 2"),
        ({"method": "unimax"}, "mixture: method unimax needs `max_epochs`, the most epochs of a source, such as 4"),
        ({"method": "unimax", "max_epochs": 0}, "mixture.max_epochs: input should be greater than 0; found 0"),
        ({"method": "unimax", "max_epochs": {"z": 1}}, "mixture: there is no source 'z'; the sources are code, web"),
        ({"method": "epochs"}, "mixture: method epochs needs `epochs`"),
        ({"method": "epochs", "epochs": {"web": 0}}, "mixture: epochs: every source has none; give one at least some"),
        (
            {"method": "epochs", "epochs": WEB, "max_epochs": 2},
            "mixture: method epochs takes no `max_epochs`: it says how many epochs itself",
        ),
        ({"method": "linear"}, "mixture: method linear needs `points`"),
        (points((0.1, WEB), (1, WEB)), "mixture: points: the first point is at 0.1; the phase begins at 0"),
        (points((0, WEB), (0.9, WEB)), "mixture: points: the last point is at 0.9; the phase ends at 1"),
        (points((0, WEB), (0, WEB), (1, WEB)), "mixture: points: `at` must ascend from one point to the next"),
        (points((0, WEB), (0.9, WEB), (0.5, WEB)), "mixture: points: `at` must ascend from one point to the next"),
        (points((0, WEB), (2, WEB)), "mixture.points.1.at: input should be less than or equal to 1; found 2"),
        (
            points((0, WEB), (1, {"web": 0.7})),
            "mixture: points at 1: the weights sum to 0.7, not to 1; change one by +0.3",
        ),
    ],
)
def test_a_mixture_that_is_none(mixture: Any, message: str) -> None:
    assert mistake(mixture=mixture).startswith(message)
    if mixture not in ("even", 3):
        # The same in a phase and in a branch, told by its place.
        in_place = mistake(**in_phase(mixture=mixture))
        assert in_place.split(": ", 1)[1].startswith(message.split(":", 1)[1].strip())
        assert in_place.startswith(("phases.0.mixture", "phases.a.mixture"))


def test_a_piecewise_schedule_need_not_reach_the_end() -> None:
    found = config(mixture=points((0, WEB), (0.5, {"code": 1}), method="piecewise")).mixture
    assert found.is_schedule
    assert [point.at for point in found.points] == [0, Fraction(1, 2)]


# ----------------------------------------------------------------------------------------------------------- labels


def test_labels_as_yaml_has_them() -> None:
    flags = read_mixture({"by": "is_long", "weights": {True: 0.5, False: 0.5}})
    assert flags.named == {"true", "false"}
    found = read_mixture({"by": "year", "weights": {2020: 0.5, None: 0.5}})
    assert (found.method, found.named, found.label_field) == ("weights", {"2020", "null"}, "year")
    bins = read_mixture({"method": "epochs", "by": "quality", "bins": 4, "epochs": [0, 1, 2, 4]})
    assert (bins.named, bins.epoch_limit("3"), bins.bin_labels) == ({"1", "2", "3"}, 4, ["0", "1", "2", "3"])
    borders = read_mixture({"method": "natural", "by": "quality", "bins": [0.1, 0.5], "max_epochs": [1, 2, 3]})
    assert (borders.named, borders.epoch_limit("2"), borders.bin_labels) == (None, 3, ["0", "1", "2"])
    schedule = {"at": 0, "weights": [1, 0]}, {"at": 1, "weights": [0, 1]}
    linear = read_mixture({"method": "linear", "by": "quality", "bins": 2, "points": list(schedule)})
    assert linear.blend({"0": 1, "1": 1}).given("1", Fraction(1)) == Fraction(1, 2)
    for mixture in (found, bins, borders, linear):
        assert read_mixture(mixture.model_dump(mode="json")) == mixture
    assert read_mixture({"method": "natural", "by": "source"}).label_field is None
    assert "by" not in read_mixture("natural").model_dump(mode="json")


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"method": "natural", "bins": 3}, "mixture: `bins` needs `by`"),
        ({"method": "natural", "by": "source", "bins": 3}, "mixture: `bins` needs `by`"),
        ({"method": "natural", "by": "num_tokens", "bins": 1}, "mixture.bins"),
        (
            {"method": "natural", "by": "num_tokens", "bins": [5, 2]},
            "mixture: bins: expected a number of bins, or borders",
        ),
        (
            {"by": "num_tokens", "bins": 3, "weights": [0.5, 0.5]},
            "mixture: nothing is said of bin 2; give each of 3 bins something, or 0",
        ),
        (
            {"by": "num_tokens", "bins": 2, "weights": [0.5, 0.2, 0.3]},
            "mixture: there is no bin '2'; they are 0 to 1, and null",
        ),
        ({"by": "host", "a.org": 0.5, "b.org": 0.5}, "mixture: with `by` the weights go under a key"),
        ({"by": "topic", "weights": {"cooking": 1}}, "mixture.by: no source has a field 'topic'; they have: "),
        ({"method": "natural", "by": "host", "bins": 2}, "mixture.by: source 'code' has no number 'host'"),
        ({"weights": [0.5, 0.5]}, "mixture: there is no source '0'"),
    ],
)
def test_labels_that_are_none(mixture: Any, message: str) -> None:
    assert mistake(mixture=mixture).startswith(message), mistake(mixture=mixture)


def test_one_source_after_the_other_needs_sources() -> None:
    order = {"by": "source", "sources": ["web", "code"]}
    found = mistake(**in_phase(mixture={"method": "natural", "by": "host"}, order=order))
    assert found == "phases.a.order: one source after the other needs a mixture between sources"


def test_a_score_needs_bins() -> None:
    sources = {"web": {"format": "jsonl", "path": "web", "score": {"quality": "q"}}}
    found = mistake(sources=sources, mixture={"by": "quality", "weights": {"0.5": 1}})
    assert found == "mixture: `by: quality` is a number, so it needs `bins`: how many, or the borders between them"


# ------------------------------------------------------------------------------------------------------- selections

KINDS = (
    "a step is one of top, bottom, at_least and at_most, allow and deny, or drop; give several as a list, "
    "as in [{deny: {host: [a.example]}}, {top: 0.7, by: quality}]"
)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, f": {KINDS}"),
        ({"by": "quality"}, f": {KINDS}"),
        ({"top": 0.5, "at_least": 1, "by": "quality"}, f": {KINDS}"),
        ({"top": 0.5, "bottom": 0.5, "by": "quality"}, f": {KINDS}"),
        ({"top": 0.5, "deny": {"host": ["a"]}, "by": "quality"}, f": {KINDS}"),
        ({"top": 0.5}, ": `by` is needed: a number such as num_tokens or a score"),
        ({"deny": {"host": ["a"]}, "by": "quality"}, ": allow, deny and drop take no `by`"),
        ({"at_least": 5, "at_most": 1, "by": "num_tokens"}, ": at_least 5 is above at_most 1"),
        ({"at_least": 5, "by": "num_tokens", "over": "all"}, ": `count` and `over` say how a share is meant; they "),
        ({"deny": {"host": ["a"]}, "count": "tokens"}, ": `count` and `over` say how a share is meant; they belong"),
        ({"top": 0.5, "by": "quality", "sources": []}, ": sources: name one at least, or leave the key out for all"),
        ({"allow": {"host": []}}, ": allow.host: an empty list takes no document"),
        ({"top": 0, "by": "quality"}, ".top: input should be greater than 0; found 0"),
        ({"bottom": 1.1, "by": "quality"}, ".bottom: input should be less than or equal to 1; found 1.1"),
        ({"top": 0.5, "by": "quality", "count": "words"}, ".count: input should be 'documents' or 'tokens'; found 'wo"),
        ({"topp": 0.5, "by": "quality"}, ".topp: unknown key 'topp'; did you mean 'top'?"),
        ({"deny": {"host": [1]}}, ".deny.host.0: input should be a valid string; found 1"),
    ],
)
def test_a_step_that_is_none(step: Any, message: str) -> None:
    assert mistake(**in_phase(select=step)).startswith(f"phases.0.select.0{message}")
    good = {"at_least": 1, "by": "num_tokens"}
    assert mistake(**in_phase(select=[good, step])).startswith(f"phases.0.select.1{message}")


def test_a_selection_that_is_no_step() -> None:
    assert mistake(**in_phase(select="quality")) == "phases.0.select: input should be a valid list; found 'quality'"


def test_one_step_is_a_list_of_one() -> None:
    step = {"bottom": 0.25, "by": "num_bytes", "count": "tokens", "over": "all"}
    found = config(**in_phase(select=step)).phases[0].select
    assert found == config(**in_phase(select=[step])).phases[0].select
    assert (found[0].share, found[0].has_threshold) == (Fraction(1, 4), False)


# ----------------------------------------------------------------------------------------------------------- orders


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("num_tokens", ": expected keys and values (by, direction, bins, sources"),
        ({}, ".by: this key is needed"),
        ({"by": "source"}, ": `by: source` needs `sources`, the names in their sequence"),
        ({"by": "num_tokens", "sources": ["web"]}, ": `by: num_tokens` takes no `sources`"),
        ({"by": "source", "sources": ["web", "web"]}, ": sources: 'web' stands in it twice"),
        ({"by": "num_tokens", "bins": 1}, ".bins: input should be greater than or equal to 2; found 1"),
        ({"by": "num_tokens", "direction": "up"}, ".direction: input should be 'ascending' or 'descending'; found 'up"),
    ],
)
def test_an_order_that_is_none(order: Any, message: str) -> None:
    assert mistake(**in_phase(order=order)).startswith(f"phases.0.order{message}")


# ------------------------------------------------------------------------------------------------------- conditions

SHARE = "expected a number of values or a share such as 2%"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "{hots}"}, "phases.a.condition.template: source 'code' has no field 'hots'; it has: url, host, "),
        ({"template": "a } b"}, "phases.0.condition: template 'a } b': a lone '}' at character 2; write '}}' for the "),
        ({"position": "middle"}, "phases.0.condition.position: input should be 'before' or 'after'; found 'middle'"),
        ({"dropout": 1}, "phases.0.condition.dropout: input should be less than 1; found 1"),
        ({"empty": 1, "begin": "<a>"}, "phases.0.condition.empty: input should be less than 1; found 1"),
        ({"empty": 0.1}, "phases.0.condition: empty: leaves `begin` and `end` alone, so give one; `dropout` leaves no"),
        ({"top": {"url": 5}}, "phases.0.condition: top: the template '{host}' has no field 'url'"),
        ({"top": {"host": 0}}, "phases.0.condition.top.host: input should be greater than or equal to 1; found 0"),
        ({"top": {"host": "five"}}, f"phases.0.condition: top.host: {SHARE}, not 'five'"),
        ({"top": {"host": "101%"}}, f"phases.0.condition: top.host: {SHARE}, not '101%'"),
        ({"top": {"host": 0.02}}, f"phases.0.condition.top: host: {SHARE}, not 0.02"),
        ({"bins": {"quality": 5}}, "phases.0.condition: bins: the template '{host}' has no field 'quality'"),
        ({"bins": {"host": 5}}, "phases.a.condition.bins: source 'code' has no number 'host' (it has: quality, "),
        (
            {"template": "{quality}", "bins": {"quality": 5}, "top": {"quality": 5}},
            "phases.0.condition: 'quality' is in `top` and in `bins`; a number in bins has few values already",
        ),
        (
            {"template": "{quality}", "bins": {"quality": 1}},
            "phases.0.condition.bins.quality: input should be greater than or equal to 2; found 1",
        ),
        (
            {"template": "{quality}", "bins": {"quality": [0.5, 0.1]}},
            "phases.0.condition: bins.quality: expected a number of bins, or borders that ascend",
        ),
        (
            {"template": "{quality}", "bins": {"quality": []}},
            "phases.0.condition: bins.quality: expected a number of bins, or borders that ascend",
        ),
    ],
)
def test_a_condition_that_is_none(settings: dict[str, Any], message: str) -> None:
    assert mistake(**in_phase(condition={"template": "{host}", **settings})).startswith(message)


@pytest.mark.parametrize(
    ("top", "distinct", "kept"),
    [(5, 3, 5), (5, 100, 5), ("2%", 1000, 20), ("0.2%", 1499, 2), ("0.2%", 10, 1), ("0%", 10, 1), ("100%", 7, 7)],
)
def test_how_many_values_are_kept(top: Any, distinct: int, kept: int) -> None:
    assert Condition(template="{host}", top={"host": top}).kept_values("host", distinct) == kept


# ---------------------------------------------------------------------------------------------------------- branches


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "branches.0.at: this key is needed"),
        ({"at": []}, "branches.0.at: list should have at least 1 item after validation, not 0; found []"),
        ({"at": 0}, "branches.0.at.0: input should be greater than 0; found 0"),
        ({"at": [0.5, 1.5]}, "branches.0.at.1: input should be less than or equal to 1; found 1.5"),
        ({"at": [0.5, "1/2"]}, "branches.0: at: 0.5 stands in it twice; each point has a folder of its own"),
        ({"at": "half"}, "branches.0.at.0: expected a number, found 'half'"),
        ({"at": 1, "share": 1}, "branches.0.share: input should be less than 1; found 1"),
        ({"at": 1, "shar": 0.1}, "branches.0.shar: unknown key 'shar'; did you mean 'share'?"),
        ({"at": 1, "select": {"top": 0.5, "by": "x"}}, "branches.b.select.by: source 'code' has no number 'x'"),
    ],
)
def test_a_branch_that_is_none(settings: dict[str, Any], message: str) -> None:
    assert mistake(branches=[{"name": "b", **settings}]).startswith(message)


def test_names_of_branches_at_their_points() -> None:
    branch = config(branches=[{"name": "b", "at": [0.25, 0.125, "1/3", 1]}]).branches[0]
    assert [branch.name_at(at) for at in branch.at] == ["b-25", "b-12.5", "b-33.33333333", "b-100"]
    assert branch.share == Fraction(1, 10)


# ----------------------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "dclm"}, "sources.s: path: this key is needed: a pattern of the source's files, or a list of patt"),
        (
            {"format": "dlcm", "path": "x"},
            "sources.s.format: expected dclm, c4, refinedweb, jsonl, parquet, arithmetic ",
        ),
        ({"format": "arithmetic", "path": "x"}, "sources.s: `format: arithmetic` is made, not read: it takes `arithme"),
        (
            {"format": "arithmetic", "arithmetic": {"digit": 3}},
            "sources.s.arithmetic.digit: unknown key 'digit'; did you mean 'digits'?",
        ),
        (
            {"format": "dclm", "path": "x", "arithmetic": {}},
            "sources.s: arithmetic: only a source of `format: arithmetic` takes it",
        ),
        (
            {"format": "jsonl", "path": "x", "fields": {"messages": "m"}},
            "sources.s: fields.messages: only a source with a `formatter` reads it; name one",
        ),
        (
            {"format": "jsonl", "path": "x", "formatter": "chat"},
            "sources.s: formatter: chat needs fields.messages: where it stands in a record",
        ),
        (
            {"format": "jsonl", "path": "x", "formatter": "chatt"},
            "sources.s.formatter.name: expected chat, qa, fim or package.module:object, found 'chatt'",
        ),
        (
            {"format": "jsonl", "path": "x", "fields": {"txt": "m"}},
            "sources.s.fields.txt: expected text, url, messages, question, answer, found 'txt'; any",
        ),
        (
            {"format": "jsonl", "path": "x", "keep": {"a": "date"}},
            "sources.s.keep.a: expected string, int, float, bool or {path: ..., type: ...}; found 'date'",
        ),
    ],
)
def test_a_source_that_is_none(source: dict[str, Any], message: str) -> None:
    assert mistake(sources={"s": source}).startswith(message)


def test_options_of_a_formatter_stand_beside_its_name() -> None:
    def formatter(value: Any) -> Any:
        source = {"format": "jsonl", "path": "x", "fields": {"messages": "m"}, "formatter": value}
        return config(sources={"s": source}).sources["s"].formatter

    assert formatter("chat") == formatter({"name": "chat"}) == formatter({"name": "chat", "options": {}})
    found = formatter({"name": "my.module:function", "rate": 0.5})
    assert (found.name, found.options) == ("my.module:function", {"rate": 0.5})


@pytest.mark.parametrize("name", ["", "<a>"])
def test_an_added_token_has_a_name_of_its_own(name: str) -> None:
    message = f"tokenizer: add: {name!r} is empty or given twice; each added token has a name"
    assert mistake(tokenizer={"file": "t.json", "add": ["<a>", name]}) == message
