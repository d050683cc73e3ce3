"""Opens Parquet by its footer, which is read once; run as a program, tries footers, and may end by them.

```
file       PAR1  pages ...  footer  length  PAR1
tail                        footer  length  PAR1      what is read first, of the end of the file: 64 KiB, or the footer
```

The library throws some errors through code that cannot hold them, which ends the process: a list in the footer that is
too short is enough. So a tail is first given to a process that reads no pages (`parquet_trial.py` starts it), and there
all is done that is done with it later: it is parsed, its schema is converted, readers of its row groups are made.

The program imports nothing of Byline. Its standard input is a stream of trials, each a line of JSON and the bytes of a
tail; it answers each with a line, also where an error was raised, and ends with its input. A trial that takes more than
`MOST_SECONDS` ends it.
"""

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

if __name__ == "__main__":
    # Packages are found where the process that starts this one finds them.
    sys.path[:] = json.loads(sys.argv[1])

import pyarrow as pa
import pyarrow.parquet as pq

ANSWER = b"tried\n"
# Footers in use take milliseconds, but a machine may be busy.
MOST_SECONDS = 120
# Of address space, most of which libraries only reserve.
_MOST_BYTES = 8 << 30
# As the library: one request to an object store, and more than most footers have.
_TAIL_BYTES = 1 << 16
# The length of the footer, and the magic bytes: of a plain or an encrypted one.
_END_BYTES = 8
_MAGIC = (b"PAR1", b"PARE")
# One read of a file on a disk; an object store is asked for the whole columns of a row group.
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Tail:
    """The end of a file.

    Attributes:
        content: its bytes, with all of the footer if there is one.
        file_bytes: size of the file.
    """

    content: bytes
    file_bytes: int


class _TailFile:
    """A file of which only the end can be read, for `pa.PythonFile`."""

    closed = False

    def __init__(self, tail: Tail) -> None:
        self._content, self._size = tail.content, tail.file_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        begin = self._position - (self._size - len(self._content))
        if begin < 0:
            # The library takes it for the end of a column, which is reached sooner than an error.
            return b""
        piece = self._content[begin:] if size < 0 else self._content[begin : begin + size]
        self._position += len(piece)
        return piece

    def flush(self) -> None:
        """Does nothing: nothing is written."""

    def close(self) -> None:
        self.closed = True


def read_tail(handle: pa.NativeFile) -> Tail:
    """Reads the tail of a file: one read, or two where the footer is large."""
    size = handle.size()
    content: bytes = handle.read_at(min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES))
    needed = int.from_bytes(content[-_END_BYTES:-4], "little") + _END_BYTES
    if content[-4:] in _MAGIC and len(content) < needed <= size:
        content = handle.read_at(needed - len(content), size - needed) + content
    return Tail(content, size)


def as_file(tail: Tail) -> pa.NativeFile:
    """A file with this tail, of which nothing else can be read."""
    return pa.PythonFile(_TailFile(tail), mode="r")


def parse_tail(tail: Tail) -> pq.FileMetaData:
    """The metadata in a tail; raises as Arrow does."""
    return pq.read_metadata(as_file(tail))


def open_parquet(handle: pa.NativeFile, metadata: pq.FileMetaData, is_whole: bool, **settings: Any) -> pq.ParquetFile:
    """A reader that fetches the columns of a row group whole, or piece by piece as they are decoded."""
    return pq.ParquetFile(
        handle,
        metadata=metadata,
        pre_buffer=is_whole,
        buffer_size=0 if is_whole else _READ_BYTES,
        page_checksum_verification=True,
        **settings,
    )


def open_dictionaries(handle: pa.NativeFile, metadata: pq.FileMetaData, paths: Sequence[str]) -> pq.ParquetFile:
    """A reader that keeps dictionaries of strings below these paths as such."""
    schema = metadata.schema
    names = [schema.column(leaf).path for leaf in string_leaves(metadata, paths)]
    return open_parquet(handle, metadata, is_whole=False, read_dictionary=names)


def leaves_below(metadata: pq.FileMetaData, paths: Sequence[str]) -> list[int]:
    """Numbers of the columns of values below these paths."""
    names = [f"{metadata.schema.column(index).path}." for index in range(len(metadata.schema))]
    return [index for index, name in enumerate(names) if any(name.startswith(f"{path}.") for path in paths)]


def string_leaves(metadata: pq.FileMetaData, paths: Sequence[str]) -> list[int]:
    """Those of `leaves_below` that hold strings or bytes of any length."""
    leaves = leaves_below(metadata, paths)
    return [leaf for leaf in leaves if metadata.schema.column(leaf).physical_type == "BYTE_ARRAY"]


def _try(tail: Tail, is_whole: bool, paths: Sequence[str] | None) -> None:
    """Does with a tail what is done with the file.

    Args:
        tail: of the file.
        is_whole: as in `open_parquet`.
        paths: of the columns to read from all row groups; None to read the schema and the first rows.
    """
    metadata, handle = parse_tail(tail), as_file(tail)
    parquet = open_parquet(handle, metadata, is_whole)
    _ = parquet.schema_arrow
    if paths is None:
        _start(parquet)
        return
    dictionaries = open_dictionaries(handle, metadata, paths)
    leaves = leaves_below(metadata, paths)
    for index in range(parquet.num_row_groups):
        group = metadata.row_group(index)
        for leaf in leaves:
            with suppress(IndexError):
                group.column(leaf)
        for reader in (parquet, dictionaries):
            _start(reader, row_groups=[index], columns=paths)


def _start(parquet: pq.ParquetFile, **settings: Any) -> None:
    """Makes the readers of columns, up to where pages are needed."""
    with suppress(Exception):
        next(parquet.iter_batches(1, use_threads=False, **settings), None)


def main() -> None:
    """Tries one tail after another; `parquet_trial.py` has the other side."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sink.write(ANSWER)
    sink.flush()
    while line := source.readline():
        trial = json.loads(line)
        tail = Tail(source.read(trial["tail_bytes"]), trial["file_bytes"])
        # What is raised here is raised where the file is read, too.
        signal.alarm(MOST_SECONDS)
        with suppress(Exception):
            _try(tail, trial["is_whole"], trial["paths"])
        signal.alarm(0)
        sink.write(ANSWER)
        sink.flush()


if __name__ == "__main__":
    main()
