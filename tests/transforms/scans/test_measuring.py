"""What scans over runs count, held against loops over the reference's documents."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.schemas.corpora import Tokenizer
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import RankRange
from byline.schemas.recipe import Condition
from byline.transforms.fields.ranking import Number
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.scans.measuring import SampleCounter, ShuffleKeyCounter, StageView
from tests.reference import assembly, layout
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

LENGTH = 16
Intervals = tuple[str, int, dict[str, list[tuple[int, int, int]]]]
CONDITION = Condition(template="{host}\n", unknown="?", dropout=Fraction(1, 2))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    folder = tmp_path_factory.mktemp("measuring")
    small.tokenizer_file(folder)
    hosts = (None, "a.org", "q" * 40)
    rows = [StoredRow(row, [7] * (1 + row % 13), host=hosts[row % 3], quality=row % 5 / 5) for row in range(60)]
    return small.write_store(
        folder, {("a", "x"): rows, ("a", "y"): rows[:20], ("b", "x"): rows[:30], ("a", "none"): []}
    )


@pytest.fixture(scope="module")
def views(store: SmallStore) -> list[StageView]:
    """A part that takes the better scores of `a` with a condition, and one that takes all of both, ordered by it."""
    tokenizer = Tokenizer(file=str(Path(store.runs[0].uri).parents[2] / "tokenizer.json"))
    middle = next(document for document in store.documents if document.numbers["quality"] == 0.0)
    border = slow_shards.rank(middle, "quality")
    assert border is not None
    better = [RankRange("quality", "float32", True, None, border)]
    nothing = FieldValues(top={}, bins={})
    order = Number("quality", "float32", descending=False)
    return [
        StageView("best", 0, {"a": better}, CONDITION, nothing, 2, LENGTH, tokenizer),
        StageView("rest", 1, {"a": [], "b": []}, None, nothing, 1, LENGTH, tokenizer, order),
    ]


def selected(view: StageView, document: assembly.Document) -> bool:
    predicates = view.predicates.get(document.source)
    return predicates is not None and all(holds(document) for holds in slow_shards.slow_predicates(predicates))


def prefix_length(view: StageView, document: assembly.Document) -> int:
    """Tokens of the prefix, as if nothing were dropped out; none where the stage never takes the source."""
    condition = slow_shards.reference_condition(view.condition)
    if condition is None or document.source not in view.predicates:
        return 0
    return len(layout.prefix_of(condition, document.values, small.reference_tokenizer(), LENGTH)[0])


def key(document: assembly.Document) -> int:
    """The ascending key of the score."""
    found = slow_shards.rank(document, "quality", descending=False)
    assert found is not None
    return found[0]


Key = tuple[Any, ...]


def merged(counter: ShuffleKeyCounter | DrawCounter, store: SmallStore) -> dict[Key, tuple[int, int]]:
    """Documents and tokens by the values of the key columns."""
    counts = small.local_scan([run.uri for run in store.runs])(counter)
    rows = (tuple(row.values()) for row in counts.to_pylist())
    return {tuple(keys): (documents, tokens) for *keys, documents, tokens in rows}


def summed(found: list[tuple[Key, int]]) -> dict[Key, tuple[int, int]]:
    """(key, tokens) of single documents as counts."""
    documents, tokens = Counter(key for key, _ in found), Counter[Key]()
    for key, count in found:
        tokens[key] += count
    return {key: (documents[key], tokens[key]) for key in documents}


def test_framed_by_shuffle_key(store: SmallStore, views: list[StageView]) -> None:
    expected = [
        (
            (view.number, document.source, document.shuffle_key >> 48),
            len(document.tokens) + view.specials + prefix_length(view, document),
        )
        for view in views
        for document in store.documents
        if selected(view, document)
    ]
    assert 0 < len([key for key, _ in expected if key[:2] == (0, "a")]) < 80
    assert merged(ShuffleKeyCounter(views), store) == summed(expected)


def test_a_sample_of_everything(store: SmallStore, views: list[StageView]) -> None:
    found = small.local_scan([run.uri for run in store.runs])(SampleCounter(views, 2**32)).to_pylist()
    expected = [
        {
            "stratum": document.source,
            "shuffle_key": document.shuffle_key,
            "num_tokens": len(document.tokens),
            **{f"prefix_{n}": prefix_length(view, document) for n, view in enumerate(views)},
            **{f"selected_{n}": selected(view, document) for n, view in enumerate(views)},
            "key_1": key(document),
        }
        for document in sorted(store.documents, key=lambda document: (document.source, document.shuffle_key))
    ]
    assert found == expected


def test_a_sample_of_some(store: SmallStore, views: list[StageView]) -> None:
    counter = SampleCounter(views, 2**31)
    found = small.local_scan([run.uri for run in store.runs])(counter)
    assert 30 < found.num_rows < 80
    assert {row["shuffle_key"] for row in found.to_pylist()} < {document.shuffle_key for document in store.documents}
    empty = counter.merge([])
    assert (empty.num_rows, empty.schema) == (0, counter.schema)


def test_draws_and_what_is_left(store: SmallStore, views: list[StageView]) -> None:
    middle = 2**63
    intervals: list[Intervals] = [
        ("best", 0, {"a": [(0, 0, middle - 1)]}),
        ("rest", 1, {"a": [(0, middle, 2**64 - 1), (1, 0, middle // 2)], "b": [(0, 0, middle)]}),
        # A branch at two points; a document that another stage has used as well is used once.
        ("best-25", 0, {"a": [(0, middle, 2**64 - 1)]}),
        ("best-50", 0, {"a": [(0, middle + 1, 2**64 - 1)]}),
    ]
    expected, used = [], set()
    for name, number, ranges_of in intervals:
        for source, ranges in ranges_of.items():
            for epoch, low, high in ranges:
                for document in store.documents:
                    is_inside = document.source == source and low <= document.shuffle_key <= high
                    if is_inside and selected(views[number], document):
                        used.add(document.doc_id)
                        expected.append(((source, name, epoch, None, None), len(document.tokens)))
    for document in store.documents:
        reason = None if document.doc_id in used else "budget"
        expected.append(((document.source, None, None, reason, None), len(document.tokens)))
    assert merged(DrawCounter(views, intervals), store) == summed(expected)


def test_a_source_that_no_stage_mixes_in(store: SmallStore, views: list[StageView]) -> None:
    counts = merged(DrawCounter(views[:1], [("best", 0, {"a": [(0, 0, 2**64 - 1)]})]), store)
    assert counts["b", None, None, "mixture", None][0] == 30
    best = sum(selected(views[0], document) for document in store.documents)
    assert counts["a", None, None, "selection", None][0] == 80 - best
    assert counts["a", None, None, None, None][0] == best


def test_an_order_takes_no_number_of_another_source(store: SmallStore, views: list[StageView]) -> None:
    only_b = replace(views[1], number=0, predicates={"b": []})
    found = small.local_scan([run.uri for run in store.runs])(SampleCounter([only_b], 2**32)).to_pylist()
    assert {row["key_0"] for row in found if row["stratum"] == "a"} == {0}
    assert len({row["key_0"] for row in found if row["stratum"] == "b"}) == 5
