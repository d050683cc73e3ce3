"""The simulation of large corpora: a small case from end to end, and the parts that make its figures."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.scale import CASES, as_values, make_tokenizer, report, short, simulate
from benchmarks.scale_corpus import Population, Prototypes, counted, make_documents, write_prototypes, write_whole_run
from benchmarks.scale_costs import Assumptions, first_range_reads, reopened, steps_of, upload_requests
from benchmarks.scale_planning import Planned
from benchmarks.scale_reading import CountedFile, Range, merge_cost, ranges_of
from byline.schemas.config_file import parse_config
from byline.schemas.plan import PLAN_SCHEMA
from byline.transforms.fields.selecting import holds
from byline.transforms.scans.choosing import find_predicates
from byline.transforms.scans.counting import RunCounter
from byline.transforms.store.run_ranges import DIRECTORY_BYTES
from byline.transforms.store.run_reading import open_run


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    case = replace(CASES["small"], prototypes=4000, settings=("tokens=4M", "shard.sequences=64"))
    return simulate(case, make_tokenizer(tmp_path_factory.mktemp("tokenizer")), is_fresh=False)


def test_a_small_case_from_end_to_end(planned: Planned) -> None:
    population, cost = planned.populations["dclm"], planned.run_costs["dclm"]
    assert (population.runs, planned.files("dclm"), planned.shards) == (9, 9, 8)
    assert planned.scans == ["SampleCounter", "DrawCounter"]
    assert len(cost.scans) == 2
    assert cost.opening.requests == 2
    # All ranges together find the share of a run that the plan draws of the corpus.
    found = cost.range_reads.documents[3] * cost.range_reads.ranges
    assert found == pytest.approx(planned.documents / population.runs, rel=0.1)
    # Index, then tokens; a range that reaches into another batch asks for that, too.
    assert 2 <= cost.range_reads.cost.requests < 4
    assert cost.range_reads.cost.bytes > cost.range_reads.documents[3] * 2 * 1000


def test_the_report_and_the_json_say_the_same(planned: Planned) -> None:
    case, given = CASES["small"], Assumptions(get_dollars=1.0, put_dollars=0.0)
    values = json.loads(json.dumps(as_values(case, planned, given)))
    assert values["planned"]["shards"] == 8
    assert [step["name"] for step in values["steps"]][-2:] == ["assemble", "finish (driver)"]
    assert values["total"]["dollars"] == sum(step["gets"] for step in values["steps"])
    assert "8 shards" in report(case, planned, given)


def test_assembling_asks_for_range_read_and_openings(planned: Planned) -> None:
    given, range_reads = Assumptions(workers=3), planned.run_costs["dclm"].range_reads
    assemble = next(step for step in steps_of(planned, given) if step.name == "assemble")
    # 8 shards, each looked for; 9 runs opened by 3 processes, with two requests.
    expected = range_reads.ranges * 9 * range_reads.cost.requests + 3 * 9 * 2 + 8
    assert assemble.gets == pytest.approx(expected)
    assert first_range_reads(planned, 3)[0] == 54
    assert reopened(planned) == (0, 0)
    # Twice as many footers as there is room for: every second file is opened again for each range.
    cost = replace(planned.run_costs["dclm"], kept_bytes=2 * DIRECTORY_BYTES // 9)
    assert reopened(replace(planned, run_costs={"dclm": cost}))[0] == pytest.approx(range_reads.ranges * 9, rel=1e-6)


def test_compaction_appears_where_runs_are_merged(planned: Planned) -> None:
    merged = replace(planned, merged={"dclm": 9})
    assert merged.files("dclm") == 1
    step = next(step for step in steps_of(merged, Assumptions()) if step.name == "compact")
    assert step.gets == 9 * planned.merging["dclm"].requests + (9 + 1) * 2


@pytest.mark.parametrize(("count", "size", "requests"), [(10, 10e6, 10), (10, 25e6, 50), (3, 1, 3)])
def test_uploads(count: int, size: float, requests: int) -> None:
    assert upload_requests(count, size, Assumptions(part_bytes=10_000_000)) == requests


def test_rows_of_one_shard_that_touch_are_one_range() -> None:
    rows = [
        ("a", 0, 0, "x", 0, 5, 9, 0),
        ("a", 0, 1, "x", 0, 10, 19, 0),
        ("a", 0, 1, "y", 0, 0, 3, 0),
        ("a", 0, 1, "x", 1, 20, 29, 0),
        ("a", 1, 0, "x", 0, 20, 29, 1),
        ("a", 1, 0, "x", 0, 22, 24, 1),
    ]
    arrays = [pa.array(column, item.type) for column, item in zip(zip(*rows, strict=True), PLAN_SCHEMA, strict=True)]
    table = pa.table(arrays, PLAN_SCHEMA)
    assert ranges_of(table, "x") == [Range("a", 5, 19, 0), Range("a", 20, 29, 0), Range("a", 20, 29, 1)]


def test_a_population_has_the_documents_of_its_runs() -> None:
    population = Population.make("dclm", 0.01, 100_000)
    assert (
        population.rows_of_runs().sum()
        == population.documents
        == population.prototypes * population.rows * population.weight
    )
    assert population.documents == pytest.approx(30_000_000, rel=0.02)
    documents = make_documents(population, "any", 20_000)
    assert documents["num_tokens"].to_numpy().mean() == pytest.approx(population.corpus.tokens, rel=0.05)
    assert documents.schema.names == [
        "shuffle_key",
        "row",
        "num_tokens",
        "quality",
        "host",
        "registered_domain",
        "num_bytes",
        "url",
    ]


def test_a_share_of_documents_that_stand_for_many_is_that_of_all_of_them(tmp_path: Path) -> None:
    population = replace(Population.make("dclm", 0.001, 2000), prototypes=3, rows=501, weight=7)
    prototypes = {"dclm": Prototypes(tuple(write_prototypes(population, tmp_path)), population.weight)}
    config = parse_config(
        {
            "sources": {"dclm": {"format": "dclm", "path": "x", "score": {"quality": "q"}}},
            "tokenizer": {"file": "tokenizer.json"},
            "phases": [{"name": "only", "share": 1, "select": {"top": 0.3, "by": "quality"}}],
        },
        "test",
    )
    scans = []

    def scan(counter: RunCounter) -> pa.RecordBatch:
        scans.append(counter)
        return counted(counter, prototypes, str(tmp_path))

    found = find_predicates(config, scan)[0, "dclm"]
    # The key's two digits, then a tie that tells seven documents of one score apart.
    assert len(scans) == 3
    taken = sum(
        int(holds(found, open_run(uri, ["shuffle_key", "num_tokens", "quality"]).whole(), "dclm").sum())
        for uri in prototypes["dclm"].uris
    )
    assert abs(taken * 7 - int(Fraction("0.3") * 3 * 501 * 7)) <= 7


def test_merging_reads_a_run_once_and_its_index_once_more(tmp_path: Path) -> None:
    population, uri = Population.make("c4", 0.001, 1000), str(tmp_path / "run.arrow")
    write_whole_run(population, 3000, 1, uri)
    cost = merge_cost(uri, str(tmp_path / "merged.arrow"))
    size = Path(uri).stat().st_size
    assert size < cost.bytes < 1.2 * size
    batches = open_run(uri, ["shuffle_key"])
    assert cost.requests > 2 * len(list(batches.batches()))


def test_a_counted_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = CountedFile(str(path))
    assert (file.size, file.read_at(2, 5), file.read_at(9, 10)) == (10, b"234", b"9")
    assert (file.requests, file.bytes) == (3, 4)


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (12.345, "12.3"), (999.6, "1 k"), (7_467_654_852, "7.47 G")])
def test_short_numbers(number: float, text: str) -> None:
    assert short(number) == text
