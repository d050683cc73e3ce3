"""Arrow IPC files with a seal: checksums of every byte, in the file itself, which stays one that any reader opens.

```
file    ARROW1  schema  batch 0  batch 1  ...  end of stream | seal | footer  length of the footer  ARROW1
seal    b"byline seal 1\\n\\0\\0"   checksum of all before the seal   checksum of all after it         48 bytes
```

Readers of a file go by its footer, and so past the seal. The footer can be checked whenever a file is opened, before
Arrow sees it; the rest is checked by those who read all of a file anyway.

A checksum is MurmurHash3 (x64, 128 bits): it finds damage, and is faster than sha256. Whoever edits a file on purpose
can write another seal, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmh3
import pyarrow as pa

from byline.arrow_file import END_BYTES, footer_size, read_footer
from byline.transforms.files import storage
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.refusals import Sink

_MAGIC = b"byline seal 1\n\0\0"
_CHECKSUM_BYTES = 16
SEAL_BYTES = len(_MAGIC) + 2 * _CHECKSUM_BYTES
_BLOCK_BYTES = 8 << 20


class _SealedSink(storage.HashingSink):
    """For Arrow's writer: passes bytes on and hashes them; from `hold` on it keeps them."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink, mmh3.mmh3_x64_128(b""))
        self._held = bytearray()
        self._is_holding = False

    def write(self, data: Any) -> int:
        """Writes or keeps all the bytes of `data`."""
        if not self._is_holding:
            return super().write(data)
        self._held += data
        self.size += len(data)
        return len(data)

    def hold(self) -> None:
        """From now on what is written is kept."""
        self._is_holding = True

    def seal(self) -> None:
        """Writes what was held, with the seal before the footer."""
        held = bytes(self._held)
        start = len(held) - footer_size(held)
        end = held[start:]
        self._sink.write(held[:start])
        self.hasher.update(held[:start])
        self._sink.write(_MAGIC + self.hasher.digest() + mmh3.mmh3_x64_128_digest(end) + end)


@contextmanager
def write_sealed(uri: str, schema: pa.Schema, behind: WriteBehind | None = None) -> Iterator[pa.RecordBatchFileWriter]:
    """Writes an Arrow IPC file with a seal, which appears under its name when the block ends without an error.

    Args:
        uri: of the file.
        schema: of its record batches.
        behind: what ends the file while the caller goes on.

    Raises:
        BylineError: it cannot be written; the old file is as it was.
    """
    with storage.write_file(uri, behind) as sink:
        sealed = _SealedSink(sink)
        with pa.PythonFile(sealed, "w") as out:
            writer = pa.ipc.new_file(out, schema)
            yield writer
            sealed.hold()
            writer.close()
        sealed.seal()


def check_end(end: bytes) -> None:
    """Checks the footer of a sealed file by its seal.

    Args:
        end: at least the last `sealed_size` bytes of the file.

    Raises:
        ValueError: the file is damaged, or has no seal.
    """
    size = sealed_size(end)
    sealed = end[len(end) - size :]
    if len(sealed) < size or not sealed.startswith(_MAGIC):
        raise ValueError("no seal before its footer: damaged, or written by another version")
    if sealed[SEAL_BYTES - _CHECKSUM_BYTES : SEAL_BYTES] != mmh3.mmh3_x64_128_digest(sealed[SEAL_BYTES:]):
        raise ValueError("its footer is damaged: the checksum in its seal is another")


def sealed_size(end: bytes) -> int:
    """How many bytes from a file's end its seal begins; `end` is at least its last `END_BYTES`.

    Raises:
        ValueError: the file is not an Arrow IPC file.
    """
    return footer_size(end) + SEAL_BYTES


def open_sealed(source: pa.NativeFile) -> pa.RecordBatchFileReader:
    """Opens a sealed file once its footer is checked; its record batches are not.

    Raises:
        ValueError: the file is damaged, or has no seal.
    """
    _check_footer(source)
    return pa.ipc.open_file(source)


def _check_footer(source: pa.NativeFile) -> bytes:
    """The seal and all after it."""
    size = source.size()
    end = source.read_at(min(END_BYTES, size), max(size - END_BYTES, 0))
    length = min(sealed_size(end), size)
    end = source.read_at(length, size - length)
    check_end(end)
    return end


def check_sealed(uri: str) -> None:
    """Checks every byte of a sealed file, a few MB of it in memory at a time.

    Raises:
        ValueError: the file is damaged, or has no seal.
        BylineError: there is no such file, or it may not be read.
    """
    # Not mapped: a file that is cut while it is read would end the process.
    with storage.open_unmapped(uri) as source:
        end = _check_footer(source)
        remaining, hasher = source.size() - len(end), mmh3.mmh3_x64_128(b"")
        source.seek(0)
        while remaining > 0:
            block = source.read(min(_BLOCK_BYTES, remaining))
            if not block:
                raise ValueError("it became shorter while it was read")
            hasher.update(block)
            remaining -= len(block)
    _check_body(_body_checksum(end), hasher.digest())


class SealedReader:
    """Reads the record batches of a sealed file in order, checking every byte on the way; the file is not mapped.

    Raises:
        ValueError: the file is damaged, or has no seal.
        BylineError: there is no such file, or it may not be read.
    """

    def __init__(self, uri: str) -> None:
        self._source = storage.open_unmapped(uri)
        end = _check_footer(self._source)
        self.schema, starts = read_footer(end)
        self.size: int = self._source.size()
        self.num_record_batches = len(starts)
        self._body_checksum = _body_checksum(end)
        self._borders = [*starts.tolist(), self.size - len(end)]
        self._next, self._hasher = 0, mmh3.mmh3_x64_128(b"")
        self._read(0, self._borders[0])

    def _read(self, start: int, end: int) -> bytes:
        content: bytes = self._source.read_at(end - start, start)
        self._hasher.update(content)
        return content

    def read_next(self) -> pa.RecordBatch:
        """The next record batch, whose own values are not checked yet."""
        content = self._read(*self._borders[self._next : self._next + 2])
        self._next += 1
        return pa.ipc.read_record_batch(pa.ipc.read_message(content), self.schema)

    def finish(self) -> None:
        """Checks what was read, once every record batch was.

        Raises:
            ValueError: it is damaged.
        """
        assert self._next == self.num_record_batches, f"{self._next} of {self.num_record_batches} batches read"
        _check_body(self._body_checksum, self._hasher.digest())


def _body_checksum(end: bytes) -> bytes:
    """What the seal says of all before it; `end` begins with the seal."""
    return end[len(_MAGIC) : len(_MAGIC) + _CHECKSUM_BYTES]


def _check_body(said: bytes, checksum: bytes) -> None:
    if said != checksum:
        raise ValueError("its contents are damaged: the checksum in its seal is another")
