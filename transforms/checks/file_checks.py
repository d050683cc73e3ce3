"""Checks the runs of the token store, and the raw files that they were made of, each by itself.

```
FileToCheck as a line of JSON   ->   WORK/files/17.json     [] or ["c4/.../a-00000.arrow: its contents are damaged ..."]
```

A run is checked by its own checksums (transforms/store/run_checks.py), a raw file by the checksum that its last run has
of it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from byline.errors import BylineError, DamagedFileError
from byline.schemas.store import RunFile
from byline.transforms.corpora.decoding import checksum_of
from byline.transforms.files.sealed_files import check_sealed
from byline.transforms.files.storage import file_size, join, read_bytes, side_by_side, write_file
from byline.transforms.store.attribute_columns import AttributeFolders, beside
from byline.transforms.store.run_checks import check_run
from byline.transforms.store.run_pieces import reading_run
from byline.transforms.store.state import StoreState
from byline.transforms.store.store_index import input_of


@dataclass(frozen=True)
class FileToCheck:
    """A file to check.

    Attributes:
        number: of the file among all that are checked.
        uri: where it is.
        expected: the fingerprint that a run must have, or the checksum of a raw file; "" for an attribute beside a run.
        is_raw: whether it is a raw file.
        size: in bytes.
    """

    number: int
    uri: str
    expected: str
    is_raw: bool
    size: int

    def to_json(self) -> str:
        """The file as one line."""
        return json.dumps(list(vars(self).values()))

    @classmethod
    def from_json(cls, line: str) -> "FileToCheck":
        """The file from the line that `to_json` made."""
        return cls(*json.loads(line))


def runs_to_check(files: Sequence[RunFile], fingerprints: Mapping[str, str]) -> list[FileToCheck]:
    """Those files of the token store that a plan draws from; `fingerprints` by source."""
    return [
        FileToCheck(number, file.uri, fingerprints[file.source], False, file.size) for number, file in enumerate(files)
    ]


def attributes_to_check(
    files: Sequence[RunFile], attributes: AttributeFolders, first: int
) -> tuple[list[FileToCheck], list[str]]:
    """The files of attributes beside the runs that a plan draws from.

    Args:
        files: the runs.
        attributes: that the plan names.
        first: the number of the first one.

    Returns:
        The files; and the addresses of those that are gone.
    """
    folders = {source: sorted(set(columns.values())) for source, columns in attributes.items()}
    uris = [beside(file.uri, folder) for file in files for folder in folders.get(file.source, ())]
    sizes = dict(zip(uris, side_by_side(file_size, uris), strict=True))
    there = [(uri, size) for uri, size in sizes.items() if size is not None]
    checked = [FileToCheck(first + number, uri, "", False, size) for number, (uri, size) in enumerate(there)]
    return checked, [uri for uri, size in sizes.items() if size is None]


def raw_files_to_check(
    state: StoreState, first: int, made: Collection[str] = ()
) -> tuple[list[FileToCheck], list[str]]:
    """The raw files of a token store.

    Args:
        state: of the store.
        first: the number of the first one.
        made: names of sources that have none.

    Returns:
        The files; and `source/path` of those that are gone, or whose checksum the store does not have.
    """
    uris = {(file.source, file.path): file.uri for file in state.inputs}
    files: list[FileToCheck] = []
    missing = []
    for run in (run for run in state.runs if run.last and run.source not in made):
        uri = uris.get(input_of(run))
        if uri and run.input_checksum:
            files.append(FileToCheck(first + len(files), uri, run.input_checksum, True, run.input_size))
        else:
            missing.append("/".join(input_of(run)))
    return files, missing


def problems_of(file: FileToCheck) -> list[str]:
    """What is wrong with a file: nothing, or one line."""
    try:
        if file.is_raw:
            return _problems_of_raw(file)
        if not file.expected:
            with reading_run(file.uri):
                check_sealed(file.uri)
            return []
        check_run(file.uri, file.expected)
    except DamagedFileError as error:
        return [str(error)]
    return []


def _problems_of_raw(file: FileToCheck) -> list[str]:
    try:
        checksum = checksum_of(file.uri)
    except BylineError as error:
        return [str(error)]
    if checksum == file.expected:
        return []
    return [
        f"{file.uri}: its bytes are not those that were prepared (another checksum); fetch it again, or prepare it anew"
    ]


def check_file(work: str, line: str) -> None:
    """Checks a file, given as a line of JSON, and writes the report on it below `work`."""
    file = FileToCheck.from_json(line)
    with write_file(report_uri(work, file)) as sink:
        sink.write(json.dumps(problems_of(file)).encode())


def read_problems(work: str, files: Sequence[FileToCheck]) -> list[list[str]]:
    """What is wrong with each of the files that `check_file` has checked."""
    return [json.loads(report) for report in side_by_side(lambda file: read_bytes(report_uri(work, file)), files)]


def report_uri(work: str, file: FileToCheck) -> str:
    """Where the report on a file is."""
    return join(work, "files", f"{file.number}.json")
