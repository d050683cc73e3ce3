"""Reads raw corpora: an input file -> document batches, each one chunk of the file (`byline.schemas.documents`).

A chunk is about 64 MiB of text (and of messages, questions and answers, where a formatter makes a text of those). Where
it begins is decided by the texts alone, never by how the file was read, so a chunk has the same records however often
and wherever it is read again. With c(r) the bytes of text before record r, records of equal `floor(c / target)` are one
chunk, and chunks are numbered from 0 without gaps:

```
target = 10      row        0   1   2   3   4   5
                 bytes      4   5   7  25   -   3         (- is null or malformed: no bytes)
                 c          0   4   9  16  41  41
                 c // 10    0   0   0   1   4   4
                 chunk      0   0   0   1   2   2 (last)
```

A file without records is one empty chunk, so that it is counted as well.

How a file is read, and where `text` and `url` stand in its records, the source's layout says
(`byline.schemas.layouts`); `fields` of the source changes the names, for every layout. A url, score or kept field that
a file lacks is that of its folders (`folder_keys.py`), or null.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import byline.transforms.documents.coder  # noqa: F401  (registers the coders of the edges)
from byline.errors import BylineError
from byline.schemas.corpora import KeptType, Source
from byline.schemas.documents import (
    CONTENTS,
    FORMATTED,
    LOSS_SPANS,
    RECORD_FIELDS,
    ROW,
    SCORE_TYPE,
    SPECIAL_SPANS,
    TEXT,
    URL,
    BatchInfo,
    InputFile,
    with_info,
)
from byline.schemas.faults import FaultyFileError, NoteFault
from byline.schemas.layouts import Records
from byline.schemas.reasons import DropReason
from byline.transforms.corpora.folder_keys import with_folder_keys
from byline.transforms.corpora.returning import Returning
from byline.transforms.files import storage

# One chunk makes one run of the token store: few runs for a corpus, and a worker's memory holds a chunk several times.
TARGET_BYTES = 64 << 20

_KEPT: dict[KeptType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}


def read_batches(file: InputFile, source: Source, target_bytes: int = TARGET_BYTES) -> Iterator[pa.RecordBatch]:
    """Reads a file in chunks; holds about one chunk and one block at a time (two chunks while one is joined).

    Args:
        file: the file; its chunks in `done` are counted but not given.
        source: how it is laid out.
        target_bytes: bytes of text in a chunk, about.

    Yields:
        Document batches `row text url <scores> <kept fields>`, behind them `messages`, `question` or `answer` where
        `fields` names them, with a `BatchInfo`; of additions, `row text url loss_spans special_spans`.

    Raises:
        BylineError: a file that cannot be read, or a record that is malformed (see the readers of the layouts).
    """
    schema, _ = wanted_columns(source)
    yield from cut_chunks(read_records(file, source), file, schema, target_bytes)


def read_records(file: InputFile, source: Source) -> Iterable[Records]:
    """The records of a file in the blocks that its layout gives: the columns of `wanted_columns`."""
    schema, paths = wanted_columns(source)
    return with_folder_keys(source.layout.read(file, source, schema, paths), file, paths)


def wanted_columns(source: Source) -> tuple[pa.Schema, dict[str, str]]:
    """The columns to read from a source's files (all but `row`), and where each stands in a record."""
    if source.is_made:
        return pa.schema([TEXT, URL, LOSS_SPANS, SPECIAL_SPANS]), {}
    formatted = [RECORD_FIELDS[name].column for name in FORMATTED if name in source.fields]
    fields = [URL] if formatted and "text" not in source.fields else [TEXT, URL]
    fields += [pa.field(name, SCORE_TYPE) for name in source.score]
    fields += [pa.field(name, _KEPT[kept.type]) for name, kept in source.keep.items()]
    fields += formatted
    paths = {"text": "text", "url": "url", **source.layout.fields, **source.fields, **source.score, **source.kept_paths}
    return pa.schema(fields), {field.name: paths[field.name] for field in fields}


@dataclass
class _Chunk:
    """A chunk in the making: its rows so far, and what they are."""

    number: int = 0
    quotient: int = 0
    pieces: list[pa.RecordBatch] = field(default_factory=list)
    rows_read: int = 0
    bytes_read: int = 0
    malformed: int = 0


