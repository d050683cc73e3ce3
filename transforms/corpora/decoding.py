"""Decompresses a file in pieces of a bounded size, whatever is in it, and hashes its bytes on the way.

```
1f 8b ...   1f 8b ...   00 00 00      gzip: two members and padding      ->   the content of both, in pieces
```

| codec | read by | members or frames |
|---|---|---|
| gzip, bz2, xz | Python's library | any number; zeros between and behind them are padding |
| zstd | Arrow; where it refuses something, `zstandard` (windows up to 2 GiB) | also skippable ones; zeros as above |
| lz4 | Arrow | also skippable ones |

A file that ends within a member, or whose checksums do not hold, is a fault; bytes behind the last member that are
neither zeros nor another member are one too, because a download that was continued at a wrong byte looks like that.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import mmh3
import pyarrow as pa
import zstandard

from byline.schemas.faults import FaultyFileError
from byline.transforms.files import storage
from byline.transforms.files.refusals import reason

# One read of the file. Behind each member what is left of it is copied, so it is small.
_READ_BYTES = 1 << 16
# So much of a zstd frame gives at most 128 MiB (each 4 bytes a block of 128 kB), and `zstandard` gives it at once.
_FRAME_BYTES = 1 << 12
# The largest that zstd has (`--long=31`); a frame's own window is what is allocated.
_MOST_WINDOW = 1 << 31
# What `zstandard` needs of a frame to tell its parameters; more than the magic of any codec.
_HEAD_BYTES = 18
_FETCH = "fetch the file again and compare its checksum"


class RawStream:
    """A file from its first byte to its last, hashed as it is read.

    Attributes:
        position: bytes that were read.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._hash = mmh3.mmh3_x64_128()
        self._stream = storage.open_stream(uri)
        self.position = 0

    @property
    def checksum(self) -> str:
        """Of the bytes read so far: MurmurHash3 x64 128 with seed 0, 32 hex digits."""
        return self._hash.digest().hex()

    def read(self, size: int) -> bytes:
        try:
            piece = self._stream.read(size)
        except OSError as error:
            raise FaultyFileError(
                f"{self._uri}: the file cannot be read behind its byte {self.position} ({reason(error)}); {_FETCH}",
                f"byte {self.position}",
                is_damage=True,
            ) from None
        self._hash.update(piece)
        self.position += len(piece)
        return piece

    def drain(self) -> None:
        """Reads what is left, for its checksum."""
        while self.read(_READ_BYTES):
            pass

    def close(self) -> None:
        self._stream.close()


class _ForArrow:
    """A `RawStream` as a file object for `pa.PythonFile`, which does not close it."""

    closed = False

    def __init__(self, raw: RawStream) -> None:
        self.read = raw.read

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Leaves the stream open: what Arrow does not read is still hashed."""


def checksum_of(uri: str) -> str:
    """The checksum of a file's bytes, as `RawStream` has it."""
    with closing(RawStream(uri)) as stream:
        stream.drain()
        return stream.checksum


class _DecodeError(Exception):
    """Why a compressed stream cannot be read on."""


class _Decoder(Protocol):
    """Decompresses one member; Python's `bz2` and `lzma` have this form."""

    eof: bool
    unused_data: bytes
    needs_input: bool

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib in the form of the others."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class _ZstdFrame:
    """`zstandard` in the form of the others; it gives all that is in `data` at once."""

    needs_input = True

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._frame.decompress(data)


@dataclass(frozen=True)
class _Codec:
    """One codec that is read member by member.

    Attributes:
        new: makes a decoder of one member.
        magics: first bytes of a member.
        errors: what the library raises.
        read_bytes: how much of the file is read at once.
    """

    new: Callable[[], Any]
    magics: tuple[bytes, ...]
    errors: tuple[type[Exception], ...]
    read_bytes: int = _READ_BYTES


