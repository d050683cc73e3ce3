"""What an import makes of which files, `OUT/_import.json`: for an import what a plan is for a build.

```
_import.json
  format "byline-import"   version 1   kind "mds-meco"   kind_version 1   sequence_length 8192   ids "int32"
  tokenizer   as a manifest has it, without `markers`
  named       file  bos  eos  pad      what the user named of the tokenizer; null is unknown
  phases      name  source  folder  lists_sha256  left_out [column]
              shards [[number of a file in `files`, ...], ...]     in training order
              files  path  samples  bytes                          in the order of the folder's own list
```
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from byline.errors import BylineError, DamagedFileError
from byline.printable import one_line, shown
from byline.schemas.inputs import numbered_inputs
from byline.schemas.plan import shard_path
from byline.schemas.tokenizer_info import TokenizerInfo

FILE_NAME = "_import.json"
FORMAT = "byline-import"
IMPORT_VERSION = 1


@dataclass(frozen=True)
class ImportedFile:
    """A file of samples: its path in the folder, how many samples it has, and its bytes without compression."""

    path: str
    samples: int
    bytes: int


@dataclass(frozen=True)
class NamedTokenizer:
    """What the user names of the tokenizer; None is unknown.

    Attributes:
        file: its tokenizer.json.
        bos, eos, pad: names of tokens of that file; without a file their ids.
    """

    file: str | None = None
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None


@dataclass(frozen=True)
class ImportedPhase:
    """One phase and the folder that it is made of.

    Attributes:
        name: of the phase.
        source: what ledger and `_inputs.ipc` call the folder.
        folder: its absolute path or address.
        lists_sha256: of what lists its files (hex).
        left_out: columns that are not imported.
        files: its files, in order.
        shards: the files of each shard, by their numbers in `files`.
    """

    name: str
    source: str
    folder: str
    lists_sha256: str
    left_out: list[str]
    files: list[ImportedFile]
    shards: list[list[int]]


@dataclass(frozen=True)
class ImportPlan:
    """All that decides an import.

    Attributes:
        kind, kind_version: what the folders hold, and the version of how it is read.
        sequence_length: L.
        ids: type of the ids in shards, `int32` or `uint16`.
        tokenizer: special ids and the size of the vocabulary.
        named: what of it the user named.
        phases: in training order.
    """

    kind: str
    kind_version: int
    sequence_length: int
    ids: str
    tokenizer: TokenizerInfo
    named: NamedTokenizer
    phases: list[ImportedPhase]

    @property
    def file_name(self) -> str:
        """The name of its file in an output."""
        return FILE_NAME

    def to_bytes(self) -> bytes:
        """The content of its file."""
        values = {"format": FORMAT, "version": IMPORT_VERSION, **asdict(self)}
        return (json.dumps(values, separators=(",", ":")) + "\n").encode()

    @cached_property
    def sha256(self) -> str:
        """Of its file (hex)."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def shards(self) -> list[tuple[str, int, int]]:
        """(phase, shard, number of shards in the phase) of all shards, in training order."""
        return [(phase.name, number, len(phase.shards)) for phase in self.phases for number in range(len(phase.shards))]

    @staticmethod
    def shards_in(content: bytes, uri: str) -> list[tuple[str, int, int]] | None:
        """The shards of the import in a file; None if it is damaged.

        Raises:
            BylineError: it is of another version.
        """
        try:
            return read_import(content, uri).shards()
        except DamagedFileError:
            return None

    def shard_paths(self) -> list[str]:
        """Their paths in the output."""
        return [shard_path(*shard) for shard in self.shards()]

    @cached_property
    def inputs(self) -> pa.Table:
        """The list of input files: a file has a record for each position of its samples (docs/imports.md)."""
        return numbered_inputs(
            {
                (phase.source, file.path): file.samples * self.sequence_length
                for phase in self.phases
                for file in phase.files
            }
        )

    @cached_property
    def file_numbers(self) -> dict[tuple[str, str], int]:
        """(source, path) -> number of a file in doc ids."""
        names = zip(self.inputs["source"].to_pylist(), self.inputs["path"].to_pylist(), strict=True)
        return {name: number for number, name in enumerate(names)}


_PLAN = TypeAdapter(ImportPlan)


def read_import(content: bytes, uri: str) -> ImportPlan:
    """Reads `_import.json`; `uri` is for messages.

    Raises:
        BylineError: it is no import of this version.
    """
    anew = "copy it anew or import again"
    try:
        values: dict[str, Any] = json.loads(content)
        if values.pop("format") != FORMAT:
            raise DamagedFileError(f'{uri}: expected "format": "{FORMAT}"; {anew}')
        version = values.pop("version")
        if version != IMPORT_VERSION:
            raise BylineError(f"{uri}: not an import of version {IMPORT_VERSION} but of {shown(version)}; {anew}")
        plan = _PLAN.validate_python(values)
        for phase in plan.phases:
            _check_shards(phase.shards, len(phase.files))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        if isinstance(error, BylineError):
            raise
        raise DamagedFileError(f"{uri}: cannot be read as an import ({one_line(error, 200)}); {anew}") from None
    return plan


def _check_shards(shards: Sequence[Sequence[int]], files: int) -> None:
    numbers = [number for shard in shards for number in shard]
    if numbers != list(range(files)):
        raise ValueError("its shards do not have each file once")
