"""Whether a run is what it was when it was written, as far as each reader must know.

```
every opening               footer by its seal, before Arrow sees it; columns, types      the end of the file
every record batch, once    offsets, nulls, text, order, ranges of numbers                the columns that are asked for
`check_run`                 all of these; rows, tokens, bytes and shuffle keys recounted  every byte
```
"""

import numpy as np
import pyarrow as pa

from byline.schemas.documents import MASKED, NUM_BYTES, NUM_TOKENS, RANGE_WEIGHTS, ROW, WEIGHED, tokens_field
from byline.schemas.loss_weights import LARGEST, SMALLEST
from byline.schemas.store import FILE, SHUFFLE_KEY, RunFile, RunInfo
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.files.local_copies import fetched
from byline.transforms.files.sealed_files import check_sealed, open_sealed
from byline.transforms.files.storage import open_unmapped
from byline.transforms.store.run_names import check_fingerprints, check_name
from byline.transforms.store.run_pieces import reading_run

_NUMBERS = (SHUFFLE_KEY, ROW, NUM_TOKENS, NUM_BYTES)
_TOKENS = (tokens_field(pa.uint16()).type, tokens_field(pa.int32()).type)
# Doc ids have 32 bits for a row.
_MOST_ROWS = 2**32


def check_run(uri: str, fingerprint: str) -> RunFile:
    """Checks a run, merged or not: every byte by its checksums, and that it holds what it says.

    Args:
        uri: where it is.
        fingerprint: of the settings that it must have been prepared with.

    Returns:
        What it says.

    Raises:
        DamagedFileError: it is damaged, another run than its name says, or of another version.
    """
    with fetched(uri) as path:
        with reading_run(uri):
            check_sealed(path)
        with open_unmapped(path) as source, reading_run(uri):
            reader = open_sealed(source)
            file = RunFile.from_schema(reader.schema, uri, source.size())
            check_name(file, uri)
            check_fingerprints([file], fingerprint)
            check_schema(reader.schema)
            missing = {"tokens", *(field.name for field in _NUMBERS), *([FILE.name] if file.is_merged else [])}
            missing -= set(reader.schema.names)
            if missing:
                raise ValueError(f"no column {min(missing)}")
            _recount(reader, file)
    return file


def check_schema(schema: pa.Schema) -> None:
    """Checks that no column that readers stand on is of another type than it should be.

    Raises:
        ValueError: one is.
    """
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("two columns of one name")
    for field in (*_NUMBERS, FILE, MASKED, WEIGHED, RANGE_WEIGHTS):
        if field.name in schema.names and schema.field(field.name).type != field.type:
            raise ValueError(f"its column {field.name} is {schema.field(field.name).type}, not {field.type}")
    if "tokens" in schema.names and schema.field("tokens").type not in _TOKENS:
        raise ValueError(f"its column tokens is {schema.field('tokens').type}, not lists of uint16 or int32")


def check_batch(batch: pa.RecordBatch, first: int, chunks: int) -> None:
    """Checks what of a record batch a reader stands on: a damaged number would be an abort, or foreign memory.

    Args:
        batch: any columns of a run.
        first: the shuffle key that it must begin with.
        chunks: of the run.

    Raises:
        ValueError: it is damaged.
    """
    batch.validate(full=True)
    names = batch.schema.names
    for name in names:
        if not batch.schema.field(name).nullable and batch[name].null_count:
            raise ValueError(f"a null in {name}, where there is never one")
    if batch.num_rows == 0:
        raise ValueError("a record batch without documents")
    if "shuffle_key" in names:
        shuffle_key = batch["shuffle_key"].to_numpy()
        if int(shuffle_key[0]) != first or (shuffle_key[1:] < shuffle_key[:-1]).any():
            raise ValueError("its shuffle keys are not in order")
    for name, end in (("row", _MOST_ROWS), ("file", chunks), ("num_tokens", 2**31), ("num_bytes", 2**63)):
        if name in names:
            values = batch[name].to_numpy()
            if values.min() < 0 or values.max() >= end:
                raise ValueError(f"a {name} that is not between 0 and {end:,}")
    if "tokens" in names and "num_tokens" in names:
        lengths = batch["tokens"].value_lengths().to_numpy()
        if not np.array_equal(lengths, batch["num_tokens"].to_numpy()):
            raise ValueError("its num_tokens are not the lengths of its tokens")
    for name in ("masked", "weighed"):
        if name in names and "num_tokens" in names:
            _check_ranges(name, batch[name], batch["num_tokens"].to_numpy())
    if "weighed" in names and "range_weights" in names:
        _check_weights(batch["weighed"], batch["range_weights"])