def cut_chunks(
    blocks: Iterable[Records], file: InputFile, schema: pa.Schema, target_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Cuts a file's records, however they come in blocks, into chunks.

    Args:
        blocks: batches of `schema`, each with a mask of its malformed records; those are counted and dropped.
        file: where they come from.
        schema: of the blocks, all columns but `row`.
        target_bytes: bytes of text in a chunk, about.
    """
    chunk = _Chunk()
    row = total = 0
    records: Returning[Records, str | None] = Returning(blocks)
    for batch, malformed in records:
        sizes = _text_bytes(batch)
        ends = total + np.cumsum(sizes)
        quotients = (ends - sizes) // target_bytes
        for low, high in _equal(quotients):
            if quotients[low] != chunk.quotient:
                yield from _finished(chunk, file, schema, last=False)
                chunk = _Chunk(chunk.number + 1, int(quotients[low]))
            chunk.rows_read += high - low
            chunk.bytes_read += int(sizes[low:high].sum())
            chunk.malformed += int(malformed[low:high].sum())
            if chunk.number not in file.done:
                chunk.pieces.append(_piece(batch, malformed, row, low, high))
        row, total = row + len(batch), int(ends[-1])
    _check_unchanged(file)
    yield from _finished(chunk, file, schema, last=True, checksum=records.value or "")


def _check_unchanged(file: InputFile) -> None:
    """Raises for a file that is no longer the one that was listed: the last chunk says that all of it was read."""
    if file.modified and storage.modified(file.uri) != file.identity:
        raise FaultyFileError(
            f"{file.uri}: has changed since it was listed, while it was read or before; prepare it again when nobody "
            "writes to it"
        )


def _text_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """Bytes of what each document is made of, in UTF-8, int64[rows]; a null has none."""
    sizes = np.zeros(len(batch), np.int64)
    for name in CONTENTS:
        if name == "messages" and name in batch.schema.names:
            sizes += _message_bytes(batch[name])
        elif name in batch.schema.names:
            sizes += _sizes(batch[name])
    return sizes


def _sizes(texts: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _message_bytes(messages: pa.ListArray) -> np.ndarray:
    """Bytes of the contents of each row's messages."""
    lengths = pc.fill_null(pc.list_value_length(messages), 0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(_sizes(pc.struct_field(messages.flatten(), "content")))])
    return np.diff(ends[np.concatenate([[0], np.cumsum(lengths)])])


def _equal(values: np.ndarray) -> list[tuple[int, int]]:
    """Where stretches of equal values begin and end."""
    cuts = (np.flatnonzero(np.diff(values)) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(values)], strict=True))


def _piece(batch: pa.RecordBatch, malformed: np.ndarray, row: int, low: int, high: int) -> pa.RecordBatch:
    """Rows `low` to `high` of a batch whose first record is number `row`, without the malformed ones."""
    rows = pa.array(np.arange(row + low, row + high, dtype=np.int64))
    arrays = [rows, *batch.slice(low, high - low).columns]
    piece = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([ROW, *batch.schema]))
    bad = malformed[low:high]
    return piece.filter(pa.array(~bad)) if bad.any() else piece


def _finished(
    chunk: _Chunk, file: InputFile, schema: pa.Schema, last: bool, checksum: str = ""
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
    )
    info = info.with_dropped({DropReason.MALFORMED.value: chunk.malformed})
    yield with_info(_joined(chunk, file, pa.schema([ROW, *schema])), info)


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


class _ReadFile(beam.DoFn):
    """`read_batches` for the source that a file is of."""

    def __init__(self, sources: dict[str, Source], target_bytes: int, note: NoteFault | None) -> None:
        self._sources = sources
        self._target_bytes = target_bytes
        self._note = note

    def process(self, file: InputFile) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_batches(file, self._sources[file.source], self._target_bytes)
        except FaultyFileError as fault:
            if self._note is None:
                raise
            self._note(file.source, file.path, fault)


@beam.typehints.with_input_types(InputFile)
@beam.typehints.with_output_types(pa.RecordBatch)
class ReadCorpus(beam.PTransform):
    """Input files -> document batches.

    Args:
        sources: the configuration of every source that a file may be of.
        target_bytes: bytes of text in a batch, about.
        note: called with a file's source, its path and its fault, so that the other files are read; without, a fault
            ends the job.
    """

    def __init__(
        self, sources: dict[str, Source], target_bytes: int = TARGET_BYTES, note: NoteFault | None = None
    ) -> None:
        super().__init__()
        self._settings = (sources, target_bytes, note)

    def expand(self, files: beam.PCollection[InputFile]) -> beam.PCollection[pa.RecordBatch]:
        return files | "ReadFile" >> beam.ParDo(_ReadFile(*self._settings))
