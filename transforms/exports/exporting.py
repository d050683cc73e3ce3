"""One shard to its files, alone and again if need be, and the state of the folder that they go to.

```
DIR/.byline/current.txt               what the export is made from and to which format
DIR/.byline/conditioned-00003.json    the files of shard 3 of `conditioned` are whole: rows, bytes, sha256

record is there, its files have their bytes and sha256     they are kept
record or a file is damaged or gone                        the shard is exported again
another export writes here now                             the worker stops
```

A shard is checked against its sha256 in the build's manifest before it is read.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate

import apache_beam as beam

from byline.errors import BylineError
from byline.manifest import PhaseEntry, ShardEntry
from byline.reader import Shards, open_shards
from byline.transforms.documents.counters import count_retries
from byline.transforms.exports import format_named
from byline.transforms.exports.export_format import ExportedFile, ExportedShard, ShardFiles, ShardRows, check_path
from byline.transforms.exports.export_manifest import (
    FILE_NAME,
    ExportMaker,
    ExportManifest,
    files_in,
    is_export,
    misfit,
    read_export,
)
from byline.transforms.files import storage
from byline.whole_files import check_files

WORK_FOLDER = ".byline"
_CURRENT_NAME = "current.txt"


@dataclass(frozen=True)
class ExportJob:
    """What every worker must know.

    Attributes:
        out: the build.
        folder: where the export goes.
        maker: what it is made from and by.
    """

    out: str
    folder: str
    maker: ExportMaker

    @property
    def work(self) -> str:
        """The folder of what is only needed until the manifest is written."""
        return storage.join(self.folder, WORK_FOLDER)

    @property
    def current(self) -> str:
        """Where it is said whose export is being written."""
        return storage.join(self.work, _CURRENT_NAME)


class ShardsToExport:
    """The shards of a build that an export has, in training order."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._order = [
            (phase, number) for phase, count in shards.manifest.training_order(shards.branch) for number in range(count)
        ]
        for phase, _ in self._order:
            check_path(phase.name, f"{shards.directory}: phase")

    @classmethod
    def of(cls, job: ExportJob) -> "ShardsToExport":
        """Those of a job.

        Raises:
            BylineError: the build is no longer the one that the job exports.
        """
        shards = open_shards(job.out, job.maker.branch)
        if shards.manifest.sha256 != job.maker.manifest_sha256:
            raise BylineError(f"{job.out}: is no longer the build that this job exports; run the same command again")
        return cls(shards)

    def __len__(self) -> int:
        return len(self._order)

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((self.entry(number).rows for number in range(len(self))), initial=0))

    def entry(self, number: int) -> ShardEntry:
        """Shard `number` as the build's manifest lists it."""
        phase, in_phase = self._order[number]
        return phase.shards[in_phase]

    def phase(self, number: int) -> PhaseEntry:
        """The phase of shard `number`."""
        return self._order[number][0]

    def stem(self, number: int) -> str:
        """What the files of shard `number` are named by: `conditioned/00003-of-00012`."""
        phase, in_phase = self._order[number]
        return f"{phase.name}/{in_phase:05d}-of-{len(phase.shards):05d}"

    def record_name(self, number: int) -> str:
        """The name of the record of shard `number`."""
        phase, in_phase = self._order[number]
        return f"{phase.name}-{in_phase:05d}.json"

    def rows(self, number: int) -> ShardRows:
        """The rows of shard `number`, once its bytes are those that the manifest lists.

        Raises:
            BylineError: they are not.
        """
        entry = self.entry(number)
        check_files(self.shards.directory, [entry], {}, "sha256")
        first = self._starts[number]
        return ShardRows(self.shards[first : first + entry.rows], self.phase(number).name, self.stem(number))


def export_shard(number: int, job: ExportJob, shards: ShardsToExport) -> ExportedShard:
    """Writes the files of one shard, unless they are whole already; returns its record.

    Raises:
        BylineError: the shard is damaged, the folder is another export's by now, or it cannot be written.
    """
    _check_current(job)
    record_uri = storage.join(job.work, shards.record_name(number))
    entry = shards.entry(number)
    record = read_record(record_uri)
    if (
        record is not None
        and (record.path, record.rows) == (entry.path, entry.rows)
        and all(misfit(job.folder, file) is None for file in record.files)
    ):
        return record
    files = ShardFiles(job.folder)
    otherwise = format_named(job.maker.to).write(shards.rows(number), files) if entry.rows else 0
    _check_current(job)
    record = ExportedShard(entry.path, shards.phase(number).name, entry.rows, otherwise, files.files)
    _write_record(record_uri, record)
    return record


def read_record(uri: str) -> ExportedShard | None:
    """The record of a shard; None if there is none, or it is damaged."""
    if not storage.exists(uri):
        return None
    try:
        record = ExportedShard.from_json(json.loads(storage.read_bytes(uri)))
        for file in record.files:
            check_path(file.path, uri)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return record


