"""The list of a folder of MDS files, `index.json`, and the content of one of them.

```
index.json   version 2   shards [ format "mds"  version 2  samples  compression  hashes
                                  column_names [..]  column_encodings [..]  column_sizes [..]
                                  raw_data {basename, bytes, hashes}   zip_data {basename, bytes, hashes} or null ]
```

`basename` is a path below the folder: an index that was merged has files of folders in it. Nothing of an index is
trusted: a path that leads elsewhere is an error, and a file has the sizes and the checksums that the index says.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from byline.errors import BylineError
from byline.printable import one_line, shown
from byline.transforms.files import storage

INDEX_NAME = "index.json"
_VERSION = 2
# Offsets in a file have four bytes.
_MOST = (1 << 32) - 1
# As MDS names them -> as Arrow does.
_COMPRESSIONS = {"br": "brotli", "bz2": "bz2", "gz": "gzip", "zstd": "zstd"}
_PART = re.compile(r"[^/\\\x00-\x1f]+")


@dataclass(frozen=True)
class StoredFile:
    """A file as the index lists it; `hashes` are name of the algorithm -> hex."""

    basename: str
    bytes: int
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class _Listed:
    """An entry of `shards` in the index; what else it has is not read."""

    format: str
    version: int
    samples: int
    column_names: list[str]
    column_encodings: list[str]
    column_sizes: list[int | None]
    raw_data: StoredFile
    compression: str | None = None
    zip_data: StoredFile | None = None


@dataclass(frozen=True)
class MdsColumn:
    """A column: its encoding, and its size in bytes if all its values have that."""

    name: str
    encoding: str
    size: int | None


@dataclass(frozen=True)
class MdsFile:
    """One MDS file of an index.

    Attributes:
        raw: without compression.
        zipped: compressed, if it is.
        compression: as Arrow names it; None where it is not compressed.
        samples: how many it has.
        columns: in the order in which they are stored.
    """

    raw: StoredFile
    zipped: StoredFile | None
    compression: str | None
    samples: int
    columns: tuple[MdsColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class MdsIndex:
    """The list of a folder; `sha256` is that of its file (hex)."""

    folder: str
    sha256: str
    files: list[MdsFile]


_ENTRIES = TypeAdapter(list[_Listed])


def read_index(folder: str) -> MdsIndex:
    """Reads `folder/index.json`.

    Raises:
        BylineError: there is none, or it is not one of MDS files.
    """
    uri = storage.join(folder, INDEX_NAME)
    if not storage.exists(uri):
        raise BylineError(
            f"{uri}: missing, so this is no folder of MDS files; name the one that has it (where only the folders in "
            "it have one, MeCo's datatools/mds_merge.py makes one of all)"
        )
    content = storage.read_bytes(uri)
    try:
        values = json.loads(content)
        version = values.get("version") if isinstance(values, dict) else values
        if version != _VERSION or not isinstance(values, dict):
            raise BylineError(f'{uri}: expected "version": {_VERSION}, found {shown(version, 60)}; not an index of MDS')
        entries = _ENTRIES.validate_python(values.get("shards"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BylineError):
            raise
        raise BylineError(f"{uri}: cannot be read as an index of MDS files ({_fault(error)}); copy it anew") from None
    files = [_file(entry, f"{uri}: shard {number}") for number, entry in enumerate(entries)]
    return MdsIndex(folder, hashlib.sha256(content).hexdigest(), files)


def _fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"shards.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return one_line(error, 200)


def _file(entry: _Listed, where: str) -> MdsFile:
    if entry.format != "mds" or entry.version != _VERSION:
        raise BylineError(
            f"{where}: expected format 'mds' of version {_VERSION}, found {shown(entry.format, 60)} of "
            f"{entry.version}; only MDS files are imported"
        )
    for stored in (entry.raw_data, entry.zip_data):
        if stored is not None:
            _check_path(stored.basename, where)
            if not 0 <= stored.bytes <= _MOST:
                raise BylineError(f"{where}: {shown(stored.bytes, 60)} bytes are not possible; copy the index anew")
    names, encodings, sizes = entry.column_names, entry.column_encodings, entry.column_sizes
    if not len(set(names)) == len(names) == len(encodings) == len(sizes):
        raise BylineError(
            f"{where}: {len(names)} column names, {len(encodings)} encodings and {len(sizes)} sizes, or a name twice; "
            "copy the index anew"
        )
    if not all(0 <= number <= _MOST for number in (entry.samples, *(size or 0 for size in entry.column_sizes))):
        raise BylineError(f"{where}: a number of samples or the size of a column is not possible; copy the index anew")
    # mosaicml-streaming takes a size of 0, too, for one that each value says.
    columns = [
        MdsColumn(name, encoding, size or None) for name, encoding, size in zip(names, encodings, sizes, strict=True)
    ]
    compression = None
    if entry.zip_data is not None:
        algorithm = (entry.compression or "").partition(":")[0]
        if algorithm not in _COMPRESSIONS:
            raise BylineError(
                f"{where}: compression {shown(entry.compression, 60)} is not read, only {', '.join(_COMPRESSIONS)}; "
                "decompress the files first"
            )
        compression = _COMPRESSIONS[algorithm]
    return MdsFile(entry.raw_data, entry.zip_data, compression, entry.samples, tuple(columns))


def _check_path(path: str, where: str) -> None:
    if any(part in (".", "..") or not _PART.fullmatch(part) for part in path.split("/")):
        raise BylineError(f"{where}: {shown(path)} is no path below the folder of the index; copy the index anew")


def lost_files(index: MdsIndex) -> list[str]:
    """The files of an index that `read_content` would find missing or of another size, by path."""
    root = storage.resolve(index.folder)[1].rstrip("/")
    infos = storage.list_files(index.folder)
    sizes: dict[str, int | None] = {storage.resolve(info.path)[1].removeprefix(f"{root}/"): info.size for info in infos}

    def is_lost(file: MdsFile) -> bool:
        read = file.raw if file.zipped is None or sizes.get(file.raw.basename) is not None else file.zipped
        return sizes.get(read.basename) != read.bytes

    suspects = list(filter(is_lost, index.files))
    # A listing does not follow every link.
    forms = (form for file in suspects for form in (file.raw, file.zipped) if form is not None)
    unlisted = [form.basename for form in forms if form.basename not in sizes]
    uris = (storage.join(index.folder, name) for name in unlisted)
    sizes.update(zip(unlisted, storage.side_by_side(storage.file_size, uris), strict=True))
    return [file.raw.basename for file in suspects if is_lost(file)]


def read_content(folder: str, file: MdsFile) -> np.ndarray:
    """The bytes of an MDS file without compression, uint8; read-only.

    Raises:
        BylineError: it is missing, or has another size or checksum than the index says.
    """
    uri = storage.join(folder, file.raw.basename)
    if file.zipped is None or storage.exists(uri):
        return np.frombuffer(_read(uri, file.raw), np.uint8)
    uri = storage.join(folder, file.zipped.basename)
    zipped = _read(uri, file.zipped)
    try:
        with pa.CompressedInputStream(pa.BufferReader(zipped), file.compression) as stream:
            # Of what claims to be larger, no more is held.
            content = stream.read(file.raw.bytes + 1)
    except (pa.ArrowException, OSError) as error:
        raise BylineError(f"{uri}: cannot be decompressed ({one_line(error, 200)}); copy it anew") from None
    if len(content) != file.raw.bytes:
        more = "more than " if len(content) > file.raw.bytes else ""
        raise BylineError(
            f"{uri}: decompressed {more}{min(len(content), file.raw.bytes):,} bytes, {INDEX_NAME} says "
            f"{file.raw.bytes:,}; copy it anew"
        )
    _check_hashes(uri, content, file.raw)
    return np.frombuffer(content, np.uint8)


def _read(uri: str, stored: StoredFile) -> bytes:
    size = storage.file_size(uri)
    if size is None:
        raise BylineError(f"{uri}: missing, {INDEX_NAME} lists it; copy it anew")
    if size != stored.bytes:
        raise BylineError(f"{uri}: {size:,} bytes, {INDEX_NAME} says {stored.bytes:,}; copy it anew")
    content = storage.read_bytes(uri)
    _check_hashes(uri, content, stored)
    return content


def _check_hashes(uri: str, content: bytes, stored: StoredFile) -> None:
    """Compares the checksums that Python can make; xxHash it cannot."""
    for name, expected in stored.hashes.items():
        if name in hashlib.algorithms_guaranteed and not name.startswith("shake"):
            digest = hashlib.new(name, content, usedforsecurity=False).hexdigest()
            if digest != expected:
                raise BylineError(f"{uri}: {name} {digest[:16]}..., {INDEX_NAME} says {expected[:16]}...; copy it anew")
