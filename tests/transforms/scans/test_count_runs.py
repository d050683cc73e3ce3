"""Counters as files, and scans with Beam and without: the same counts as a loop's."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from byline import salts
from byline.errors import BylineError
from byline.schemas.corpora import Tokenizer
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import Predicate, RankRange, ValueList
from byline.schemas.recipe import Condition
from byline.transforms.fields.cuts import Cut
from byline.transforms.fields.ranking import Number
from byline.transforms.files.object_store import AT_ONCE, in_order
from byline.transforms.scans import count_runs, count_runs_transform
from byline.transforms.scans.count_runs import count_here, read_counter, write_counter
from byline.transforms.scans.count_runs_transform import CountRuns
from byline.transforms.scans.counting import RunCounter, Summing, count_by_value
from byline.transforms.scans.digit_counting import DigitCounter, Question
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.scans.label_counts import LabelCounter
from byline.transforms.scans.measuring import SampleCounter, ShuffleKeyCounter, StageView, StratumView
from byline.transforms.scans.value_counts import ValueCounter
from tests.support import small
from tests.support.object_server import BUCKET, object_server
from tests.support.small import StoredRow

HOSTS = ValueList("host", ("a.org", 'q"uote', "é.org"), is_allowed=False)
# The largest number that a rank has, and one that a float does not hold.
RANGE = RankRange("ratio", "float", descending=True, below=(2**64 - 1, 2**53 + 1, 0))
QUALITY = Number("quality", "float32", True)
CONDITION = Condition(
    template="{host}{num_tokens}", dropout=Fraction(1, 3), top={"host": "10%"}, bins={"num_tokens": 3}
)
# A whole number stays one: as a float it would be 2^53.
VALUES = FieldValues(top={"host": ["b", "a"]}, bins={"num_tokens": [1, 2**53 + 1], "quality": [0.1, 2.0, float("inf")]})


def stage(number: int, predicates: dict[str, list[Predicate]], **changes: Any) -> StageView:
    values: dict[str, Any] = {"condition": None, "values": FieldValues(), "tokenizer": "t.json", **changes}
    tokenizer = Tokenizer(file=values.pop("tokenizer"))
    return StageView(f"part {number}", number, predicates, specials=2, length=64, tokenizer=tokenizer, **values)


def stages_with(tokenizer: str) -> list[StageView]:
    """Two parts over three sources, whose tokenizer is this file."""
    return [
        stage(0, {"a": [HOSTS, RANGE], "b": [HOSTS]}, condition=CONDITION, values=VALUES, tokenizer=tokenizer),
        stage(1, {"b": [HOSTS], "c": []}, order=QUALITY, tokenizer=tokenizer),
    ]


PARTS = stages_with("t.json")
QUESTIONS = [
    Question((("a", (0, 3)), ("b", ())), QUALITY, ()),
    Question((("a", (0,)),), Number("num_tokens", "int", False), ((),)),
    Question((("b", (3,)),), QUALITY, ((1,), (16483,))),
]


CUTS = [
    Cut("topic", ["a"], ["x", "null"]),
    Cut("quality", ["a", "b"], ["0", "1", "2", "null"], "float32", [0.5, float("inf")]),
]


def counters_of(stages: list[StageView]) -> list[RunCounter]:
    """One of each kind."""
    return [
        ShuffleKeyCounter(stages),
        SampleCounter(stages, 2**32),
        DrawCounter(stages, [("early at 0.5", 1, {"a": [(0, 0, 2**64 - 1)], "b": []}), ("main", 0, {})]),
        ValueCounter(stages),
        DigitCounter(QUESTIONS, {0: HOSTS, 3: RANGE}),
        LabelCounter(CUTS),
        SampleCounter(stages, 2**32, StratumView(CUTS, {1: ["a: topic=x"]})),
    ]


COUNTERS = counters_of(PARTS)
KINDS = [type(counter).__name__ for counter in COUNTERS]


def typed(value: Any) -> Any:
    """A value with the type of each of its numbers: 1 equals 1.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [typed(item) for item in value]
    return (type(value).__name__, value)