def _write_record(uri: str, record: ExportedShard) -> None:
    with storage.write_file(uri) as sink:
        sink.write(json.dumps(asdict(record), sort_keys=True).encode())


def _check_current(job: ExportJob) -> None:
    if not storage.exists(job.current) or storage.read_bytes(job.current) != job.maker.to_text().encode():
        raise BylineError(
            f"{job.folder}: no longer belongs to this job: another export writes there or has finished; this one "
            "writes nothing more"
        )


def open_export(job: ExportJob, shards: ShardsToExport, *, overwrite: bool) -> list[str] | None:
    """Makes the folder ready for an export.

    Args:
        job: the export.
        shards: of its build.
        overwrite: whether another export there may be deleted.

    Returns:
        None if it is finished. Else what is missing of, or wrong with, a finished one, which is written again.

    Raises:
        BylineError: the folder has another export, or files that are of none.
    """
    lost: list[str] = []
    if is_export(job.folder):
        manifest = read_export(job.folder)
        if manifest.maker == job.maker:
            lost = _lost(job.folder, manifest)
            if not lost:
                storage.delete_folder(job.work)
                return None
            _begin(job)
            by_path = {shard.path: shard for shard in manifest.shards}
            for number in range(len(shards)):
                # Its files may be wrong; each worker compares those of its shards.
                if shards.entry(number).path in by_path:
                    uri = storage.join(job.work, shards.record_name(number))
                    _write_record(uri, by_path[shards.entry(number).path])
            storage.delete_file(storage.join(job.folder, FILE_NAME))
            return lost
        _check_replaced(job, "holds another export", overwrite)
        _delete(job, list(manifest.files()))
    elif storage.exists(job.current):
        if storage.read_bytes(job.current) == job.maker.to_text().encode():
            return lost
        _check_replaced(job, "holds an unfinished export of something else", overwrite)
        records = [read_record(info.path) for info in storage.list_files(job.work) if info.base_name.endswith(".json")]
        _delete(job, [file for record in records if record is not None for file in record.files])
    strangers = files_in(job.folder)
    if strangers:
        raise BylineError(
            f"{job.folder}: has files that are of no export (first: {strangers[0]}); choose another folder"
        )
    _begin(job)
    return lost


def _begin(job: ExportJob) -> None:
    with storage.write_file(job.current) as sink:
        sink.write(job.maker.to_text().encode())


def _check_replaced(job: ExportJob, what: str, overwrite: bool) -> None:
    if not overwrite:
        raise BylineError(f"{job.folder}: {what}; choose another folder, or give --overwrite to replace it")


def _delete(job: ExportJob, files: list[ExportedFile]) -> None:
    storage.delete_file(storage.join(job.folder, FILE_NAME))
    storage.side_by_side(storage.delete_file, [storage.join(job.folder, file.path) for file in files])
    storage.delete_folder(job.work)


def _lost(folder: str, manifest: ExportManifest) -> list[str]:
    """Files of a finished export that are gone or of another size."""
    root = storage.resolve(folder)[1].rstrip("/")
    sizes = {storage.resolve(info.path)[1].removeprefix(root + "/"): info.size for info in storage.list_files(folder)}
    return [file.path for file in manifest.files() if sizes.get(file.path) != file.bytes]


def finish_export(job: ExportJob, shards: ShardsToExport) -> ExportManifest:
    """Writes the files that are of all shards, and the manifest; every shard has its record."""
    uris = [storage.join(job.work, shards.record_name(number)) for number in range(len(shards))]
    records = [record for record in storage.side_by_side(read_record, uris) if record is not None]
    assert len(records) == len(uris), f"{len(uris) - len(records)} records are missing after a run without errors"
    length = shards.shards.sequence_length
    files = ShardFiles(job.folder)
    for path, content in format_named(job.maker.to).whole(records, length).items():
        with files.create(path, 0) as sink:
            sink.write(content)
    manifest = ExportManifest(job.maker, length, sum(record.rows for record in records), records, files.files)
    with storage.write_file(storage.join(job.folder, FILE_NAME)) as sink:
        sink.write(manifest.to_bytes())
    storage.delete_folder(job.work)
    return manifest


class _ExportShardFn(beam.DoFn):
    def __init__(self, job: ExportJob) -> None:
        self.job = job

    def setup(self) -> None:
        self.shards = ShardsToExport.of(self.job)

    def process(self, number: str) -> Iterator[str]:
        record = export_shard(int(number), self.job, self.shards)
        count_retries()
        yield record.path


class ExportShards(beam.PTransform):
    """Numbers of shards, in training order, as text -> the shards' paths, once their files are written."""

    def __init__(self, job: ExportJob) -> None:
        super().__init__()
        self.job = job

    def expand(self, numbers: beam.PCollection) -> beam.PCollection:
        return numbers | "ExportShard" >> beam.ParDo(_ExportShardFn(self.job))
