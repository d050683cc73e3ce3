"""The join by URL or a kept field: three maps, between which keys and values are exchanged through files.

```
ExchangeKeys   a group's documents     keys/0.arrow     key, group, file, chunk, row      by partition of the key
Join           a partition             joined/5.arrow   group, file, chunk, row, values   by group
WriteValues    a group                 parts/<run of the chunk>
```
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa

from byline.schemas.documents import info_of
from byline.transforms.attributes.exchange import joined, partition_of, read_partition, write_partitions
from byline.transforms.attributes.notes import SHOWN, read_notes, shown, write_note
from byline.transforms.attributes.stored_documents import ListedFile, stored_columns
from byline.transforms.attributes.tables.groups import read_group
from byline.transforms.attributes.tables.joining import Distinct, distinct_rows, key_hashes, key_numbers
from byline.transforms.attributes.tables.layouts import value_names
from byline.transforms.attributes.tables.table_rows import as_keys
from byline.transforms.attributes.values import parts_uri, write_values
from byline.transforms.files.storage import join

_KEYS = pa.schema(
    [
        pa.field("key", pa.large_string()),
        pa.field("group", pa.int32()),
        pa.field("file", pa.int32()),
        pa.field("chunk", pa.int32()),
        pa.field("row", pa.int64()),
    ]
)
_POSITION = ("group", "file", "chunk", "row")


@dataclass
class DocumentsNote:
    """What is counted of the documents of one source in a group.

    Attributes:
        documents: all of them.
        keyless: those without a key.
        matched: those with a row in the table.
        keys: the first ones.
    """

    documents: int = 0
    keyless: int = 0
    matched: int = 0
    keys: list[str] = field(default_factory=list)

    def add(self, other: "DocumentsNote") -> None:
        """Adds those of another group."""
        self.documents += other.documents
        self.keyless += other.keyless
        self.matched += other.matched
        self.keys = (self.keys + other.keys)[:SHOWN]


@dataclass
class JoinNote:
    """What is counted of the table's rows in a partition or group.

    Attributes:
        matched: rows whose key a document has.
        doubled: rows with the key of an earlier one.
        contradicted: those of them with other values.
        example: file and row of the first such, of the row that it contradicts, and the key.
        documents: (group, number of its file) -> documents with a row, as [group, file, documents].
    """

    matched: int = 0
    doubled: int = 0
    contradicted: int = 0
    example: list[int | str] = field(default_factory=list)
    documents: list[list[int]] = field(default_factory=list)

    def add(
        self, distinct: Distinct, rows: pa.RecordBatch, is_matched: np.ndarray, key_of: Callable[[int], str]
    ) -> None:
        """Adds what a join says.

        Args:
            distinct: the rows, one a key.
            rows: with `file` and `row`.
            is_matched: bool [k], of the distinct keys.
            key_of: gives the key of a row, for messages.
        """
        self.matched += int(distinct.counts[is_matched].sum())
        self.doubled += distinct.doubled
        self.contradicted += len(distinct.contradicted)
        if len(distinct.contradicted):
            second, first = int(distinct.contradicted[0]), int(distinct.first[0])
            example = [rows[name][number].as_py() for number in (second, first) for name in ("file", "row")]
            example.append(shown(key_of(second)))
            self.example = min(self.example, example) if self.example else example


@dataclass(frozen=True)
class ExchangeKeys:
    """Exchanges the keys of the documents of a group.

    Attributes:
        column: of the runs, which holds the keys.
        work: folder for what is exchanged.
        count: partitions.
    """

    column: str
    work: str
    count: int

    def __call__(self, line: str) -> None:
        """Works on one group."""
        group, files = read_group(line)
        notes: dict[str, DocumentsNote] = {}
        batches = [pa.RecordBatch.from_pylist([], _KEYS)]
        for number, listed in enumerate(files):
            note = notes.setdefault(listed.file.source, DocumentsNote())
            batches += self._of_file(listed, group, number, note)
        keys = joined(batches)
        write_partitions(
            keys_uri(self.work, group), keys, partition_of(key_hashes(keys["key"]), self.count), self.count
        )
        write_note(self.work, "keys", group, {source: asdict(note) for source, note in notes.items()})

    def _of_file(self, listed: ListedFile, group: int, number: int, note: DocumentsNote) -> Iterator[pa.RecordBatch]:
        for documents in stored_columns(listed, [self.column]):
            chunk, size = info_of(documents).chunk, documents.num_rows
            note.documents += size
            if self.column not in documents.schema.names:
                note.keyless += size
                continue
            keys = as_keys(documents[self.column])
            note.keyless += keys.null_count
            position = [pa.array(np.full(size, value, np.int32)) for value in (group, number, chunk)]
            batch = pa.RecordBatch.from_arrays([keys, *position, documents["row"]], schema=_KEYS)
            batch = batch.filter(keys.is_valid())
            if len(note.keys) < SHOWN:
                note.keys += map(shown, batch["key"].slice(0, SHOWN - len(note.keys)).to_pylist())
            yield batch


@dataclass(frozen=True)
class Join:
    """Joins a partition.

    Attributes:
        columns: how many the attribute has.
        work: folder for what is exchanged.
        rows: files with the table's rows.
        groups: how many there are.
    """

    columns: int
    work: str
    rows: tuple[str, ...]
    groups: int

    def __call__(self, line: str) -> None:
        """Works on one partition."""
        partition = int(line)
        rows = read_partition(self.rows, partition)
        documents = read_partition([keys_uri(self.work, group) for group in range(self.groups)], partition)
        of_rows, of_documents = key_numbers(rows["key"], documents["key"])
        file, row = rows["file"].to_numpy(), rows["row"].to_numpy()
        distinct = distinct_rows(of_rows, file, row, [rows[name] for name in value_names(self.columns)])
        keys = distinct.match(of_documents)
        is_matched = np.zeros(len(distinct.numbers), bool)
        is_matched[keys[keys >= 0]] = True
        note = JoinNote()
        note.add(distinct, rows, is_matched, lambda number: str(rows["key"][number]))
        with_values = documents.select(_POSITION).filter(pa.array(keys >= 0))
        chosen = pa.array(distinct.rows[keys[keys >= 0]])
        for name in value_names(self.columns):
            with_values = with_values.append_column(name, rows[name].take(chosen))
        note.documents = _counts(with_values)
        group = with_values["group"].to_numpy().astype(np.int64)
        write_partitions(joined_uri(self.work, partition), with_values, group, self.groups)
        write_note(self.work, "join", partition, asdict(note))


@dataclass(frozen=True)
class WriteValues:
    """Writes the values of the chunks of a group.

    Attributes:
        columns: of the attribute.
        work: folder for what was exchanged.
        parts: where the values go.
        count: partitions.
    """

    columns: tuple[str, ...]
    work: str
    parts: str
    count: int

    def __call__(self, line: str) -> None:
        """Works on one group."""
        group, files = read_group(line)
        values = read_partition([joined_uri(self.work, number) for number in range(self.count)], group)
        file, chunk, row = (values[name].to_numpy() for name in _POSITION[1:])
        order = np.lexsort((row, chunk, file))
        file, chunk = file[order], chunk[order]
        ordered = values.select(["row", *value_names(len(self.columns))]).take(pa.array(order))
        is_border = np.append(True, (np.diff(file) != 0) | (np.diff(chunk) != 0))[: len(order)]
        for low, high in pairwise([*np.flatnonzero(is_border).tolist(), len(order)]):
            listed = files[file[low]].file
            uri = parts_uri(self.parts, listed.source, listed.path, int(chunk[low]))
            rows, *columns = ordered.slice(low, high - low).columns
            write_values(uri, rows, dict(zip(self.columns, columns, strict=True)))


def keys_uri(work: str, group: int) -> str:
    """Where the keys of a group's documents are."""
    return join(work, "keys", f"{group}.arrow")


def joined_uri(work: str, partition: int) -> str:
    """Where the values of a partition's documents are."""
    return join(work, "joined", f"{partition}.arrow")


def join_notes(work: str, numbers: range) -> list[JoinNote]:
    """What was counted of each partition or group."""
    return [JoinNote(**note) for note in read_notes(work, "join", numbers)]


def document_notes(work: str, numbers: range) -> list[dict[str, DocumentsNote]]:
    """What was counted of the documents of each group, by source."""
    notes = read_notes(work, "keys", numbers)
    return [{source: DocumentsNote(**of_source) for source, of_source in note.items()} for note in notes]


def _counts(documents: pa.RecordBatch) -> list[list[int]]:
    counted = pa.Table.from_batches([documents]).group_by(["group", "file"]).aggregate([([], "count_all")])
    return [[row["group"], row["file"], row["count_all"]] for row in counted.to_pylist()]
