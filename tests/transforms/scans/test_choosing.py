"""Predicates and borders of bins that scans find, against the reference's steps over the same documents."""

import itertools
import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.predicates import Predicate, RankRange, ValueList, predicate_from_json
from byline.schemas.store import RunInfo
from byline.transforms.fields.selecting import holds
from byline.transforms.files.sealed_files import write_sealed
from byline.transforms.scans import digit_counting
from byline.transforms.scans.choosing import find_bin_borders, find_predicates
from byline.transforms.scans.counting import RunCounter
from tests.reference import selection
from tests.reference.selection import Candidate
from tests.support.thorough import examples

KINDS = {"quality": "float32", "x": "float", "n": "int", "num_tokens": "int"}
TYPES = {"quality": pa.float32(), "x": pa.float64(), "n": pa.int64(), "num_tokens": pa.int32()}
SOURCES = ("a", "b", "c")
MOST, LEAST = 2**63 - 1, -(2**63)


def document(
    source: str, shuffle_key: int, tokens: int = 1, host: str | None = None, **numbers: float | None
) -> Candidate:
    given_ = {name: numbers.get(name) for name in KINDS} | {"num_tokens": tokens}
    if given_["quality"] is not None:
        given_["quality"] = selection.as_float32(given_["quality"])
    return Candidate(source, shuffle_key, tokens, given_, {"host": host, "source": source})


def batch_of(documents: Sequence[Candidate]) -> pa.RecordBatch:
    columns = {name: pa.array([one.numbers[name] for one in documents], type_) for name, type_ in TYPES.items()}
    hosts = pa.array([one.values["host"] for one in documents], pa.string()).dictionary_encode()
    shuffle_keys = pa.array([one.shuffle_key for one in documents], pa.uint64())
    return pa.RecordBatch.from_pydict({"shuffle_key": shuffle_keys, "host": hosts, **columns})


def write_run(uri: str, source: str, documents: Sequence[Candidate]) -> None:
    batch = batch_of(sorted(documents, key=lambda one: one.shuffle_key))
    firsts = batch["shuffle_key"][:1].to_pylist()
    info = RunInfo("0" * 64, source, "x", 0, True, 1, 1, 1, {}, 0, len(documents), 1, 1, firsts)
    with write_sealed(uri, batch.schema.with_metadata(info.to_metadata())) as writer:
        if documents:
            writer.write_batch(batch)


NUMBER = itertools.count()


@dataclass
class Store:
    """Documents, in two runs a source; counts scans and what they asked."""

    folder: Path
    documents: list[Candidate]
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs = []
        for source in SOURCES:
            mine = [one for one in self.documents if one.source == source]
            for half in (mine[::2], mine[1::2]):
                self.runs.append(str(self.folder / f"{next(NUMBER)}.arrow"))
                write_run(self.runs[-1], source, half)

    def scan(self, counter: RunCounter) -> pa.RecordBatch:
        assert isinstance(counter, digit_counting.DigitCounter)
        self.asked.append(len(counter.questions))
        sent = pickle.loads(pickle.dumps(counter))
        return sent.merge([sent.count(uri) for uri in self.runs])

    def chosen(self, predicates: dict[tuple[int, str], list[Predicate]], stage: int) -> set[int]:
        """Indices of the documents that a stage may take, by predicates that went through JSON."""
        found = set()
        for source in SOURCES:
            mine = [index for index, one in enumerate(self.documents) if one.source == source]
            kept = [predicate_from_json(json.loads(json.dumps(p.to_json()))) for p in predicates[stage, source]]
            held = holds(kept, batch_of([self.documents[index] for index in mine]), source)
            found |= {index for index, is_held in zip(mine, held, strict=True) if is_held}
        return found


