"""Documents cut by labels: who is in which stratum, and the predicates that say the same."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.mixtures.mixture import UNKNOWN
from byline.schemas.predicates import NoNumber, ValueList
from byline.transforms.fields.cuts import Cut, strata_of, stratum_rows
from byline.transforms.fields.ranking import ARROW_TYPES
from byline.transforms.fields.selecting import bin_predicates, disjoint, holds, list_predicate

TOPIC = Cut("topic", ["web"], ["cooking", "sport", UNKNOWN])
QUALITY = Cut("quality", ["web", "books"], ["0", "1", UNKNOWN], "float32", [0.5])


def batch_of(topics: list[str | None], qualities: list[float | None], kind: str = "float32") -> pa.RecordBatch:
    shuffle_keys = np.arange(len(topics), dtype=np.uint64)
    return pa.RecordBatch.from_arrays(
        [shuffle_keys, pa.array(topics, pa.string()).dictionary_encode(), pa.array(qualities, ARROW_TYPES[kind])],
        ["shuffle_key", "topic", "quality"],
    )


def test_the_strata_of_some_documents() -> None:
    batch = batch_of(["cooking", "news", None, "null", "sport"], [0.7, 0.2, 0.5, None, math.nan])
    found = {name: rows.tolist() for name, rows in stratum_rows([TOPIC, QUALITY], batch, "web")}
    assert found == {
        "web: topic=cooking, quality=1": [0],
        "web: other topic, quality=0": [1],
        "web: topic=null, quality=1": [2],
        "web: topic=null, quality=null": [3],
        "web: topic=sport, quality=null": [4],
    }
    books = {name: rows.tolist() for name, rows in stratum_rows([TOPIC, QUALITY], batch, "books")}
    assert books == {
        "books: topic=null, quality=1": [0, 2],
        "books: topic=null, quality=0": [1],
        "books: topic=null, quality=null": [3, 4],
    }


def test_without_cuts_a_source_is_its_stratum() -> None:
    ((name, rows),) = stratum_rows([], batch_of(["a", "b"], [0, 1]), "web")
    assert (name, rows.tolist()) == ("web", [0, 1])
    ((stratum),) = strata_of([], ["web"])
    assert (stratum.name, stratum.source, stratum.labels, stratum.predicates) == ("web", "web", (), ())
    assert stratum_rows([TOPIC], batch_of([], []), "web") == []


def test_every_stratum_has_a_name_of_its_own() -> None:
    odd = Cut("topic", ["web"], ["a, quality=1", "a", 'a"', "other topic", "", "ä b", UNKNOWN])
    names = [stratum.name for stratum in strata_of([odd, QUALITY], ["web", "books"])]
    assert len(set(names)) == len(names) == 8 * 3 + 3
    assert 'web: topic="a, quality=1", quality=0' in names
    assert "web: topic=ä b, quality=null" in names


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cooking", "sport", "news", "null", "", None]),
            st.none() | st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, math.inf, -math.inf, math.nan]),
        )
    ),
    st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.25, 0.5, 1.0, math.inf]), min_size=1, max_size=3).map(sorted),
    st.sampled_from(["float32", "float"]),
)
def test_predicates_are_of_the_same_documents(
    rows: list[tuple[str | None, float | None]], borders: list[int | float], kind: str
) -> None:
    labels = [*map(str, range(len(borders) + 1)), UNKNOWN]
    cuts = [TOPIC, Cut("quality", ["web", "books"], labels, kind, borders)]
    batch = batch_of([topic for topic, _ in rows], [quality for _, quality in rows], kind)
    for source in ("web", "books"):
        own = {name: taken.tolist() for name, taken in stratum_rows(cuts, batch, source)}
        strata = strata_of(cuts, [source])
        for stratum in strata:
            taken = np.flatnonzero(holds(stratum.predicates, batch, source)).tolist()
            assert taken == own.get(stratum.name, []), stratum
        assert sorted(row for taken in own.values() for row in taken) == list(range(len(rows)))
        assert set(own) <= {stratum.name for stratum in strata}


def test_strata_of_a_source_are_apart() -> None:
    strata = strata_of([TOPIC, QUALITY], ["web"])
    for one in strata:
        for other in strata:
            assert disjoint(one.predicates, other.predicates) == (one != other), (one, other)


@pytest.mark.parametrize(
    ("one", "other", "is_apart"),
    [
        (list_predicate("topic", ["a"], True), list_predicate("topic", ["b", None], True), True),
        (list_predicate("topic", ["a", None], True), list_predicate("topic", ["b", None], True), False),
        (list_predicate("topic", ["a"], True), list_predicate("topic", ["a", "b"], False), True),
        (list_predicate("topic", ["a", "c"], True), list_predicate("topic", ["a", "b"], False), False),
        (list_predicate("topic", ["a"], False), list_predicate("topic", ["b"], False), False),
        (list_predicate("topic", ["a"], True), list_predicate("host", ["b"], True), False),
        (NoNumber("quality", "float32"), bin_predicates("quality", "float32", [0.5])[0], True),
        (NoNumber("quality", "float32"), NoNumber("quality", "float32"), False),
        (NoNumber("quality", "float32"), bin_predicates("year", "int", [5])[0], False),
        (*bin_predicates("year", "int", [5]), True),
    ],
)
def test_lists_and_numbers_apart(one: Any, other: Any, is_apart: bool) -> None:
    assert disjoint([one], [other]) == disjoint([other], [one]) == is_apart


def test_borders_of_whole_numbers_are_exact() -> None:
    large = 2**62 + 1
    batch = pa.RecordBatch.from_arrays(
        [np.arange(4, dtype=np.uint64), pa.array([large - 1, large, large + 1, None], pa.int64())],
        ["shuffle_key", "year"],
    )
    low, high = bin_predicates("year", "int", [large])
    assert holds([low], batch, "web").tolist() == [True, False, False, False]
    assert holds([high], batch, "web").tolist() == [False, True, True, False]
    # Beyond what the type holds, the upper bin is empty.
    low, high = bin_predicates("year", "int", [2**70])
    assert holds([low], batch, "web").tolist() == [True, True, True, False]
    assert not holds([high], batch, "web").any()


def test_a_list_with_null_has_documents_without_a_value() -> None:
    batch = batch_of(["a", None, "b"], [0, 0, 0])
    assert list_predicate("topic", ["b", None, "b"], True) == ValueList("topic", (None, "b"), True)
    assert holds([list_predicate("topic", ["b", None], True)], batch, "web").tolist() == [False, True, True]
    assert holds([list_predicate("topic", ["b", None], False)], batch, "web").tolist() == [True, False, False]
