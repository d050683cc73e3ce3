"""The columns of an attribute of duplicates, chunk by chunk, and what is counted of them.

```
row  twins  twins_of      twins_sources  twins_matched
0    true   c4/a.json:7   2              c4+dclm
2    false  null          1              dclm
```
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import info_of
from byline.transforms.attributes.duplicates.layout import Layout, files_of, matrix, rows_of
from byline.transforms.attributes.notes import read_notes, write_note
from byline.transforms.attributes.stored_documents import StoredFile, stored_columns
from byline.transforms.attributes.values import parts_uri, write_values

# Documents of a source: all, those that are removed, of these the equal ones; those of more than one source.
COUNTS = ("documents", "removed", "equal", "matched")


def write_marks(layout: Layout, line: str) -> None:
    """Writes the values of an input file's documents, and their counts."""
    listed = StoredFile.from_json(line)
    file = layout.file_number(listed.file.source, listed.file.path)
    equal = layout.read_bucket("equal", layout.partitions, file, "document")
    near = None if layout.preset is None else layout.read_bucket("near", layout.partitions, file, "document")
    counts = dict.fromkeys(COUNTS, 0)
    for batch in stored_columns(listed, []):
        info = info_of(batch)
        documents = layout.documents(info.source, info.path, batch["row"])
        kept, sources = documents.copy(), layout.own_sources(documents)
        _overlay(documents, equal, "first", kept, sources)
        is_equal = kept != documents
        if near is not None:
            _overlay(documents, near, "kept", kept, sources)
        values = _values(layout, documents, kept, sources)
        write_values(parts_uri(layout.parts, info.source, info.path, info.chunk), batch["row"], values)
        is_removed = kept != documents
        counts["documents"] += len(documents)
        counts["removed"] += int(is_removed.sum())
        counts["equal"] += int(is_equal.sum())
        counts["matched"] += int((values[f"{layout.name}_sources"].to_numpy() > 1).sum())
    write_note(layout.work, "counts", file, counts)


def read_counts(layout: Layout) -> dict[str, dict[str, int]]:
    """`COUNTS` by source."""
    counts = {source: dict.fromkeys(COUNTS, 0) for source in layout.sources}
    of_files = read_notes(layout.work, "counts", range(len(layout.files)))
    for (source, _), of_file in zip(layout.files, of_files, strict=True):
        for name, number in of_file.items():
            counts[source][name] += number
    return counts


def _overlay(documents: np.ndarray, rows: pa.RecordBatch, column: str, kept: np.ndarray, sources: np.ndarray) -> None:
    """Sets what is kept and the sources of the documents (ascending) that rows are about."""
    known = rows["document"].to_numpy()
    at = np.minimum(np.searchsorted(documents, known), max(len(documents) - 1, 0))
    if len(documents):
        of_chunk = np.flatnonzero(documents[at] == known)
        kept[at[of_chunk]] = rows[column].to_numpy()[of_chunk]
        sources[at[of_chunk]] = matrix(rows["sources"])[of_chunk]


def _values(layout: Layout, documents: np.ndarray, kept: np.ndarray, sources: np.ndarray) -> dict[str, pa.Array]:
    sets, which = np.unique(sources, axis=0, return_inverse=True)
    which = which.reshape(-1)
    names = [layout.names_of_sources(bits) for bits in sets]
    is_removed = kept != documents
    return {
        layout.name: pa.array(is_removed),
        f"{layout.name}_of": _names(layout, kept, is_removed),
        f"{layout.name}_sources": pa.array([len(one) for one in names], pa.int64()).take(pa.array(which)),
        f"{layout.name}_matched": pa.array(["+".join(one) for one in names], pa.string()).take(pa.array(which)),
    }


def _names(layout: Layout, documents: np.ndarray, is_shown: np.ndarray) -> pa.Array:
    """source/path:row of documents; null where they are not shown."""
    files, which = np.unique(files_of(documents), return_inverse=True)
    prefixes = pa.array(["/".join(layout.files[file]) for file in files], pa.string())
    rows = pa.array(rows_of(documents)).cast(pa.string())
    names = pc.binary_join_element_wise(prefixes.take(pa.array(which)), rows, pa.scalar(":"))
    return pc.if_else(pa.array(is_shown), names, pa.scalar(None, pa.string()))
