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

A file that is damaged or cut short is an error that says how far it could be read. A line that is too long is never
held in memory.
"""

import codecs
from collections.abc import Generator, Iterator

import numpy as np

from byline.schemas.faults import FaultyFileError
from byline.transforms.corpora.decoding import MAGIC, RawStream, decoded
from byline.transforms.corpora.json_framing import as_lines
from byline.transforms.corpora.signatures import HEAD_BYTES, foreign_format
from byline.transforms.documents.rejects import REJECT_HEAD_BYTES
from byline.transforms.files import storage

# One read: a piece stays in the processor's cache, and an error says where it is to within a piece.
_PIECE_BYTES = 1 << 20
# Lines of a block, about: so that short ones take no more memory than long ones.
_BLOCK_LINES = 1 << 17
# Arrow's parser counts a block's bytes in 31 bits.
LINE_LIMIT = 1 << 30

_BLANK = b" \t\r\n"
_NEWLINE = np.uint8(ord("\n"))


def read_blocks(
    uri: str, block_bytes: int, line_limit: int = LINE_LIMIT, long_lines: dict[int, int] | None = None
) -> Generator[tuple[int, bytes], None, str]:
    """Cuts the content of a file into blocks of whole lines.

    Args:
        uri: the file.
        block_bytes: about how long a block is to be; one with a long line is longer, one of many short lines shorter.
        line_limit: a line of more bytes than this and a block's is too long.
        long_lines: gets the offset and the length of each line that is too long, of which only the first
            `REJECT_HEAD_BYTES` are given, in a block of its own; None where such a line is an error.

    Yields:
        The offset of each block in the decompressed file, and the block. It ends with a newline: one is put behind the
        end of the file, where it makes a blank line at worst.

    Returns:
        The checksum of the file (`RawStream.checksum`).

    Raises:
        FaultyFileError: the file cannot be read or decompressed, is of a kind that is not supported, or has a line
            that is too long. Before an error that is damage the whole lines before it are given.
    """
    raw = RawStream(uri)
    cutter = _Cutter(uri, block_bytes, line_limit, long_lines)
    try:
        for piece in as_lines(_pieces(uri, raw, min(_PIECE_BYTES, block_bytes)), uri):
            yield from cutter.cut(piece)
    except FaultyFileError as fault:
        if fault.is_damage:
            yield from cutter.whole_lines()
        raise
    finally:
        raw.close()
    yield from cutter.end()
    return raw.checksum


class _Cutter:
    """What has been read since the last block, and where it begins."""

    def __init__(self, uri: str, block_bytes: int, line_limit: int, long_lines: dict[int, int] | None) -> None:
        self._uri, self._block_bytes, self._line_limit, self._long_lines = uri, block_bytes, line_limit, long_lines
        self._offset = self._size = self._lines = 0
        self._parts: list[bytes] = []
        # Of a line that is too long, once all before it has been given.
        self._head: bytes | None = None
        self._is_blank = False

    def cut(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Takes the next piece; the blocks that end in it."""
        if self._head is not None:
            end = piece.find(b"\n")
            if end < 0:
                self._size += len(piece)
                self._is_blank = self._is_blank and _is_blank(piece)
                return
            self._size += end
            self._is_blank = self._is_blank and _is_blank(piece[:end])
            yield from self._long_line()
            piece = piece[end + 1 :]
        self._parts.append(piece)
        self._size += len(piece)
        # A third of what `bytes.count` takes.
        self._lines += int(np.count_nonzero(np.frombuffer(piece, np.uint8) == _NEWLINE))
        if self._size >= self._block_bytes or self._lines >= _BLOCK_LINES:
            end = piece.rfind(b"\n") + 1
            if end:
                yield self._block(end - len(piece))
            elif self._size > self._block_bytes + self._line_limit:
                yield from self.whole_lines()
                self._begin_long_line()

    def whole_lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines that have ended, if there are any."""
        if self._lines and self._head is None:
            self._parts = [b"".join(self._parts)]
            yield self._block(self._parts[0].rfind(b"\n") + 1 - len(self._parts[0]))

    def end(self) -> Iterator[tuple[int, bytes]]:
        """The last block, at the end of the file."""
        if self._head is not None:
            yield from self._long_line()
        elif self._size:
            yield _without_bom(self._offset, b"".join([*self._parts, b"\n"]))

    def _block(self, end: int) -> tuple[int, bytes]:
        """All but the last `-end` bytes, which begin the next block."""
        last = self._parts[-1]
        begun = last[len(last) + end :]
        self._parts[-1] = last[: len(last) + end]
        offset, block = self._offset, b"".join(self._parts)
        self._offset, self._size, self._lines, self._parts = offset + len(block), len(begun), 0, [begun]
        return _without_bom(offset, block)

    def _begin_long_line(self) -> None:
        if self._size <= self._line_limit:
            return
        if self._long_lines is None:
            raise FaultyFileError(
                f"{self._uri}: a line of more than {self._line_limit:,} bytes behind byte {self._offset}; expected one "
                "JSON object a line",
                f"byte {self._offset}",
            )
        self._head = b"".join(self._parts)[:REJECT_HEAD_BYTES]
        self._is_blank = all(map(_is_blank, self._parts))
        self._parts = []

    def _long_line(self) -> Iterator[tuple[int, bytes]]:
        """The head of the line that has ended, unless all of it is blank."""
        assert self._head is not None, self._offset
        assert self._long_lines is not None, self._offset
        offset, head, length = self._offset, self._head, self._size
        self._offset, self._size, self._head = offset + length + 1, 0, None
        if not self._is_blank:
            self._long_lines[offset] = length
            yield offset, head + b"\n"


def _is_blank(line: bytes) -> bool:
    return not line.strip(_BLANK)


def line_bounds(block: bytes) -> np.ndarray:
    """Where the lines of a block are: int64[lines, 2], begin and end of each that is not blank, without `\\r\\n`."""
    data = np.frombuffer(block, np.uint8)
    pieces = range(0, len(data), _PIECE_BYTES)
    ends = np.concatenate([np.flatnonzero(data[at : at + _PIECE_BYTES] == _NEWLINE) + at for at in pieces])
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == ord("\r")))
    keep = ends > starts
    for index in np.flatnonzero(keep & (data[starts] <= ord(" "))):
        keep[index] = not _is_blank(block[starts[index] : ends[index]])
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
    again = next((codec for magic, codec in MAGIC.items() if head.startswith(magic)), None) if where else None
    if again is not None:
        kind = f"{again} data: it is compressed twice; decompress it once"
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
    has_bom = offset == 0 and block.startswith(codecs.BOM_UTF8)
    return (len(codecs.BOM_UTF8), block.removeprefix(codecs.BOM_UTF8)) if has_bom else (offset, block)
