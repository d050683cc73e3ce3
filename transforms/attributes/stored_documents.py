"""The documents of the token store with their texts, which are read again from the raw corpora.

```
raw file      row 0 "How to"   row 1 ""   row 2 "Knead"          a run has no texts, only tokens
its run       row 2, row 0                                      row 1 was dropped
documents     row 0, shuffle key 9, "How to"    row 2, shuffle key 3, "Knead"
```

What is read, formatted and cut into chunks is what `byline prepare` had; documents that it dropped are not given.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.corpora import Source
from byline.schemas.documents import NUM_TOKENS, BatchInfo, InputFile, info_of, with_info
from byline.schemas.store import SHUFFLE_KEY, RunInfo
from byline.transforms.corpora.chunks import check_unchanged
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.reading import read_batches, read_texts
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.opening import open_formatter
from byline.transforms.store.run_reading import open_run

_KEYS = ("shuffle_key", "row", "file")


@dataclass(frozen=True)
class StoredChunk:
    """A chunk of an input file in the token store.

    Attributes:
        info: what its run says.
        number: of the chunk in its run; 0 unless the run is merged.
    """

    info: RunInfo
    number: int = 0


@dataclass(frozen=True)
class StoredFile:
    """An input file and its chunks whose documents are wanted."""

    file: InputFile
    chunks: tuple[StoredChunk, ...]

    def to_json(self) -> str:
        """As a line."""
        chunks = [[chunk.info.chunk, chunk.info.uri, chunk.number, chunk.info.rows_read] for chunk in self.chunks]
        return json.dumps({"file": asdict(self.file), "chunks": chunks})

    @classmethod
    def from_json(cls, line: str) -> "ListedFile":
        """What a worker knows of it."""
        values = json.loads(line)
        file = InputFile(**{**values["file"], "done": tuple(values["file"]["done"])})
        return ListedFile(file, {chunk: (uri, number, rows) for chunk, uri, number, rows in values["chunks"]})


@dataclass(frozen=True)
class ListedFile:
    """A `StoredFile` as a worker reads it from its line.

    Attributes:
        file: the input file.
        chunks: chunk -> address of its run, its number in it, and the records that it was made from.
    """

    file: InputFile
    chunks: Mapping[int, tuple[str, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What workers need to read documents; picklable.

    Attributes:
        sources: their settings, without patterns.
    """

    sources: Mapping[str, Source]

    @classmethod
    def of(cls, config: Config) -> "Reading":
        """That of a configuration."""
        return cls({name: source.model_copy(update={"path": []}) for name, source in config.sources.items()})


def stored_documents(listed: ListedFile, reading: Reading, *, with_hosts: bool = True) -> Iterator[pa.RecordBatch]:
    """The documents of an input file that are in the token store, chunk by chunk.

    Args:
        listed: the file, of `StoredFile.from_json`.
        reading: of the configuration.
        with_hosts: whether to give `host` and `registered_domain`.

    Yields:
        For each wanted chunk with documents: `row` (int64, ascending), `shuffle_key` (uint64), `num_tokens` (int32, in
        the token store), `text` (large_string), `url`, `host`, `registered_domain`, scores and kept fields of the raw
        file, `loss_spans` and `special_spans` of a formatter; with a `BatchInfo`.

    Raises:
        BylineError: the file cannot be read, or has changed since it was prepared.
    """
    source = reading.sources[listed.file.source]
    formatter = None
    if source.formatter is not None:
        formatter = open_formatter(listed.file.source, source.formatter, source.malformed)
    highest = max(listed.chunks, default=-1)
    skipped = tuple(number for number in range(highest) if number not in listed.chunks)
    for batch in read_batches(replace(listed.file, done=skipped), source):
        info = info_of(batch)
        if info.chunk in listed.chunks:
            uri, number, records = listed.chunks[info.chunk]
            formatted = batch if formatter is None else format_batch(batch, formatter)
            yield _stored(extract_metadata(formatted) if with_hosts else formatted, uri, number, records)
        if info.chunk >= highest:
            return


