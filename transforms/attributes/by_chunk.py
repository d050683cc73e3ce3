"""Kinds that ask of each document alone: one round that reads the texts of a chunk and writes its values.

```
chunk   row 0 "How to"   row 2 "Knead"      columns of the batch     topic  cooking  cooking
WORK/parts/<run of the chunk>               row 0 cooking            row 2 cooking
```
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from byline.schemas.documents import info_of
from byline.transforms.attributes.rounds import Context, Round
from byline.transforms.attributes.stored_documents import Reading, StoredFile, stored_documents
from byline.transforms.attributes.values import parts_uri, write_values

# A document batch -> the attribute's columns of its documents.
Columns = Callable[[pa.RecordBatch], Mapping[str, pa.Array]]


@dataclass(frozen=True)
class ChunkValues:
    """Writes the values of each chunk of an input file.

    Attributes:
        reading: of the configuration.
        parts: where the values go.
        opened: gives the function of a batch; picklable, called once a process.
    """

    reading: Reading
    parts: str
    opened: Callable[[], Columns]

    def __call__(self, line: str) -> None:
        """Works on one input file."""
        columns = _open(self.opened)
        for batch in stored_documents(StoredFile.from_json(line), self.reading):
            info = info_of(batch)
            write_values(parts_uri(self.parts, info.source, info.path, info.chunk), batch["row"], columns(batch))


@lru_cache(maxsize=8)
def _open(opened: Callable[[], Columns]) -> Columns:
    return opened()


def round_by_chunk(context: Context, name: str, opened: Callable[[], Columns]) -> Round:
    """The round that writes the values of all chunks.

    Args:
        context: of the kind.
        name: of the step.
        opened: as of `ChunkValues`; a frozen dataclass, so that equal ones are opened once.
    """
    return Round(name, context.lines, ChunkValues(context.reading, context.parts, opened), context.size)
