"""One shard to its files, alone and again if need be.

```
record is there, its files have their bytes and sha256     they are kept
record or a file is damaged or gone                        the shard is exported again
another export writes to the folder now                    the worker stops
```

A shard is checked against its sha256 in the build's manifest before it is read.
"""

import threading
from functools import lru_cache, partial

from byline.transforms.exports import format_named
from byline.transforms.exports.export_folder import check_current, read_record, write_record
from byline.transforms.exports.export_format import ExportedShard, ShardFiles
from byline.transforms.exports.shards_to_export import ExportJob, ShardsToExport
from byline.transforms.files import storage
from byline.whole_files import file_problems


def export_shard(number: int, job: ExportJob, shards: ShardsToExport) -> ExportedShard:
    """Writes the files of one shard, unless they are whole already; returns its record.

    Raises:
        BylineError: the shard is damaged, the folder is another export's by now, or it cannot be written.
    """
    check_current(job)
    record_uri = storage.join(job.work, shards.record_name(number))
    entry = shards.entry(number)
    record = read_record(record_uri)
    if (
        record is not None
        and (record.path, record.rows) == (entry.path, entry.rows)
        and not file_problems(job.folder, record.files, {}, "sha256")
    ):
        return record
    files, otherwise = ShardFiles(job.folder, partial(check_current, job)), 0
    if entry.rows:
        with shards.rows(number) as rows:
            otherwise = format_named(job.maker.to).write(rows, files)
    record = ExportedShard(entry.path, shards.phase(number).name, entry.rows, otherwise, files.files)
    write_record(job, record_uri, record)
    return record


_OPENING = threading.Lock()


def export_numbered(job: ExportJob, number: str) -> None:
    """Exports a shard of a job, given its number in training order as text."""
    # A worker's threads begin at the same time, and each would read the manifest.
    with _OPENING:
        shards = _open_shards(job)
    export_shard(int(number), job, shards)


@lru_cache(maxsize=1)
def _open_shards(job: ExportJob) -> ShardsToExport:
    return ShardsToExport.of(job)
