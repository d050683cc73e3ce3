"""The kind `table`: a table from elsewhere, joined to the documents of the token store.

```
by: url or a kept field   ExchangeRows (a file of the table)   ExchangeKeys (a group of documents)
                          Join (a partition of the keys)       WriteValues (a group)
by: row                   ExchangeRows                         JoinRows (a group)
```

No raw corpus is read: keys stand in the runs.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.table import ROW, URL, TableAttribute, TableLayout
from byline.schemas.config import Config
from byline.schemas.corpora import expanded
from byline.schemas.documents import InputFile
from byline.transforms.attributes.checksums import table_checksums
from byline.transforms.attributes.exchange import partitions_for
from byline.transforms.attributes.rounds import AttributeKind, Context, Round, Rounds, Summary
from byline.transforms.attributes.tables.by_key import (
    DocumentsNote,
    ExchangeKeys,
    Join,
    JoinNote,
    WriteValues,
    document_notes,
    join_notes,
)
from byline.transforms.attributes.tables.by_row import JoinRows
from byline.transforms.attributes.tables.checks import (
    check_doubled,
    check_matched,
    check_rows,
    counts_of,
    summary_of,
)
from byline.transforms.attributes.tables.groups import Group, groups_of
from byline.transforms.attributes.tables.layouts import TableShape
from byline.transforms.attributes.tables.table_rows import ExchangeRows, RowsNote, exchanged, lines_of, notes_of
from byline.transforms.attributes.tables.targets import Targets
from byline.transforms.corpora.listing import list_matches
from byline.transforms.files.storage import join

# Of a table's row as it is compressed, and of a document's key: for how many partitions and workers there are.
_ROW_BYTES, _KEY_BYTES = 50, 100
# Keys of both sides are held as they are and once more to be compared: 0.3 kB a row with URLs.
_KEY_COPIES = 2


def _rounds(context: Context) -> Rounds:
    settings = _settings(context.settings)
    shape = TableShape(settings, context.name, key_type(context.config, context.name, settings))
    files = _files(context.name, settings)
    return (yield from (_by_row if settings.by == ROW else _by_key)(context, shape, files))


def _by_key(context: Context, shape: TableShape, files: list[InputFile]) -> Rounds:
    settings, columns = shape.settings, tuple(shape.values)
    groups = groups_of(context.files, cuts_files=True)
    documents, size = sum(run.rows for run in context.runs), sum(file.size for file in files)
    count = partitions_for(_KEY_COPIES * (documents + size // _ROW_BYTES))
    yield Round("ExchangeRows", lines_of(files), ExchangeRows(shape, context.work, count), size)
    notes = notes_of(context.work, files)
    check_rows(shape, files, notes)
    key_bytes = documents * _KEY_BYTES
    lines = [group.line for group in groups]
    yield Round("ExchangeKeys", lines, ExchangeKeys(settings.by, context.work, count), key_bytes)
    do = Join(len(columns), context.work, exchanged(context.work, notes), len(groups))
    yield Round("Join", [str(partition) for partition in range(count)], do, key_bytes + size)
    joins = join_notes(context.work, range(count))
    totals = _documents(context.work, groups)
    for note in joins:
        for group, file, matched in note.documents:
            totals[groups[group].files[file].file.source].matched += matched
    summary = _checked(shape, files, notes, joins, totals)
    yield Round("WriteValues", lines, WriteValues(columns, context.work, context.parts, count), key_bytes)
    return summary


def _by_row(context: Context, shape: TableShape, files: list[InputFile]) -> Rounds:
    groups = groups_of(context.files, cuts_files=False)
    targets = Targets.of(groups, ends_count=shape.settings.layout is TableLayout.REDPAJAMA)
    targets_uri = join(context.work, "targets.json")
    targets.write(targets_uri)
    size = sum(file.size for file in files)
    do = ExchangeRows(shape, context.work, len(groups), targets_uri)
    yield Round("ExchangeRows", lines_of(files), do, size)
    notes = notes_of(context.work, files)
    check_rows(shape, files, notes)
    _check_called(shape.name, notes, targets)
    rows = exchanged(context.work, notes)
    lines = [group.line for group in groups]
    yield Round("JoinRows", lines, JoinRows(tuple(shape.values), context.work, context.parts, rows), size)
    joins = join_notes(context.work, range(len(groups)))
    return _checked(shape, files, notes, joins, _documents(context.work, groups))


def _checked(
    shape: TableShape,
    files: list[InputFile],
    notes: list[RowsNote],
    joins: list[JoinNote],
    documents: dict[str, DocumentsNote],
) -> Summary:
    counts = counts_of(notes, joins)
    check_doubled(shape, files, joins)
    check_matched(shape, notes, counts, documents)
    return summary_of(shape, counts, documents)


def _documents(work: str, groups: list[Group]) -> dict[str, DocumentsNote]:
    """What was counted of the documents of each source."""
    totals: dict[str, DocumentsNote] = {}
    for of_group in document_notes(work, range(len(groups))):
        for source, note in of_group.items():
            totals.setdefault(source, DocumentsNote()).add(note)
    return dict(sorted(totals.items()))


def _check_called(name: str, notes: list[RowsNote], targets: Targets) -> None:
    """Refuses a table whose files call one input file by several paths. Raises: BylineError."""
    called: dict[str, str] = {}
    for note in notes:
        for number, path in note.called.items():
            if called.setdefault(number, path) != path:
                raise BylineError(f"attributes.{name}: {targets.two_names(int(number), called[number], path)}")


def key_type(config: Config, name: str, settings: TableAttribute) -> pa.DataType:
    """What the table's keys are read as. Raises: BylineError: a source has no such field."""
    if settings.by in (ROW, URL):
        return pa.string()
    kinds = set()
    for source, of_source in config.sources.items():
        if not settings.is_about(source):
            continue
        kept = of_source.keep.get(settings.by)
        kind = of_source.made_fields.get(settings.by) if kept is None else kept.type
        if kind is None:
            raise BylineError(
                f"attributes.{name}.by: {settings.by!r} is no kept field of source {source!r}; keep it "
                f"(`keep: [{settings.by}]`), or name the `sources` that the table is about"
            )
        if kind not in ("string", "int"):
            raise BylineError(
                f"attributes.{name}.by: {settings.by!r} of source {source!r} is kept as {kind}; expected string or int"
            )
        kinds.add(kind)
    return pa.int64() if kinds == {"int"} else pa.string()


def _files(name: str, settings: TableAttribute) -> list[InputFile]:
    return list_matches(f"attributes.{name}.path", expanded(settings.path))


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    return {"files": table_checksums(config.store, _files(name, _settings(settings)))}


def _settings(settings: Attribute) -> TableAttribute:
    assert isinstance(settings, TableAttribute), settings
    return settings


# How much may be unmatched decides no value.
TABLE = AttributeKind(rounds=_rounds, identity=_identity, paths=("path", "max_unmatched"), reads_text=False)
