"""The manifest of an export: the last file that is written, so a folder that has one is complete.

```
_export.json
  format "byline-export"   version 1   to "parquet"   to_version 1   sequence_length 2048   rows 1,000
  manifest_sha256   of the _manifest.json that it was made from          branch     code_version
  shards   path in the build  phase  rows  otherwise  files [path  rows  bytes  sha256]     in training order
  whole    files that are of all shards
  digests  of each of these keys, as in a build's manifest
```
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from byline import locations
from byline.errors import BylineError
from byline.manifest import digests_of
from byline.printable import one_line, shown
from byline.transforms.exports.export_format import ExportedFile, ExportedShard, check_path, typed
from byline.transforms.files import storage
from byline.whole_files import file_problems

FILE_NAME = "_export.json"
# In the folder of an export until its manifest is written; transforms/exports/export_folder.py says what it has.
WORK_FOLDER = ".byline-export"
CURRENT_NAME = "current.txt"
FORMAT = "byline-export"
EXPORT_VERSION = 1
_ANEW = "copy it anew, or delete the folder and export again"


@dataclass(frozen=True)
class ExportMaker:
    """What an export is made from and by; two of the same give the same bytes.

    Attributes:
        manifest_sha256: of the build's manifest (hex).
        branch: that was exported; None for the timeline.
        to, to_version: the format and its version.
        code_version: of Byline.
    """

    manifest_sha256: str
    branch: str | None
    to: str
    to_version: int
    code_version: str

    def to_text(self) -> str:
        """One line of JSON, in which equal makers are equal."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


@dataclass(frozen=True)
class ExportManifest:
    """The contents of `_export.json`; `shards` in training order, `whole` the files that are of all of them."""

    maker: ExportMaker
    sequence_length: int
    rows: int
    shards: list[ExportedShard]
    whole: list[ExportedFile]

    def files(self) -> Iterator[ExportedFile]:
        """All of its files."""
        for shard in self.shards:
            yield from shard.files
        yield from self.whole

    def to_bytes(self) -> bytes:
        """The content of its file."""
        values: dict[str, Any] = {
            "format": FORMAT,
            "version": EXPORT_VERSION,
            **asdict(self.maker),
            "sequence_length": self.sequence_length,
            "rows": self.rows,
            "shards": [asdict(shard) for shard in self.shards],
            "whole": [asdict(file) for file in self.whole],
        }
        return (json.dumps({**values, "digests": digests_of(values)}, indent=1) + "\n").encode()


def is_export(folder: str) -> bool:
    """Whether a folder has the manifest of an export.

    Raises:
        BylineError: it is no path and no address.
    """
    return storage.exists(storage.join(locations.absolute(folder), FILE_NAME))


def check_finished(folder: str) -> None:
    """Refuses a folder without a manifest of an export, where one has begun.

    Raises:
        BylineError: it is such a folder.
    """
    uri = storage.join(locations.absolute(folder), WORK_FOLDER, CURRENT_NAME)
    if storage.exists(uri):
        raise BylineError(f"{folder}: this export is not finished; run `byline export` again")


def read_export(folder: str) -> ExportManifest:
    """Reads `folder/_export.json`.

    Raises:
        BylineError: there is none, or it is not what an export of this version wrote, or names files elsewhere.
    """
    uri = storage.join(folder, FILE_NAME)
    content = storage.read_bytes(uri)
    try:
        values = json.loads(content)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise BylineError(f'{uri}: expected "format": "{FORMAT}"; this is another kind of file')
        if values.get("version") != EXPORT_VERSION:
            raise BylineError(
                f"{uri}: not an export of version {EXPORT_VERSION} but of {shown(values.get('version'))}; {_ANEW}"
            )
        if values.pop("digests") != digests_of(values):
            raise BylineError(f"{uri}: is not what the export wrote: a key has another sha256; {_ANEW}")
        del values["format"], values["version"]
        maker = typed(ExportMaker, {name: values.pop(name) for name in ExportMaker.__dataclass_fields__})
        shards = [ExportedShard.from_json(shard) for shard in values.pop("shards")]
        whole = [typed(ExportedFile, file) for file in values.pop("whole")]
        manifest = typed(ExportManifest, {**values, "maker": maker, "shards": shards, "whole": whole})
        for file in manifest.files():
            check_path(file.path, uri)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BylineError):
            raise
        raise BylineError(f"{uri}: cannot be read as an export ({one_line(error, 200)}); {_ANEW}") from None
    return manifest


@dataclass(frozen=True)
class ExportProblems:
    """What is wrong with an export, each list of one line a problem.

    Attributes:
        files: that are missing or have other bytes.
        rows: where the manifest does not fit itself.
        strangers: files that it does not list.
    """

    files: list[str]
    rows: list[str]
    strangers: list[str]

    def lines(self) -> list[str]:
        """All of them."""
        return [*self.files, *self.rows, *self.strangers]


def export_problems(folder: str, manifest: ExportManifest) -> ExportProblems:
    """Compares an export with its manifest, every byte.

    Args:
        folder: of the export, as `locations.absolute` gives it.
        manifest: of the export.
    """
    listed = list(manifest.files())
    files = [f"{path} {problem}" for path, problem in file_problems(folder, listed, {}, "sha256").items()]
    rows = sum(shard.rows for shard in manifest.shards)
    misfits = [f"{FILE_NAME} says {manifest.rows:,} rows, its shards have {rows:,}"] if rows != manifest.rows else []
    strangers = sorted(set(files_in(folder)) - {file.path for file in listed})
    return ExportProblems(
        files, misfits, [f"{path} is not of this export, and a reader of the folder may take it" for path in strangers]
    )


def files_in(folder: str) -> list[str]:
    """Paths in a folder of all files that a reader of it may take: no part of them begins with `.` or `_`."""
    root = storage.resolve(folder)[1].rstrip("/")
    paths = [storage.resolve(info.path)[1].removeprefix(root + "/") for info in storage.list_files(folder)]
    return [path for path in paths if not any(part.startswith((".", "_")) for part in path.split("/"))]
