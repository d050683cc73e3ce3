"""Values of lists that no document has are warned of, and counted as plain Python counts them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.fields.selecting import list_predicate
from byline.transforms.scans import list_matches
from byline.transforms.scans.count_runs import from_json, to_json
from byline.transforms.scans.list_matches import AskedList, ListCounter, find_unmatched
from tests.support import small
from tests.support.small import SmallStore, StoredRow

HOSTS = ("a.org", "b.org", "c.org", None)
ROWS = {
    (source, "x"): [StoredRow(row, [1] * (1 + row % 3), host=HOSTS[(row + first) % 4]) for row in range(10)]
    for first, source in enumerate("ab")
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    return small.write_store(tmp_path_factory.mktemp("lists"), ROWS)


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("ab")), st.sets(st.sampled_from(["a.org", "c.org", "x.org", ""])), st.booleans()
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([0, 2, 50]),
)
def test_counts_are_those_of_single_documents(store: SmallStore, asked: list[Any], short: int) -> None:
    lists = [AskedList("w", sorted(sources), list_predicate("host", values, allow)) for sources, values, allow in asked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_matches, "SHORT_LIST", short)
        counter = from_json(to_json(ListCounter(lists)))
        counts = small.local_scan([run.uri for run in store.runs])(counter).to_pylist()
    documents, tokens = Counter[Any](), Counter[Any]()
    for (source, _), rows in ROWS.items():
        for row in rows:
            for number, (sources, values, _) in enumerate(asked):
                if source in sources and row.host in values:
                    key = (number, row.host if len(values) <= short else None)
                    documents[key] += 1
                    tokens[key] += len(row.tokens)
    assert {(row["list"], row["value"]): row["documents"] for row in counts} == documents
    assert {(row["list"], row["value"]): row["tokens"] for row in counts} == tokens


@pytest.mark.parametrize(
    ("select", "warnings"),
    [
        ([], []),
        ({"top": 0.5, "by": "quality"}, []),
        ({"deny": {"host": ["a.org", "b.org"]}}, []),
        ({"deny": {"host": ["a.org", "d.org"]}}, ["phases.p.select: deny.host: no document has host 'd.org'"]),
        ({"deny": {"host": ["d.org"]}}, ["phases.p.select: deny.host: no document has 'd.org'"]),
        ({"allow": {"source": ["a"]}}, []),
        (
            {"allow": {"host": [f"{number:02}.org" for number in range(60)]}, "sources": ["b"]},
            ["phases.p.select: allow.host: no document has any of its 60 values, such as '00.org'"],
        ),
        (
            {"deny": {"host": ["a.org", *(f"{number}.org" for number in range(7))]}},
            ["phases.p.select: deny.host: no document has host '0.org', '1.org', '2.org' and 4 more"],
        ),
    ],
)
def test_warnings(store: SmallStore, tmp_path: Path, select: Any, warnings: list[str]) -> None:
    config = small.small_config(tmp_path, phases=[{"name": "p", "share": 1, "select": select}])
    assert find_unmatched(config, small.local_scan([run.uri for run in store.runs])) == warnings
