"""The folder of an export before, while and after shards are exported: what of an earlier try stays.

```
there is                                     becomes
nothing, or this export, unfinished          the folder of this export
this export, finished                        stays; files that are gone or of another size are written again
another export, finished or not              an error, or with --overwrite as if it had not been there
files that are of no export                  an error
```

```
DIR/.byline/current.txt               what the export is made from and to which format
DIR/.byline/conditioned-00003.json    the files of shard 3 of `conditioned` are whole: rows, bytes, sha256
```
"""

import json
from dataclasses import asdict

from byline.errors import BylineError
from byline.transforms.exports import format_named
from byline.transforms.exports.export_format import ExportedFile, ExportedShard, ShardFiles, check_path
from byline.transforms.exports.export_manifest import (
    FILE_NAME,
    ExportManifest,
    files_in,
    is_export,
    read_export,
)
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport
from byline.transforms.files import storage


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


def write_record(uri: str, record: ExportedShard) -> None:
    """Says that the files of a shard are whole."""
    with storage.write_file(uri) as sink:
        sink.write(json.dumps(asdict(record), sort_keys=True).encode())


def check_current(job: ExportJob) -> None:
    """Checks that a folder still belongs to a job.

    Raises:
        BylineError: another export writes there, or has finished.
    """
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
                    write_record(uri, by_path[shards.entry(number).path])
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
