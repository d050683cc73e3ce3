"""What a format of exports is: how it writes the rows of one shard, and which files it adds for the whole folder.

```
shard 3 of `conditioned`   write   ->  conditioned/00003-of-00012.parquet           by a worker, shards in any order
all shards                 whole   ->  README.md                                    by the driver, when all are there
```

A file is named by its shard alone, and its bytes follow from the shard's rows, so any number of workers writes the
same.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, cast, get_origin

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.gathering import Piece, gather_pieces, groups
from byline.manifest import Manifest
from byline.printable import shown
from byline.rows import Rows
from byline.shard_files import ShardFile
from byline.targets import Spread
from byline.transforms.files.storage import HashingSink, join, write_file

# Of one batch of rows: 8 MiB of ids, and some five times as much while they are laid out.
_BATCH_TOKENS = 2 << 20
_SAFE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


Made = TypeVar("Made")


def check_path(path: Any, where: str) -> None:
    """Refuses a path that could lead out of the folder of an export.

    Args:
        path: of a file, relative to the folder, `/` between its parts.
        where: what names it, for the message.

    Raises:
        BylineError: it is no such path.
    """
    if not isinstance(path, str) or not all(_SAFE_PART.fullmatch(part) for part in path.split("/")):
        raise BylineError(
            f"{where}: {shown(path)} is no path of an export: letters, digits, '_', '.' and '-' between '/', no "
            "part of it beginning with '.' or '-'"
        )


def typed(made: type[Made], values: dict[str, Any]) -> Made:
    """A dataclass of plain values, of which lists are checked to be lists and no more.

    Raises:
        TypeError, KeyError: a value is missing, is one too many, or is not of its field's type.
    """
    for field in fields(cast(Any, made)):
        value, expected = values[field.name], list if get_origin(field.type) is list else cast(Any, field.type)
        if isinstance(value, bool) or not isinstance(value, expected):
            raise TypeError(f"{field.name}: {shown(value)}")
    return made(**values)


@dataclass(frozen=True)
class ExportedFile:
    """One file; `path` in the folder, `rows` in it, its `bytes` and `sha256` (hex)."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportedShard:
    """The files that one shard became.

    Attributes:
        path: of the shard, in its build.
        phase, rows: of the shard.
        otherwise: rows whose segments begin elsewhere for who reads the files.
        files: in the order in which they were written.
    """

    path: str
    phase: str
    rows: int
    otherwise: int
    files: list[ExportedFile]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ExportedShard":
        """From plain values.

        Raises:
            TypeError, KeyError: they are others.
        """
        return typed(cls, {**values, "files": [typed(ExportedFile, file) for file in values["files"]]})

    def to_bytes(self) -> bytes:
        """The content of its record."""
        return json.dumps(asdict(self), sort_keys=True).encode()


