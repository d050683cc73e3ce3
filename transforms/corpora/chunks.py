"""Cuts a file's records, however they come in blocks, into chunks, each of which makes one run of the token store.

A chunk is about 64 MiB of records. Where it begins is decided by the records alone, never by how the file was read, so
a chunk has the same records however often and wherever it is read again. A record has the bytes of its text (and of
messages, questions and answers, where a formatter makes a text of those), of its URL and its kept texts, and
`RECORD_BYTES` for all else that memory holds of it; one that is malformed or too long has only these. With c(r) the
bytes before record r, records of equal `floor(c / target)` are one chunk, and chunks are numbered from 0 without gaps:

```
target = 100     row        0   1   2    3    4    5
                 text       4  40  10  125    -    3         (- is null or malformed: no bytes)
                 bytes     68 104  74  189   64   67
                 c          0  68 172  246  435  499
                 c // 100   0   0   1    2    4    4
                 chunk      0   0   1    2    3    3 (last)
```

A file without records is one empty chunk, so that it is counted as well.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.corpora import Damaged, Malformed, Source
from byline.schemas.documents import CONTENTS, ROW, BatchInfo, InputFile, with_info
from byline.schemas.faults import FaultyFileError
from byline.schemas.layouts import Records
from byline.schemas.reasons import DropReason
from byline.transforms.corpora.returning import Returning
from byline.transforms.documents.rejects import reject_batch, with_rejects
from byline.transforms.documents.text_parts import is_blank, list_lengths
from byline.transforms.documents.values import too_long_error
from byline.transforms.files import storage

# One chunk makes one run of the token store: few runs for a corpus, and a worker's memory holds a chunk several times.
TARGET_BYTES = 64 << 20
# What memory holds of a record beside its texts: numbers, offsets, hashes. A chunk has at most a million records.
RECORD_BYTES = 64
# A file is given up when more of its first chunk than this share are rejects, if the chunk has so many records.
_MOST_REJECTED, _TRIED_RECORDS = 0.5, 10_000
# Of rejects.
_REASONS = pa.array(
    [
        reason.value
        for reason in (DropReason.MALFORMED, DropReason.TOO_LONG, DropReason.MISSING_TEXT, DropReason.EMPTY_TEXT)
    ]
)


@dataclass
class _Chunk:
    """A chunk in the making: its rows so far, and what they are."""

    number: int = 0
    quotient: int = 0
    pieces: list[pa.RecordBatch] = field(default_factory=list)
    rows_read: int = 0
    bytes_read: int = 0
    malformed: int = 0
    too_long: int = 0
    rejected: int = 0
    rejects: list[pa.RecordBatch] = field(default_factory=list)


def cut_chunks(
    blocks: Iterable[Records], file: InputFile, source: Source, schema: pa.Schema, target_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Cuts a file's records into chunks.

    Args:
        blocks: records with the columns of `schema`; malformed ones are counted and dropped.
        file: where they come from.
        source: of the file; a record longer than its `max_document` is counted and dropped, or an error.
        schema: of the blocks, all columns but `row`.
        target_bytes: bytes of a chunk, about.

    Raises:
        FaultyFileError: a record is too long, or the file is no longer the one that was listed.
    """
    chunk = _Chunk()
    row = total = 0
    records: Returning[Records, str | None] = Returning(blocks)
    damage: list[str] = []
    for block in _readable(records, source, damage):
        batch, malformed = block.batch, block.malformed
        sizes = _text_bytes(batch)
        too_long = sizes > source.max_document
        if block.too_long is not None:
            too_long |= block.too_long
        if too_long.any() and source.malformed is Malformed.ERROR:
            first = int(too_long.argmax())
            raise too_long_error(file.uri, file.source, f"row {row + first}", int(sizes[first]), source.max_document)
        dropped = malformed | too_long
        sizes[dropped] = 0
        rejects = _rejects(block, row, too_long, source)
        weights = np.where(dropped, RECORD_BYTES, RECORD_BYTES + sizes + _other_bytes(batch))
        ends = total + np.cumsum(weights)
        quotients = (ends - weights) // target_bytes
        for low, high in _equal(quotients):
            if quotients[low] != chunk.quotient:
                _check_usable(chunk, file, source)
                yield from _finished(chunk, file, schema, last=False)
                chunk = _Chunk(chunk.number + 1, int(quotients[low]))
            chunk.rows_read += high - low
            chunk.bytes_read += int(sizes[low:high].sum())
            chunk.malformed += int(malformed[low:high].sum())
            chunk.too_long += int((too_long & ~malformed)[low:high].sum())
            first, end = np.searchsorted(rejects["row"].to_numpy(), [row + low, row + high]).tolist()
            chunk.rejected += end - first
            if chunk.number not in file.done:
                chunk.pieces.append(_piece(batch, dropped, row, low, high))
                chunk.rejects.append(rejects.slice(first, end - first))
        row, total = row + len(batch), int(ends[-1])
    check_unchanged(file)
    _check_usable(chunk, file, source)
    yield from _finished(chunk, file, schema, last=True, checksum=records.value or "", damage="".join(damage))


def _readable(records: Iterable[Records], source: Source, damage: list[str]) -> Iterator[Records]:
    """The records that stand before any damage; `damage` gets what it is, where the source takes such files."""
    try:
        yield from records
    except FaultyFileError as fault:
        if not fault.is_damage or source.damaged is not Damaged.USE_READABLE:
            raise
        damage.append(str(fault))


