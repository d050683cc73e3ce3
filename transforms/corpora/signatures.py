"""Kinds of file that are no JSON lines, or no Parquet, named by their first bytes, and what to do with each.

```
"WARC/1.0\\r\\n..."      a WARC file; extract its texts, with trafilatura or resiliparse for example
02 21 4c 18 ...         compressed with lz4's legacy format; recompress it: lz4 -dc FILE | zstd -o FILE.zst
7b 00 22 00 ...         UTF-16 text; turn it into UTF-8
a,b,c                   CSV, most likely: told only where no record can be read
```
"""

import codecs
import re

from byline.transforms.corpora.decoding import MAGIC
from byline.transforms.files.storage import open_unmapped

_TO_PARQUET = "write it as Parquet, and set `format: parquet`"
_RECOMPRESS = "recompress it, with `{} FILE | zstd -o FILE.zst` for example"
_PARQUET = b"PAR1"
# (where it stands, the bytes, what the file is)
_SIGNATURES = (
    (0, _PARQUET, "a Parquet file; set `format: parquet`"),
    (0, b"PK\x03\x04", "a zip archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (0, b"WARC/", "a WARC file; extract its texts as JSON lines, with resiliparse or trafilatura for example"),
    (0, b"\x02\x21\x4c\x18", "compressed with lz4's legacy format; " + _RECOMPRESS.format("lz4 -dc")),
    (0, b"\xff\x06\x00\x00sNaPpY", "compressed with snappy; " + _RECOMPRESS.format("snzip -dc")),
    (0, b"LZIP", "compressed with lzip; " + _RECOMPRESS.format("lzip -dc")),
    (0, b"\x89LZO\x00", "compressed with lzop; " + _RECOMPRESS.format("lzop -dc")),
    (0, b"\x1f\x9d", "compressed with compress (.Z); " + _RECOMPRESS.format("gzip -dc")),
    (0, b"ARROW1\x00\x00", f"an Arrow IPC file; {_TO_PARQUET}"),
    (0, b"Obj\x01", f"an Avro file; {_TO_PARQUET}"),
    (0, b"ORC", f"an ORC file; {_TO_PARQUET}"),
    (0, b"SQLite format 3\x00", "an SQLite database; write its rows as JSON lines"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file; write its rows as JSON lines"),
    (0, b"%PDF-", "a PDF document; extract its text as JSON lines"),
    (0, b"PARE", "a Parquet file that is encrypted; decrypt it, and set `format: parquet`"),
    (0, b"FEA1", f"a Feather file; {_TO_PARQUET}"),
    (0, b"\xff\xff\xff\xff", f"an Arrow IPC stream; {_TO_PARQUET}"),
    (0, b"\x93NUMPY", "a NumPy array; write texts as JSON lines"),
    (
        0,
        b"version https://git-lfs.github.com/",
        "a pointer of Git LFS, not the file; run `git lfs pull`",
    ),
    (0, b"\x1e{", "a JSON text sequence; remove its separators, with `tr -d '\\036' < FILE` for example"),
)
_TO_UTF8 = "turn it into UTF-8, with `iconv -f {} -t UTF-8 FILE` for example"
# Byte order marks, and how `{`, `[` or a line end and a character of ASCII begin in wide characters.
_WIDE = (
    ("UTF-32", re.compile(rb"\xff\xfe\0\0|\0\0\xfe\xff|[{\[\s]\0\0\0|\0\0\0[{\[\s]")),
    ("UTF-16", re.compile(rb"\xff\xfe|\xfe\xff")),
    ("UTF-16LE", re.compile(rb"[{\[\s]\0[^\0]\0")),
    ("UTF-16BE", re.compile(rb"\0[{\[\s]\0[^\0]")),
)
_MARKUP = re.compile(rb"\s*(?:<!doctype html|<html|<head|<\?xml|<!--)", re.IGNORECASE)
# zstd before 0.8 had another first byte with each version.
_OLD_ZSTD = tuple(bytes([first]) + b"\xb5\x2f\xfd" for first in range(0x1E, 0x28))
# Of how many bytes a file is told.
HEAD_BYTES = 512


def is_parquet(uri: str) -> bool:
    """Whether a file begins as Parquet does."""
    with open_unmapped(uri) as source:
        return bytes(source.read(len(_PARQUET))) == _PARQUET


def foreign_format(head: bytes) -> str | None:
    """What a file is that is neither JSON lines nor compressed in a way that is read, and what to do with it.

    Args:
        head: its first bytes, `HEAD_BYTES` of them if there are as many.

    Returns:
        None for any other file.
    """
    if head.startswith(_OLD_ZSTD):
        return "compressed with a version of zstd before 0.8; " + _RECOMPRESS.format("zstd -dc")
    for at, magic, kind in _SIGNATURES:
        if head[at : at + len(magic)] == magic:
            return kind
    for encoding, begin in _WIDE:
        if begin.match(head):
            return f"{encoding} text; {_TO_UTF8.format(encoding)}"
    if _MARKUP.match(head.removeprefix(codecs.BOM_UTF8)):
        return "HTML or XML, perhaps of an error where the file was to be fetched; fetch it again, or extract its texts"
    return None


def likely_format(head: bytes) -> str | None:
    """What a file most likely is of which no record can be read; as `foreign_format`."""
    if (kind := foreign_format(head)) is not None:
        return kind
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")[:-1] or [head]
    if b"\0" in head:
        return "binary data"
    if any(line.lstrip().startswith((b"{", b"[")) for line in lines):
        return None
    for separator, name in ((b"\t", "TSV"), (b",", "CSV"), (b";", "CSV")):
        counts = {line.count(separator) for line in lines if line.strip()}
        if counts and min(counts) > 0:
            return f"{name}, most likely; write its rows as JSON lines or Parquet"
    return (
        "plain text, most likely; write it as JSON lines, with the text of each document under a key" if head else None
    )


def format_of(head: bytes) -> str:
    """What a file is that is no Parquet."""
    if not head:
        return "an empty file"
    if (kind := foreign_format(head)) is not None:
        return kind
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        return "JSON; set `format: jsonl`"
    codec = next((codec for magic, codec in MAGIC.items() if head.startswith(magic)), None)
    if codec is not None:
        return f"compressed with {codec}; decompress it, for Parquet is compressed inside, or set `format: jsonl`"
    return likely_format(head) or "something else"
