"""Ranges from an object store: the same documents as from a disk, few requests, few bytes, little memory."""

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas import documents, store
from byline.transforms.files import object_store
from byline.transforms.store import run_ranges
from byline.transforms.store.run_pieces import Piece
from byline.transforms.store.run_ranges import Directories, RangedRun, RangedTokens, merge_spans, read_directory
from byline.transforms.store.run_reading import Run
from byline.transforms.store.runs import write_run
from tests.support.counted_ranges import Counted, write
from tests.support.object_server import BUCKET, ObjectServer, no_fault, object_server
from tests.support.range_read_cost import RangeReadCost
from tests.support.small import FINGERPRINT, StoredRow
from tests.support.thorough import examples

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


pytestmark = pytest.mark.usefixtures("counted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


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


@examples(80)
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


@examples(50)
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