def config_of(*selects: Any, sources: Sequence[str] = SOURCES, **changes: Any) -> Config:
    """A recipe with a phase for each `select`."""
    share = f"1/{len(selects)}"
    values = {
        "sources": {
            name: {
                "format": "jsonl",
                "path": f"{name}/*.jsonl",
                "score": {"quality": "q"},
                "keep": {"n": "int", "x": "float"},
            }
            for name in sources
        },
        "tokenizer": {"file": "tokenizer.json"},
        "phases": [{"name": f"p{n}", "share": share, "select": select} for n, select in enumerate(selects)],
    }
    return parse_config({**values, **changes}, "test")


def chosen_by(folder: Path, documents: list[Candidate], steps: Any) -> set[int]:
    store = Store(folder, documents)
    return store.chosen(find_predicates(config_of(steps), store.scan), 0)


# ------------------------------------------------------------------------------------------------------------ literal


@pytest.mark.parametrize("count", ["documents", "tokens"])
@pytest.mark.parametrize("side", ["top", "bottom"])
def test_exactly_70_percent_where_half_of_all_scores_are_equal(tmp_path: Path, count: str, side: str) -> None:
    qualities = [0.5 if shuffle_key % 2 else shuffle_key / 400 for shuffle_key in range(400)]
    documents = [
        document("a", shuffle_key * 7919, 1 + shuffle_key % 9, quality=of) for shuffle_key, of in enumerate(qualities)
    ]
    found = chosen_by(tmp_path, documents, {side: 0.7, "by": "quality", "count": count})
    total = sum(one.tokens for one in documents)
    if count == "documents":
        assert len(found) == 280
    else:
        taken = sum(documents[index].tokens for index in found)
        assert total * 7 // 10 - 9 < taken <= total * 7 // 10
    step = selection.Step(**{side: Fraction(7, 10)}, by="quality", count=count)
    assert found == selection.select(documents, [step], KINDS)


def test_each_source_or_all_together(tmp_path: Path) -> None:
    documents = [document("a", n, quality=n / 10) for n in range(4)]
    documents += [document("b", 9 + n, quality=n) for n in range(4)]
    assert chosen_by(tmp_path, documents, {"top": 0.5, "by": "quality"}) == {2, 3, 6, 7}
    assert chosen_by(tmp_path, documents, {"top": 0.5, "by": "quality", "over": "all"}) == {3, 5, 6, 7}
    only_b = {"top": 0.5, "by": "quality", "over": "all", "sources": ["b"]}
    assert chosen_by(tmp_path, documents, only_b) == {0, 1, 2, 3, 6, 7}


def test_a_share_is_of_what_the_steps_before_it_left(tmp_path: Path) -> None:
    documents = [document("a", n, host="x" if n % 2 else "y", n=n) for n in range(12)]
    steps: list[dict[str, Any]] = [{"deny": {"host": ["x"]}}, {"top": 0.5, "by": "n"}, {"bottom": "1/3", "by": "n"}]
    assert chosen_by(tmp_path, documents, steps[:2]) == {6, 8, 10}
    assert chosen_by(tmp_path, documents, steps) == {6}
    assert chosen_by(tmp_path, documents, [{"at_least": 3, "at_most": 7, "by": "n"}, steps[1]]) == {6, 7}


def test_documents_without_the_number_count_and_are_never_taken(tmp_path: Path) -> None:
    qualities = [0.1, None, math.nan, 0.9, None]
    documents = [document("a", shuffle_key, quality=quality) for shuffle_key, quality in enumerate(qualities)]
    for share, expected in ((0.2, {3}), (0.39, {3}), (0.4, {0, 3}), (0.99, {0, 3}), (1, {0, 1, 2, 3, 4})):
        assert chosen_by(tmp_path, documents, {"top": share, "by": "quality"}) == expected
    assert chosen_by(tmp_path, documents, [{"top": 0.99, "by": "quality"}, {"top": 0.5, "by": "quality"}]) == {3}