_SKIPPABLE = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))
_CODECS = {
    "gzip": _Codec(_Gzip, (b"\x1f\x8b",), (zlib.error,)),
    "bz2": _Codec(bz2.BZ2Decompressor, (b"BZh",), (OSError, ValueError)),
    "xz": _Codec(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), (b"\xfd7zXZ\x00",), (lzma.LZMAError,)),
    "zstd": _Codec(_ZstdFrame, (b"\x28\xb5\x2f\xfd", *_SKIPPABLE), (zstandard.ZstdError,), _FRAME_BYTES),
}
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}


def decoded(raw: RawStream, uri: str, codec: str | None, size: int) -> Iterator[bytes]:
    """The content of a file.

    Args:
        raw: the file, of which nothing is read; behind the last piece all of it is.
        uri: of the file.
        codec: a value of `MAGIC`, or None.
        size: the most bytes of a piece (of zstd, about).

    Raises:
        FaultyFileError: the file is damaged, cut short, or needs what it does not hold.
    """
    reached = 0
    pieces = _plain(raw, size) if codec is None else _decompressed(raw, uri, codec, size)
    try:
        for piece in pieces:
            yield piece
            reached += len(piece)
        raw.drain()
    except _DecodeError as error:
        raise FaultyFileError(
            f"{uri}: the {codec} data is damaged or cut short behind byte {reached} of its decompressed content "
            f"({error}); {_FETCH}",
            f"byte {reached}",
            is_damage=True,
        ) from None


def _plain(raw: RawStream, size: int) -> Iterator[bytes]:
    while piece := raw.read(size):
        yield piece


def _decompressed(raw: RawStream, uri: str, codec: str, size: int) -> Iterator[bytes]:
    if codec not in ("zstd", "lz4"):
        yield from _members(raw, uri, codec, size)
        return
    reached = 0
    try:
        with pa.CompressedInputStream(pa.PythonFile(_ForArrow(raw), mode="r"), codec) as stream:
            while piece := stream.read(size):
                yield piece
                reached += len(piece)
    except OSError as error:
        if codec == "lz4":
            raise _DecodeError(str(error)) from None
        with closing(RawStream(uri)) as again:
            yield from _behind(_members(again, uri, codec, size), reached)


def _behind(pieces: Iterator[bytes], reached: int) -> Iterator[bytes]:
    """What is behind the first `reached` bytes."""
    for piece in pieces:
        if len(piece) > reached:
            yield piece[reached:]
        reached = max(0, reached - len(piece))


def _members(raw: RawStream, uri: str, codec: str, size: int) -> Iterator[bytes]:
    form = _CODECS[codec]
    decoder: _Decoder | None = None
    data, is_end = b"", False
    while True:
        if not data and not is_end and (decoder is None or decoder.needs_input):
            data = raw.read(form.read_bytes)
            is_end = not data
        if decoder is None:
            data = data.lstrip(b"\0")
            if not data and not is_end:
                continue
            if len(data) < _HEAD_BYTES and not is_end:
                data += raw.read(form.read_bytes)
            if not data:
                return
            _check_head(raw, uri, form, data)
            decoder = form.new()
        try:
            piece = decoder.decompress(data, size)
        except form.errors as error:
            raise _DecodeError(f"{error}, before byte {raw.position} of the file") from None
        data = b""
        if piece:
            yield piece
        if decoder.eof:
            data, decoder = decoder.unused_data, None
        elif is_end and not piece:
            raise _DecodeError(f"the file ends at byte {raw.position}, within its data")


def _check_head(raw: RawStream, uri: str, form: _Codec, data: bytes) -> None:
    """Refuses what is no member, and a zstd frame that cannot be read."""
    if not any(data.startswith(magic[: len(data)]) for magic in form.magics):
        raise _DecodeError(f"what stands before byte {raw.position} of the file, behind its data, is no more of it")
    if form.new is not _ZstdFrame or data.startswith(_SKIPPABLE):
        return
    try:
        dictionary = zstandard.get_frame_parameters(data).dict_id
    except zstandard.ZstdError:
        return
    if dictionary:
        raise FaultyFileError(
            f"{uri}: compressed with zstd and a dictionary (number {dictionary}), which is not in the file; decompress "
            "it, with `zstd -dc -D DICTIONARY FILE | zstd -o FILE.zst` for example"
        )
