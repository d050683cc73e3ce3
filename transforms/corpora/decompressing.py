"""Reads a file of lines: compressed or not -> blocks of whole lines, and where each begins.

```
a.json.gz   --gzip-->   BOM "ab" CR LF  LF  "c" LF  "de"           with blocks of about 8 bytes

offset   block                    lines (begin, end)
3        "ab" CR LF LF            (0, 2)                           a BOM at the very beginning is no part of the text
8        "c" LF "de" LF           (0, 1) (2, 4)                    a newline is put behind the end
```

A line ends with a newline. Its `\\r` before that is no part of it, and a line of nothing but spaces, tabs and carriage
returns is left out; a JSON array, and objects over several lines, are put on lines first (`json_framing.py`). Offsets
count bytes of the decompressed file. What the file is, its first bytes say, whatever its name:

| first bytes | the file is |
|---|---|
| `1f 8b`, `BZh`, `fd 37 7a 58 5a` | gzip, bz2, xz |
| `28 b5 2f fd`, `04 22 4d 18` | zstd, lz4: also behind skippable frames (`50` to `5f`, `2a 4d 18`) |
| those of `signatures.py`, also of the decompressed content | an error that says what it is: Parquet, zip, WARC |
| anything else | as it is |

A file that is damaged or cut short is an error that says how far it could be read, and so is a line of more than 1 GiB.
"""

from collections.abc import Generator, Iterator

import numpy as np

from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora.decoding import MAGIC, RawStream, decoded
from byline.transforms.corpora.json_framing import as_lines
from byline.transforms.corpora.signatures import HEAD_BYTES, foreign_format
from byline.transforms.files import storage

# One read: a piece stays in the processor's cache, and an error says where it is to within a piece.
_PIECE_BYTES = 1 << 20
# Arrow's parser counts a block's bytes in 31 bits; no document is as long.
_LINE_LIMIT = 1 << 30

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


def read_blocks(uri: str, block_bytes: int) -> Generator[tuple[int, bytes], None, str]:
    """Cuts the content of a file into blocks of whole lines.

    Args:
        uri: the file.
        block_bytes: about how long a block is to be; one with a long line is longer.

    Yields:
        The offset of each block in the decompressed file, and the block. It ends with a newline: one is put behind the
        end of the file, where it makes a blank line at worst.

    Returns:
        The checksum of the file (`RawStream.checksum`).

    Raises:
        FaultyFileError: the file cannot be read or decompressed, is of a kind that is not supported, or has a line of
            more than 1 GiB. Before an error that is damage the whole lines before it are given.
    """
    offset, size, parts = 0, 0, []
    raw = RawStream(uri)
    try:
        for piece in as_lines(_pieces(uri, raw, min(_PIECE_BYTES, block_bytes)), uri):
            parts.append(piece)
            size += len(piece)
            end = piece.rfind(b"\n") + 1 if size >= block_bytes else 0
            if end:
                parts[-1] = piece[:end]
                block = b"".join(parts)
                yield _without_bom(offset, block)
                offset, size, parts = offset + len(block), len(piece) - end, [piece[end:]]
            elif size > block_bytes + _LINE_LIMIT:
                raise FaultyFileError(
                    f"{uri}: a line of more than {_LINE_LIMIT} bytes behind byte {offset}; "
                    "expected one JSON object a line",
                    f"byte {offset}",
                )
    except FaultyFileError as fault:
        whole = b"".join(parts)
        whole = whole[: whole.rfind(b"\n") + 1]
        if fault.is_damage and whole:
            yield _without_bom(offset, whole)
        raise
    finally:
        raw.close()
    if size:
        yield _without_bom(offset, b"".join([*parts, b"\n"]))
    return raw.checksum


def line_bounds(block: bytes) -> np.ndarray:
    """Where the lines of a block are: int64[lines, 2], begin and end of each that is not blank, without `\\r\\n`."""
    data = np.frombuffer(block, np.uint8)
    pieces = range(0, len(data), _PIECE_BYTES)
    ends = np.concatenate([np.flatnonzero(data[at : at + _PIECE_BYTES] == ord("\n")) + at for at in pieces])
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == ord("\r")))
    keep = ends > starts
    for index in np.flatnonzero(keep & (data[starts] <= ord(" "))):
        keep[index] = block[starts[index] : ends[index]].strip(_BLANK) != b""
    return np.stack([starts[keep], ends[keep]], axis=1)


def _codec(uri: str) -> str | None:
    """The compression of a file by its first bytes, behind any skippable frames (zstd and lz4 have the same)."""
    with storage.open_unmapped(uri) as file:
        head = file.read(HEAD_BYTES)
        while head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:
            behind = file.tell() - len(head) + 8 + int.from_bytes(head[4:8], "little")
            file.seek(min(behind, file.size()))
            head = file.read(HEAD_BYTES) or b"\x28\xb5\x2f\xfd"
    _check_kind(uri, head, "")
    return next((codec for magic, codec in MAGIC.items() if head.startswith(magic)), None)


def _check_kind(uri: str, head: bytes, where: str) -> None:
    kind = foreign_format(head)
    if kind is not None:
        raise FaultyFileError(f"{uri}: expected JSON lines, found {where}{kind}")


def _pieces(uri: str, raw: RawStream, size: int) -> Iterator[bytes]:
    """The decompressed content."""
    codec = _codec(uri)
    is_first = codec is not None
    for piece in decoded(raw, uri, codec, size):
        if is_first:
            _check_kind(uri, piece[:HEAD_BYTES], f"in the {codec} data ")
            is_first = False
        yield piece


def _without_bom(offset: int, block: bytes) -> tuple[int, bytes]:
    return (len(_BOM), block[len(_BOM) :]) if offset == 0 and block.startswith(_BOM) else (offset, block)
