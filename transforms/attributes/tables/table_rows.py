"""The rows of a table's files, exchanged: each goes to the partition of its key, or to the group of its file.

```
labels.jsonl   row 0 key b   row 1 key a   row 2 key null         rows/0-0.arrow   partition 0: b    1: a
                                                                  notes            3 rows, 1 without a key
```
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.attribute_kinds.table import ROW
from byline.schemas.documents import InputFile
from byline.transforms.attributes.batch_files import plain
from byline.transforms.attributes.exchange import joined, partition_of, write_partitions
from byline.transforms.attributes.notes import SHOWN, read_notes, shown, write_note
from byline.transforms.attributes.tables.joining import key_hashes
from byline.transforms.attributes.tables.layouts import TableShape, read_rows, value_names
from byline.transforms.attributes.tables.targets import Targets
from byline.transforms.files.storage import join

# Rows that are sorted into partitions at once.
_PIECE_ROWS = 1 << 20
STEP = "rows"


@dataclass
class RowsNote:
    """What is counted of the rows of one file of a table.

    Attributes:
        rows: of the file.
        keyless: those without a key.
        unknown: those that name no input file.
        pieces: files that they were exchanged in.
        known: rows that have a value, for each column of the attribute.
        keys: the first ones.
        called: number of an input file -> what the table calls it.
    """

    rows: int = 0
    keyless: int = 0
    unknown: int = 0
    pieces: int = 0
    known: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    called: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExchangeRows:
    """Exchanges the rows of one file of a table.

    Attributes:
        shape: of the table.
        work: folder for what is exchanged.
        count: partitions, or groups.
        targets: where the input files are, if it is joined by row.
        read: reads the rows of a file; picklable.
    """

    shape: TableShape
    work: str
    count: int
    targets: str = ""
    read: Callable[[InputFile, TableShape], Iterator[pa.RecordBatch]] = read_rows

    def __call__(self, line: str) -> None:
        """Works on one file."""
        number, file = read_line(line)
        note = RowsNote(known=[0] * len(self.shape.values))
        waiting: list[tuple[pa.RecordBatch, np.ndarray]] = []
        for rows in self.read(file, self.shape):
            self._count(note, rows)
            waiting.append(
                self._by_row(file, note, rows) if self.shape.settings.by == ROW else self._by_key(note, rows)
            )
            if sum(len(partition) for _, partition in waiting) >= _PIECE_ROWS:
                self._write(number, note, waiting)
        if waiting:
            self._write(number, note, waiting)
        write_note(self.work, STEP, number, asdict(note))

    def _count(self, note: RowsNote, rows: pa.RecordBatch) -> None:
        note.rows += rows.num_rows
        for number, name in enumerate(value_names(len(note.known))):
            note.known[number] += rows.num_rows - rows[name].null_count
        if len(note.keys) < SHOWN:
            note.keys += _keys(rows, SHOWN - len(note.keys))

    def _by_key(self, note: RowsNote, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
        keys = as_keys(rows["key"])
        note.keyless += keys.null_count
        rows = rows.set_column(rows.schema.get_field_index("key"), "key", keys).filter(keys.is_valid())
        return rows, partition_of(key_hashes(rows["key"]), self.count)

    def _by_row(self, file: InputFile, note: RowsNote, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
        targets = _open(self.targets)
        try:
            numbers, called = targets.numbers_of(rows["source"], rows["path"])
        except BylineError as error:
            raise BylineError(f"{file.uri}: {error}") from None
        has_key = pc.and_(rows["path"].is_valid(), rows["document"].is_valid()).to_numpy(zero_copy_only=False)
        note.keyless += int((~has_key).sum())
        note.unknown += int((has_key & (numbers < 0)).sum())
        note.called.update({str(number): path for number, path in called.items()})
        is_known = has_key & (numbers >= 0)
        into = np.array([(group, number) for _, _, group, number in targets.files], np.int64).reshape(-1, 2)
        into = into[numbers[is_known]]
        rows = rows.select([name for name in rows.schema.names if name not in ("source", "path")])
        kept = rows.filter(pa.array(is_known)).append_column("target", pa.array(into[:, 1]))
        return kept, into[:, 0]

    def _write(self, number: int, note: RowsNote, waiting: list[tuple[pa.RecordBatch, np.ndarray]]) -> None:
        rows = joined(batch for batch, _ in waiting)
        rows = rows.append_column("file", pa.array(np.full(rows.num_rows, number, np.int32)))
        partition = np.concatenate([partition for _, partition in waiting])
        write_partitions(_piece_uri(self.work, number, note.pieces), rows, partition, self.count)
        note.pieces += 1
        waiting.clear()


def lines_of(files: list[InputFile]) -> list[str]:
    """A line for each file of a table."""
    return [json.dumps({"number": number, "file": file.to_json()}) for number, file in enumerate(files)]


def read_line(line: str) -> tuple[int, InputFile]:
    """The number of a file, and the file."""
    values = json.loads(line)
    return values["number"], InputFile.from_json(values["file"])


def notes_of(work: str, files: list[InputFile]) -> list[RowsNote]:
    """What was counted of each file."""
    return [RowsNote(**note) for note in read_notes(work, STEP, range(len(files)))]


def exchanged(work: str, notes: list[RowsNote]) -> tuple[str, ...]:
    """The files with all rows."""
    return tuple(_piece_uri(work, number, piece) for number, note in enumerate(notes) for piece in range(note.pieces))


def as_keys(keys: pa.Array) -> pa.Array:
    """Keys of any type as large_string, null where there is none; an empty text is none."""
    texts = plain(keys).cast(pa.large_string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.large_string()), texts)


def _keys(rows: pa.RecordBatch, most: int) -> Iterator[str]:
    """The first keys, for messages."""
    if "key" in rows.schema.names:
        first: list[Any] = as_keys(rows["key"]).drop_null().slice(0, most).to_pylist()
        yield from map(shown, first)
        return
    named = rows.filter(pc.and_(rows["path"].is_valid(), rows["document"].is_valid())).slice(0, most)
    for row in named.select(["source", "path", "document"]).to_pylist():
        source = "" if row["source"] is None else f"{row['source']}/"
        yield shown(f"{source}{row['path']} row {row['document']}")


def _piece_uri(work: str, number: int, piece: int) -> str:
    return join(work, STEP, f"{number}-{piece}.arrow")


@lru_cache(maxsize=2)
def _open(uri: str) -> Targets:
    return Targets.read(uri)
