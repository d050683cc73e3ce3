"""What passes over runs count, held against loops over the reference's documents."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.corpora import Tokenizer
from schemas.recipe import Condition
from tests import small
from tests.reference import assembly, layout
from tests.small import SmallStore, StoredRow
from transforms.measuring import DigitCounter, DrawCounter, PhaseView, PlaceCounter, SampleCounter

LENGTH = 16
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
def views(store: SmallStore) -> list[PhaseView]:
    """A phase that takes the better scores of `a` with a condition, and one that takes all of both."""
    tokenizer = Tokenizer(file=str(Path(store.runs[0].uri).parents[2] / "tokenizer.json"))
    border = small.rank(next(document for document in store.documents if document.scores["quality"] == 0.0), "quality")
    below = f'[{{"below": {list(border)}, "field": "quality"}}]'
    return [
        PhaseView("best", {"a": below}, CONDITION, 2, LENGTH, tokenizer),
        PhaseView("rest", {"a": "[]", "b": "[]"}, None, 1, LENGTH, tokenizer),
    ]


def selected(view: PhaseView, document: assembly.Document) -> bool:
    predicates = view.predicates.get(document.source)
    return predicates is not None and all(holds(document) for holds in small.slow_predicates(predicates))


def prefix_length(view: PhaseView, document: assembly.Document) -> int:
    """Tokens of the prefix, as if nothing were dropped out; none where the phase never takes the source."""
    condition = small.reference_condition(view.condition)
    if condition is None or document.source not in view.predicates:
        return 0
    return len(layout.prefix_of(condition, document.values, small.reference_tokenizer(), LENGTH)[0])


def merged(
    counter: DigitCounter | PlaceCounter | DrawCounter, store: SmallStore
) -> dict[tuple[str, int], tuple[int, int]]:
    counts = small.local_pass([run.uri for run in store.runs])(counter)
    return {(row["key"], row["bin"]): (row["documents"], row["tokens"]) for row in counts.to_pylist()}


def summed(found: list[tuple[tuple[str, int], int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """(key, tokens) of single documents as counts."""
    documents, tokens = Counter(key for key, _ in found), Counter[tuple[str, int]]()
    for key, count in found:
        tokens[key] += count
    return {key: (documents[key], tokens[key]) for key in documents}


def test_streams_by_place(store: SmallStore, views: list[PhaseView]) -> None:
    expected = [
        (
            (f"{view.name}\t{document.source}", document.place >> 48),
            len(document.tokens) + view.specials + prefix_length(view, document),
        )
        for view in views
        for document in store.documents
        if selected(view, document)
    ]
    assert 0 < len([key for (key, _), _ in expected if key == "best\ta"]) < 80
    assert merged(PlaceCounter(views), store) == summed(expected)


def test_digits_of_what_is_still_open(store: SmallStore) -> None:
    digits = (small.rank(store.documents[0], "quality")[0] >> 16,)
    questions = [("one", "a", "quality", ()), ("two", "a", "quality", digits), ("three", "b", "quality", ())]
    expected = []
    for document in store.documents:
        key = small.rank(document, "quality")[0]
        if document.source == "b":
            expected.append((("three", key >> 16), len(document.tokens)))
            continue
        expected.append((("one", key >> 16), len(document.tokens)))
        if key >> 16 == digits[0]:
            expected.append((("two", key & 0xFFFF), len(document.tokens)))
    assert merged(DigitCounter(questions), store) == summed(expected)


def test_a_sample_of_everything(store: SmallStore, views: list[PhaseView]) -> None:
    found = small.local_pass([run.uri for run in store.runs])(SampleCounter(views, 2**32)).to_pylist()
    expected = [
        {
            "source": document.source,
            "place": document.place,
            "num_tokens": len(document.tokens),
            **{f"prefix_{n}": prefix_length(view, document) for n, view in enumerate(views)},
            **{f"selected_{n}": selected(view, document) for n, view in enumerate(views)},
        }
        for document in sorted(store.documents, key=lambda document: (document.source, document.place))
    ]
    assert found == expected


def test_a_sample_of_some(store: SmallStore, views: list[PhaseView]) -> None:
    counter = SampleCounter(views, 2**31)
    found = small.local_pass([run.uri for run in store.runs])(counter)
    assert 30 < found.num_rows < 80
    assert {row["place"] for row in found.to_pylist()} < {document.place for document in store.documents}
    empty = counter.merge([])
    assert (empty.num_rows, empty.schema) == (0, counter.schema)


def test_draws_and_what_is_left(store: SmallStore, views: list[PhaseView]) -> None:
    middle = 2**63
    intervals = {
        "best": {"a": [(0, 0, middle - 1)]},
        "rest": {"a": [(0, middle, 2**64 - 1), (1, 0, middle // 2)], "b": [(0, 0, middle)]},
    }
    expected, used = [], set()
    for view in views:
        for source, ranges in intervals[view.name].items():
            for epoch, low, high in ranges:
                for document in store.documents:
                    if document.source == source and low <= document.place <= high and selected(view, document):
                        used.add(document.doc_id)
                        expected.append(((f"draw\t{view.name}\t{source}\t{epoch}", 0), len(document.tokens)))
    for document in store.documents:
        key = f"used\t{document.source}" if document.doc_id in used else f"unused\t{document.source}\tbudget"
        expected.append(((key, 0), len(document.tokens)))
    assert merged(DrawCounter(views, intervals), store) == summed(expected)


def test_a_source_that_no_phase_mixes_in(store: SmallStore, views: list[PhaseView]) -> None:
    counts = merged(DrawCounter(views[:1], {"best": {"a": [(0, 0, 2**64 - 1)]}}), store)
    assert counts["unused\tb\tmixture", 0][0] == 30
    best = sum(selected(views[0], document) for document in store.documents)
    assert counts["unused\ta\tquality", 0][0] == 80 - best
    assert counts["used\ta", 0][0] == best


def test_a_run_of_another_source_has_nothing_to_count(store: SmallStore) -> None:
    (run,) = (run for run in store.runs if run.source == "b")
    counted = DigitCounter([("one", "a", "quality", ())]).count(run.uri)
    assert isinstance(counted, pa.RecordBatch)
    assert counted.num_rows == 0
