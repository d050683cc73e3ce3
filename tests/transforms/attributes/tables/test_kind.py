"""Tables joined to small token stores, round by round, against dictionaries in plain Python."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas import documents
from byline.schemas.attribute_kinds.table import TableAttribute
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.transforms.attributes import exchange
from byline.transforms.attributes.rounds import Context
from byline.transforms.attributes.stored_documents import Reading, StoredChunk, StoredFile
from byline.transforms.attributes.tables import groups, kind, table_rows
from byline.transforms.attributes.values import parts_uri, read_values, values_of
from byline.transforms.store.runs import write_run
from byline.transforms.store.store_index import read_run_info
from tests.support.small import FINGERPRINT, small_config
from tests.support.thorough import examples

# (source, path) -> for each chunk, (row, URL, kept id) of each document.
Documents = dict[tuple[str, str], list[list[tuple[int, str | None, str | None]]]]

WEB: Documents = {
    ("web", "x/0.json"): [[(0, "http://a", "1"), (2, "http://ü/☃", "2")], [(5, "http://a", None)]],
    ("web", "x/1.json"): [[(0, None, "3"), (1, "http://b", "4")]],
    ("c4", "y.json"): [[(7, "http://a", "1"), (8, "", "5")]],
}


def stored(folder: Path, of: Documents) -> list[StoredFile]:
    """Runs of these documents, and the files that they are of."""
    files = []
    for (source, path), chunks in sorted(of.items()):
        made = []
        for number, rows in enumerate(chunks):
            columns = {
                documents.ROW: [row for row, _, _ in rows],
                documents.URL: [url for _, url, _ in rows],
                pa.field("id", pa.string()): [name for _, _, name in rows],
                pa.field("number", pa.int64()): [None if name is None else int(name) for _, _, name in rows],
                documents.NUM_BYTES: [1] * len(rows),
                documents.NUM_TOKENS: [1] * len(rows),
                documents.tokens_field(pa.uint16()): [[1]] * len(rows),
            }
            arrays = [pa.array(values, field.type) for field, values in columns.items()]
            batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns)))
            info = documents.BatchInfo(source, path, number, number + 1 == len(chunks), 9, len(rows) + 1, 9)
            uri = write_run(documents.with_info(batch, info), FINGERPRINT, str(folder / "store" / source))
            made.append(StoredChunk(read_run_info(uri)))
        files.append(StoredFile(InputFile(source, path, "none", 9), tuple(made)))
    return files


def config_of(folder: Path, names: set[str]) -> Config:
    keep = {"id": "string", "number": "int", "ratio": "float"}
    sources = {name: {"format": "jsonl", "path": f"{folder}/{name}/*", "keep": keep} for name in sorted(names)}
    return small_config(folder, sources=sources)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def join_table(
    folder: Path, of: Documents, table: dict[str, list[dict[str, Any]]] | None = None, **settings: Any
) -> tuple[dict[tuple[str, str, int], dict[str, Any]], dict[str, Any]]:
    """Joins a table of these files; the values of all documents, and the summary."""
    if table is not None:
        shutil.rmtree(folder / "table", ignore_errors=True)
        for name, rows in table.items():
            (folder / "table" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "table" / name).write_bytes(lines(rows))
    files = stored(folder, of)
    named = {"path": str(folder / "table" / "**"), "by": "url", "max_unmatched": 1, **settings}
    if "columns" not in named:
        named = {"column": "topic", **named}
    attribute = TableAttribute(**{"kind": "table", **named})
    config = config_of(folder, {source for source, _ in of})
    work = str(folder / "work")
    context = Context(config, "topic", attribute, files, Reading.of(config), work, str(folder / "models"))
    rounds = kind.TABLE.rounds(context)
    while True:
        try:
            work_round = next(rounds)
        except StopIteration as end:
            summary = end.value
            break
        for line in reversed(work_round.lines):
            work_round.do(line)
            work_round.do(line)
    types = attribute.column_types("topic")
    values = {}
    for (source, path), chunks in of.items():
        for number, rows in enumerate(chunks):
            written = read_values(parts_uri(context.parts, source, path, number))
            numbers = np.array([row for row, _, _ in rows], np.int64)
            columns = {name: values_of(written, numbers, name, types[name]).to_pylist() for name in types}
            for at, (row, _, _) in enumerate(rows):
                values[source, path, row] = {name: column[at] for name, column in columns.items()}
    return values, summary


def topics(values: dict[tuple[str, str, int], dict[str, Any]]) -> dict[tuple[str, str, int], Any]:
    return {key: of["topic"] for key, of in values.items() if of["topic"] is not None}


def test_by_url_over_sources(tmp_path: Path) -> None:
    first = [{"url": "http://a", "topic": "bread"}, {"url": None, "topic": "x"}, {"url": "", "topic": "x"}]
    second = [{"url": "http://ü/☃", "topic": "snow"}, {"url": "http://a", "topic": "bread"}, {"url": "z", "topic": "x"}]
    values, summary = join_table(tmp_path, WEB, {"0.jsonl": first, "1.jsonl": second})
    assert topics(values) == {
        ("web", "x/0.json", 0): "bread",
        ("web", "x/0.json", 2): "snow",
        ("web", "x/0.json", 5): "bread",
        ("c4", "y.json", 7): "bread",
    }
    assert summary["documents"] == {
        "c4": {"documents": 2, "matched": 1, "unmatched": 0, "without_key": 1},
        "web": {"documents": 5, "matched": 3, "unmatched": 1, "without_key": 1},
    }
    assert summary["table"] == {
        "rows": 6,
        "matched": 3,
        "unmatched": 1,
        "without_key": 2,
        "doubled": 1,
        "doubled_with_other_values": 0,
    }
    assert summary["lines"] == [
        "table: 6 rows; 3 matched, 1 of no document, 2 without a key; 1 doubled, 0 with other values",
        "c4: 1 of 2 documents have a row (50%), 1 have no url",
        "web: 3 of 5 documents have a row (60%), 1 have no url",
    ]


def test_by_a_kept_field_with_columns_of_all_types(tmp_path: Path) -> None:
    rows = [
        {"n": 1, "id": "1", "deep": {"q": "0.5"}, "ok": True, "k": 3, "value0": "a", "key": "b"},
        {"n": 4, "id": "4", "deep": {"q": "much"}, "ok": None, "k": 2.5, "value0": "c", "key": None},
    ]
    columns = {"q": {"path": "deep.q", "type": "float"}, "ok": {"type": "bool"}, "k": {"type": "int"}}
    columns |= {"value0": {}, "key": {}}
    table = {"t.jsonl": rows}
    values, _ = join_table(tmp_path, WEB, table, by="id", columns=columns, sources=["web"])
    of_one = {"q": 0.5, "ok": True, "k": 3, "value0": "a", "key": "b"}
    assert values["web", "x/0.json", 0] == of_one
    assert values["c4", "y.json", 7] == of_one
    assert values["web", "x/1.json", 1] == {"q": None, "ok": False, "k": None, "value0": "c", "key": None}
    assert values["web", "x/0.json", 5] == {"q": None, "ok": False, "k": None, "value0": None, "key": None}
    by_number, _ = join_table(tmp_path, WEB, table, by="number", key="n", columns=columns)
    assert by_number == values


def test_by_row(tmp_path: Path) -> None:
    rows = [
        {"source": "web", "path": "x/0.json", "row": 5, "topic": "bread"},
        {"source": None, "path": "y.json", "row": 8, "topic": "snow"},
        {"source": "c4", "path": "x/1.json", "row": 0, "topic": "of no file"},
        {"path": "x/0.json", "row": 1, "topic": "of a dropped record"},
        {"path": "x/0.json", "topic": "of no row"},
    ]
    values, summary = join_table(tmp_path, WEB, {"t.jsonl": rows}, by="row")
    assert topics(values) == {("web", "x/0.json", 5): "bread", ("c4", "y.json", 8): "snow"}
    assert summary["documents"]["web"] == {"documents": 5, "matched": 1, "unmatched": 4, "without_key": 0}
    assert summary["table"]["unmatched"] == 2
    assert summary["table"]["without_key"] == 1


@pytest.mark.parametrize("path", ["x/0.json", "2023-06/x/0.json", "0.json"])
def test_ids_of_redpajama_end_as_the_file_or_the_file_as_they(tmp_path: Path, path: str) -> None:
    rows = [{"id": f"{path}/{row}", "quality_signals": {"p": [[0, 9, row + 0.5]]}} for row in range(4)]
    values, _ = join_table(tmp_path, WEB, {"x/0.signals": rows}, by="row", layout="redpajama", column="p")
    assert topics(values) == {("web", "x/0.json", 0): 0.5, ("web", "x/0.json", 2): 2.5}


def test_ids_of_redpajama_that_may_be_of_two_files(tmp_path: Path) -> None:
    of: Documents = {("web", "a/0.json"): [[(0, None, None)]], ("web", "b/0.json"): [[(0, None, None)]]}
    given_settings = {"by": "row", "layout": "redpajama", "column": "p"}
    signals = {"p": [[0, 9, 1]]}
    table = {"t.jsonl": [{"id": "0.json/0", "quality_signals": signals}]}
    with pytest.raises(BylineError, match=r"t\.jsonl: the path '0\.json' may be web/a/0\.json or web/b/0\.json"):
        join_table(tmp_path, of, table, **given_settings)
    table = {f"{name}.jsonl": [{"id": f"{name}/a/0.json/0", "quality_signals": signals}] for name in ("1", "2")}
    with pytest.raises(BylineError, match=r"topic: '1/a/0\.json' and '2/a/0\.json' may both be web/a/0\.json"):
        join_table(tmp_path, of, table, **given_settings)


# --- doubled rows


DOUBLED = {
    "b.jsonl": [{"url": "http://b", "topic": "x"}],
    "a.jsonl": [{"url": "http://a", "topic": "x"}, {"url": "http://b", "topic": "first"}, {"url": "z", "topic": "x"}],
    "c.jsonl": [{"url": "z", "topic": "y"}],
}


def test_doubled_rows_with_other_values(tmp_path: Path) -> None:
    message = r"topic: 'http://b' stands .* in row 1 of \S*a\.jsonl and in row 0 of \S*b\.jsonl, and 1 more rows"
    with pytest.raises(BylineError, match=message):
        join_table(tmp_path, WEB, DOUBLED)
    values, summary = join_table(tmp_path, WEB, DOUBLED, doubled="first")
    assert values["web", "x/1.json", 1] == {"topic": "first"}
    assert summary["table"]["doubled_with_other_values"] == 2


def test_doubled_rows_by_row(tmp_path: Path) -> None:
    rows = [{"path": "x/0.json", "row": 2, "topic": topic} for topic in ("a", "a", "b")]
    with pytest.raises(BylineError, match=r"'x/0\.json row 2' stands .* row 0 of \S*t\.jsonl and in row 2 of"):
        join_table(tmp_path, WEB, {"t.jsonl": rows}, by="row")
    values, _ = join_table(tmp_path, WEB, {"t.jsonl": rows}, by="row", doubled="first")
    assert topics(values) == {("web", "x/0.json", 2): "a"}


# --- what a user most likely did not mean


def test_too_many_unmatched(tmp_path: Path) -> None:
    table = {"t.jsonl": [{"url": "http://a", "topic": "x"}]}
    message = (
        r"topic: 3 of 5 documents of web have no row in the table \(60%; 1 have no url\), and max_unmatched allows 50"
    )
    with pytest.raises(BylineError, match=message):
        join_table(tmp_path, WEB, table, max_unmatched="50%")
    join_table(tmp_path, WEB, table, max_unmatched="60%")


def test_a_table_that_matches_nothing_shows_keys_of_both(tmp_path: Path) -> None:
    table = {"t.jsonl": [{"url": f"a/{number}", "topic": "x"} for number in range(5)]}
    message = r"matches no document by url; documents have 'http://a', .*the table has 'a/0', 'a/1', 'a/2'; keys are"
    with pytest.raises(BylineError, match=message):
        join_table(tmp_path, WEB, table, max_unmatched="99%")
    rows = [{"path": "data/x/0.json", "row": 0, "topic": "x"}]
    message = r"by path and row; documents have 'c4/y\.json row 7', .* the table has 'data/x/0\.json row 0'; a path is"
    with pytest.raises(BylineError, match=message):
        join_table(tmp_path, WEB, {"t.jsonl": rows}, by="row", max_unmatched="99%")


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([], {}, r"attributes\.topic\.path: the table has no row, in 1 files"),
        (
            [{"URL": "a", "topic": "x"}],
            {},
            r"attributes\.topic: no row of the table has a key at 'url'; .* URL \('a'\)",
        ),
        (
            [{"url": "a", "t": {"n": 1}}],
            {},
            r"attributes\.topic\.column: .* value that is a text at 'topic'; .*t\.n \(1\)",
        ),
        (
            [{"url": "a", "topic": "n/a"}],
            {"column": {"path": "topic", "type": "float"}},
            r"no row of the table has a value that is a number at 'topic'; .*topic \(\"'n/a'\"\)|topic \('n/a'\)",
        ),
        (
            [{"id": "1", "attributes": {"toxicity": 0.7}}],
            {"layout": "dolma", "by": "id", "column": "toxicity"},
            r"no row of the table has a span with a score at 'toxicity'; .*attributes\.toxicity \(0\.7\)",
        ),
        ([{"a": 1}], {"by": "license"}, r"attributes\.topic\.by: 'license' is no kept field of source 'c4'"),
        ([{"a": 1}], {"by": "ratio"}, r"attributes\.topic\.by: 'ratio' of source 'c4' is kept as float; expected"),
    ],
)
def test_tables_that_cannot_be_meant(
    tmp_path: Path, rows: list[dict[str, Any]], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(BylineError, match=message):
        join_table(tmp_path, WEB, {"t.jsonl": rows}, **settings)


# --- any order, any number of partitions and groups


urls = st.sampled_from([None, "", "http://a", "http://b", "http://ü", "c"])
sizes = st.lists(st.lists(urls, max_size=3), min_size=1, max_size=3)


@given(
    of=st.fixed_dictionaries({("web", "a"): sizes, ("web", "b"): sizes, ("c4", "c"): sizes}),
    table=st.lists(st.tuples(urls, st.sampled_from(["x", "y", None])), max_size=8),
    files=st.integers(1, 3),
    most=st.integers(1, 5),
    partition_rows=st.integers(1, 8),
    piece_rows=st.integers(1, 3),
)
@examples(40)
def test_as_a_dictionary_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory,
    of: Any,
    table: Any,
    files: int,
    most: int,
    partition_rows: int,
    piece_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    whole: Documents = {}
    for (source, path), chunks in of.items():
        first = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
        whole[source, path] = [
            [(start + at, url, None) for at, url in enumerate(chunk)]
            for start, chunk in zip(first, chunks, strict=True)
        ]
    rows = [{"url": url, "topic": topic} for url, topic in table]
    by_url: dict[str, str | None] = {}
    # Files come in order of their paths, whatever their order on the disk.
    ordered = [row for number in range(files) for row in rows[number::files]]
    for row in ordered:
        if row["url"]:
            by_url.setdefault(row["url"], row["topic"])
    if not by_url or all(row["topic"] is None for row in rows):
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            kind, "groups_of", lambda given, *, cuts_files: groups.groups_of(given, cuts_files=cuts_files, most=most)
        )
        patched.setattr(exchange, "PARTITION_ROWS", partition_rows)
        patched.setattr(table_rows, "_PIECE_ROWS", piece_rows)
        content = {f"{number}.jsonl": rows[number::files] for number in reversed(range(files))}
        values, summary = join_table(folder, whole, content, doubled="first")
    expected = {
        (source, path, row): by_url.get(url) if url else None
        for (source, path), chunks in whole.items()
        for chunk in chunks
        for row, url, _ in chunk
    }
    assert {key: value["topic"] for key, value in values.items()} == expected
    matched = sum(counts["matched"] for counts in summary["documents"].values())
    assert matched == sum(url in by_url for chunks in whole.values() for chunk in chunks for _, url, _ in chunk)
    used = {url for chunks in whole.values() for chunk in chunks for _, url, _ in chunk}
    assert summary["table"]["matched"] == sum(row["url"] in used for row in rows if row["url"])


def test_a_hundred_thousand_labels_by_url_and_by_row_in_seconds(tmp_path: Path) -> None:
    count = 100_000
    of: Documents = {
        ("web", "a.json"): [
            [(row, f"http://example.org/pages/{row}", None) for row in range(start, start + count // 4)]
            for start in range(0, count, count // 4)
        ],
    }
    order = np.random.default_rng(0).permutation(count)
    (tmp_path / "table").mkdir()
    labels = pa.table(
        {
            "url": [f"http://example.org/pages/{row}" for row in order],
            "path": ["a.json"] * count,
            "row": order,
            "topic": [f"topic {row % 24}" for row in order],
        }
    )
    pq.write_table(labels, tmp_path / "table/labels.parquet")
    stored(tmp_path, of)
    started = time.process_time()
    by_url, _ = join_table(tmp_path, of, max_unmatched=0)
    by_row, _ = join_table(tmp_path, of, by="row", max_unmatched=0)
    assert time.process_time() - started < 20
    assert by_url == by_row
    assert topics(by_url) == {("web", "a.json", row): f"topic {row % 24}" for row in range(count)}
