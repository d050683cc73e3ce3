"""What is said of a join: what it matched, and what the user most likely did not mean.

```
topic: table: 1,000 rows; 900 matched, 100 of no document; 3 doubled, 1 with other values
topic: web: 950 of 1,200 documents have a row (79.2%), 40 have no url
```
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from byline.errors import BylineError
from byline.schemas.attribute_kinds.table import ROW, Doubled, TableLayout
from byline.schemas.documents import InputFile
from byline.transforms.attributes.notes import SHOWN, shown
from byline.transforms.attributes.tables.by_key import DocumentsNote, JoinNote
from byline.transforms.attributes.tables.layouts import TableShape, layout_of
from byline.transforms.attributes.tables.table_rows import RowsNote

_MOST_NAMES = 20


@dataclass(frozen=True)
class TableCounts:
    """The rows of a table, all files together.

    Attributes:
        rows: of all files.
        keyless: those without a key.
        matched: those whose key a document has.
        doubled: those with the key of an earlier row.
        contradicted: those of them with other values than that row.
    """

    rows: int
    keyless: int
    matched: int
    doubled: int
    contradicted: int

    @property
    def unmatched(self) -> int:
        """Those with a key that no document has."""
        return self.rows - self.keyless - self.matched


def counts_of(rows: Iterable[RowsNote], joins: Iterable[JoinNote]) -> TableCounts:
    """Counts of all files, partitions or groups together."""
    rows, joins = list(rows), list(joins)
    return TableCounts(
        rows=sum(note.rows for note in rows),
        keyless=sum(note.keyless for note in rows),
        matched=sum(note.matched for note in joins),
        doubled=sum(note.doubled for note in joins),
        contradicted=sum(note.contradicted for note in joins),
    )


def check_rows(shape: TableShape, files: Sequence[InputFile], notes: Sequence[RowsNote]) -> None:
    """Refuses a table without rows or keys, and one of which a column has no value.

    Raises:
        BylineError: it is one of these; with what its first file has.
    """
    where = f"attributes.{shape.name}"
    if not sum(note.rows for note in notes):
        raise BylineError(f"{where}.path: the table has no row, in {len(files):,} files ({files[0].uri} is the first)")
    if not sum(note.rows - note.keyless for note in notes):
        paths = " and ".join(repr(path) for name, (path, _) in shape.keys.items() if name != "source")
        raise BylineError(f"{where}: no row of the table has a key at {paths}; {_names(files[0])}")
    for number, (name, (path, kind)) in enumerate(shape.values.items()):
        if not sum(note.known[number] for note in notes):
            what = "span with a score" if shape.settings.has_spans else f"value that is {_SAID[str(kind)]}"
            column = f"{where}.column" if shape.settings.column else f"{where}.columns.{name}"
            raise BylineError(f"{column}: no row of the table has a {what} at {path!r}; {_names(files[0])}")


_SAID = {"string": "a text", "int64": "a whole number", "double": "a number", "bool": "true or false"}


def _names(file: InputFile) -> str:
    """What the first rows of a file have."""
    names = layout_of(file).names
    values = {} if names is None else names(file)
    first = [path if value is None else f"{path} ({shown(repr(value))})" for path, value in values.items()]
    more = f" and {len(first) - _MOST_NAMES} more" if len(first) > _MOST_NAMES else ""
    return f"the first of {file.uri} have {', '.join(first[:_MOST_NAMES]) or 'no field'}{more}"


def check_doubled(shape: TableShape, files: Sequence[InputFile], joins: Sequence[JoinNote]) -> None:
    """Refuses rows of one key with other values, unless the first counts.

    Raises:
        BylineError: there are some; with file and row of the first two.
    """
    examples = [note.example for note in joins if note.example]
    if not examples or shape.settings.doubled is Doubled.FIRST:
        return
    file, row, first_file, first_row, key = min(examples)
    others = sum(note.contradicted for note in joins) - 1
    raise BylineError(
        f"attributes.{shape.name}: {key!r} stands in the table twice with other values, in row {first_row} of "
        f"{files[int(first_file)].uri} and in row {row} of {files[int(file)].uri}"
        f"{f', and {others:,} more rows are like that' if others else ''}; mend the table, or let the first one count "
        "(`doubled: first`)"
    )


def check_matched(
    shape: TableShape, notes: Sequence[RowsNote], counts: TableCounts, documents: dict[str, DocumentsNote]
) -> None:
    """Refuses a join that leaves more documents of a source without a row than `max_unmatched`.

    Raises:
        BylineError: it does; with keys of both sides.
    """
    most = shape.settings.max_unmatched
    table_keys = [key for note in notes for key in note.keys][:SHOWN]
    what = "path and row" if shape.settings.by == ROW else shape.settings.by
    if most < 1 and not counts.matched and any(note.documents for note in documents.values()):
        keys = [key for note in documents.values() for key in note.keys][:SHOWN]
        raise BylineError(
            f"attributes.{shape.name}: the table matches no document by {what}; documents have {_listed(keys)}, the "
            f"table has {_listed(table_keys)}{_advice(shape)}"
        )
    for source, note in documents.items():
        unmatched = note.documents - note.matched
        if unmatched > most * note.documents:
            raise BylineError(
                f"attributes.{shape.name}: {unmatched:,} of {note.documents:,} documents of {source} have no row in "
                f"the table ({_percent(unmatched, note.documents)}; {note.keyless:,} have no {what}), and "
                f"max_unmatched allows {_percent(most.numerator, most.denominator)}; raise it, or name the `sources` "
                f"that the table is about; documents have {_listed(note.keys)}, the table has {_listed(table_keys)}"
            )


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(map(repr, keys)) or "none"


def _advice(shape: TableShape) -> str:
    if shape.settings.by == ROW and shape.settings.layout is TableLayout.PLAIN:
        return (
            "; a path is relative to the folder before the first wildcard of a source, as `byline plan` and ids have it"
        )
    return "; keys are compared byte by byte"


def _percent(count: int, whole: int) -> str:
    return f"{100 * count / whole:.1f}%".replace(".0%", "%") if whole else "0%"


def summary_of(shape: TableShape, counts: TableCounts, documents: dict[str, DocumentsNote]) -> dict[str, Any]:
    """Counts as the ledger has them, and lines for people."""
    of_sources = {
        source: {
            "documents": note.documents,
            "matched": note.matched,
            "unmatched": note.documents - note.matched - note.keyless,
            "without_key": note.keyless,
        }
        for source, note in documents.items()
    }
    of_table = {
        "rows": counts.rows,
        "matched": counts.matched,
        "unmatched": counts.unmatched,
        "without_key": counts.keyless,
        "doubled": counts.doubled,
        "doubled_with_other_values": counts.contradicted,
    }
    lines = [
        f"table: {counts.rows:,} rows; {counts.matched:,} matched, {counts.unmatched:,} of no document, "
        f"{counts.keyless:,} without a key; {counts.doubled:,} doubled, {counts.contradicted:,} with other values"
    ]
    what = "path and row" if shape.settings.by == ROW else shape.settings.by
    lines += [
        f"{source}: {note.matched:,} of {note.documents:,} documents have a row "
        f"({_percent(note.matched, note.documents)}), {note.keyless:,} have no {what}"
        for source, note in documents.items()
    ]
    return {"documents": of_sources, "table": of_table, "lines": lines}
