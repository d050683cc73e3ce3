"""The largest clusters of duplicates, and how their texts begin: shown where too much would be removed.

```
largest-<number>.json       [[1200, 4294967303], ...]       documents, and the one that is kept
beginnings-<file>.json      {"4294967303": "We value your privacy ..."}
```
"""

from dataclasses import dataclass

import numpy as np

from byline.schemas.documents import info_of
from byline.transforms.attributes.duplicates.layout import Layout, files_of, rows_of
from byline.transforms.attributes.notes import read_notes, write_note
from byline.transforms.attributes.stored_documents import StoredFile, stored_documents

SHOWN = 10
# Ten of them fit into a message.
_CHARACTERS = 60


def write_largest(layout: Layout, number: int, kept: np.ndarray, sizes: np.ndarray) -> None:
    """Writes the largest clusters of a partition: uint64 [n] and int64 [n]."""
    order = np.lexsort((kept, -sizes))[:SHOWN]
    write_note(layout.work, "largest", number, list(zip(sizes[order].tolist(), kept[order].tolist(), strict=True)))


def read_largest(layout: Layout) -> list[tuple[int, int]]:
    """The largest clusters of all: how many documents, and the one that is kept."""
    of_partitions = read_notes(layout.work, "largest", range(layout.partitions))
    clusters = [(size, kept) for of_one in of_partitions for size, kept in of_one]
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
        for batch in stored_documents(listed, self.layout.reading, with_hosts=False):
            info = info_of(batch)
            documents = self.layout.documents(info.source, info.path, batch["row"])
            for row in np.flatnonzero(np.isin(documents, np.array(self.documents, np.uint64))):
                text = " ".join(batch["text"][row].as_py()[: 4 * _CHARACTERS].split())
                beginnings[str(documents[row])] = text[:_CHARACTERS]
        file = self.layout.file_number(listed.file.source, listed.file.path)
        write_note(self.layout.work, "beginnings", file, beginnings)


def read_beginnings(layout: Layout, files: list[int]) -> dict[int, str]:
    """How documents begin, by number."""
    known = read_notes(layout.work, "beginnings", files)
    return {int(document): text for of_file in known for document, text in of_file.items()}
