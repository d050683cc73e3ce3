"""The folder of an export before, while and after shards are exported: what of an earlier try stays.

```
there is                                     becomes
nothing, or this export, unfinished          the folder of this export
a build or an import, finished or not        an error
this export, finished                        stays; files that are gone or of another size are written again
another export, finished or not              an error, or with --overwrite as if it had not been there
files that are of no export                  an error
```

```
DIR/.byline-export/current.txt               what the export is made from and to which format
DIR/.byline-export/conditioned-00003.json    the files of shard 3 of `conditioned` are whole: rows, bytes, sha256
```
"""

import json
from dataclasses import replace
from functools import partial

from byline import manifest as manifests
from byline.errors import BylineError
from byline.schemas import imports
from byline.schemas import plan as plans
from byline.transforms.exports import format_named
from byline.transforms.exports.export_format import ExportedShard, ShardFiles, check_path
from byline.transforms.exports.export_manifest import (
    FILE_NAME,
    ExportManifest,
    files_in,
    is_export,
    read_export,
)
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport
from byline.transforms.files import storage
from byline.transforms.shards import records as builds
from byline.whole_files import file_problems

# The first of them is written before any shard.
_KINDS = {plans.FILE_NAME: "a build", imports.FILE_NAME: "an import", manifests.FILE_NAME: "a build"}


def read_record(uri: str) -> ExportedShard | None:
    """The record of a shard; None if there is none, or it is damaged.

    Raises:
        BylineError: it cannot be opened.
    """
    content = storage.read_if_there(uri)
    if content is None:
        return None
    try:
        record = ExportedShard.from_json(json.loads(content))
        for file in record.files:
            check_path(file.path, uri)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return record


def write_record(job: ExportJob, uri: str, record: ExportedShard) -> None:
    """Says that the files of a shard are whole; raises as `check_current`."""
    with storage.write_file(uri) as sink:
        sink.write(record.to_bytes())
        check_current(job)


def check_current(job: ExportJob) -> None:
    """Checks that a folder still belongs to a job.

    Raises:
        BylineError: another export writes there, or has finished.
    """
    if storage.read_if_there(job.current) != job.maker.to_text().encode():
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
        BylineError: the folder has another export, a build, or files that are of no export.
    """
    _check_no_build(job.folder)
    replaced: list[str] = []
    finished = read_export(job.folder) if is_export(job.folder) else None
    if finished is not None:
        if finished.maker == job.maker:
            return _reopen(job, shards, finished)
        _check_replaced(job, "holds another export", overwrite)
        replaced = [file.path for file in finished.files()]
        _check_strangers(job.folder, replaced)
        # Stopped from here on, it is an unfinished export of what it was.
        _begin(replace(job, maker=finished.maker))
        storage.delete_file(storage.join(job.folder, FILE_NAME))
    elif (current := storage.read_if_there(job.current)) is not None:
        if current == job.maker.to_text().encode():
            return []
        _check_replaced(job, "holds an unfinished export of something else", overwrite)
        # It began as an empty folder, and a file gets its name before there is a record of it.
        replaced = sorted({*files_in(job.folder), *_recorded(job.work)})
    else:
        _check_strangers(job.folder, [])
    storage.side_by_side(storage.delete_file, [storage.join(job.folder, path) for path in replaced])
    storage.delete_folder(job.work)
    _begin(job)
    return []


def _reopen(job: ExportJob, shards: ShardsToExport, manifest: ExportManifest) -> list[str] | None:
    """Makes a finished export unfinished where files are gone or of another size; answers as `open_export`."""
    lost = list(file_problems(job.folder, list(manifest.files()), {}, "sizes"))
    if not lost:
        storage.delete_folder(job.work)
        return None
    # Of an unfinished export all files are taken for its own.
    _check_strangers(job.folder, [file.path for file in manifest.files()])
    _begin(job)
    records = {shard.path: shard for shard in manifest.shards}
    paths = [shards.entry(number).path for number in range(len(shards))]

    def write(number: int) -> None:
        with storage.write_file(storage.join(job.work, shards.record_name(number))) as sink:
            sink.write(records[paths[number]].to_bytes())

    # Its files may be wrong; each worker compares those of its shards.
    storage.side_by_side(write, [number for number, path in enumerate(paths) if path in records])
    storage.delete_file(storage.join(job.folder, FILE_NAME))
    return lost


def _recorded(work: str) -> list[str]:
    """Files that records of shards name."""
    uris = [info.path for info in storage.list_files(work) if info.base_name.endswith(".json")]
    records = [record for record in storage.side_by_side(read_record, uris) if record is not None]
    return [file.path for record in records for file in record.files]


def _check_no_build(folder: str) -> None:
    """Refuses a folder that has a build or an import: its shards would be taken for files of an export."""
    for name, what in _KINDS.items():
        if storage.exists(storage.join(folder, name)):
            raise BylineError(f"{folder}: has the {name} of {what}; choose another folder")
    if storage.list_files(storage.join(folder, builds.WORK_FOLDER)):
        raise BylineError(f"{folder}: has the {builds.WORK_FOLDER} of an unfinished build; choose another folder")


def _check_strangers(folder: str, known: list[str]) -> None:
    """Refuses a folder with files other than those of its export, which are `known`."""
    strangers = sorted(set(files_in(folder)) - set(known))
    if strangers:
        raise BylineError(
            f"{folder}: has files that are of no export (first: {strangers[0]}); move them elsewhere, or choose "
            "another folder"
        )


def _begin(job: ExportJob) -> None:
    with storage.write_file(job.current) as sink:
        sink.write(job.maker.to_text().encode())


def _check_replaced(job: ExportJob, what: str, overwrite: bool) -> None:
    if not overwrite:
        raise BylineError(f"{job.folder}: {what}; choose another folder, or give --overwrite to replace it")


def finish_export(job: ExportJob, shards: ShardsToExport) -> ExportManifest:
    """Writes the files that are of all shards, and the manifest; every shard has its record."""
    uris = [storage.join(job.work, shards.record_name(number)) for number in range(len(shards))]
    records = [record for record in storage.side_by_side(read_record, uris) if record is not None]
    assert len(records) == len(uris), f"{len(uris) - len(records)} records are missing after a run without errors"
    length = shards.shards.sequence_length
    files = ShardFiles(job.folder, partial(check_current, job))
    for path, content in format_named(job.maker.to).whole(records, length).items():
        with files.create(path, 0) as sink:
            sink.write(content)
    manifest = ExportManifest(job.maker, length, sum(record.rows for record in records), records, files.files)
    with storage.write_file(storage.join(job.folder, FILE_NAME)) as sink:
        sink.write(manifest.to_bytes())
        check_current(job)
    storage.delete_folder(job.work)
    return manifest
