"""The kind `spans`: spans of characters from files of one's own, joined to documents and mapped to tokens.

```
by: url or a kept field   ExchangeRows (a file of spans)   ExchangeKeys (a group of documents)   JoinSpans (a partition)
by: row                   ExchangeRows
then                      WriteSpans (a group of documents), which reads the texts of chunks that have spans
```

The exchange is that of tables (`byline.transforms.attributes.tables`).
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from byline.errors import BylineError
from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.spans import SpansAttribute
from byline.schemas.attribute_kinds.table import ROW
from byline.schemas.config import Config
from byline.schemas.corpora import expanded
from byline.schemas.documents import InputFile
from byline.transforms.attributes.checksums import table_checksums
from byline.transforms.attributes.exchange import partitions_for
from byline.transforms.attributes.notes import SHOWN, read_notes
from byline.transforms.attributes.rounds import AttributeKind, Context, Round, Rounds, Summary
from byline.transforms.attributes.spans.joining import (
    JOIN_STEP,
    SPANS_STEP,
    JoinSpans,
    SpansNote,
    WriteSpans,
    spans_notes,
)
from byline.transforms.attributes.spans.reading import ReadSpans
from byline.transforms.attributes.tables.by_key import ExchangeKeys, joined_uri
from byline.transforms.attributes.tables.groups import Group, groups_of
from byline.transforms.attributes.tables.kind import key_type
from byline.transforms.attributes.tables.layouts import TableShape
from byline.transforms.attributes.tables.table_rows import ExchangeRows, RowsNote, exchanged, lines_of, notes_of
from byline.transforms.attributes.tables.targets import Targets
from byline.transforms.corpora.listing import list_matches
from byline.transforms.files.storage import join

# Of a span as it is compressed, and of a document's key: for how many partitions and workers there are.
_SPAN_BYTES, _KEY_BYTES = 30, 100


def _rounds(context: Context) -> Rounds:
    settings = _settings(context.settings)
    shape = TableShape(settings.table, context.name, key_type(context.config, context.name, settings.table))
    files = _files(context.name, settings)
    groups = groups_of(context.files, cuts_files=False)
    exchange = _exchange_by_row if settings.by == ROW else _exchange_by_key
    spans, matched = yield from exchange(context, shape, files, groups)
    notes = notes_of(context.work, files)
    do = WriteSpans(
        context.reading, context.config.tokenizer, context.name, len(shape.values), context.work, context.parts, spans
    )
    yield Round("WriteSpans", [group.line for group in groups], do, context.size)
    documents = spans_notes(read_notes(context.work, SPANS_STEP, range(len(groups))))
    if matched is None:
        matched = sum(note.spans for note in documents.values())
        _check_matched(context.name, settings, notes, matched)
    return _summary(notes, matched, documents)


# Where the spans of each group are, and how many have a document if that is known.
_Exchange = Generator[Round, None, tuple[tuple[str, ...], int | None]]


def _exchange_by_key(context: Context, shape: TableShape, files: list[InputFile], groups: list[Group]) -> _Exchange:
    settings, size = _settings(context.settings), sum(file.size for file in files)
    documents = sum(run.rows for run in context.runs)
    count = partitions_for(documents + size // _SPAN_BYTES)
    exchange = ExchangeRows(shape, context.work, count, read=ReadSpans(settings))
    yield Round("ExchangeSpans", lines_of(files), exchange, size)
    notes = notes_of(context.work, files)
    _check_spans(context.name, settings, files, notes)
    key_bytes = documents * _KEY_BYTES
    keys = ExchangeKeys(settings.by, context.work, count)
    yield Round("ExchangeKeys", [group.line for group in groups], keys, key_bytes)
    do = JoinSpans(len(shape.values), context.work, exchanged(context.work, notes), len(groups))
    yield Round("JoinSpans", [str(partition) for partition in range(count)], do, key_bytes + size)
    matched = sum(read_notes(context.work, JOIN_STEP, range(count)))
    _check_matched(context.name, settings, notes, matched)
    return tuple(joined_uri(context.work, partition) for partition in range(count)), matched


def _exchange_by_row(context: Context, shape: TableShape, files: list[InputFile], groups: list[Group]) -> _Exchange:
    settings, targets = _settings(context.settings), join(context.work, "targets.json")
    Targets.of(groups, ends_count=False).write(targets)
    exchange = ExchangeRows(shape, context.work, len(groups), targets, ReadSpans(settings))
    yield Round("ExchangeSpans", lines_of(files), exchange, sum(file.size for file in files))
    notes = notes_of(context.work, files)
    _check_spans(context.name, settings, files, notes)
    return exchanged(context.work, notes), None


def _check_spans(name: str, settings: SpansAttribute, files: Sequence[InputFile], notes: Sequence[RowsNote]) -> None:
    """Refuses files without a span, and spans that say no document. Raises: BylineError."""
    rows, keyless = sum(note.rows for note in notes), sum(note.keyless for note in notes)
    if not rows:
        raise BylineError(f"attributes.{name}.path: no span in {len(files):,} files ({files[0].uri} is the first)")
    if keyless:
        what = "path and row" if settings.by == ROW else settings.table.key or settings.by
        raise BylineError(
            f"attributes.{name}: {keyless:,} of {rows:,} spans have no {what}, so nobody knows whose they are; mend "
            "or remove them, or say where it stands (`key`)"
        )


def _check_matched(name: str, settings: SpansAttribute, notes: Sequence[RowsNote], matched: int) -> None:
    """Refuses more spans without a document than `max_unmatched`. Raises: BylineError."""
    rows = sum(note.rows for note in notes)
    if matched and rows - matched <= settings.max_unmatched * rows:
        return
    keys = ", ".join(repr(key) for note in notes for key in note.keys[:SHOWN])
    raise BylineError(
        f"attributes.{name}: {rows - matched:,} of {rows:,} spans are of no document in the token store, and "
        f"max_unmatched allows {float(settings.max_unmatched):.1%} (with no span matched at all, nothing is allowed); "
        f"the spans have {keys}"
    )


def _summary(notes: Sequence[RowsNote], matched: int, documents: Mapping[str, SpansNote]) -> Summary:
    rows = sum(note.rows for note in notes)
    lines = [f"{rows:,} spans, {matched:,} of documents in the token store"]
    lines += [
        f"{source}: {note.documents:,} documents have {note.spans:,} spans, {note.empty:,} of them empty"
        for source, note in documents.items()
    ]
    return {
        "spans": {"rows": rows, "matched": matched, "unmatched": rows - matched},
        "documents": {source: asdict(note) for source, note in documents.items()},
        "lines": lines,
    }


def _files(name: str, settings: SpansAttribute) -> list[InputFile]:
    return list_matches(f"attributes.{name}.path", expanded(settings.path))


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    return {"files": table_checksums(config.store, _files(name, _settings(settings)))}


def _settings(settings: Attribute) -> SpansAttribute:
    assert isinstance(settings, SpansAttribute), settings
    return settings


# How much may be unmatched decides no value.
SPANS = AttributeKind(rounds=_rounds, identity=_identity, paths=("path", "max_unmatched"))
