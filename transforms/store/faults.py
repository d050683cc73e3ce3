"""Faults of input files that workers note, so that one faulty file does not keep the others from being prepared.

```
STORE/c4/<fingerprint>/faults/91c3....json     {"source": "c4", "path": "b.json.gz", "where": "byte 1048576", ...}
STORE/c4/<fingerprint>/91c3...-00000.arrow     what was read before it: deleted with the note
```

A note is written where the fault is found. The driver takes the notes when its job has ended, whatever its end, and a
driver that died before that leaves them for the next one: so no chunk of a damaged file is ever gone on from.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from byline.errors import BylineError
from byline.schemas.faults import FaultyFileError
from byline.transforms.files import storage
from byline.transforms.store.run_names import file_hash

FAULTS_FOLDER = "faults"
# Of one source. More are most likely one mistake in the configuration, and the others would be read in vain.
MOST_FAULTS = 100


@dataclass(frozen=True)
class NotedFault:
    """A fault of an input file.

    Attributes:
        source, path: of the file.
        message: one line.
        where: in the file; empty where it is all of it.
    """

    source: str
    path: str
    message: str
    where: str


def note_fault(folder: str, source: str, path: str, fault: FaultyFileError) -> None:
    """Writes down a fault.

    Args:
        folder: of the source's runs.
        source, path: of the file.
        fault: why it cannot be used.

    Raises:
        BylineError: as many files of the source have faults as are read in vain.
    """
    notes = storage.join(folder, FAULTS_FOLDER)
    noted = NotedFault(source, path, str(fault), fault.where)
    with storage.write_file(storage.join(notes, f"{file_hash(source, path)}.json")) as sink:
        sink.write(json.dumps(asdict(noted)).encode())
    count = len(storage.list_files(notes))
    if count >= MOST_FAULTS:
        raise BylineError(f"sources.{source}: {count} files cannot be prepared, so no more are read; the last: {fault}")


@dataclass(frozen=True)
class FaultNotes:
    """Where workers note faults; a `NoteFault`.

    Attributes:
        folders: source name -> folder of its runs.
    """

    folders: dict[str, str]

    def __call__(self, source: str, path: str, fault: FaultyFileError) -> None:
        note_fault(self.folders[source], source, path, fault)


def take_faults(folders: Iterable[str]) -> list[NotedFault]:
    """The noted faults, in order of source and path. What their files left in the token store is deleted.

    Args:
        folders: of the sources' runs.
    """
    faults: list[NotedFault] = []
    for folder in folders:
        notes = [info.path for info in storage.list_files(storage.join(folder, FAULTS_FOLDER))]
        if not notes:
            continue
        noted = [NotedFault(**json.loads(storage.read_bytes(uri))) for uri in notes]
        hashes = {file_hash(fault.source, fault.path) for fault in noted}
        # The runs before the notes: whoever is killed in between does it again.
        runs = [info for info in storage.list_files(folder) if info.base_name.partition("-")[0] in hashes]
        storage.side_by_side(storage.delete_file, [info.path for info in runs])
        storage.side_by_side(storage.delete_file, notes)
        faults += noted
    return sorted(faults, key=lambda fault: (fault.source, fault.path))
