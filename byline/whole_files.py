"""Whether the files that a reader will need are whole: `byline.open(OUT, verify=...)`, before the first row is read.

```
                                                   "sizes"                        "sha256"
conditioned/00000-of-00003.arrow   1,234,567 B     there, with 1,234,567 bytes    the same, and every byte read
_inputs.ipc                                        there                          every byte read
on a disk                                          one `stat` a file              4 MiB at a time, 8 files side by side
on an object store                                 one listing a folder           8 MiB a request, 8 files side by side
```

Files are read, not mapped, so one that becomes shorter meanwhile is an error and does not end the process.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Literal, Protocol, TypeVar, get_args

import pyarrow as pa

from byline import locations
from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.printable import one_line, shown
from byline.regular_files import open_regular

Answer = TypeVar("Answer")
Verify = Literal["sizes", "sha256"]
_WAYS = get_args(Verify)
# A `stat` over a network and a request to an object store mostly wait; sha256 lets other threads run.
_STATS_SIDE_BY_SIDE, _FILES_SIDE_BY_SIDE = 16, 8
_PIECE_BYTES, _REQUEST_BYTES = 4 << 20, 8 << 20
# Files that the error names; of more it gives the number.
_NAMED = 10


class FileEntry(Protocol):
    """A file as a manifest lists it: `path` relative to the manifest, `bytes` and `sha256` (hex) of it."""

    @property
    def path(self) -> str: ...

    @property
    def bytes(self) -> int: ...

    @property
    def sha256(self) -> str: ...


def check_files(directory: str, shards: Sequence[FileEntry], others: dict[str, str], verify: Verify) -> None:
    """Checks files of a build; arguments as of `file_problems`.

    Raises:
        BylineError: files are missing, or not what the manifest lists: one line that names them; or `verify` is
            neither way; or an object store does not answer.
    """
    if verify not in _WAYS:
        raise BylineError(f"verify={shown(verify)}: expected 'sizes', 'sha256' or None")
    wrong = [f"{path} {problem}" for path, problem in file_problems(directory, shards, others, verify).items()]
    if wrong:
        more = f"; and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        raise BylineError(
            f"{directory}: {len(wrong):,} of {len(shards) + len(others):,} files are not what the manifest lists: "
            f"{'; '.join(wrong[:_NAMED])}{more}; copy them anew or build again"
        )


def file_problems(directory: str, files: Sequence[FileEntry], others: dict[str, str], verify: Verify) -> dict[str, str]:
    """What is wrong with files in a folder.

    Args:
        directory: of the files, as `locations.absolute` gives it.
        files: those to check.
        others: path in `directory` -> sha256 (hex), of files whose size is not listed.
        verify: `sizes` or `sha256`.

    Returns:
        Path -> `is missing`, `has 17 bytes, not 1,042`, `has another sha256` or `cannot be read (...)`, of the files
        that are not what is listed, in the order given.

    Raises:
        BylineError: an object store does not answer.
    """
    expected: dict[str, int | None] = {**{file.path: file.bytes for file in files}, **dict.fromkeys(others)}
    if verify == "sizes":
        sizes = (_listed_sizes if is_object_address(directory) else _stat_sizes)(directory, list(expected))
        problems = {path: _misfit(sizes[path], size) for path, size in expected.items()}
    else:
        sha256s = {**{file.path: file.sha256 for file in files}, **others}
        problems = _side_by_side(
            lambda path: _content_problem(locations.join(directory, path), expected[path], sha256s[path]),
            expected,
            _FILES_SIDE_BY_SIDE,
        )
    return {path: problem for path, problem in problems.items() if problem is not None}


def _misfit(size: int | str | None, expected: int | None) -> str | None:
    """What is wrong with a file of this size (None if there is none, or why it is not known)."""
    if size is None:
        return "is missing"
    if isinstance(size, str):
        return f"cannot be read ({size})"
    return None if expected in (None, size) else f"has {size:,} bytes, not {expected:,}"


def _stat_sizes(directory: str, paths: list[str]) -> dict[str, int | str | None]:
    def size_of(path: str) -> int | str | None:
        try:
            with_stat = os.stat(locations.join(directory, path))
        except FileNotFoundError:
            return None
        except OSError as error:
            return one_line(error.strerror, 200)
        return with_stat.st_size

    return _side_by_side(size_of, paths, _STATS_SIDE_BY_SIDE)


def _listed_sizes(directory: str, paths: list[str]) -> dict[str, int | str | None]:
    from byline.object_stores import object_sizes

    folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
    listed = _side_by_side(
        lambda folder: object_sizes(locations.join(directory, folder) if folder else directory),
        folders,
        _STATS_SIDE_BY_SIDE,
    )
    return {path: listed[path.rpartition("/")[0]].get(path.rpartition("/")[2]) for path in paths}


def _content_problem(location: str, size: int | None, sha256: str) -> str | None:
    """What is wrong with a file's size (None for any) or its bytes, which are only read if the size is right."""
    try:
        if is_object_address(location):
            file: BinaryIO | pa.NativeFile = locations.open_file(location)
            piece_bytes = _REQUEST_BYTES
        else:
            file, piece_bytes = open_regular(location), _PIECE_BYTES
        with file:
            there = file.seek(0, os.SEEK_END)
            file.seek(0)
            return _misfit(there, size) or (None if _sha256(file, piece_bytes) == sha256 else "has another sha256")
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({one_line(error, 200)})"


def _sha256(file: BinaryIO | pa.NativeFile, piece_bytes: int) -> str:
    digest = hashlib.sha256()
    while piece := file.read(piece_bytes):
        digest.update(piece)
    return digest.hexdigest()


def _side_by_side(call: Callable[[str], Answer], items: Iterable[str], threads: int) -> dict[str, Answer]:
    """Item -> `call` of it, in order; the first error ends it."""
    items = list(items)
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(items, pool.map(call, items), strict=True))
