"""A plan that replaces ranges is the plan of a token store whose documents have their placeholders already."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.ledger import Replaced
from byline.schemas.plan import Plan
from byline.transforms.plans.planning import make_plan
from byline.transforms.scans.count_runs import count_here, read_counter, write_counter
from byline.transforms.scans.count_runs_transform import CountRuns
from byline.transforms.scans.counting import RunCounter, Scan
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.reference import assembly
from tests.reference.layout import pairs_of
from tests.reference.replacing import with_placeholders
from tests.support import small
from tests.support.attribute_files import align_ranges, folder_of, write_ranges
from tests.support.small import SmallStore, StoredRow
from tests.support.thorough import examples

HIDDEN, COLUMN = "<hidden>", "secrets_ranges"
Spans = dict[tuple[str, int], list[int] | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("replaced")
    small.tokenizer_file(made)
    return made


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Sections that count tokens in many ways."""
    select = draw(
        st.sampled_from(
            (
                [],
                [{"top": "0.7", "by": "num_tokens"}],
                [{"at_most": 30, "by": "num_tokens"}],
                [{"bottom": "0.8", "by": "quality", "count": "tokens"}],
            )
        )
    )
    order = draw(st.sampled_from((None, {"by": "num_tokens", "bins": 3})))
    template = draw(st.sampled_from((None, "{num_tokens}|")))
    condition = None if template is None else {"template": template, "bins": {"num_tokens": 3}}
    packing = draw(st.sampled_from(("document_start", "concat", "best_fit", "repeat_prefix")))
    phase = {"select": select, "order": order, "condition": condition, "packing": packing}
    mixture = draw(
        st.sampled_from(("natural", {"method": "natural", "by": "num_tokens", "bins": 2}, {"a": "0.4", "b": "0.6"}))
    )
    return {
        "mixture": mixture,
        "tokens": draw(st.sampled_from(("all", 512, 2048))),
        "shortage": draw(st.sampled_from(("repeat", "shrink"))),
        "phases": [{"name": "x", "share": "0.5", **phase}, {"name": "y", "share": "0.5", "packing": packing}],
        "holdout": draw(st.none() | st.just({"share": "0.1"})),
        "allow_empty": ["a", "b"],
    }


@st.composite
def stores(draw: st.DrawFn) -> tuple[dict[tuple[str, str], list[StoredRow]], Spans]:
    files: dict[tuple[str, str], list[StoredRow]] = {}
    spans: Spans = {}
    for source, rows in (("a", draw(st.integers(20, 40))), ("b", draw(st.integers(10, 30)))):
        of_source = files[source, "x"] = []
        for row in range(rows):
            size = 1 + row * 7 % 61
            of_source.append(StoredRow(row, [at % 300 for at in range(size)], quality=row % 4 / 4))
            borders = sorted(draw(st.sets(st.integers(0, size), max_size=4)))
            spans[source, row] = draw(st.sampled_from((borders[: len(borders) // 2 * 2], None, [0, size])))
    return files, spans


def shortened(row: StoredRow, borders: list[int] | None, token: int) -> StoredRow:
    """A row as it would be stored with its placeholders."""
    left = with_placeholders(assembly.Document("a", 0, 0, list(row.tokens)), [(pairs_of(borders), token)])
    return replace(row, tokens=left.tokens)


def made_stores(
    folder: Path, files: dict[tuple[str, str], list[StoredRow]], spans: Spans, token: int
) -> tuple[SmallStore, SmallStore]:
    """The token store with files of ranges beside its runs, and that of the documents that are left."""
    number = len(list(folder.iterdir()))
    store = small.write_store(folder / f"{number}-whole", files)
    for run in store.runs:
        values = f"{folder}/{number}-values-{run.source}.arrow"
        rows = {row.row: {COLUMN: spans[run.source, row.row]} for row in files[run.source, run.path]}
        write_ranges(values, rows)
        align_ranges(run.uri, [COLUMN], [values])
    short = {key: [shortened(row, spans[key[0], row.row], token) for row in rows] for key, rows in files.items()}
    return store, small.write_store(folder / f"{number}-short", short)


ATTRIBUTES = {source: {COLUMN: folder_of(COLUMN)} for source in "ab"}
REPLACED = {source: [COLUMN] for source in "ab"}


@examples(60)
@given(stores(), recipes())
def test_a_plan_is_that_of_the_documents_that_are_left(
    folder: Path, drawn: tuple[dict[tuple[str, str], list[StoredRow]], Spans], recipe: dict[str, Any]
) -> None:
    files, spans = drawn
    settings = {
        **recipe,
        "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": small.BOS, "add": [HIDDEN]},
        "shard": {"sequences": 4},
    }
    attributes = {"secrets": {"kind": "spans", "path": "none.jsonl", "by": "row"}}
    config = small.small_config(folder, **settings, attributes=attributes, replace={"secrets": HIDDEN})
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    store, short = made_stores(folder, files, spans, info.added[HIDDEN])
    uris = [run.uri for run in store.runs]

    def scan(counter: RunCounter) -> Any:
        return count_here(counter, uris, ATTRIBUTES, REPLACED)

    plan, error = planned(config, store, scan, ATTRIBUTES)
    expected, expected_error = planned(small.small_config(folder, **settings), short, small.local_scan(uris_of(short)))
    assert error == expected_error
    if plan is None or expected is None:
        return
    assert plan.table.equals(expected.table)
    changes = {"replaced": {}, "stages_replaced": {}}
    assert replace(plan.header.drawn, **changes) == expected.header.drawn
    for name in ("stages", "intervals", "capacity", "predicates", "conjunctions", "notes"):
        assert getattr(plan.header, name) == getattr(expected.header, name), name
    for source in "ab":
        own = [value or [] for (name, _), value in spans.items() if name == source]
        tokens = sum(sum(value[1::2]) - sum(value[::2]) for value in own)
        amount = Replaced(sum(bool(value) for value in own), tokens, sum(len(value) // 2 for value in own))
        assert plan.header.replaced_in(source) == amount
    assert plan.header.replace == {source: {COLUMN: info.added[HIDDEN]} for source in "ab"}


def planned(config: Config, store: SmallStore, scan: Scan, *others: Any) -> tuple[Plan | None, str | None]:
    """The plan of a recipe, or what is wrong with it."""
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    try:
        return make_plan(config, info, store.runs, scan, *others), None
    except BylineError as error:
        return None, str(error)


def uris_of(store: SmallStore) -> list[str]:
    return [run.uri for run in store.runs]


def test_workers_are_told_what_is_replaced(folder: Path, tmp_path: Path) -> None:
    files = {("a", "x"): [StoredRow(0, list(range(9))), StoredRow(1, list(range(5)))]}
    store, _ = made_stores(folder, files, {("a", 0): [1, 4, 6, 8], ("a", 1): None}, 390)
    counter, uri, counts = DrawCounter([], replaced=REPLACED), str(tmp_path / "counter.json"), tmp_path / "counts.arrow"
    write_counter(uri, counter, ATTRIBUTES, REPLACED)
    assert read_counter(uri) == counter
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(uris_of(store)) | CountRuns(uri, str(counts))
    counted = pa.ipc.open_file(counts.read_bytes()).read_all()
    rows = {(row["reason"], row["what"]): (row["documents"], row["tokens"]) for row in counted.to_pylist()}
    assert rows == {("mixture", None): (2, 9 - 5 + 2 + 5), (None, "replaced"): (1, 5), (None, "placeholders"): (1, 2)}
