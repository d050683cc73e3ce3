"""One shard of an import from its files, alone and again if need be.

```
shard 3 of `conditioned`, files 12 13 14   ->   OUT/conditioned/00003-of-00012.arrow, .byline/conditioned-00003.json
```

A worker knows what to do from `OUT/_import.json`, and reads the list of a folder itself, which must be the same still.
"""

import hashlib
import threading
from dataclasses import dataclass
from functools import lru_cache

from byline.errors import BylineError
from byline.schemas.imports import FILE_NAME, ImportedPhase, ImportPlan, read_import
from byline.schemas.ledger import ShardRecord
from byline.schemas.plan import shard_path
from byline.shards import shard_schema
from byline.transforms.documents.counters import shard_counts
from byline.transforms.files.storage import join, read_bytes
from byline.transforms.imports import kind_named
from byline.transforms.imports.import_kind import Folder
from byline.transforms.imports.imported_rows import ImportedRows, rows_of
from byline.transforms.shards.records import (
    WORK_FOLDER,
    ShardMaker,
    check_current,
    finished_record,
    record_path,
    write_record,
)
from byline.transforms.shards.shard_writing import ShardDescription, write_shard

# The manifest's word for what packed the rows.
PACKING = "imported"


@dataclass(frozen=True)
class ImportJob:
    """What every worker must know.

    Attributes:
        output: where the shards go.
        maker: the import that they belong to, and the version of Byline.
        hashed_from: as in `AssembleJob`.
    """

    output: str
    maker: ShardMaker
    hashed_from: int | None = None

    @property
    def work(self) -> str:
        """The folder of what is only needed until the manifest is written."""
        return join(self.output, WORK_FOLDER)


class ShardSource:
    """Gives the rows of each shard of an import.

    Args:
        plan: the import.
    """

    def __init__(self, plan: ImportPlan) -> None:
        self.plan = plan
        self.shards = plan.shards()
        self._phases = {phase.name: phase for phase in plan.phases}
        self._folders: dict[str, Folder] = {}

    def phase(self, name: str) -> ImportedPhase:
        """A phase by its name."""
        return self._phases[name]

    def folder(self, name: str) -> Folder:
        """The folder of a phase.

        Raises:
            BylineError: it is not there, no longer lists the same files, or was read by another version of its kind.
        """
        if name not in self._folders:
            phase = self._phases[name]
            kind = kind_named(self.plan.kind)
            if kind.version != self.plan.kind_version:
                raise BylineError(
                    f"{phase.folder}: was imported by version {self.plan.kind_version} of {kind.name}, this is "
                    f"{kind.version}; import it anew"
                )
            folder = kind.list_folder(phase.folder)
            if folder.lists_sha256 != phase.lists_sha256:
                raise BylineError(
                    f"{phase.folder}: its list of files is no longer the one that was imported; import it anew"
                )
            self._folders[name] = folder
        return self._folders[name]

    def rows(self, name: str, shard: int) -> ImportedRows:
        """The rows of shard `shard` of a phase.

        Raises:
            BylineError: a file or a sample of it is wrong.
        """
        plan, phase, folder = self.plan, self._phases[name], self.folder(name)
        parts = [
            (plan.file_numbers[phase.source, phase.files[number].path], folder.read(number, plan.sequence_length))
            for number in phase.shards[shard]
        ]
        return rows_of(parts, plan.tokenizer, plan.ids, plan.sequence_length)


def import_shard(number: int, job: ImportJob, source: ShardSource) -> ShardRecord:
    """Writes one shard unless it is written already; returns its record.

    Raises:
        BylineError: a file is wrong, the output no longer belongs to the job, or cannot be written.
    """
    name, shard, shards = source.shards[number]
    path, record_uri = shard_path(name, shard, shards), record_path(job.work, name, shard)
    check_current(job.output, job.maker)
    finished = finished_record(record_uri, join(job.output, path), job.maker, job.hashed_from)
    if finished is not None:
        return finished
    rows, plan = source.rows(name, shard), source.plan
    counts = rows.counts(plan.tokenizer)
    description = ShardDescription(
        maker=job.maker,
        phase=name,
        shard=shard,
        length=plan.sequence_length,
        ids=plan.ids,
        template=None,
        packing=PACKING,
        seed=None,
        tokenizer=plan.tokenizer,
    )
    metadata = description.metadata({source.phase(name).source: counts}, rows.padding)
    metadata["domains"] = rows.domains
    schema = shard_schema(plan.sequence_length, plan.ids, metadata)
    entry = write_shard(job.output, path, schema, rows.batches(schema), counts.loss_tokens, job.maker)
    record = ShardRecord.of(metadata, entry)
    write_record(job.work, record)
    return record


_OPENING = threading.Lock()


def open_source(job: ImportJob) -> ShardSource:
    """The process's only source for a job.

    Raises:
        BylineError: the output has another import by now.
    """
    # A worker's threads begin at the same time, and each would read the lists.
    with _OPENING:
        return _open_source(job)


@lru_cache(maxsize=1)
def _open_source(job: ImportJob) -> ShardSource:
    uri = join(job.output, FILE_NAME)
    content = read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != job.maker.plan_sha256:
        raise BylineError(f"{uri}: is not the import of this job; another one writes to this output")
    return ShardSource(read_import(content, uri))


def import_numbered(job: ImportJob, number: str) -> dict[str, int]:
    """Imports a shard of a job, given its number in training order as text; returns what counts of it."""
    return shard_counts(import_shard(int(number), job, open_source(job)))