def stored_texts(
    listed: ListedFile, reading: Reading, rows: Mapping[int, np.ndarray]
) -> Iterator[tuple[BatchInfo, pa.Array]]:
    """Texts of some documents of an input file, chunk by chunk.

    Args:
        listed: the file, of `StoredFile.from_json`.
        reading: of the configuration.
        rows: chunk -> the rows of its documents that are wanted, int64 [n], ascending, one at least.

    Yields:
        The chunk, of which its source, path and number are known, and large_string [n].

    Raises:
        BylineError: as of `stored_documents`.
    """
    if not rows:
        return
    wanted = np.concatenate([rows[chunk] for chunk in sorted(rows)])
    texts = read_texts(listed.file, reading.sources[listed.file.source], wanted)
    if texts is None:
        chunks = {chunk: listed.chunks[chunk] for chunk in rows}
        yield from _texts_of_all(replace(listed, chunks=chunks), reading, rows)
    else:
        yield from _texts_by_chunk(texts, listed, rows)
    # Chunks behind the last one that is wanted are not read, where the end of the file would tell.
    check_unchanged(listed.file)


def _texts_by_chunk(
    texts: Iterator[pa.Array], listed: ListedFile, rows: Mapping[int, np.ndarray]
) -> Iterator[tuple[BatchInfo, pa.Array]]:
    pieces: list[pa.Array] = []
    for chunk in sorted(rows):
        count = len(rows[chunk])
        while sum(map(len, pieces)) < count:
            piece = next(texts, None)
            if piece is None or piece.null_count:
                raise _changed(listed.file.path, chunk)
            pieces.append(piece)
        joined = pa.concat_arrays(pieces)
        pieces = [joined.slice(count)]
        yield BatchInfo(listed.file.source, listed.file.path, chunk), joined.slice(0, count)


def _texts_of_all(
    listed: ListedFile, reading: Reading, rows: Mapping[int, np.ndarray]
) -> Iterator[tuple[BatchInfo, pa.Array]]:
    for batch in stored_documents(listed, reading, with_hosts=False):
        info = info_of(batch)
        yield info, batch["text"].take(pa.array(np.searchsorted(batch["row"].to_numpy(), rows[info.chunk])))


def stored_columns(listed: ListedFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The same documents with columns of their runs alone, for which no raw corpus is read.

    Args:
        listed: the file, of `StoredFile.from_json`.
        columns: of the run, besides `row` and `shuffle_key`; those that it does not have are left out.

    Yields:
        For each wanted chunk: `row` (int64, ascending), `shuffle_key` and the columns; with a `BatchInfo`.
    """
    for chunk, (uri, number, _) in sorted(listed.chunks.items()):
        documents = _of_chunk(open_run(uri, sorted({*_KEYS, *columns})).whole(), number)
        names = [name for name in documents.schema.names if name != "file"]
        ordered = documents.select(names).take(pa.array(np.argsort(documents["row"].to_numpy())))
        yield with_info(ordered, BatchInfo(listed.file.source, listed.file.path, chunk))


def _of_chunk(documents: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """Those of one chunk of a run."""
    if "file" not in documents.schema.names:
        return documents
    return documents.filter(pa.array(documents["file"].to_numpy() == number))


def _stored(batch: pa.RecordBatch, uri: str, number: int, records: int) -> pa.RecordBatch:
    """The documents of a batch that are in its run, with their shuffle keys."""
    info = info_of(batch)
    if info.rows_read != records:
        raise BylineError(
            f"{info.path}: chunk {info.chunk} has {info.rows_read:,} records, it had {records:,} when it was prepared; "
            "the file has changed: run `byline prepare`"
        )
    index = _of_chunk(open_run(uri, (*_KEYS, NUM_TOKENS.name)).whole(), number)
    index = index.take(pa.array(np.argsort(index["row"].to_numpy())))
    rows = index["row"].to_numpy()
    numbers = np.searchsorted(batch["row"].to_numpy(), rows)
    numbers = np.minimum(numbers, max(batch.num_rows - 1, 0))
    if len(rows) and (batch.num_rows == 0 or not np.array_equal(batch["row"].to_numpy()[numbers], rows)):
        raise _changed(info.path, info.chunk)
    # Most chunks keep all their documents, which are not copied then.
    stored = batch if len(numbers) == batch.num_rows else batch.take(pa.array(numbers))
    for column in (SHUFFLE_KEY, NUM_TOKENS):
        stored = stored.append_column(column, index[column.name])
    return with_info(stored, info)


def _changed(path: str, chunk: int) -> BylineError:
    return BylineError(
        f"{path}: chunk {chunk} lacks documents that it had when it was prepared; the file, or what formats it, has "
        "changed: run `byline prepare`"
    )
