"""Ranges from an object store: the same documents as from a disk, few requests, few bytes, little memory."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.arrow_file import footer_size
from byline.errors import BylineError
from byline.object_stores import TAIL_BYTES
from byline.schemas import documents, store
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.files import object_store
from byline.transforms.store import run_ranges
from byline.transforms.store.run_pieces import Piece
from byline.transforms.store.run_ranges import Directories, RangedRun, RangedTokens, merge_spans, read_directory
from byline.transforms.store.run_reading import Run
from byline.transforms.store.runs import write_run
from tests.support.object_server import BUCKET, ObjectServer, no_fault, object_server
from tests.support.range_read_cost import RangeReadCost
from tests.support.seals import rewrite_run, seal_again
from tests.support.small import FINGERPRINT, StoredRow, tokenized_batch

COLUMNS = (
    "shuffle_key",
    "row",
    "num_tokens",
    "tokens",
    "masked",
    "host",
    "license",
    "year",
    "ratio",
    "topic",
    "url",
    "none",
)
# Neighbours that are equal as 64-bit floats, and the ends of the circle.
BASES = (0, 2**53, 2**62, 2**63, 2**64 - 8)
shuffle_keys = st.builds(int.__add__, st.sampled_from(BASES), st.integers(0, 7))


@dataclass
class Counted:
    """A file that counts what is read of it, and how much of that at the same time."""

    content: bytes
    reads: list[tuple[int, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        return len(self.content)

    def read_at(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= self.size
        with self.lock:
            self.reads.append((start, end))
        return self.content[start:end]

    def take_reads(self) -> list[tuple[int, int]]:
        found, self.reads = self.reads, []
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """Files that were opened as objects, by address; any local path is one."""
    opened: dict[str, Counted] = {}

    def open_ranges(uri: str) -> Any:
        if uri.startswith("s3://"):
            return object_store.open_ranges(uri)
        opened[uri] = Counted(Path(uri).read_bytes())
        return opened[uri]

    monkeypatch.setattr(run_ranges, "open_ranges", open_ranges)
    return opened


def write(
    folder: Path, given_shuffle_keys: Sequence[int], rows: list[StoredRow], batch_bytes: int, path: str = "x"
) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "byline.transforms.store.runs.shuffle_keys",
            lambda source, path, rows: np.array(given_shuffle_keys, np.uint64),
        )
        patch.setattr(store, "BATCH_TOKEN_BYTES", batch_bytes)
        return write_run(tokenized_batch("a", path, rows), FINGERPRINT, str(folder))


def lists_of(pieces: Sequence[Piece], numbers: Sequence[Sequence[int]]) -> list[int]:
    """The tokens of the numbered documents of each piece."""
    documents_read = []
    for piece, some in zip(pieces, numbers, strict=True):
        counts = piece.index["num_tokens"].to_numpy()
        into = np.full(counts[list(some)].sum(), 2**16 - 1, np.uint16)
        piece.tokens.copy(np.array(some, np.int64), into)
        documents_read += into.tolist()
    return documents_read


@st.composite
def stored(draw: st.DrawFn) -> tuple[list[int], list[StoredRow]]:
    """Documents and their shuffle keys."""
    has_spans = draw(st.booleans())
    rows = []
    for row in range(draw(st.integers(0, 14))):
        tokens = draw(st.integers(0, 6))
        rows.append(
            StoredRow(
                row,
                [row] * tokens,
                host=draw(st.sampled_from((None, "", "a.org", "x" * 40))),
                license=draw(st.sampled_from((None, "cc"))),
                year=draw(st.sampled_from((None, 2**62))),
                ratio=draw(st.sampled_from((None, 0.5))),
                topic=draw(st.sampled_from((None, "news"))),
                masked=[(0, min(row % 3, tokens))] if has_spans else None,
            )
        )
    return [draw(shuffle_keys) for _ in rows], rows


@settings(max_examples=80)
@given(
    stored(),
    shuffle_keys,
    shuffle_keys,
    st.integers(1, 20),
    st.sampled_from([0, 3, 2**16]),
    st.integers(8, 3000),
    st.data(),
)
def test_a_range_is_what_a_mapped_run_gives(
    folder: Path,
    run: tuple[list[int], list[StoredRow]],
    low: int,
    high: int,
    batch_bytes: int,
    gap: int,
    head: int,
    data: st.DataObject,
) -> None:
    uri = write(folder / str(len(list(folder.iterdir()))), *run, batch_bytes)
    with pytest.MonkeyPatch.context() as patch:
        # Heads that reach too far or not far enough, spans that are read together or not.
        patch.setattr(run_ranges, "GAP_BYTES", gap)
        patch.setattr(run_ranges, "_FIRST_HEAD_BYTES", head)
        run_ranges._wanted.cache_clear()
        expected = list(Run(uri, COLUMNS).between(low, high))
        ranged = [piece for _, piece in run_ranges.read_pieces([uri], COLUMNS, low, high, Directories(1 << 20))]
        assert [piece.index.to_pydict() for piece in ranged] == [piece.index.to_pydict() for piece in expected]
        assert [piece.index.schema.types for piece in ranged] == [piece.index.schema.types for piece in expected]
        chosen = [sorted(data.draw(st.sets(st.integers(0, p.index.num_rows - 1), min_size=1))) for p in expected]
        assert lists_of(ranged, chosen) == lists_of(expected, chosen)
        names = ("shuffle_key", "num_tokens", "topic", "host", "license", "url")
        whole, mapped = RangedRun(read_directory(uri), names).whole(), Run(uri, names).whole()
        assert whole.schema == mapped.schema
        assert whole.to_pydict() == mapped.to_pydict()
    run_ranges._wanted.cache_clear()


def test_many_runs_come_in_order(folder: Path) -> None:
    rows = [StoredRow(row, [row]) for row in range(6)]
    uris = [write(folder / "many", range(6), rows, 4, f"{number}") for number in range(200)]
    numbered_pieces = list(run_ranges.read_pieces(uris, COLUMNS, 1, 4, Directories(1 << 20)))
    assert [run for run, _ in numbered_pieces] == [number for number in range(200) for _ in range(3)]
    assert [piece.index["shuffle_key"].to_pylist() for _, piece in numbered_pieces] == [[1], [2, 3], [4]] * 200


# ------------------------------------------------------------------------------------------------ requests and bytes


def large_batch(rows: int, seed: int, extra: int = 0) -> pa.RecordBatch:
    """Documents of about 700 tokens; `extra` columns besides."""
    numbers = np.random.default_rng(seed)
    counts = np.maximum(numbers.lognormal(6.2, 0.9, rows), 20).astype(np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))
    tokens = numbers.integers(0, 50000, counts.sum(), dtype=np.uint16)
    hosts = [f"host{number:05d}.org" for number in numbers.integers(0, 20000, rows)]
    field_ = documents.tokens_field(pa.uint16())
    columns = {
        documents.ROW: pa.array(np.arange(rows)),
        documents.URL: pa.array([f"https://{host}/a/page/of/it.html" for host in hosts], pa.large_string()),
        pa.field("quality", pa.float32()): pa.array(numbers.random(rows, np.float32)),
        documents.HOST: pa.array(hosts).dictionary_encode(),
        documents.REGISTERED_DOMAIN: pa.array(hosts).dictionary_encode(),
        **{pa.field(f"extra_{n}", pa.string()): pa.array(hosts) for n in range(extra)},
        documents.NUM_BYTES: pa.array(4 * counts.astype(np.int64)),
        documents.NUM_TOKENS: pa.array(counts),
        field_: pa.LargeListArray.from_arrays(offsets, pa.array(tokens), type=field_.type),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(list(columns)))
    return documents.with_info(batch, documents.BatchInfo("a", f"{seed}", 0, True, 1000, rows, 10, {}))


@pytest.fixture(scope="module")
def large_run(folder: Path) -> str:
    """10 MB of tokens in 10 batches."""
    return write_run(large_batch(7000, 1), FINGERPRINT, str(folder / "large"))


def range_read(uri: str, columns: Sequence[str], low: int, high: int, directories: Directories) -> tuple[int, int]:
    """Reads a range with all its tokens; returns how many documents and bytes of tokens it has."""
    rows = size = 0
    for _, piece in run_ranges.read_pieces([uri], columns, low, high, directories):
        rows, count = rows + piece.index.num_rows, int(piece.index["num_tokens"].to_numpy().sum())
        size += 2 * count
        piece.tokens.copy(np.arange(piece.index.num_rows), np.empty(count, np.uint16))
    return rows, size


CORE = ("shuffle_key", "row", "num_tokens", "tokens")
# Place, row, num_tokens; a score and a host of 13 letters besides.
INDEX_BYTES = {CORE: 20, (*CORE, "quality", "host"): 41}


@pytest.mark.parametrize("columns", list(INDEX_BYTES))
@pytest.mark.parametrize("size", [4_000, 33_000, 256_000])
def test_a_range_read_takes_few_requests_and_bytes(
    large_run: str, counted: dict[str, Counted], columns: tuple[str, ...], size: int
) -> None:
    tokens = Run(large_run, ("shuffle_key",)).info.tokens
    width, directories = int(size / (2 * tokens) * 2**64), Directories(1 << 20)
    range_read(large_run, columns, 0, width, directories)
    file = counted[large_run]
    first = file.take_reads()
    assert len(first) <= 1 + 3
    useful = requests = 0
    lows = [number * (2**64 - 1 - width) // 59 for number in range(60)]
    for low in lows:
        useful += range_read(large_run, columns, low, low + width, directories)[1]
        requests += len(file.reads)
        assert len(file.reads) <= 3 * (1 + (file.reads[-1][0] - file.reads[0][0] > store.BATCH_TOKEN_BYTES))
        sent = sum(end - start for start, end in file.take_reads())
        first += [(0, sent)]
    sent = sum(end for start, end in first[-len(lows) :])
    cost = RangeReadCost(document_bytes=2 * tokens / 7000, index_bytes=INDEX_BYTES[columns])
    assert requests / len(lows) == pytest.approx(cost.requests(useful / len(lows)), rel=0.15)
    assert sent / len(lows) == pytest.approx(cost.bytes(useful / len(lows)), rel=0.1)
    if size == 33_000:
        assert requests / len(lows) < 2.3
        assert sent < 2.1 * useful


def test_columns_that_no_one_asks_for_are_not_read(folder: Path, counted: dict[str, Counted]) -> None:
    uri = write_run(large_batch(3000, 2, extra=12), FINGERPRINT, str(folder / "extra"))
    run = RangedRun(read_directory(uri), (*CORE, "url"))
    counted[uri].take_reads()
    for _ in range(2):
        run.piece(1, 0, 2**64 - 1)
        reads = counted[uri].take_reads()
        # The first columns, and `url`, which stands behind 12 others.
        assert len(reads) == 2
        assert sum(end - start for start, end in reads) < 100_000


def test_tokens_of_documents_that_are_not_taken_are_not_read(large_run: str, counted: dict[str, Counted]) -> None:
    piece = RangedRun(read_directory(large_run), CORE).piece(3, 0, 2**64 - 1)
    assert piece is not None
    counts = piece.index["num_tokens"].to_numpy()
    file = counted[large_run]
    file.take_reads()
    piece.tokens.copy(np.zeros(0, np.int64), np.zeros(0, np.uint16))
    assert file.take_reads() == []
    # Two that stand together, and one that stands 400 kB further.
    far = int(np.searchsorted(np.cumsum(counts) * 2, 400_000))
    numbers = np.array([0, 2, far])
    piece.tokens.copy(numbers, np.empty(counts[numbers].sum(), np.uint16))
    assert [end - start for start, end in file.take_reads()] == [2 * counts[:3].sum(), 2 * counts[far]]


def test_a_piece_keeps_its_own_rows_in_memory_and_no_others(large_run: str) -> None:
    width = 2**64 // 300
    pieces = [p for _, p in run_ranges.read_pieces([large_run], (*CORE, "host"), 2**63, 2**63 + width, Directories(9))]
    rows = sum(piece.index.num_rows for piece in pieces)
    assert rows > 10
    assert sum(piece.index.get_total_buffer_size() for piece in pieces) < rows * 41 + len(pieces) * 5 * 64
    for piece in pieces:
        assert isinstance(piece.tokens, RangedTokens)
        assert piece.tokens.offsets.base is None


def test_no_more_is_under_way_than_allowed(large_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, bytes_most = 0, 0, 0
    lock, full = threading.Lock(), threading.Event()

    class Slow(Counted):
        def read_at(self, start: int, end: int) -> bytes:
            nonlocal inside, most, bytes_most
            with lock:
                inside += 1
                most, bytes_most = max(most, inside), max(bytes_most, end - start)
                if inside == object_store.AT_ONCE:
                    full.set()
            # All that may come at the same time do.
            full.wait(5)
            content = super().read_at(start, end)
            with lock:
                inside -= 1
            return content

    content = Path(large_run).read_bytes()
    monkeypatch.setattr(run_ranges, "open_ranges", lambda uri: Slow(content))
    numbered_pieces = run_ranges.read_pieces([large_run] * 300, CORE, 2**63, 2**63 + 2**64 // 300, Directories(1 << 20))
    assert len({run for run, _ in numbered_pieces}) == 300
    assert most == object_store.AT_ONCE
    assert bytes_most <= 64 << 10


# --------------------------------------------------------------------------------------------------------- directories


def test_what_is_kept_of_footers(folder: Path, counted: dict[str, Counted]) -> None:
    rows = [StoredRow(row, [row]) for row in range(6)]
    uris = [write(folder / "kept", range(6), rows, 4, f"{number}") for number in range(5)]
    one = read_directory(uris[0]).nbytes
    directories = Directories(3 * one)
    for uri in uris:
        directories.get(uri)
    assert directories.used == 3 * one
    counted.clear()
    # A second round finds those that came first; had the oldest made room, none would be found.
    for uri in uris:
        directories.get(uri)
    assert list(counted) == uris[2:]
    directories.clear()
    assert directories.used == 0
    assert directories.get(uris[0]).uri == uris[0]


def test_a_footer_longer_than_what_is_read_of_a_file_at_first(
    folder: Path, counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_ranges, "TAIL_BYTES", 2000)
    rows = [StoredRow(row, [row]) for row in range(100)]
    uri = write(folder / "long", range(100), rows, 2)
    assert read_directory(uri).shuffle_keys.tolist() == list(range(100))
    (first, second) = counted[uri].reads
    assert second[1] == first[0]


def test_the_footer_of_a_merged_run_of_a_gib() -> None:
    chunks = [
        RunInfo(FINGERPRINT, "dclm", f"shard_01_of_10/shard_{n:08d}_processed.jsonl.zst", 0, True, 10**8, 20_000, 10**8,
                {"empty_text": 3}, 0, 20_000, 10**8, 16_000_000, [])
        for n in range(33)
    ]  # fmt: skip
    batch = tokenized_batch("a", "x", [StoredRow(0, [1])])
    shuffle_keys = [number * 2**54 for number in range(1024)]
    schema = batch.schema.with_metadata(RunFile(chunks, shuffle_keys, 2**30, "").to_metadata())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for _ in shuffle_keys:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    size = footer_size(sink.getvalue().to_pybytes()[-100:])
    # One request for most: what is read of a file at first is 64 KiB.
    assert size < TAIL_BYTES
    cost = RangeReadCost(document_bytes=1400)
    assert cost.opening_bytes(2**30, 33) == TAIL_BYTES
    assert cost.opening_bytes(2**31, 33) == pytest.approx(size + 1024 * 46, rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-3], "not an Arrow IPC file"),
        (lambda content: b"", "not an Arrow IPC file"),
        (
            lambda content: content.replace(b'"version": 4', b'"version": 7'),
            "found 7.; a newer Byline wrote it",
        ),
        (
            lambda content: content.replace(b'"batch_shuffle_keys": [1, 3]', b'"batch_shuffle_keys": [1   ]'),
            "1 first shuffle keys",
        ),
    ],
)
def test_a_file_that_is_no_run(folder: Path, change: Any, message: str) -> None:
    rows = [StoredRow(row, [row] * 2) for row in range(4)]
    file = Path(write(folder / "broken", [1, 2, 3, 4], rows, 8))
    file.write_bytes(seal_again(change(file.read_bytes())))
    with pytest.raises(BylineError, match=f"{file.name}: .*{message}"):
        read_directory(str(file))


def test_a_damaged_run_is_named_and_spoils_no_other(folder: Path) -> None:
    """Whatever eight bytes of its record batches are lost, it is read or named, and the next one is read as ever."""
    rows = [StoredRow(row, [row] * 2, host="a.org") for row in range(6)]
    whole, damaged = (write(folder / name, range(6), rows, 8) for name in ("whole", "damaged"))
    content, told = Path(damaged).read_bytes(), 0
    for start in range(0, len(content) - footer_size(content) - 48, 8):
        Path(damaged).write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
        try:
            RangedRun(read_directory(damaged), (*CORE, "host")).whole()
        except BylineError as error:
            told += str(error).startswith(f"{damaged}: cannot be read as a run (")
        assert RangedRun(read_directory(whole), (*CORE, "host")).whole()["row"].to_pylist() == list(range(6))
    assert told > 50


def test_a_run_with_a_column_that_cannot_be_read_in_parts(folder: Path) -> None:
    uri = write(folder / "dictionary", [1], [StoredRow(0, [1])], 8)
    with pa.memory_map(uri) as source:
        table = pa.ipc.open_file(source).read_all()
    table = table.set_column(
        table.schema.names.index("host"), "host", table["host"].dictionary_encode()
    ).replace_schema_metadata(table.schema.metadata)
    rewrite_run(uri, table)
    with pytest.raises(BylineError, match=r"\.arrow: cannot be read as a run .columns of type dictionary"):
        RangedRun(read_directory(uri), (*CORE, "host"))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 1000)), max_size=8))
def test_spans_are_merged_over_small_gaps(sizes: list[tuple[int, int]]) -> None:
    spans = [(start, start + size) for start, size in sizes]
    merged = merge_spans(spans)
    assert all(any(low <= start and end <= high for low, high in merged) for start, end in spans)
    assert all(b[0] - a[1] > run_ranges.GAP_BYTES for a, b in pairwise(merged))


# -------------------------------------------------------------------------------------------------------- a real server


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as running:
        yield running


def test_what_a_server_is_asked_for(server: ObjectServer, large_run: str) -> None:
    server.put("large.arrow", Path(large_run).read_bytes())
    uri, directories = f"s3://{BUCKET}/large.arrow", Directories(1 << 20)
    tokens = Run(large_run, ("shuffle_key",)).info.tokens
    width = int(33_000 / (2 * tokens) * 2**64)
    run_ranges._wanted.cache_clear()
    with server.faults(no_fault):
        rows, _ = range_read(uri, CORE, 2**62, 2**62 + width, directories)
        assert server.calls == {"HEAD": 1, "GET": 3}
        assert server.sent < 64_000 + 24_000 + 1.5 * 33_000
    with server.faults(no_fault):
        read_cost = range_read(uri, CORE, 2**61, 2**61 + width, directories)
        assert server.calls == {"GET": 2}
        assert server.sent < 33_000 + 1.7 * read_cost[1]
    assert rows > 10