def test_extremes(tmp_path: Path) -> None:
    numbers = [MOST, LEAST, 0, -1, None, MOST - 1, LEAST + 1, 65533, 65534, 2**40, -(2**40)]
    values = [math.inf, -math.inf, -0.0, 0.0, math.nan, None, 5e-324, -5e-324, 1.7e308, 1.0, -1.0]
    pairs = enumerate(zip(numbers, values, strict=True))
    documents = [document("a", shuffle_key, n=number, x=value) for shuffle_key, (number, value) in pairs]
    for name, side, eleventh in itertools.product("nx", ("top", "bottom"), range(1, 11)):
        step = {side: f"{eleventh}/11", "by": name}
        slow = selection.Step(**{side: Fraction(eleventh, 11)}, by=name)
        assert chosen_by(tmp_path, documents, step) == selection.select(documents, [slow], KINDS), step


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    assert chosen_by(tmp_path, [], {"top": 0.5, "by": "quality"}) == set()
    documents = [document("a", shuffle_key) for shuffle_key in range(3)]
    assert chosen_by(tmp_path, documents, {"top": 0.5, "by": "quality"}) == set()
    assert chosen_by(tmp_path, documents, {"top": "1/4", "by": "num_tokens"}) == set()
    empty = [{"allow": {"host": ["nowhere"]}}, {"top": 0.5, "by": "num_tokens"}, {"bottom": 0.5, "by": "n"}]
    assert chosen_by(tmp_path, documents, empty) == set()


# ------------------------------------------------------------------------------------------------------------- scans


def many(source: str, count: int = 300) -> list[Candidate]:
    start = SOURCES.index(source) * 10**6
    numbers = [{"n": n % 50, "quality": 0.5 + n / 10**5, "x": n / 7} for n in range(count)]
    return [document(source, start + n, host=f"h{n % 3}", **fields) for n, fields in enumerate(numbers)]


def test_no_scan_where_nothing_is_to_be_found(tmp_path: Path) -> None:
    store = Store(tmp_path, many("a"))
    steps = [{"top": 1, "by": "quality"}, {"deny": {"host": ["h1"]}}, {"at_least": 0.1, "by": "quality"}]
    found = find_predicates(config_of(steps, []), store.scan)
    assert store.asked == []
    assert [type(predicate) for predicate in found[0, "a"]] == [ValueList, RankRange]
    assert found[1, "a"] == []
    assert set(found) == {(stage, source) for stage in (0, 1) for source in SOURCES}


def test_equal_questions_are_asked_once_and_all_go_in_one_scan(tmp_path: Path) -> None:
    store = Store(tmp_path, [one for source in SOURCES for one in many(source)])
    best = {"top": 0.7, "by": "quality"}
    found = find_predicates(config_of(best, [best], {**best, "over": "all"}), store.scan)
    assert store.asked == [4, 4]
    assert found[0, "b"] == found[1, "b"]
    both = [{"deny": {"host": ["h1"]}}, best]
    store.asked.clear()
    # The second stage's step waits for its first; the third asks what the first does.
    find_predicates(config_of(both, [best, {"top": 0.5, "by": "x"}], both, sources=["a"]), store.scan)
    assert store.asked[0] == 2
    assert all(count <= 2 for count in store.asked)


def test_two_shares_of_the_same_documents_are_one_question_at_first(tmp_path: Path) -> None:
    store = Store(tmp_path, many("a"))
    found = find_predicates(config_of({"top": 0.3, "by": "x"}, {"top": 0.6, "by": "x"}, sources=["a"]), store.scan)
    assert store.asked[0] == 1
    assert found[0, "a"] != found[1, "a"]


def test_distinct_scores_take_two_scan_and_small_whole_numbers_one(tmp_path: Path) -> None:
    store = Store(tmp_path, [document("a", n, tokens=n + 1, quality=n / 1000) for n in range(1000)])
    for step, scans in (({"top": 0.7, "by": "quality"}, 2), ({"bottom": 0.7, "by": "num_tokens"}, 1)):
        store.asked.clear()
        found = find_predicates(config_of(step, sources=["a"]), store.scan)
        assert len(store.asked) == scans
        assert sum(holds(found[0, "a"], batch_of(store.documents), "a")) == 700


