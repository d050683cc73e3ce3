"""The columns of attributes, which stand in files beside the runs, read as if they were columns of the runs.

```
STORE/web/5f3e.../a-00000.arrow                             shuffle_key  row  num_tokens  host   tokens
STORE/web/5f3e.../attributes/topic/91c3.../a-00000.arrow    shuffle_key  row                      topic
read as                                                     shuffle_key  row  num_tokens  host   topic   tokens
```

A file of an attribute has the name, the description, the record batches and the order of its run, so what reads runs
reads it, too, and the two go side by side.

Where a recipe replaces ranges of tokens (`byline.transforms.store.token_ranges`), `num_tokens` is read as what is left.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from types import MappingProxyType

import pyarrow as pa

from byline.errors import DamagedFileError
from byline.transforms.files.storage import join
from byline.transforms.store.run_pieces import Piece

ATTRIBUTES_FOLDER = "attributes"
# Source -> column -> folder with a file for each run, relative to that of the runs: `attributes/topic/91c3...`.
AttributeFolders = Mapping[str, Mapping[str, str]]
NO_ATTRIBUTES: AttributeFolders = MappingProxyType({})
# Source -> columns of attributes whose ranges of tokens a recipe replaces by one token each, sorted.
ReplacedColumns = Mapping[str, Sequence[str]]
NOTHING_REPLACED: ReplacedColumns = MappingProxyType({})


@dataclass(frozen=True)
class StoredRun:
    """A run, and where the columns of attributes are that stand beside it; as `open_run` takes it.

    Attributes:
        uri: of the run.
        attributes: of all sources.
        replaced: likewise; `num_tokens` count each of their ranges as one token.
    """

    uri: str
    attributes: AttributeFolders
    replaced: ReplacedColumns = field(default_factory=dict)


def beside(uri: str, folder: str) -> str:
    """The file of an attribute that belongs to a run."""
    runs, _, name = uri.rpartition("/")
    return join(runs, folder, name)


def by_folder(columns: Iterable[str], folders: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns that attributes have, by their folder."""
    grouped: dict[str, list[str]] = {}
    for name in sorted(columns):
        if name in folders:
            grouped.setdefault(folders[name], []).append(name)
    return grouped


def with_columns_of(batch: pa.RecordBatch, others: Iterable[tuple[str, pa.RecordBatch]]) -> pa.RecordBatch:
    """Documents with the columns of attributes.

    Args:
        batch: with `shuffle_key`.
        others: of the same documents in the same order, each with the address of its file.

    Raises:
        DamagedFileError: a file is not aligned with its run.
    """
    for uri, other in others:
        if not other["shuffle_key"].equals(batch["shuffle_key"]):
            raise DamagedFileError(f"{uri}: is not aligned with its run; delete it and run `byline attribute`")
        for name in other.schema.names:
            if name != "shuffle_key":
                batch = batch.append_column(other.schema.field(name), other[name])
    return batch


def pieces_with(
    pieces: Iterator[tuple[int, Piece]], others: Sequence[Iterator[tuple[int, Piece]]], uris: Sequence[Sequence[str]]
) -> Iterator[tuple[int, Piece]]:
    """Pieces of runs with the columns of attributes.

    Args:
        pieces: of the runs, each with the number of its run.
        others: of the files of each attribute.
        uris: of the files of each attribute, by the number of the run.

    Raises:
        DamagedFileError: a file is not aligned with its run.
    """
    for both in zip_longest(pieces, *others):
        if both[0] is None or any(other is None for other in both):
            raise DamagedFileError(
                f"{uris[0][0]}, or another of its attribute: not aligned with its run; make it again"
            )
        (number, piece), *rest = both
        columns = [(files[number], other.index) for files, (_, other) in zip(uris, rest, strict=True)]
        yield number, replace(piece, index=with_columns_of(piece.index, columns))