class ShardRows:
    """The rows of one shard.

    Args:
        file: the shard, open.
        uri: where it is, for messages.
        manifest: of its build.
        count, phase, stem: as the attributes.

    Attributes:
        count: how many there are.
        length: L, tokens of a row.
        phase: their phase.
        stem: of the files that they become: `conditioned/00003-of-00012`.
        vocabulary: every id is below it.
        bos_id, eos_id: of the tokenizer; None where it has none.
        loss_weight: type of the column of that name; None where the build has no weights.
        domain: what the rows are said to be of: the phase, or of an import the domain that all its samples had.
    """

    def __init__(self, file: ShardFile, uri: str, manifest: Manifest, count: int, phase: str, stem: str) -> None:
        self._file, self._uri = file, uri
        self.count, self.phase, self.stem = count, phase, stem
        self.length, tokenizer = manifest.sequence_length, manifest.tokenizer
        self.domain, self.loss_weight = manifest.domain_of(phase), manifest.loss_weight
        self.vocabulary = vocabulary_of(tokenizer)
        self.bos_id, self.eos_id = tokenizer.get("bos_id"), tokenizer.get("eos_id")

    def batches(self, step: int | None = None) -> Iterator[Spread]:
        """The rows in order, `step` at a time; None for as many as are quick to lay out.

        Raises:
            BylineError: the shard is damaged, or has an id that its tokenizer has not.
        """
        step = step or max(_BATCH_TOKENS // self.length, 1)
        for first in range(0, self.count, step):
            rows = self._rows(first, min(first + step, self.count))
            if int(rows["input_ids"].max()) >= self.vocabulary or int(rows["input_ids"].min()) < 0:
                raise BylineError(
                    f"{self._uri}: has an id that is not below {self.vocabulary:,}, the tokenizer's ids; build again"
                )
            yield Spread(rows)

    def _rows(self, first: int, end: int) -> Rows:
        batches, rows = np.divmod(np.arange(first, end), self._file.rows_per_batch)
        pieces = [Piece(self._file.batch(number), rows[targets], targets) for number, targets in groups(batches)]
        return gather_pieces(pieces, self.length, np.full(end - first, self.phase), self.loss_weight)


def vocabulary_of(tokenizer: dict[str, Any]) -> int:
    """One more than the largest id of a tokenizer, as a manifest describes it."""
    special = [tokenizer.get(name) for name in ("bos_id", "eos_id", "pad_id")]
    named = [
        *special,
        *(id_ for key in ("added", "markers", "placeholders") for id_ in (tokenizer.get(key) or {}).values()),
    ]
    return max(tokenizer["vocab_size"], *(number + 1 for number in named if isinstance(number, int)))


class ShardFiles:
    """Writes the files of one shard; `files` has those that are whole.

    Args:
        folder: of the export.
        check: raises if the folder is another export's; called before a file gets its name.
    """

    def __init__(self, folder: str, check: Callable[[], None]) -> None:
        self.folder, self._check = folder, check
        self.files: list[ExportedFile] = []

    @contextmanager
    def create(self, path: str, rows: int) -> Iterator[HashingSink]:
        """A file of so many rows, open for writing; it gets its name when the block ends.

        Raises:
            BylineError: it cannot be written, or `check` refuses; the old file is as it was.
        """
        check_path(path, self.folder)
        with write_file(join(self.folder, path)) as sink:
            digested = HashingSink(sink)
            yield digested
            # Minutes may have passed.
            self._check()
        self.files.append(ExportedFile(path, rows, digested.size, digested.hasher.hexdigest()))


def write_array(sink: HashingSink, values: np.ndarray) -> None:
    """Writes an array's values, one after another."""
    sink.write(pa.py_buffer(np.ascontiguousarray(values)))


def files_by_phase(shards: Sequence[ExportedShard]) -> dict[str, list[ExportedFile]]:
    """Phase -> its files, in training order; phases without files are left out."""
    files: dict[str, list[ExportedFile]] = {}
    for shard in shards:
        if shard.files:
            files.setdefault(shard.phase, []).extend(shard.files)
    return files


class ExportFormat(ABC):
    """A format to export to.

    Attributes:
        name: what `--to` takes.
        version: of what it writes; goes up when the same rows give other bytes.
        line: its row in docs/exports.md: files, what reads them, what they lose.
        keeps_mask: whether what reads it gets the loss mask.
        keeps_weights: whether it gets the loss weights of a build that has any.
        note: what a user must know before training on it; empty if nothing.
    """

    name: str
    version: int = 1
    line: str
    keeps_mask: bool = True
    keeps_weights: bool = False
    note: str = ""

    @abstractmethod
    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        """Writes the files of one shard that has rows.

        Returns:
            How many rows have segments that begin elsewhere for who reads the files.
        """

    def whole(self, shards: Sequence[ExportedShard], length: int) -> dict[str, bytes]:
        """The files that are of all shards, path -> content.

        Args:
            shards: in training order.
            length: L, tokens of a row.
        """
        return {}
