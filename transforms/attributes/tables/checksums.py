"""Checksums of a table's files, kept beside the token store: a file that has not changed is not read for it again.

```
STORE/.attributes/tables.json    {"labels/a.jsonl.gz": [1048576, 1732712345000000000, "9f2c..."]}
                                                        size     time                 checksum
```
"""

import json
from collections.abc import Sequence

from byline.errors import BylineError
from byline.schemas.documents import InputFile
from byline.transforms.corpora.decoding import checksum_of
from byline.transforms.files import storage

_FILE = ".attributes/tables.json"


def checksums(store: str, files: Sequence[InputFile]) -> dict[str, str]:
    """Path -> checksum (`RawStream.checksum`) of the files of a table.

    Args:
        store: the token store.
        files: of the table; those of a known address, size and time are not read.

    Raises:
        BylineError: one cannot be read.
    """
    uri = storage.join(store, _FILE)
    known = _read(uri)
    unknown = [file for file in files if known.get(file.uri, [])[:2] != list(file.identity)]
    made = storage.side_by_side(lambda file: checksum_of(file.uri), unknown)
    if unknown:
        entries = zip(unknown, made, strict=True)
        known.update({file.uri: [*file.identity, checksum] for file, checksum in entries})
        with storage.write_file(uri) as sink:
            sink.write(json.dumps(known, indent=1, sort_keys=True).encode())
    return {file.path: str(known[file.uri][2]) for file in files}


def _read(uri: str) -> dict[str, list[int | str]]:
    content = storage.read_if_there(uri)
    try:
        return {} if content is None else dict(json.loads(content))
    except (ValueError, TypeError):
        raise BylineError(f"{uri}: expected checksums, as JSON; delete it") from None