def test_a_stage_asks_its_own_sources_alone(tmp_path: Path) -> None:
    store = Store(tmp_path, many("a") + many("b"))
    config = config_of({"top": 0.5, "by": "n", "over": "all"}, mixture={"weights": {"b": 1}})
    found = find_predicates(config, store.scan)
    assert set(found) == {(0, "b")}
    slow = selection.select(many("b"), [selection.Step(top=Fraction(1, 2), by="n")], KINDS)
    assert set(np.flatnonzero(holds(found[0, "b"], batch_of(many("b")), "b")).tolist()) == slow


# ----------------------------------------------------------------------------------------------- against the reference

odd = st.sampled_from([None, 0.0, 1.0, -1.0])
numbers_of = {
    "quality": odd | st.sampled_from([math.nan, -0.0, math.inf, -math.inf, 0.5]) | st.floats(width=32),
    "x": odd | st.sampled_from([math.nan, -0.0, math.inf, -math.inf, 0.5]) | st.floats(),
    "n": st.sampled_from([None, 0, 1, -1, 65533, 65534, MOST, LEAST]) | st.integers(LEAST, MOST),
}
shares = st.fractions(0, 1, max_denominator=12).filter(lambda share: share > 0)
bounds = st.none() | st.fractions(-2, 2) | st.sampled_from([Fraction(2**63), Fraction(10**39), Fraction(1, 10)])
hosts = st.sampled_from(["x", "y", "z"])


@st.composite
def corpora(draw: st.DrawFn) -> list[Candidate]:
    """Documents of up to three sources with distinct shuffle keys, often with few distinct numbers."""
    shuffle_keys = draw(st.lists(st.integers(0, 2**64 - 1), max_size=24, unique=True))
    names = draw(st.sampled_from([SOURCES, SOURCES[:1]]))
    columns = {name: odd if draw(st.booleans()) else some for name, some in numbers_of.items()}
    return [
        document(
            draw(st.sampled_from(names)),
            shuffle_key,
            draw(st.integers(1, 9)),
            draw(st.none() | hosts),
            **{name: draw(some) for name, some in columns.items()},
        )
        for shuffle_key in shuffle_keys
    ]


@st.composite
def step_keys(draw: st.DrawFn) -> dict[str, Any]:
    """One step as keys that the configuration and the reference both take."""
    keys: dict[str, Any] = draw(
        st.one_of(
            st.fixed_dictionaries({"by": st.sampled_from(sorted(KINDS)), "top": shares}),
            st.fixed_dictionaries({"by": st.sampled_from(sorted(KINDS)), "bottom": shares}),
            st.fixed_dictionaries({"by": st.sampled_from(sorted(KINDS)), "at_least": bounds, "at_most": bounds}).filter(
                lambda keys: (
                    (keys["at_least"] is not None or keys["at_most"] is not None)
                    and (keys["at_least"] is None or keys["at_most"] is None or keys["at_least"] <= keys["at_most"])
                )
            ),
            st.fixed_dictionaries({"allow": st.fixed_dictionaries({"host": st.lists(hosts, min_size=1, max_size=2)})}),
            st.fixed_dictionaries({"deny": st.fixed_dictionaries({"host": st.lists(hosts, max_size=2)})}),
        )
    )
    if "top" in keys or "bottom" in keys:
        over, count = st.sampled_from(["each", "all"]), st.sampled_from(["documents", "tokens"])
        keys |= {"over": draw(over), "count": draw(count)}
    some = draw(st.none() | st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2, unique=True))
    return keys | ({} if some is None else {"sources": some})


