"""Mixtures by labels and bins in small stores: exact shares and epochs, shortages, what is refused and warned of."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.plan import Plan
from byline.transforms.checks.shuffle_keys import check_ranges
from byline.transforms.plans import strata
from tests.reference.assembly import Document
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

LENGTH = 16
# Of `a` 120 documents of cooking, 60 of sport and 60 of none; of `b` 30 of cooking and 90 of news. Each has 8 tokens
# and so fills 10 positions, and a quality of its own.
TOPICS = {"a": ["cooking", "cooking", "sport", None] * 60, "b": ["cooking", "news", "news", "news"] * 30}
SIZES = {"cooking": 1500, "sport": 600, "null": 600, "news": 900}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("strata")
    small.tokenizer_file(made)
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> SmallStore:
    files = {
        (source, "x"): [
            StoredRow(row, [row % 300] * 8, license=topic, quality=(row * 7 % len(topics) + (source == "b") / 2) / 240)
            for row, topic in enumerate(topics)
        ]
        for source, topics in TOPICS.items()
    }
    return small.write_store(folder, files)


def planned(folder: Path, store: SmallStore, mixture: Any, **changes: Any) -> Plan:
    values = {"sequence": {"length": LENGTH, "packing": "concat"}, "mixture": mixture, "min_known": 0, **changes}
    plan = small.plan_of(small.small_config(folder, **values), store)
    assert check_ranges(plan) == []
    return plan


def drawn(plan: Plan, store: SmallStore, name: str = "only") -> list[Document]:
    uses = slow_shards.drawn_by(plan, store.documents).items()
    return [use for (phase, _), some in uses for use in some if phase == name]


def by_topic(documents: list[Document]) -> dict[str, int]:
    topics = [document.values["license"] or "null" for document in documents]
    return {topic: topics.count(topic) for topic in sorted(set(topics))}


BY = {"method": "weights", "by": "license"}


def test_all_tokens_in_given_weights(folder: Path, store: SmallStore) -> None:
    # Sport has 600 positions for its 0.4, so there are 900 of cooking.
    plan = planned(folder, store, {**BY, "weights": {"cooking": "0.6", "sport": "0.4"}})
    assert by_topic(drawn(plan, store)) == {"cooking": 90, "sport": 60}
    (stage,) = plan.header.stages
    assert list(stage.labels) == ["cooking", "sport"]
    assert stage.labels["sport"].epochs == (0, 1)
    assert stage.labels["cooking"].epochs == pytest.approx((0, 0.6), abs=0.02)
    # Inside a label by what each source has: 120 and 30 documents of cooking.
    sources = [use.source for use in drawn(plan, store) if use.values["license"] == "cooking"]
    assert sources.count("a") == pytest.approx(72, abs=1)
    counts = {label: amount.documents for label, amount in plan.header.drawn.labels["only"].items()}
    assert counts == {"cooking": 90, "sport": 60}
    unused = {
        source: {why: left.documents for why, left in own.items()} for source, own in plan.header.drawn.unused.items()
    }
    assert unused["a"]["mixture"] == 60
    assert unused["b"]["mixture"] == 90
    assert unused["a"]["budget"] + unused["b"]["budget"] == 60


@pytest.mark.parametrize(
    ("mixture", "weights"),
    [
        ({"method": "natural", "by": "license"}, SIZES),
        ({"method": "temperature", "by": "license", "alpha": 0}, dict.fromkeys(SIZES, 1)),
        (
            {"method": "temperature", "by": "license", "alpha": "1/2"},
            {topic: size**0.5 for topic, size in SIZES.items()},
        ),
        (
            {**BY, "weights": {"cooking": "0.1", "null": "0.5", "news": "0.4", "sport": 0}},
            {"cooking": 1, "null": 5, "news": 4},
        ),
        ({"method": "epochs", "by": "license", "epochs": {"news": 1, "sport": 3}}, {"news": 900, "sport": 1800}),
    ],
)
def test_a_number_of_tokens(folder: Path, store: SmallStore, mixture: Any, weights: dict[str, float]) -> None:
    plan = planned(folder, store, mixture, tokens=1200)
    (stage,) = plan.header.stages
    total = sum(weights.values())
    for topic, taken in stage.labels.items():
        assert taken.target_positions == pytest.approx(1200 * weights[topic] / total, abs=2)
        assert taken.expected_positions == pytest.approx(taken.target_positions, abs=LENGTH)
    assert set(stage.labels) == set(weights)


EVEN = {"cooking": 800, "news": 800, "null": 600, "sport": 600}


def test_what_a_cap_frees_goes_to_other_labels(folder: Path, store: SmallStore) -> None:
    mixture = {"method": "unimax", "by": "license", "max_epochs": 1}
    plan = planned(folder, store, mixture, tokens=2800)
    asked = {label: taken.target_positions for label, taken in plan.header.stages[0].labels.items()}
    assert asked == {topic: pytest.approx(due, abs=4) for topic, due in EVEN.items()}
    assert plan.header.notes == [
        f"max_epochs holds license {label} at 21.43% of the mixture instead of 25.00%; the other labels take the rest"
        for label in ("null", "sport")
    ]


def test_bins_are_repeated_as_often_as_asked(folder: Path, store: SmallStore) -> None:
    mixture = {"method": "epochs", "by": "quality", "bins": 4, "epochs": [0, 1, 2, 4]}
    plan = planned(folder, store, mixture)
    ranked = sorted(store.documents, key=lambda document: document.numbers["quality"] or 0)
    uses = [use.doc_id for use in drawn(plan, store)]
    assert [uses.count(document.doc_id) for document in ranked] == [0] * 90 + [1] * 90 + [2] * 90 + [4] * 90
    assert {label: taken.epochs for label, taken in plan.header.stages[0].labels.items()} == {
        "1": (0, 1),
        "2": (0, 2),
        "3": (0, 4),
    }


def test_given_borders(folder: Path, store: SmallStore) -> None:
    plan = planned(folder, store, {**BY, "by": "quality", "bins": ["0.5"], "weights": ["0.2", "0.8"]}, tokens=1000)
    high = [use for use in drawn(plan, store) if (use.numbers["quality"] or 0) >= 0.5]
    assert len(high) == pytest.approx(80, abs=1)


def test_a_stage_begins_where_the_one_before_ended_whatever_both_are_by(folder: Path, store: SmallStore) -> None:
    phases = [
        {"name": "first", "share": "1/2"},
        {"name": "second", "share": "1/4", "mixture": {"by": "quality", "bins": ["0.5"], "weights": ["0.2", "0.8"]}},
        {"name": "third", "share": "1/4", "mixture": {"a": "0.5", "b": "0.5"}},
    ]
    branches = [{"name": "late", "at": 1, "share": "0.2", "mixture": {"by": "license", "weights": {"cooking": 1}}}]
    weights = {"cooking": "0.5", "sport": "0.2", "news": "0.3"}
    changes = {"phases": phases, "branches": branches, "tokens": 1600, "holdout": {"share": "0.1"}}
    plan = planned(folder, store, {**BY, "weights": weights}, **changes)
    uses = [use.doc_id for phase in ("first", "second", "third", "holdout") for use in drawn(plan, store, phase)]
    assert len(uses) == len(set(uses)) == pytest.approx(160 + 36, abs=20)
    assert by_topic(drawn(plan, store, "first"))["cooking"] == pytest.approx(40, abs=2)
    bins = [(use.numbers["quality"] or 0) >= 0.5 for use in drawn(plan, store, "second")]
    assert sum(bins) == pytest.approx(32, abs=2)
    assert [use.source for use in drawn(plan, store, "third")].count("a") == pytest.approx(20, abs=2)
    assert set(by_topic(drawn(plan, store, "late-100"))) == {"cooking"}
    # Who is held out does not depend on labels, so documents of none are, too.
    assert "null" in by_topic(drawn(plan, store, "holdout"))
    assert [bool(stage.labels) for stage in plan.header.stages] == [True, True, False, True, False]


def test_a_schedule(folder: Path, store: SmallStore) -> None:
    points = [{"at": 0, "weights": {"cooking": 1}}, {"at": 1, "weights": {"sport": 1}}]
    plan = planned(
        folder, store, {"method": "linear", "by": "license", "points": points}, tokens=1120, shard={"sequences": 35}
    )
    shards = slow_shards.drawn_by(plan, store.documents)
    assert len(shards) == 2
    early, late = (by_topic(uses) for uses in shards.values())
    assert early["cooking"] == pytest.approx(42, abs=3)
    assert late["sport"] == pytest.approx(42, abs=3)
    assert by_topic(drawn(plan, store)) == {"cooking": pytest.approx(56, abs=2), "sport": pytest.approx(56, abs=2)}


def test_a_source_without_the_field_is_unknown(folder: Path, store: SmallStore) -> None:
    sources = {
        name: {"format": "jsonl", "path": f"{name}/*.jsonl", "keep": {"license": "string"} if name == "b" else {}}
        for name in "ab"
    }
    plan = planned(folder, store, {**BY, "weights": {"news": "0.5", "null": "0.5"}}, sources=sources, tokens=1000)
    assert {use.source for use in drawn(plan, store) if use.values["license"] != "news"} == {"a"}
    assert plan.header.stages[0].sources["a"].requested_share == 0.5


@pytest.mark.parametrize(
    ("mixture", "changes", "message"),
    [
        (
            {**BY, "weights": {"cooking": "0.5", "sprot": "0.5"}},
            {},
            "mixture: no document has license 'sprot'; there are cooking, news, sport, null",
        ),
        ({"method": "natural", "by": "license", "max_epochs": {"x": 2}}, {}, "mixture: no document has license 'x'"),
        (
            {"method": "natural", "by": "quality", "bins": [5], "max_epochs": {"null": 2}},
            {},
            "mixture: no document has quality",
        ),
        (
            {"method": "weights", "by": "num_tokens", "bins": 2, "weights": ["0.5", "0.5"]},
            {},
            "mixture: no document is in bin 0 of num_tokens, since many have the same value; use fewer `bins`",
        ),
        (
            {**BY, "weights": {"cooking": "0.5", "sport": "0.5"}},
            {"phases": [{"name": "p", "share": 1, "select": {"deny": {"license": ["sport"]}}}]},
            "phases.p: it selects no document of license 'sport'; change its `select`, or give the label no weight",
        ),
        (
            {**BY, "weights": {"cooking": "0.5", "sport": "0.5"}},
            {"tokens": 3000},
            "tokens: the selected documents are too few for 3,",
        ),
    ],
)
def test_what_is_refused(folder: Path, store: SmallStore, mixture: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError) as caught:
        planned(folder, store, mixture, **changes)
    assert str(caught.value).startswith(message)


def test_too_many_strata(folder: Path, store: SmallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strata, "MOST_STRATA", 9)
    with pytest.raises(BylineError, match=r"4 labels of license in 2 sources make 10 strata; a plan holds at most 9"):
        planned(folder, store, {"method": "natural", "by": "license"})


def test_a_stratum_that_is_short_is_told(folder: Path, store: SmallStore) -> None:
    weights = {"cooking": "0.5", "sport": "0.5"}
    with pytest.raises(BylineError, match=r"a: license=sport: 800 asked, 600 there \(1\.33 epochs\)"):
        planned(folder, store, {**BY, "weights": weights}, tokens=1600)
    plan = planned(folder, store, {**BY, "weights": weights}, tokens=1600, shortage="repeat")
    assert by_topic(drawn(plan, store)) == {"cooking": pytest.approx(80, abs=1), "sport": pytest.approx(80, abs=1)}
    assert plan.header.stages[0].labels["sport"].epochs[1] > 1
    plan = planned(folder, store, {**BY, "weights": weights}, tokens=1600, shortage="shrink")
    assert by_topic(drawn(plan, store)) == {"cooking": 60, "sport": 60}


def test_labels_without_a_weight_are_warned_of(folder: Path, store: SmallStore) -> None:
    plan = planned(folder, store, {**BY, "weights": {"cooking": 1, "null": 0}})
    assert plan.header.warnings == [
        "mixture: no weight for license news 25.00%, sport 16.67% of all tokens; they are left out (unused: mixture), "
        "so give each a weight, or 0"
    ]


def test_requested_shares_are_exact(folder: Path, store: SmallStore) -> None:
    plan = planned(folder, store, {**BY, "weights": {"cooking": "1/3", "news": "2/3"}}, tokens=1200)
    (stage,) = plan.header.stages
    assert {label: taken.target_positions for label, taken in stage.labels.items()} == {"cooking": 400, "news": 800}
    assert Fraction(stage.labels["news"].requested_share).limit_denominator(100) == Fraction(2, 3)
