"""Checksums of the files that attributes are made of, kept beside the token store (see `files.checksums`).

```
STORE/.attributes/checksums.json
```
"""

from collections.abc import Sequence

from byline.schemas.documents import InputFile
from byline.transforms.corpora.decoding import checksum_of
from byline.transforms.files.checksums import checksums_of
from byline.transforms.files.storage import join


def checksums_folder(store: str) -> str:
    """Where a token store keeps them."""
    return join(store, ".attributes")


def table_checksums(store: str, files: Sequence[InputFile]) -> dict[str, str]:
    """Path -> checksum (`RawStream.checksum`) of the files of a table.

    Raises:
        BylineError: one cannot be read.
    """
    checksums = checksums_of([file.uri for file in files], checksums_folder(store), "murmur3", checksum_of)
    return {file.path: checksum for file, checksum in zip(files, checksums, strict=True)}
