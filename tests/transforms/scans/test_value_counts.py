"""The commonest values of the documents that a stage selects, against plain counting."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas import documents
from byline.schemas.documents import BatchInfo, with_info
from byline.schemas.recipe import Condition
from byline.transforms.scans.counting import RunCounter
from byline.transforms.scans.value_counts import ValueCounter, find_top_values
from byline.transforms.store.runs import write_run
from tests.support.thorough import examples
from tests.transforms.fields.test_template_fields import blake

Row = tuple[str | None, str | None, float]


@dataclass(frozen=True)
class View:
    """A part that takes the documents of its sources from a quality on."""

    number: int
    condition: Condition | None
    least: float = -math.inf
    predicates: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"a": [], "b": []})
    predicate_columns: frozenset[str] = frozenset({"quality"})

    def selected(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        assert source in self.predicates
        return batch["quality"].to_numpy() >= np.float32(self.least)


def run_of(folder: Path, source: str, path: str, rows: list[Row]) -> str:
    """Writes a run of documents of so many tokens as their number says."""
    batch = pa.RecordBatch.from_pydict(
        {
            "row": range(len(rows)),
            "url": [None] * len(rows),
            "host": [host for host, _, _ in rows],
            "registered_domain": [None] * len(rows),
            "license": [license for _, license, _ in rows],
            "quality": [quality for _, _, quality in rows],
            "num_bytes": [1] * len(rows),
            "num_tokens": range(1, len(rows) + 1),
            "tokens": [[7] * (number + 1) for number in range(len(rows))],
        },
        schema=pa.schema(
            [
                documents.ROW,
                documents.URL,
                documents.HOST,
                documents.REGISTERED_DOMAIN,
                pa.field("license", pa.string()),
                pa.field("quality", documents.SCORE_TYPE),
                documents.NUM_BYTES,
                documents.NUM_TOKENS,
                documents.tokens_field(pa.uint16()),
            ]
        ),
    )
    return write_run(with_info(batch, BatchInfo(source, path, 0, True, 1, len(rows), 1)), "0" * 64, str(folder))


def scans(uris: list[str], asked: list[RunCounter] | None = None):
    def scan(counter: RunCounter) -> pa.RecordBatch:
        if asked is not None:
            asked.append(counter)
        return counter.merge([counter.count(uri) for uri in uris])

    return scan


def top(**fields: int | str) -> Condition:
    return Condition(template="".join(f"{{{name}}}" for name in fields), top=fields)


def test_counts_of_one_run(tmp_path: Path) -> None:
    rows = [("x", "a\tb", 1.0), ("y", None, 1.0), ("x", "", 0.0), (None, "a\tb", 1.0), ("x", "", 0.5)]
    uri = run_of(tmp_path, "a", "f", rows)
    found = ValueCounter([View(3, top(host=1, license=1), least=0.5), View(4, top(source=1)), View(5, None)]).count(uri)
    tokens = [sorted(pa.ipc.open_file(uri).read_all()["num_tokens"].to_pylist())]
    assert tokens == [[1, 2, 3, 4, 5]]
    assert found.schema == ValueCounter.schema()
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (3, "host", "x", 2, 1 + 5),
        (3, "host", "y", 1, 2),
        (3, "license", "", 1, 5),
        (3, "license", "a\tb", 2, 1 + 4),
        (4, "source", "a", 5, 15),
    ]


def test_the_commonest_of_all_sources_and_ties_by_bytes(tmp_path: Path) -> None:
    hosts = {"a": ["z", "é", "b", "B", "z", None, None, None], "b": ["z", "é", "b", "B", "q"]}
    uris = [run_of(tmp_path, source, "f", [(host, "l", 1.0) for host in of]) for source, of in hosts.items()]
    assert find_top_values([View(0, top(host=4))], scans(uris)) == [{"host": ["z", "B", "b", "é"]}]
    assert find_top_values([View(0, top(host=99))], scans(uris)) == [{"host": ["z", "B", "b", "é", "q"]}]


@pytest.mark.parametrize(("kept", "count"), [("59.9%", 2), ("60%", 3), ("0%", 1), ("100%", 5), (2, 2)])
def test_shares_of_the_distinct_values(tmp_path: Path, kept: int | str, count: int) -> None:
    uri = run_of(tmp_path, "a", "f", [(host, None, 1.0) for host in ["a", "b", "c", "d", "e", None, "a"]])
    assert find_top_values([View(0, top(host=kept))], scans([uri])) == [{"host": list("abcde")[:count]}]


def test_each_stage_counts_what_it_takes(tmp_path: Path) -> None:
    uris = [
        run_of(tmp_path, "a", "f", [("x", "l", 0.0), ("x", "l", 0.0), ("y", "l", 1.0)]),
        run_of(tmp_path, "b", "f", [("w", "l", 0.0)] * 3),
        run_of(tmp_path, "a", "none", []),
    ]
    views = [
        View(0, top(host=1), least=0.5),
        View(1, top(host=1)),
        View(2, top(host=1), predicates={"a": []}),
        View(3, Condition(template="{host}")),
        View(4, None),
        View(11, top(host=1), predicates={"c": []}),
        View(1, Condition(template="{host_hash}", salt="salt", top={"host_hash": 1}), predicates={"a": []}),
    ]
    assert find_top_values(views, scans(uris)) == [
        {"host": ["y"]},
        {"host": ["w"]},
        {"host": ["x"]},
        {},
        {},
        {"host": []},
        {"host_hash": [blake("x")]},
    ]


def test_no_scan_without_a_top() -> None:
    asked: list[RunCounter] = []
    assert find_top_values([View(0, None), View(1, Condition(template="{host}"))], scans([], asked)) == [{}, {}]
    assert asked == []


VALUES = st.sampled_from([None, "", "a", "b", "ab", "ü", "\t", "\n"])
ROWS = st.lists(st.tuples(VALUES, VALUES, st.sampled_from([0.0, 1.0])), max_size=12)


@examples(60)
@given(st.lists(st.tuples(st.sampled_from("ab"), ROWS), max_size=4), st.sampled_from([1, 2, 5, "30%", "80%"]))
def test_against_plain_counting(tmp_path_factory: pytest.TempPathFactory, runs: list[Any], kept: int | str) -> None:
    folder = tmp_path_factory.mktemp("runs")
    uris = [run_of(folder, source, f"{number}", rows) for number, (source, rows) in enumerate(runs)]
    views = [View(0, top(license=kept, host=kept), least=1.0), View(1, top(host=kept), predicates={"b": []})]
    expected: list[dict[str, list[str]]] = []
    for view in views:
        expected.append({})
        for name in view.condition.top:
            counts = Counter(
                {"host": host, "license": license}[name]
                for source, rows in runs
                for host, license, quality in rows
                if source in view.predicates and quality >= view.least
            )
            del counts[None]
            ordered = sorted(counts, key=lambda value, counts=counts: (-counts[value], value.encode()))
            expected[-1][name] = ordered[: view.condition.kept_values(name, len(ordered))]
    assert find_top_values(views, scans(uris)) == expected