@examples(150)
@given(corpora(), st.lists(step_keys(), max_size=4), st.lists(step_keys(), max_size=2))
def test_chains_of_steps(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[Candidate],
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
) -> None:
    store = Store(tmp_path_factory.getbasetemp(), documents)
    found = find_predicates(config_of(first, second), store.scan)
    for stage, keys in enumerate((first, second)):
        steps = [selection.Step(**step) for step in keys]
        assert store.chosen(found, stage) == selection.select(documents, steps, KINDS)


# --------------------------------------------------------------------------------------------------------------- bins


def borders_of(folder: Path, documents: list[Candidate], bins: dict[str, Any], steps: Any = ()) -> dict[str, Any]:
    """Borders, through the plan's JSON."""
    store = Store(folder, documents)
    template = "".join(f"{{{name}}}" for name in bins)
    phase = {"name": "p", "share": 1, "select": list(steps), "condition": {"template": template, "bins": bins}}
    config = config_of((), phases=[phase])
    found = find_bin_borders(config, find_predicates(config, store.scan), store.scan)
    assert set(found) == {(0, name) for name in bins}
    return {name: json.loads(json.dumps(borders)) for (_, name), borders in found.items()}


def test_borders_between_bins_of_equally_many_documents(tmp_path: Path) -> None:
    documents = [document("a", n, n=n, x=n / 8, quality=0.1 if n < 5 else None) for n in range(10)]
    assert borders_of(tmp_path, documents, {"n": 2, "x": 4, "quality": 3}) == {
        "n": [5],
        "x": [0.25, 0.625, 0.875],
        "quality": [selection.as_float32(0.1)] * 2,
    }
    documents += [document("b", 20 + n, n=100) for n in range(10)]
    assert borders_of(tmp_path, documents, {"n": 4}) == {"n": [5, 100, 100]}
    assert borders_of(tmp_path, documents, {"n": 2}, [{"at_most": 50, "by": "n"}]) == {"n": [5]}
    assert borders_of(tmp_path, documents, {"n": 2}, [{"bottom": "2/5", "by": "n", "sources": ["a"]}]) == {"n": [100]}


def test_borders_are_of_the_number_s_own_type(tmp_path: Path) -> None:
    documents = [document("a", n, n=MOST - n, x=-math.inf, quality=1) for n in range(4)]
    found = borders_of(tmp_path, documents, {"n": 2, "x": 2, "quality": 2})
    assert found == {"n": [MOST - 1], "x": [-math.inf], "quality": [1.0]}
    assert [type(borders[0]) for borders in found.values()] == [int, float, float]


def test_given_borders_stay_as_they_are_but_for_a_score_s_precision(tmp_path: Path) -> None:
    given_ = {"n": [-1, 2.5, 2**60 + 1], "x": [0.1, 3], "quality": [0.1]}
    found = borders_of(tmp_path, [], given_)
    assert found == {**given_, "quality": [selection.as_float32(0.1)]}
    assert [type(border) for border in found["n"] + found["x"]] == [int, float, int, float, float]


def test_without_documents_there_is_no_border(tmp_path: Path) -> None:
    assert borders_of(tmp_path, [], {"n": 5, "quality": 2}) == {"n": [], "quality": []}
    assert borders_of(tmp_path, [document("a", 1, x=math.nan)], {"n": 5, "x": 2}) == {"n": [], "x": []}


def test_no_scan_where_no_bins_are_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path, many("a"))
    assert find_bin_borders(config_of([]), {}, store.scan) == {}
    assert store.asked == []


@examples(100)
@given(corpora(), st.sampled_from(sorted(KINDS)), st.integers(2, 30), st.lists(step_keys(), max_size=1))
def test_borders_with_steps(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[Candidate],
    name: str,
    bins: int,
    steps: list[dict[str, Any]],
) -> None:
    chosen = selection.select(documents, [selection.Step(**step) for step in steps], KINDS)
    expected = selection.bin_borders([documents[index].numbers[name] for index in chosen], bins)
    assert borders_of(tmp_path_factory.getbasetemp(), documents, {name: bins}, steps) == {name: expected}
