"""Kinds of file that are no JSON lines, named by their first bytes, and what to do with each.

```
"WARC/1.0\\r\\n..."      a WARC file; extract its texts, with trafilatura or resiliparse for example
02 21 4c 18 ...         compressed with lz4's legacy format; recompress it: lz4 -dc FILE | zstd -o FILE.zst
```
"""

_RECOMPRESS = "recompress it, with `{} FILE | zstd -o FILE.zst` for example"
# (where it stands, the bytes, what the file is)
_SIGNATURES = (
    (0, b"PAR1", "a Parquet file; set `format: parquet`"),
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
    (0, b"ARROW1\x00\x00", "an Arrow IPC file; write it as Parquet, and set `format: parquet`"),
    (0, b"Obj\x01", "an Avro file; write it as Parquet, and set `format: parquet`"),
    (0, b"ORC", "an ORC file; write it as Parquet, and set `format: parquet`"),
    (0, b"SQLite format 3\x00", "an SQLite database; write its rows as JSON lines"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file; write its rows as JSON lines"),
    (0, b"%PDF-", "a PDF document; extract its text as JSON lines"),
)
# zstd before 0.8 had another first byte with each version.
_OLD_ZSTD = tuple(bytes([first]) + b"\xb5\x2f\xfd" for first in range(0x1E, 0x28))
# Of how many bytes a file is told.
HEAD_BYTES = 512


def foreign_format(head: bytes) -> str | None:
    """What a file is that is neither JSON lines nor compressed in a way that is read, and what to do with it.

    Args:
        head: its first bytes, `HEAD_BYTES` of them if there are as many.

    Returns:
        None for any other file.
    """
    if head.startswith(_OLD_ZSTD):
        return "compressed with a version of zstd before 0.8; " + _RECOMPRESS.format("zstd -dc")
    return next((kind for at, magic, kind in _SIGNATURES if head[at : at + len(magic)] == magic), None)
