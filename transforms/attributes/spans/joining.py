"""Spans to their documents, and from there to columns: the last maps of the kind.

```
JoinSpans     a partition of keys    spans and documents of it -> joined/5.arrow    by group: target, document, values
WriteSpans    a group of files       its spans, and the texts of chunks that have some -> parts/<run of the chunk>
```

Each document of a key has all of its spans, so two documents of one URL both do.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from byline.schemas import corpora
from byline.schemas.documents import info_of
from byline.transforms.attributes.exchange import read_partition, write_partitions
from byline.transforms.attributes.notes import write_note
from byline.transforms.attributes.spans.columns import span_columns
from byline.transforms.attributes.spans.reading import LABEL, START, STOP
from byline.transforms.attributes.stored_documents import ListedFile, Reading, stored_columns, stored_documents
from byline.transforms.attributes.tables.by_key import joined_uri, keys_uri
from byline.transforms.attributes.tables.groups import read_group
from byline.transforms.attributes.tables.joining import key_numbers
from byline.transforms.attributes.tables.layouts import value_names
from byline.transforms.attributes.values import parts_uri, write_values
from byline.transforms.tokens.text_tokenizer import shared_tokenizer

JOIN_STEP, SPANS_STEP = "join", "spans"


@dataclass(frozen=True)
class JoinSpans:
    """Joins a partition.

    Attributes:
        values: how many a span has: start, stop and perhaps a label.
        work: folder for what is exchanged.
        rows: files with the spans.
        groups: of documents, how many there are.
    """

    values: int
    work: str
    rows: tuple[str, ...]
    groups: int

    def __call__(self, line: str) -> None:
        """Works on one partition; notes how many spans have a document."""
        partition = int(line)
        spans = read_partition(self.rows, partition)
        documents = read_partition([keys_uri(self.work, group) for group in range(self.groups)], partition)
        of_spans, of_documents = key_numbers(spans["key"], documents["key"])
        order = np.argsort(of_spans, kind="stable")
        first = np.searchsorted(of_spans[order], of_documents, side="left")
        counts = np.searchsorted(of_spans[order], of_documents, side="right") - first
        document = np.repeat(np.arange(len(of_documents)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        span, chosen = pa.array(order[np.repeat(first, counts) + within]), pa.array(document)
        columns = {"target": documents["file"].take(chosen), "document": documents["row"].take(chosen)}
        columns.update({name: spans[name].take(span) for name in value_names(self.values)})
        batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        group = documents["group"].to_numpy().astype(np.int64)[document]
        write_partitions(joined_uri(self.work, partition), batch, group, self.groups)
        write_note(self.work, JOIN_STEP, partition, int(np.isin(of_spans, of_documents).sum()))


@dataclass
class SpansNote:
    """What is counted of the documents of one source in a group.

    Attributes:
        spans: of documents in the token store; a span counts once for each of its documents.
        empty: those of them without a character.
        documents: with a span.
    """

    spans: int = 0
    empty: int = 0
    documents: int = 0

    def add(self, other: "SpansNote") -> None:
        """Adds those of another group or chunk."""
        self.spans += other.spans
        self.empty += other.empty
        self.documents += other.documents


@dataclass(frozen=True)
class WriteSpans:
    """Writes the values of the chunks of a group.

    Attributes:
        reading: of the configuration.
        tokenizer: of the configuration.
        name: of the attribute.
        values: how many a span has.
        work: folder for notes.
        parts: where the values go.
        rows: files with the spans by group.
    """

    reading: Reading
    tokenizer: corpora.Tokenizer
    name: str
    values: int
    work: str
    parts: str
    rows: tuple[str, ...]

    def __call__(self, line: str) -> None:
        """Works on one group."""
        group, files = read_group(line)
        spans = read_partition(self.rows, group)
        target = spans["target"].to_numpy()
        notes: dict[str, SpansNote] = {}
        for number, listed in enumerate(files):
            note = notes.setdefault(listed.file.source, SpansNote())
            of_file = spans.filter(pa.array(target == number))
            if of_file.num_rows:
                self._write_file(listed, of_file, note)
        write_note(self.work, SPANS_STEP, group, {source: asdict(note) for source, note in notes.items()})

    def _write_file(self, listed: ListedFile, spans: pa.RecordBatch, note: SpansNote) -> None:
        document = spans["document"].to_numpy()
        chunks = {
            info_of(batch).chunk: listed.chunks[info_of(batch).chunk]
            for batch in stored_columns(listed, [])
            if np.isin(document, batch["row"].to_numpy()).any()
        }
        for batch in stored_documents(replace(listed, chunks=chunks), self.reading):
            info = info_of(batch)
            rows, columns = self._values(batch, spans, note)
            write_values(parts_uri(self.parts, info.source, info.path, info.chunk), rows, columns)

    def _values(
        self, batch: pa.RecordBatch, spans: pa.RecordBatch, note: SpansNote
    ) -> tuple[pa.Array, dict[str, pa.Array]]:
        """The rows of the documents of a chunk that have spans, and their values."""
        document, numbers = spans["document"].to_numpy(), batch["row"].to_numpy()
        spans = spans.filter(pa.array(np.isin(document, numbers)))
        chosen, rows = np.unique(np.searchsorted(numbers, spans["document"].to_numpy()), return_inverse=True)
        starts, stops = spans[START].to_numpy(), spans[STOP].to_numpy()
        labels = spans[LABEL] if self.values > 2 else None
        note.add(SpansNote(len(starts), int((starts == stops).sum()), len(chosen)))
        documents = batch.take(pa.array(chosen))
        tokenizer = shared_tokenizer(self.tokenizer)
        return documents["row"], span_columns(self.name, documents, rows, starts, stops, labels, tokenizer)


def spans_notes(notes: Iterable[dict[str, dict[str, int]]]) -> dict[str, SpansNote]:
    """What was counted of each source, from the notes of all groups."""
    totals: dict[str, SpansNote] = {}
    for of_group in notes:
        for source, note in of_group.items():
            totals.setdefault(source, SpansNote()).add(SpansNote(**note))
    return dict(sorted(totals.items()))
