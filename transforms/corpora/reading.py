"""Reads raw corpora: an input file -> document batches, each one chunk of the file (`byline.schemas.documents`).

What a chunk is, `chunks.py` says. How a file is read, and where `text` and `url` stand in its records, the source's
layout says (`byline.schemas.layouts`); `fields` of the source changes the names, for every layout. A url, score or kept
field that a file lacks is that of its folders (`folder_keys.py`), or null.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from byline.schemas.corpora import KeptType, Source
from byline.schemas.documents import (
    FORMATTED,
    LOSS_SPANS,
    RECORD_FIELDS,
    SCORE_TYPE,
    SPECIAL_SPANS,
    TEXT,
    URL,
    InputFile,
)
from byline.schemas.layouts import Records
from byline.transforms.corpora.chunks import TARGET_BYTES, cut_chunks
from byline.transforms.corpora.folder_keys import with_folder_keys

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
        target_bytes: bytes of a chunk, about.

    Yields:
        Document batches `row text url <scores> <kept fields>`, behind them `messages`, `question` or `answer` where
        `fields` names them, with a `BatchInfo`; of additions, `row text url loss_spans special_spans problem`.

    Raises:
        BylineError: a file that cannot be read, or a record that is malformed (see the readers of the layouts).
    """
    schema, _ = wanted_columns(source)
    yield from cut_chunks(read_records(file, source), file, source, schema, target_bytes)


def read_records(file: InputFile, source: Source) -> Iterable[Records]:
    """The records of a file in the blocks that its layout gives: the columns of `wanted_columns`."""
    schema, paths = wanted_columns(source)
    return with_folder_keys(source.layout.read(file, source, schema, paths), file, paths)


def read_texts(file: InputFile, source: Source, rows: np.ndarray) -> Iterator[pa.Array] | None:
    """Texts of some records of a file, where that is less work than reading all of them; else None.

    Args:
        file: the file.
        source: how it is laid out.
        rows: int64 [n], numbers of records, ascending; none of them is malformed.

    Yields:
        large_string, as many as the file has of them, some at a time.
    """
    if source.layout.read_rows is None or source.formatter is not None:
        return None
    _, paths = wanted_columns(source)
    schema = pa.schema([TEXT])
    batches = source.layout.read_rows(file, source, schema, {"text": paths["text"]}, rows)
    return (batch["text"] for batch in batches)


def wanted_columns(source: Source) -> tuple[pa.Schema, dict[str, str]]:
    """The columns to read from a source's files (all but `row`), and where each stands in a record."""
    if source.is_made:
        made = [pa.field(name, _KEPT[kind]) for name, kind in source.made_fields.items()]
        return pa.schema([TEXT, URL, LOSS_SPANS, SPECIAL_SPANS, *made]), {}
    formatted = [RECORD_FIELDS[name].column for name in FORMATTED if name in source.fields]
    fields = [URL] if formatted and "text" not in source.fields else [TEXT, URL]
    fields += [pa.field(name, SCORE_TYPE) for name in source.score]
    fields += [pa.field(name, _KEPT[kept.type]) for name, kept in source.keep.items()]
    fields += formatted
    paths = {"text": "text", "url": "url", **source.layout.fields, **source.fields, **source.score, **source.kept_paths}
    return pa.schema(fields), {field.name: paths[field.name] for field in fields}
