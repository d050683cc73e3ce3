"""Corpus layouts: how a source's files are listed and read, and where a text and a URL stand in a record.

```
name         fields            files                 reads
dclm         text, url         those of `path`       JSON lines
refinedweb   content, url      those of `path`       Parquet
arithmetic   made              stretches of it       nothing: it makes its documents
```
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from byline.schemas.documents import InputFile
from byline.schemas.tables import Kinds

if TYPE_CHECKING:
    from byline.schemas.corpora import Source


class Records(NamedTuple):
    """Records of a file that are read at once.

    Attributes:
        batch: the columns as configured.
        malformed: bool[rows], the malformed records, whose values are null.
        too_long: bool[rows], records too long to be looked into, none of which is among the malformed; None where the
            layout knows no such.
        origins: what the records looked like, where the layout knows it.
    """

    batch: pa.RecordBatch
    malformed: np.ndarray
    too_long: np.ndarray | None = None
    origins: "Origins | None" = None


# A layout may give plain pairs of a batch and the malformed.
Block = Records | tuple[pa.RecordBatch, np.ndarray]
ReadFile = Callable[[InputFile, "Source", pa.Schema, Mapping[str, str]], Iterable[Block]]
ReadRows = Callable[[InputFile, "Source", pa.Schema, Mapping[str, str], np.ndarray], Iterable[pa.RecordBatch]]
ReadNames = Callable[[InputFile], Mapping[str, Any]]
ListFiles = Callable[[str, "Source"], list[InputFile]]


class Origins(Protocol):
    """What the records of a batch looked like in their file."""

    def of(self, rows: np.ndarray) -> tuple[pa.Array, pa.Array, pa.Array]:
        """For these rows: where each begins (a byte of the decompressed file, int64), why it is malformed (string), and
        its first bytes (binary); null where that is not known."""


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        name: as the configuration has it.
        doc: what it is, in a line.
        read: called with an input file, its source, the columns to give (all but `row`), and for each where it stands
            in a record; yields batches of these columns in the order of the file, and masks of malformed records. A
            generator may return the checksum of the file. Raises `FaultyFileError` for a file that cannot be used.
        fields: where `text` and `url` stand, if not under these names; the source's own `fields` go before.
        names: called with an input file; gives the name of each field of its first records, a dot before what is inside
            of another, with a value that is not null if it has found one. None where that cannot be told: then a field
            that no record has is not told from one without values.
        read_rows: called like `read`, and with numbers of records, ascending; yields those in their order, where the
            layout reads some records faster than all. None where it does not.
        list_files: called with the source's name and the source; None for the files that `path` matches.
        is_made: whether it makes its documents: then it has no files, and brings `loss_spans` and `special_spans`.
    """

    name: str
    doc: str
    read: ReadFile
    fields: Mapping[str, str] = field(default_factory=dict)
    names: ReadNames | None = None
    read_rows: ReadRows | None = None
    list_files: ListFiles | None = None
    is_made: bool = False


LAYOUTS = Kinds(
    Layout,
    {
        "dclm": "byline.transforms.corpora.json_lines:DCLM",
        "c4": "byline.transforms.corpora.json_lines:C4",
        "refinedweb": "byline.transforms.corpora.parquet_rows:REFINEDWEB",
        "jsonl": "byline.transforms.corpora.json_lines:JSONL",
        "parquet": "byline.transforms.corpora.parquet_rows:PARQUET",
        "arithmetic": "byline.transforms.corpora.made.arithmetic:ARITHMETIC",
    },
)
