"""Reads raw corpora one record at a time, as docs/formats.md (Documents) defines rows and drops.

```
data/c4/x.json.gz       {"text": "Hello", "url": "http://a.org"}       row 0    kept
                        (a blank line)                                          no row
                        {"url": "http://b.org"}                        row 1    missing_text
                        {"text": " \\n"}                                row 2    empty_text
                        {"text": 5}                                    row 3    malformed
```
"""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import zstandard

FIELDS = {
    "dclm": {"text": "text", "url": "url"},
    "c4": {"text": "text", "url": "url"},
    "refinedweb": {"text": "content", "url": "url"},
    "jsonl": {"text": "text", "url": "url"},
    "parquet": {"text": "text", "url": "url"},
}
PARQUET = ("refinedweb", "parquet")
JSON_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class RawDocument:
    """One record of an input file.

    Attributes:
        path: relative to the source's root, `/` between parts.
        row: number of the record in its file, from 0.
        text, url: None where null or absent.
        record: the whole record; None for one that is not of the layout.
    """

    source: str
    path: str
    row: int
    text: str | None
    url: str | None
    record: dict[str, Any] | None


def read_documents(
    source: str, layout: str, files: Iterable[tuple[str, str | Path]], fields: dict[str, str] | None = None
) -> Iterator[RawDocument]:
    """Reads every record of a source, malformed and empty ones included.

    Args:
        layout: a key of `FIELDS`.
        files: (relative path, absolute path).
        fields: where `text` and `url` stand, if not where the layout has them; a dot goes into a struct.
    """
    places = {**FIELDS[layout], **(fields or {})}
    for path, file in files:
        records = _parquet_records(file) if layout in PARQUET else _json_records(file)
        for row, record in enumerate(records):
            yield _document(source, path, row, record, places)


def drop_reason(document: RawDocument, tokens: list[int] | None = None) -> str | None:
    """Why a document does not reach the token store; None if it does. Without `tokens`, `no_tokens` is not asked."""
    if document.record is None:
        return "malformed"
    if document.text is None:
        return "missing_text"
    if document.text.strip() == "":
        return "empty_text"
    if tokens is not None and not tokens:
        return "no_tokens"
    return None


def _document(source: str, path: str, row: int, record: Any, places: dict[str, str]) -> RawDocument:
    try:
        text, url = (_string_at(record, places[name]) for name in ("text", "url"))
    except ValueError:
        return RawDocument(source, path, row, None, None, None)
    return RawDocument(source, path, row, text, url, record)


def _string_at(record: Any, place: str) -> str | None:
    """The string at `a.b.c`, or None; ValueError for a record, a struct or a string of another type."""
    value = record
    for name in place.split("."):
        if not isinstance(value, dict):
            raise ValueError(f"{place}: not a struct")
        value = value.get(name)
        if value is None:
            return None
    if not isinstance(value, str):
        raise ValueError(f"{place}: not a string")
    value.encode()  # half a surrogate pair is no text: UnicodeEncodeError is a ValueError
    return value


def _parquet_records(file: str | Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=256):
        yield from batch.to_pylist()


def _json_records(file: str | Path) -> Iterator[Any]:
    with open(file, "rb") as raw:
        for line in _decompressed(raw, str(file)):
            if line.strip(JSON_SPACE):
                yield _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode(), parse_constant=_refuse)
    except ValueError:
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _decompressed(raw: BinaryIO, name: str) -> Iterable[bytes]:
    """The lines of a file, each with its end."""
    if name.endswith(".gz"):
        return gzip.open(raw)
    if name.endswith(".zst"):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw
