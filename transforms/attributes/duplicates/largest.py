"""The largest clusters of duplicates, and how their texts begin: shown where too much would be removed.

```
largest/<number>.json       [[1200, 4294967303], ...]       documents, and the one that is kept
beginnings/<file>.json      {"4294967303": "We value your privacy ..."}
```
"""

import json
from dataclasses import dataclass

import numpy as np

from byline.schemas.documents import info_of
from byline.transforms.attributes.duplicates.layout import Layout, files_of, rows_of
from byline.transforms.attributes.stored_documents import StoredFile, stored_documents
from byline.transforms.files.storage import join, read_bytes, side_by_side, write_file

SHOWN = 10
# Ten of them fit into a message.
_CHARACTERS = 60


def write_largest(layout: Layout, number: int, kept: np.ndarray, sizes: np.ndarray) -> None:
    """Writes the largest clusters of a partition: uint64 [n] and int64 [n]."""
    order = np.lexsort((kept, -sizes))[:SHOWN]
    with write_file(layout.of_partition("largest", number)) as sink:
        sink.write(json.dumps(list(zip(sizes[order].tolist(), kept[order].tolist(), strict=True))).encode())


def read_largest(layout: Layout) -> list[tuple[int, int]]:
    """The largest clusters of all: how many documents, and the one that is kept."""
    uris = [layout.of_partition("largest", number) for number in range(layout.partitions)]
    clusters = [(size, kept) for of_one in side_by_side(read_bytes, uris) for size, kept in json.loads(of_one)]
    return sorted(clusters, key=lambda cluster: (-cluster[0], cluster[1]))[:SHOWN]


def name_of(layout: Layout, document: int) -> str:
    """A document as people read it: source/path:row."""
    numbers = np.array([document], np.uint64)
    source, path = layout.files[files_of(numbers)[0]]
    return f"{source}/{path}:{rows_of(numbers)[0]}"


@dataclass(frozen=True)
class ReadBeginnings:
    """Writes how some documents of an input file begin.

    Attributes:
        layout: of the attribute.
        documents: their numbers.
    """

    layout: Layout
    documents: tuple[int, ...]

    def __call__(self, line: str) -> None:
        """Works on an input file."""
        listed, beginnings = StoredFile.from_json(line), {}
        for batch in stored_documents(listed, self.layout.reading):
            info = info_of(batch)
            documents = self.layout.documents(info.source, info.path, batch["row"])
            for row in np.flatnonzero(np.isin(documents, np.array(self.documents, np.uint64))):
                text = " ".join(batch["text"][row].as_py()[: 4 * _CHARACTERS].split())
                beginnings[str(documents[row])] = text[:_CHARACTERS]
        file = self.layout.file_number(listed.file.source, listed.file.path)
        with write_file(_uri(self.layout, file)) as sink:
            sink.write(json.dumps(beginnings).encode())


def read_beginnings(layout: Layout, files: list[int]) -> dict[int, str]:
    """How documents begin, by number."""
    known = map(json.loads, side_by_side(read_bytes, [_uri(layout, file) for file in files]))
    return {int(document): text for of_file in known for document, text in of_file.items()}


def _uri(layout: Layout, file: int) -> str:
    return join(layout.work, "beginnings", f"{file:08d}.json")
