"""The join by file and row: the rows of a table go to the group of the input file that they name, and are joined there.

```
ExchangeRows     rows/0-0.arrow         by group: target (number of the file in the group), document, values
JoinRows         a group                parts/<run of the chunk>
```
"""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from byline.schemas.documents import info_of
from byline.transforms.attributes.exchange import read_partition
from byline.transforms.attributes.notes import SHOWN, shown, write_note
from byline.transforms.attributes.stored_documents import ListedFile, stored_columns
from byline.transforms.attributes.tables.by_key import DocumentsNote, JoinNote
from byline.transforms.attributes.tables.groups import read_group
from byline.transforms.attributes.tables.joining import distinct_rows
from byline.transforms.attributes.tables.layouts import value_names
from byline.transforms.attributes.values import parts_uri, write_values


@dataclass(frozen=True)
class JoinRows:
    """Joins the documents of a group, and writes their values.

    Attributes:
        columns: of the attribute.
        work: folder for what was exchanged.
        parts: where the values go.
        rows: files with the table's rows.
    """

    columns: tuple[str, ...]
    work: str
    parts: str
    rows: tuple[str, ...]

    def __call__(self, line: str) -> None:
        """Works on one group."""
        group, files = read_group(line)
        rows = read_partition(self.rows, group)
        target = rows["target"].to_numpy()
        rows = rows.take(pa.array(np.argsort(target, kind="stable")))
        borders = np.searchsorted(np.sort(target), np.arange(len(files) + 1)).tolist()
        notes: dict[str, DocumentsNote] = {}
        joined = JoinNote()
        for listed, low, high in zip(files, borders[:-1], borders[1:], strict=True):
            note = notes.setdefault(listed.file.source, DocumentsNote())
            self._join(listed, rows.slice(low, high - low), note, joined)
        write_note(self.work, "keys", group, {source: asdict(note) for source, note in notes.items()})
        write_note(self.work, "join", group, asdict(joined))

    def _join(self, listed: ListedFile, rows: pa.RecordBatch, note: DocumentsNote, joined: JoinNote) -> None:
        """Writes the values of one file's documents."""
        document, file, row = (rows[name].to_numpy() for name in ("document", "file", "row"))
        values = rows.select(value_names(len(self.columns)))
        distinct = distinct_rows(document, file, row, values.columns)
        is_matched = np.zeros(len(distinct.numbers), bool)
        for documents in stored_columns(listed, []):
            numbers = documents["row"].to_numpy()
            keys = distinct.match(numbers)
            is_known = keys >= 0
            is_matched[keys[is_known]] = True
            self._note(note, listed, numbers, int(is_known.sum()))
            of_documents = values.take(pa.array(distinct.rows[keys[is_known]])).columns
            uri = parts_uri(self.parts, listed.file.source, listed.file.path, info_of(documents).chunk)
            write_values(uri, pa.array(numbers[is_known]), dict(zip(self.columns, of_documents, strict=True)))
        joined.add(distinct, rows, is_matched, lambda number: f"{listed.file.path} row {document[number]}")

    def _note(self, note: DocumentsNote, listed: ListedFile, numbers: np.ndarray, matched: int) -> None:
        first = [shown(f"{listed.file.source}/{listed.file.path} row {row}") for row in numbers[:SHOWN].tolist()]
        note.add(DocumentsNote(documents=len(numbers), matched=matched, keys=first))
