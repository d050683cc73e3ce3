"""The footers of runs in an object store: what is kept of them, how long they are, what is said of a damaged run."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from byline.arrow_file import footer_size
from byline.errors import BylineError
from byline.object_stores import TAIL_BYTES
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.store import run_ranges
from byline.transforms.store.run_ranges import Directories, RangedRun, read_directory
from tests.support.counted_ranges import Counted, write
from tests.support.range_read_cost import RangeReadCost
from tests.support.seals import rewrite_run, seal_again
from tests.support.small import FINGERPRINT, StoredRow, tokenized_batch

CORE = ("shuffle_key", "row", "num_tokens", "tokens")
pytestmark = pytest.mark.usefixtures("counted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("directories")


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