@pytest.mark.parametrize("counter", COUNTERS, ids=KINDS)
def test_what_is_read_is_what_was_written(tmp_path: Path, counter: RunCounter) -> None:
    uri = str(tmp_path / "counter.json")
    write_counter(uri, counter)
    found = read_counter(uri)
    assert found == counter
    assert type(found) is type(counter)
    for old, new in zip(getattr(counter, "stages", []), getattr(found, "stages", []), strict=True):
        assert typed(new.values.bins) == typed(old.values.bins)
        assert new.condition == old.condition


def test_a_list_stands_once_and_is_one_object_again(tmp_path: Path) -> None:
    uri = str(tmp_path / "counter.json")
    write_counter(uri, ShuffleKeyCounter(PARTS))
    assert (tmp_path / "counter.json").read_text().count("a.org") == 1
    found = read_counter(uri)
    assert isinstance(found, ShuffleKeyCounter)
    lists = [some[0] for view in found.stages for some in view.predicates.values() if some]
    assert len(lists) == 3
    assert len({id(hosts) for hosts in lists}) == 1
    assert read_counter(uri) is found


def test_a_worker_hashes_with_the_salt_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a counter holds the digest alone, and a worker is another process than that which read the recipe."""
    tokenizer = str(small.tokenizer_file(tmp_path))
    uri, _ = small.write_run_of(tmp_path / "a", "a", "x.jsonl", 0, [StoredRow(0, (3, 4), host="a.org")])
    condition = Condition(template="{host_hash}", salt="not the default one")
    counter = SampleCounter([stage(0, {"a": []}, condition=condition, tokenizer=tokenizer)], 2**32)
    write_counter(str(tmp_path / "counter.json"), counter)
    assert "not the default" not in (tmp_path / "counter.json").read_text()
    expected = counter.count(uri)
    monkeypatch.setattr(salts, "_known", {})
    with pytest.raises(BylineError, match="the salt of the hashed fields is needed"):
        read_counter(str(tmp_path / "counter.json")).count(uri)
    step = count_runs_transform._CountFn(str(tmp_path / "counter.json"), ("not the default one",))
    step.setup()
    assert next(step.process(uri)).equals(expected)


def test_a_worker_has_the_tokenizer_of_the_recipe(tmp_path: Path) -> None:
    """With the tokens that the rest of the recipe names, which no text becomes, and where it is kept what is known."""
    tokenizer = Tokenizer(file="t.json", eos="<e>")
    tokenizer.belong_to("out/store/tokenizers", ["<sep>"])
    view = replace(stage(0, {"a": []}), tokenizer=tokenizer)
    write_counter(str(tmp_path / "counter.json"), SampleCounter([view], 2**32))
    read = read_counter(str(tmp_path / "counter.json")).stages[0].tokenizer
    assert (read, read.text_only, read.folder) == (tokenizer, ("<e>", "<sep>"), "out/store/tokenizers")


def test_the_file_is_json(tmp_path: Path) -> None:
    write_counter(str(tmp_path / "counter.json"), DigitCounter(QUESTIONS[:1], {0: HOSTS, 3: RANGE}))
    assert json.loads((tmp_path / "counter.json").read_bytes()) == {
        "kind": "DigitCounter",
        "predicates": [
            {"field": "host", "not_in": ["a.org", 'q"uote', "é.org"]},
            {"field": "ratio", "type": "float", "descending": True, "from": None, "below": [2**64 - 1, 2**53 + 1, 0]},
        ],
        "counter": {
            "questions": [
                {
                    "population": [["a", [0, 3]], ["b", []]],
                    "number": {"field": "quality", "kind": "float32", "descending": True},
                    "heads": [],
                }
            ],
            "predicates": {"0": 0, "3": 1},
        },
    }


@given(
    st.lists(st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False)), max_size=4),
    st.lists(st.text(max_size=5), max_size=4),
)
def test_any_borders_and_any_values(borders: list[float], values: list[str]) -> None:
    predicates: dict[str, list[Predicate]] = {"a": [ValueList("host", tuple(values), is_allowed=True)]}
    counter = ValueCounter([stage(0, predicates, values=FieldValues({"host": values}, {"n": borders}))])
    document = count_runs.to_json(counter)
    found = count_runs.from_json(json.loads(json.dumps(document)))
    assert found == counter
    assert isinstance(found, ValueCounter)
    assert typed(found.stages[0].values.bins) == typed({"n": borders})


# ------------------------------------------------------------------------------------------------------------ with Beam


def counter_and_runs(folder: Path) -> tuple[ShuffleKeyCounter, list[str]]:
    rows = [StoredRow(row, [1] * (row + 1), quality=row / 7) for row in range(20)]
    runs = [small.write_run_of(folder / "runs", "a", f"{n}.jsonl", n, rows[n:])[0] for n in range(5)]
    tokenizer = Tokenizer(file=small.tokenizer_file(folder))
    views = [StageView(str(n), n, {source: []}, None, FieldValues(), 0, 16, tokenizer) for n, source in enumerate("ab")]
    return ShuffleKeyCounter(views), runs


def count_with_beam(counter: RunCounter, runs: Sequence[str], folder: Path) -> pa.RecordBatch:
    counter_uri, counts_uri = str(folder / "counter.json"), str(folder / "counts.arrow")
    write_counter(counter_uri, counter)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(runs).with_output_types(str) | CountRuns(counter_uri, counts_uri)
    with pa.memory_map(counts_uri) as source:
        reader = pa.ipc.open_file(source)
        assert reader.num_record_batches == 1
        return reader.get_batch(0)


@pytest.mark.parametrize("waiting", [1 << 20, 0])
def test_beam_counts_what_a_loop_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    monkeypatch.setattr(count_runs, "WAITING_ROWS", waiting)
    monkeypatch.setattr(count_runs_transform, "WAITING_ROWS", waiting)
    counter, runs = counter_and_runs(tmp_path)
    found = count_with_beam(counter, runs, tmp_path)
    assert found.equals(small.local_scan(runs)(counter))
    assert sum(found["documents"].to_pylist()) == 20 + 19 + 18 + 17 + 16
    assert set(zip(found["stage"].to_pylist(), found["stratum"].to_pylist(), strict=True)) == {(0, "a")}


def test_no_runs_give_an_empty_batch(tmp_path: Path) -> None:
    counter, _ = counter_and_runs(tmp_path)
    assert count_with_beam(counter, [], tmp_path).num_rows == 0


@dataclass(frozen=True)
class Noting(Summing):
    """Notes how many rows each merge is given."""

    keys: ClassVar[pa.Schema] = pa.schema([pa.field("bin", pa.int64(), nullable=False)])

    sizes: list[int]

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        self.sizes.append(sum(batch.num_rows for batch in batches))
        return super().merge(batches)


def counted(found: list[tuple[int, int]]) -> pa.RecordBatch:
    bins, tokens = (np.array([pair[n] for pair in found], np.int64) for n in (0, 1))
    distinct, documents, sums = count_by_value(bins, tokens)
    return Noting.batch(documents, sums, bin=distinct)


def as_rows(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in batch.to_pylist()]


def test_waiting_counts_are_merged_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_runs_transform, "WAITING_ROWS", 10)
    counter = Noting([])
    monkeypatch.setattr(count_runs_transform, "read_counter", lambda _: counter)
    merge = count_runs_transform._MergeFn("counter")
    merge.setup()
    accumulator = merge.create_accumulator()
    for _ in range(40):
        accumulator = merge.add_input(accumulator, counted([(0, 1), (1, 1)]))
    assert 1 < len(counter.sizes) < 8
    assert as_rows(merge.extract_output(accumulator)) == [(0, 40, 40), (1, 40, 40)]


def test_a_waiting_accumulator_crosses_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_runs_transform, "read_counter", lambda _: Noting([]))
    coder = count_runs_transform._AccumulatorCoder("counter")
    (found,) = coder.decode(coder.encode([counted([(0, 1)]), counted([(0, 2), (3, 4)])]))
    assert as_rows(found) == [(0, 2, 3), (3, 1, 4)]
    assert as_rows(*coder.decode(coder.encode([]))) == []


# ------------------------------------------------------------------------------------------------------- this process


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, RunCounter], list[str]]:
    """A counter of each kind, and runs of three sources."""
    folder = tmp_path_factory.mktemp("runs")
    hosts = ["a.org", "b.org", "c.org", "é.org", None, "b.org", "d.org"]
    rows = [
        StoredRow(row, [1] * (1 + row % 5), hosts[row % 7], quality=None if row % 6 == 0 else row / 9, ratio=row / 7)
        for row in range(40)
    ]
    runs = [
        small.write_run_of(folder, source, f"{n}.jsonl", n, rows[3 * n :])[0] for n, source in enumerate("aaabbbccd")
    ]
    counters = counters_of(stages_with(small.tokenizer_file(folder)))
    return dict(zip(KINDS, counters, strict=True)), runs


@pytest.mark.parametrize("waiting", [1 << 20, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_counts_without_beam_are_those_with_it(
    every_kind: tuple[dict[str, RunCounter], list[str]],
    kind: str,
    waiting: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counters, runs = every_kind
    expected = count_with_beam(counters[kind], runs, tmp_path)
    assert expected.num_rows > 2
    monkeypatch.setattr(count_runs, "WAITING_ROWS", waiting)
    monkeypatch.setattr(count_runs_transform, "WAITING_ROWS", waiting)
    for order in (runs, runs[::-1], runs[1::2] + runs[::2]):
        assert count_here(counters[kind], order).equals(expected, check_metadata=True)
    assert count_here(counters[kind], []).equals(expected.slice(0, 0), check_metadata=True)


def test_counts_in_an_object_store_are_those_on_a_disk(
    every_kind: tuple[dict[str, RunCounter], list[str]],
) -> None:
    counters, runs = every_kind
    with object_server() as server:
        for run in runs:
            server.put_at_once(f"store/{Path(run).name}", Path(run).read_bytes())
        there = [f"s3://{BUCKET}/store/{Path(run).name}" for run in runs]
        for kind, counter in counters.items():
            assert count_here(counter, there).equals(count_here(counter, runs), check_metadata=True), kind


@dataclass(frozen=True)
class Calling(Noting):
    """Counts of a run are what a call gives for its path."""

    call: Callable[[str], pa.RecordBatch]

    def count(self, uri: str) -> pa.RecordBatch:
        return self.call(uri)


@pytest.mark.parametrize("scheme", ["", "s3://"])
def test_few_counts_wait_here_too(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr(count_runs, "WAITING_ROWS", 10)
    monkeypatch.setattr(count_runs_transform, "WAITING_ROWS", 10)
    counter = Calling([], lambda _: counted([(0, 1), (1, 1)]))
    found = count_here(counter, [f"{scheme}{number}" for number in range(40)])
    assert as_rows(found) == [(0, 40, 40), (1, 40, 40)]
    assert 3 < len(counter.sizes) < 9
    assert max(counter.sizes) <= 2 + 10 + 2 + 2


def test_many_runs_of_an_object_store_are_read_at_a_time_and_merged_in_order() -> None:
    together = threading.Barrier(32)
    order: list[list[int]] = []

    def count(uri: str) -> pa.RecordBatch:
        together.wait(30)
        number = int(uri.rpartition("/")[2])
        # The first ones are done last.
        time.sleep(0.001 * (32 - number % 32))
        return counted([(number, 1)])

    @dataclass(frozen=True)
    class Ordered(Calling):
        def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
            order.append([number for batch in batches for number in batch["bin"].to_pylist()])
            return super().merge(batches)

    found = count_here(Ordered([], count), [f"s3://bucket/{number}" for number in range(64)])
    assert found["bin"].to_pylist() == list(range(64))
    assert order == [[], list(range(64))]


def test_more_counts_than_threads_may_all_wait_for_reads() -> None:
    def count(uri: str) -> pa.RecordBatch:
        return counted([(number, 1) for number in in_order(int, range(3))])

    found = count_here(Calling([], count), [f"s3://bucket/{number}" for number in range(2 * AT_ONCE)])
    assert as_rows(found) == [(number, 2 * AT_ONCE, 2 * AT_ONCE) for number in range(3)]


@pytest.mark.parametrize("scheme", ["", "s3://"])
def test_a_mistake_in_a_run_ends_the_scan(scheme: str) -> None:
    seen = []

    def count(uri: str) -> pa.RecordBatch:
        seen.append(uri)
        if uri.endswith("3"):
            raise BylineError(f"{uri}: not a run")
        return counted([(0, 1)])

    with pytest.raises(BylineError, match=r"^(s3://)?3: not a run$"):
        count_here(Calling([], count), [f"{scheme}{number}" for number in range(10_000)])
    assert len(seen) < 1000
