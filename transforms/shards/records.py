"""Small files beside the shards while a build is being written: which shards are whole, and whose build it is.

```
OUT/.byline/current.txt               plan 3f9a..., version 0.1.0: the build that writes here now
OUT/.byline/conditioned-00003.json    shard 3 of `conditioned` is whole: rows, bytes, sha256, counts

record and shard                                        when the build goes on
damaged record; shard gone, or of another size          the shard is written again
record nearly as young as the youngest, other sha256    the same: a machine that lost power may have kept names alone
other plan or version                                   the same
```

All but the last ten minutes before a loss of power is on the disk, as systems write back what they hold within one.
Comparing the sha256 of everything would read all of it; `byline verify` does.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.schemas.ledger import ShardRecord
from byline.schemas.plan import shard_path
from byline.transforms.files import storage

WORK_FOLDER = ".byline"
CURRENT_NAME = "current.txt"
# Before the youngest record; see above.
_SUSPECT_NS = 600 * 10**9


@dataclass(frozen=True)
class ShardMaker:
    """What a shard was made by: its plan, and the version of Byline."""

    plan_sha256: str
    code_version: str

    def made(self, record: ShardRecord) -> bool:
        """Whether a record is of such a shard."""
        return (record.plan_sha256, record.code_version) == (self.plan_sha256, self.code_version)

    def to_text(self) -> str:
        """The content of `CURRENT_NAME`."""
        return f"plan {self.plan_sha256}, version {self.code_version}\n"


@dataclass(frozen=True)
class KeptShards:
    """What an unfinished build goes on from.

    Attributes:
        records: when each record of a shard that is kept was written (ns since 1970), by the record's uri.
        damaged: one text for each record or shard that is not what was written; these are written again.
        hashed_from: as in `AssembleJob`.
    """

    records: dict[str, int]
    damaged: list[str]
    hashed_from: int | None


def record_path(work: str, phase: str, shard: int) -> str:
    """Where it is said that a shard is whole."""
    return storage.join(work, f"{phase}-{shard:05d}.json")


def write_record(work: str, record: ShardRecord) -> None:
    """Says that a shard is whole; `work` is the folder for it."""
    with storage.write_file(record_path(work, record.phase, record.shard)) as sink:
        sink.write(json.dumps(record.to_json(), sort_keys=True).encode())


def read_record(uri: str) -> ShardRecord | None:
    """A shard's record; None if it is damaged.

    Raises:
        BylineError: it cannot be opened.
    """
    content = storage.read_bytes(uri)
    try:
        return ShardRecord.from_json(json.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def finished_record(record_uri: str, shard_uri: str, maker: ShardMaker, hashed_from: int | None) -> ShardRecord | None:
    """The record of a shard that is whole and was made by `maker`."""
    if not storage.exists(record_uri):
        return None
    record = read_record(record_uri)
    if record is None or not maker.made(record) or storage.file_size(shard_uri) != record.entry.bytes:
        return None
    is_suspect = hashed_from is not None and storage.modified(record_uri)[1] >= hashed_from
    return None if is_suspect and storage.file_sha256(shard_uri) != record.entry.sha256 else record


def write_current(output: str, maker: ShardMaker) -> None:
    """Says that the output belongs to a build from now on."""
    with storage.write_file(storage.join(output, WORK_FOLDER, CURRENT_NAME)) as sink:
        sink.write(maker.to_text().encode())


def check_current(output: str, maker: ShardMaker) -> None:
    """Checks that an output still belongs to a build; an engine may go on with a job whose driver is gone.

    Raises:
        BylineError: another build writes there, or has finished.
    """
    uri = storage.join(output, WORK_FOLDER, CURRENT_NAME)
    if storage.read_if_there(uri) != maker.to_text().encode():
        raise BylineError(
            f"{output}: no longer belongs to this job, whose plan is {maker.plan_sha256[:16]}: another build writes "
            "there or has finished; this one writes nothing more"
        )


def kept_shards(output: str, planned: Iterable[tuple[str, int, int]], maker: ShardMaker) -> KeptShards:
    """Compares the records and shards of an unfinished build; deletes records that are damaged or whose shard is.

    `planned` are its shards: (stage, shard, number of shards in the stage).
    """
    work = storage.join(output, WORK_FOLDER)
    shards = {
        storage.resolve(record_path(work, phase, shard))[1]: (
            record_path(work, phase, shard),
            shard_path(phase, shard, of),
        )
        for phase, shard, of in planned
    }
    records = {storage.resolve(info.path)[1]: info for info in storage.list_files(work)}
    listed = [path for path in shards if path in records]
    if not listed:
        return KeptShards({}, [], None)
    sizes = {storage.resolve(info.path)[1]: info.size for info in storage.list_files(output)}
    folder = storage.resolve(output)[1]
    kept: dict[str, int] = {}
    damaged: list[str] = []
    for path, record in zip(
        listed, storage.side_by_side(read_record, [shards[path][0] for path in listed]), strict=True
    ):
        uri, shard = shards[path]
        size = sizes.get(f"{folder}/{shard}")
        if record is None:
            damaged.append(f"the record of {shard} cannot be read")
        elif maker.made(record) and size != record.entry.bytes:
            there = "is gone" if size is None else f"has {size:,} of {record.entry.bytes:,} bytes"
            damaged.append(f"{shard} {there}")
        elif maker.made(record):
            kept[uri] = records[path].mtime_ns or 0
            continue
        storage.delete_file(uri)
    # An object is whole or not there.
    hashed_from = max(kept.values()) - _SUSPECT_NS if kept and not is_object_address(output) else None
    return KeptShards(kept, damaged, hashed_from)


def written_again(kept: KeptShards) -> list[str]:
    """The names of shards that were to be kept and were written again by now, because of their sha256."""
    if kept.hashed_from is None:
        return []
    return [
        uri.rpartition("/")[2].removesuffix(".json")
        for uri, time in kept.records.items()
        if storage.modified(uri)[1] != time
    ]
