"""The names of files of the token store: each follows from the chunks in it, so a file under another's name is found.

```
<hash of source and path>-00000.arrow     run of chunk 0 of an input file
merged-<hash of its chunks>.arrow         merged run
```
"""

import json
from collections.abc import Iterable

import mmh3

from byline.errors import DamagedFileError
from byline.schemas.store import MERGED_PREFIX, RunFile, RunInfo


def run_name(source: str, path: str, chunk: int) -> str:
    """The file name of a run: a hash of the input file's path, so no path from outside becomes part of one here."""
    return f"{file_hash(source, path)}-{chunk:05d}.arrow"


def file_hash(source: str, path: str) -> str:
    """What the names of an input file's runs begin with: 32 hex digits."""
    high, low = mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)
    return f"{high:016x}{low:016x}"


def merged_name(chunks: Iterable[RunInfo]) -> str:
    """The file name of the merged run of these chunks, given by (path in UTF-8, chunk)."""
    values = [(chunk.path, chunk.chunk, chunk.input_size) for chunk in chunks]
    high, low = mmh3.hash64(json.dumps(values).encode(), seed=0, signed=False)
    return f"{MERGED_PREFIX}{high:016x}{low:016x}.arrow"


def check_name(file: RunFile, uri: str) -> None:
    """Checks that a file of the token store is the one that its name and its folder say.

    Args:
        file: what it says.
        uri: where it is.

    Raises:
        DamagedFileError: it is another.
    """
    first = file.chunks[0]
    name = merged_name(file.chunks) if file.is_merged else run_name(first.source, first.path, first.chunk)
    if uri.rpartition("/")[2] != name:
        own = f"chunk {first.chunk} of {first.source}/{first.path}"
        what = "a merged run of other chunks" if file.is_merged else own
        raise DamagedFileError(
            f"{uri}: holds {what}, whose name is {name}; move it back, or delete it and prepare again"
        )


def check_fingerprints(files: Iterable[RunFile], fingerprint: str) -> None:
    """Checks that files in a source's folder were prepared with the settings that the folder is for.

    Raises:
        DamagedFileError: one was not.
    """
    for file in files:
        others = {chunk.fingerprint for chunk in file.chunks} - {fingerprint}
        if others:
            raise DamagedFileError(
                f"{file.uri}: was prepared with other settings than its folder is for ({min(others)[:16]}); "
                "move it back, or delete it and prepare again"
            )