def check_unchanged(file: InputFile) -> None:
    """Raises for a file that is no longer the one that was listed: the last chunk says that all of it was read."""
    if file.modified and storage.modified(file.uri) != file.identity:
        raise FaultyFileError(
            f"{file.uri}: has changed since it was listed, while it was read or before; prepare it again when nobody "
            "writes to it"
        )


def _check_usable(chunk: _Chunk, file: InputFile, source: Source) -> None:
    """Raises for a file of whose first records most are rejects: all of it would be read in vain."""
    share = max(_MOST_REJECTED, float(source.max_rejected))
    if chunk.number == 0 and chunk.rows_read >= _TRIED_RECORDS and chunk.rejected > share * chunk.rows_read:
        raise FaultyFileError(
            f"{file.uri}: {chunk.rejected:,} of its first {chunk.rows_read:,} records are no documents "
            f"(malformed {chunk.malformed:,}, too long {chunk.too_long:,}, without text "
            f"{chunk.rejected - chunk.malformed - chunk.too_long:,}); mend or remove it, or correct "
            f"sources.{file.source}.fields; `max_rejected: 100%` takes it as it is"
        )


# --- rejects


def _rejects(block: Records, row: int, too_long: np.ndarray, source: Source) -> pa.RecordBatch:
    """The rejects among records, the first of which is number `row`; a formatter's texts are not known yet."""
    is_rejected = block.malformed | too_long
    # Numbers of `_REASONS`, right for the rejects alone.
    reasons = np.where(block.malformed, 0, 1)
    if "text" in block.batch.schema.names and not source.is_formatted:
        text = block.batch["text"]
        is_empty = is_blank(text).to_numpy(zero_copy_only=False) & ~is_rejected
        if is_empty.any():
            reasons[is_empty] = np.where(text.is_null().to_numpy(zero_copy_only=False)[is_empty], 2, 3)
            is_rejected = is_rejected | is_empty
    rows = np.flatnonzero(is_rejected)
    known = (None, None, None) if block.origins is None or not len(rows) else block.origins.of(rows)
    return reject_batch(_REASONS.take(pa.array(reasons[rows])), pa.array(rows + row, pa.int64()), *known)


# --- sizes


def _text_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes of what each document is made of, in UTF-8, int64[rows]; a null has none."""
    sizes = np.zeros(len(batch), np.int64)
    for name in CONTENTS:
        if name == "messages" and name in batch.schema.names:
            sizes += _message_bytes(batch[name])
        elif name in batch.schema.names:
            sizes += _sizes(batch[name])
    return sizes


def _other_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes of each record's other texts, and what memory holds of its messages, int64[rows]."""
    sizes = np.zeros(len(batch), np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == "messages":
            sizes += RECORD_BYTES * list_lengths(column)
        elif name not in CONTENTS and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            sizes += _sizes(column)
    return sizes


def _sizes(texts: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _message_bytes(messages: pa.ListArray) -> np.ndarray:
    """Bytes of the contents of each row's messages."""
    ends = np.concatenate([[0], np.cumsum(_sizes(pc.struct_field(messages.flatten(), "content")))])
    return np.diff(ends[np.concatenate([[0], np.cumsum(list_lengths(messages))])])


def _equal(values: np.ndarray) -> list[tuple[int, int]]:
    """Where stretches of equal values begin and end."""
    cuts = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(values)], strict=True))


def _piece(batch: pa.RecordBatch, dropped: np.ndarray, row: int, low: int, high: int) -> pa.RecordBatch:
    """Rows `low` to `high` of a batch whose first record is number `row`, without the dropped ones."""
    rows = pa.array(np.arange(row + low, row + high, dtype=np.int64))
    arrays = [rows, *batch.slice(low, high - low).columns]
    piece = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([ROW, *batch.schema]))
    bad = dropped[low:high]
    return piece.filter(pa.array(~bad)) if bad.any() else piece


def _finished(
    chunk: _Chunk, file: InputFile, schema: pa.Schema, last: bool, checksum: str = "", damage: str = ""
) -> Iterator[pa.RecordBatch]:
    if chunk.number in file.done:
        return
    info = BatchInfo(
        source=file.source,
        path=file.path,
        chunk=chunk.number,
        last=last,
        input_size=file.size,
        rows_read=chunk.rows_read,
        bytes_read=chunk.bytes_read,
        input_modified=file.modified,
        input_checksum=checksum,
        damage=damage,
    )
    info = info.with_dropped({DropReason.MALFORMED.value: chunk.malformed, DropReason.TOO_LONG.value: chunk.too_long})
    yield with_rejects(with_info(_joined(chunk, file, pa.schema([ROW, *schema])), info), chunk.rejects)


def _joined(chunk: _Chunk, file: InputFile, schema: pa.Schema) -> pa.RecordBatch:
    """The chunk's rows as one batch; the pieces are let go."""
    batches = pa.Table.from_batches(chunk.pieces, schema).combine_chunks().to_batches()
    chunk.pieces.clear()
    if len(batches) > 1:
        raise BylineError(
            f"{file.uri}: chunk {chunk.number}: the kept fields of {chunk.rows_read} records take more than 2 GiB as "
            f"strings; keep fewer in sources.{file.source}.keep"
        )
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)
