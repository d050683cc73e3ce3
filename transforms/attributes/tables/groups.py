"""Groups of documents: what one worker takes at a time when keys go out and values come back.

```
a.json  chunks 0 1 2, 400,000 documents each        group 0   a.json 0 1
b.json  chunk 0, 100,000                            group 1   a.json 2, b.json 0, c.json 0
c.json  chunk 0, 100,000
```

Where the rows of a table name a file, its chunks stay together.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from byline.transforms.attributes.stored_documents import ListedFile, StoredFile

# Some hundred MB with URLs.
GROUP_DOCUMENTS = 1_000_000


@dataclass(frozen=True)
class Group:
    """A group.

    Attributes:
        number: of the group, from 0.
        files: input files with those of their chunks that belong to it.
    """

    number: int
    files: list[StoredFile]

    @property
    def line(self) -> str:
        """As a line."""
        return json.dumps({"number": self.number, "files": [file.to_json() for file in self.files]})


def read_group(line: str) -> tuple[int, list[ListedFile]]:
    """The number of a group and its files, from its line."""
    values = json.loads(line)
    return values["number"], [StoredFile.from_json(file) for file in values["files"]]


def groups_of(files: Iterable[StoredFile], *, cuts_files: bool, most: int = GROUP_DOCUMENTS) -> list[Group]:
    """Files in groups, in their order.

    Args:
        files: with their chunks.
        cuts_files: whether chunks of one file may be in several groups.
        most: documents of a group, unless one piece has more.
    """
    pieces = [piece for file in files for piece in (_pieces(file) if cuts_files else [file])]
    groups: list[list[StoredFile]] = []
    documents = 0
    for piece in pieces:
        size = sum(chunk.info.rows for chunk in piece.chunks)
        if not groups or documents + size > most:
            groups.append([])
            documents = 0
        groups[-1].append(piece)
        documents += size
    return [Group(number, _joined(group)) for number, group in enumerate(groups)]


def _pieces(file: StoredFile) -> list[StoredFile]:
    return [StoredFile(file.file, (chunk,)) for chunk in file.chunks]


def _joined(pieces: Sequence[StoredFile]) -> list[StoredFile]:
    """Pieces of one file as one."""
    files: list[StoredFile] = []
    for piece in pieces:
        if files and files[-1].file == piece.file:
            files[-1] = StoredFile(piece.file, files[-1].chunks + piece.chunks)
        else:
            files.append(piece)
    return files