def _check_weights(weighed: pa.ListArray, weights: pa.ListArray) -> None:
    """One weight for each range."""
    if not np.array_equal(weighed.value_lengths().to_numpy(), 2 * weights.value_lengths().to_numpy()):
        raise ValueError("its range_weights are not as many as its weighed ranges")
    values = weights.flatten().to_numpy()
    if not ((values >= SMALLEST) & (values <= LARGEST)).all():
        raise ValueError(f"a weight that is not from {SMALLEST:g} to {LARGEST}")


def _check_ranges(name: str, ranges: pa.ListArray, num_tokens: np.ndarray) -> None:
    """Ranges of tokens: start, end, start, ... ascending, up to the number of tokens."""
    borders, lengths = ranges.flatten().to_numpy(), ranges.value_lengths().to_numpy()
    document = np.repeat(np.arange(len(lengths)), lengths)
    same = document[1:] == document[:-1]
    if (
        (lengths % 2).any()
        or (borders < 0).any()
        or (borders > num_tokens[document]).any()
        or (same & (borders[1:] < borders[:-1])).any()
    ):
        raise ValueError(f"{name} ranges that are not within their document's tokens")


def _recount(reader: pa.RecordBatchFileReader, file: RunFile) -> None:
    """Reads the run once, all but the values of its tokens, and compares it with what it says.

    Raises:
        ValueError: it is damaged.
    """
    firsts, chunks = file.batch_shuffle_keys, len(file.chunks)
    if reader.num_record_batches != len(firsts):
        raise ValueError(f"{reader.num_record_batches} record batches, its metadata says {len(firsts)}")
    counts = np.zeros((3, chunks), np.int64)
    last: tuple[int, int, int] | None = None
    for number, first in enumerate(firsts):
        batch = reader.get_batch(number)
        check_batch(batch, first, chunks)
        key, row = batch["shuffle_key"].to_numpy(), batch["row"].to_numpy()
        chunk = batch["file"].to_numpy() if file.is_merged else np.zeros(len(row), np.int32)
        _check_shuffle_keys(file.chunks, key, chunk, row)
        last = _check_order(last, key, chunk, row)
        sizes = (np.ones(len(row)), batch["num_tokens"].to_numpy(), batch["num_bytes"].to_numpy())
        counts += np.array([np.bincount(chunk, size, chunks) for size in sizes]).astype(np.int64)
    for info, counted in zip(file.chunks, counts.T.tolist(), strict=True):
        _compare(info, counted)


def _check_shuffle_keys(chunks: list[RunInfo], key: np.ndarray, chunk: np.ndarray, row: np.ndarray) -> None:
    """Hashes the shuffle key of each document again."""
    for number in np.unique(chunk).tolist():
        own, info = chunk == number, chunks[number]
        if not np.array_equal(shuffle_keys(info.source, info.path, row[own]), key[own]):
            raise ValueError(f"a shuffle key that is not that of its row of {info.source}/{info.path}")


def _check_order(
    last: tuple[int, int, int] | None, key: np.ndarray, chunk: np.ndarray, row: np.ndarray
) -> tuple[int, int, int]:
    """Checks that (shuffle key, chunk, row) ascends, after that of the last document; returns the new last one."""
    equal = np.flatnonzero(key[1:] == key[:-1])
    ascends = (chunk[equal] < chunk[equal + 1]) | ((chunk[equal] == chunk[equal + 1]) & (row[equal] < row[equal + 1]))
    if not ascends.all() or (last is not None and last >= (int(key[0]), int(chunk[0]), int(row[0]))):
        raise ValueError("its documents are not in order, or one of them stands there twice")
    return int(key[-1]), int(chunk[-1]), int(row[-1])


def _compare(info: RunInfo, counted: list[int]) -> None:
    """Compares what is said of a chunk with its rows, tokens and bytes of text."""
    dropped = sum(info.dropped.values())
    pairs = [
        ("documents", info.rows, counted[0]),
        ("tokens", info.tokens, counted[1]),
        ("bytes of text", info.text_bytes, counted[2]),
        ("records", info.rows_read, counted[0] + dropped),
    ]
    for what, said, is_there in pairs:
        if said != is_there:
            raise ValueError(f"its metadata says {said:,} {what} of {info.path}, there are {is_there:,}")
