"""The folder of an output before and while shards are written: what of an earlier build stays, and what workers read.

```
there is                               becomes
nothing, or an unfinished build        the folder of this plan; shards of the same plan that are whole stay
the finished build of this plan        as it is; files that are gone or of another size are written again
the finished build of another plan     an error, or with `overwrite` the folder of this plan
a plan or a manifest that is damaged   written again, if it is this plan's or the build was not finished

OUT/_plan.ipc   _inputs.ipc   .byline/runs.arrow        for the workers, before the first shard
```

The plan is that of a recipe, or of an import (`ShardPlan`); what one of the other kind left behind is an error.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import ShardEntry
from byline.reader import INPUTS_NAME
from byline.schemas import imports
from byline.schemas import plan as plans
from byline.schemas.inputs import input_table
from byline.schemas.ledger import ShardRecord
from byline.schemas.plan import Plan, shard_path
from byline.schemas.store import RunInfo
from byline.shards import shard_metadata
from byline.transforms.files import storage
from byline.transforms.shards.assembling import INDEX_NAME
from byline.transforms.shards.records import WORK_FOLDER, ShardMaker, read_record, write_current, write_record
from byline.transforms.shards.run_index import write_index

# The file of a plan -> whose output it is, and what reads the shards of one (see `ShardPlan.shards_in`).
_KINDS = {plans.FILE_NAME: ("a build", Plan.shards_in), imports.FILE_NAME: ("an import", imports.ImportPlan.shards_in)}


class ShardPlan(Protocol):
    """What says which shards an output has: a plan of a recipe, or of an import."""

    @property
    def file_name(self) -> str:
        """The name of its file in the output."""

    @property
    def sha256(self) -> str:
        """Of its file (hex)."""

    def to_bytes(self) -> bytes:
        """The content of its file."""

    def shards(self) -> Sequence[tuple[str, int, int]]:
        """(stage, shard, number of shards in the stage) of all shards."""

    def shards_in(self, content: bytes, uri: str) -> Sequence[tuple[str, int, int]] | None:
        """The same of another plan's file; None if it is damaged. Raises: BylineError: it is of another version."""


@dataclass(frozen=True)
class OutputState:
    """What an output holds of a plan.

    Attributes:
        is_finished: whether all of its build is there.
        lost: files of its finished build that are gone, damaged or of another size, by path in the output.
        files: how many files the finished build had, where any are lost.
        damaged: a damaged file of an unfinished build, and what becomes of it.
    """

    is_finished: bool = False
    lost: list[str] = field(default_factory=list)
    files: int = 0
    damaged: list[str] = field(default_factory=list)


def is_whole(output: str, plan: ShardPlan) -> bool:
    """Whether an output has the finished build of a plan and nothing else to be seen to; changes nothing.

    Raises:
        BylineError: the manifest is of another version.
    """
    manifest = _read_manifest(output)
    return (
        manifest is not None
        and manifest.plan_sha256 == plan.sha256
        and not _lost_files(output, plan, manifest)
        and not storage.list_files(storage.join(output, WORK_FOLDER))
    )


def open_output(output: str, plan: ShardPlan, *, overwrite: bool = False) -> OutputState:
    """Makes a folder ready for the shards of a plan.

    Args:
        output: the folder.
        plan: what is to be assembled there.
        overwrite: whether a finished build of another plan may be deleted.

    Raises:
        BylineError: there is a finished build of another plan or version, or a damaged one that may be.
    """
    manifest_uri, plan_uri = storage.join(output, manifests.FILE_NAME), storage.join(output, plan.file_name)
    _check_kind(output, plan, overwrite=overwrite)
    content = storage.read_bytes(plan_uri) if storage.exists(plan_uri) else None
    is_of_plan = content == plan.to_bytes()
    damaged = []
    if storage.exists(manifest_uri):
        manifest = _read_manifest(output)
        if manifest is not None and manifest.plan_sha256 == plan.sha256:
            return _reopen(output, plan, manifest)
        if manifest is not None:
            _replace(output, plan, content, manifest, overwrite=overwrite)
            return OutputState()
        if not (is_of_plan or overwrite):
            raise BylineError(
                f"{manifest_uri}: is damaged, and what it belongs to is another plan's; choose another `output`, or "
                "give --overwrite to replace it"
            )
        storage.delete_file(manifest_uri)
        damaged = [f"{manifests.FILE_NAME} cannot be read"]
    if content is None or is_of_plan:
        return OutputState(damaged=damaged)
    shards = plan.shards_in(content, plan_uri)
    if shards is None:
        # The records of shards say which plan they are of.
        return OutputState(damaged=[*damaged, f"{plan.file_name} cannot be read"])
    storage.delete_folder(storage.join(output, WORK_FOLDER))
    storage.side_by_side(storage.delete_file, (storage.join(output, shard_path(*shard)) for shard in shards))
    return OutputState(damaged=damaged)


def _read_manifest(output: str) -> manifests.Manifest | None:
    """The manifest of an output; None if there is none, or it is no JSON.

    Raises:
        BylineError: it is of another version, or has other keys.
    """
    uri = storage.join(output, manifests.FILE_NAME)
    if not storage.exists(uri):
        return None
    content = storage.read_bytes(uri)
    try:
        json.loads(content)
    except ValueError:
        return None
    return manifests.parse_manifest(content, uri)


def _check_kind(output: str, plan: ShardPlan, *, overwrite: bool) -> None:
    """Refuses the folder of a build for an import, and the reverse, finished or not.

    Where it may be replaced, its shards are deleted, and its records, which could be taken for those of what is to be.
    """
    for name, (holder, shards_in) in _KINDS.items():
        uri = storage.join(output, name)
        if name == plan.file_name or not storage.exists(uri):
            continue
        if not overwrite:
            raise BylineError(
                f"{output}: has {name}, so it is the folder of {holder}; choose another folder, or give "
                "--overwrite to replace it"
            )
        work = storage.join(output, WORK_FOLDER)
        planned = shards_in(storage.read_bytes(uri), uri)
        # A shard is written before its record, so these tell less than the plan.
        shards = _recorded_shards(work) if planned is None else [shard_path(*shard) for shard in planned]
        storage.side_by_side(storage.delete_file, (storage.join(output, shard) for shard in shards))
        storage.delete_folder(work)
        storage.delete_file(uri)


def _recorded_shards(work: str) -> list[str]:
    """The paths of the shards that have a record."""
    uris = [info.path for info in storage.list_files(work) if info.base_name.endswith(".json")]
    return [record.entry.path for record in storage.side_by_side(read_record, uris) if record is not None]


def _replace(
    output: str, plan: ShardPlan, content: bytes | None, manifest: manifests.Manifest, *, overwrite: bool
) -> None:
    """Deletes the finished build of another plan."""
    if not overwrite:
        raise BylineError(
            f"{output}: holds a finished build of another plan; choose another `output`, "
            f"or give --overwrite to replace it"
        )
    uri = storage.join(output, plan.file_name)
    planned = plan.shards_in(content, uri) if content is not None else None
    shards = {
        *(shard_path(*shard) for shard in planned or []),
        *(shard.path for phase in manifest.phases for shard in phase.shards),
    }
    storage.delete_file(storage.join(output, manifests.FILE_NAME))
    storage.delete_folder(storage.join(output, WORK_FOLDER))
    storage.side_by_side(storage.delete_file, (storage.join(output, shard) for shard in sorted(shards)))


def _lost_files(output: str, plan: ShardPlan, manifest: manifests.Manifest) -> list[str]:
    """Files of a finished build that are gone or of another size, by path; of the plan, every byte counts."""
    sizes = {storage.resolve(info.path)[1]: info.size for info in storage.list_files(output)}
    folder = storage.resolve(output)[1]
    lost = [
        shard.path
        for phase in manifest.phases
        for shard in phase.shards
        if sizes.get(f"{folder}/{shard.path}") != shard.bytes
    ]
    lost += [INPUTS_NAME] * (f"{folder}/{INPUTS_NAME}" not in sizes)
    plan_uri = storage.join(output, plan.file_name)
    is_there = f"{folder}/{plan.file_name}" in sizes and storage.read_bytes(plan_uri) == plan.to_bytes()
    return lost + [plan.file_name] * (not is_there)


def _reopen(output: str, plan: ShardPlan, manifest: manifests.Manifest) -> OutputState:
    """Looks for the files of a finished build; if any is lost, the build is unfinished again.

    Each shard that is as it was then gets its record back, so that it is not written again.
    """
    lost = _lost_files(output, plan, manifest)
    if not lost:
        # A build that was killed after it wrote the manifest leaves this.
        storage.delete_folder(storage.join(output, WORK_FOLDER))
        return OutputState(is_finished=True)
    storage.delete_file(storage.join(output, manifests.FILE_NAME))
    shards = [shard for phase in manifest.phases for shard in phase.shards]
    kept = [shard for shard in shards if shard.path not in set(lost)]
    storage.side_by_side(lambda shard: _restore_record(output, shard), kept)
    return OutputState(lost=lost, files=len(shards) + 2)


def _restore_record(output: str, shard: ShardEntry) -> None:
    """Writes the record of a shard from its metadata; a damaged shard gets none, and is written again."""
    with storage.open_random(storage.join(output, shard.path)) as source:
        try:
            metadata = shard_metadata(pa.ipc.open_file(source).schema, shard.path)
            record = ShardRecord.of(metadata, shard)
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
            return
    write_record(storage.join(output, WORK_FOLDER), record)


@dataclass(frozen=True)
class InputList:
    """The list of input files: how many there are, and the sha256 of its file (hex)."""

    files: int
    sha256: str


def write_lists(output: str, plan: Plan, runs: list[RunInfo], maker: ShardMaker) -> InputList:
    """Writes the plan, the list of input files, where the runs are, and whose build it is, for the workers.

    Returns:
        What the manifest says of the list of input files.
    """
    table = input_table(runs)
    inputs = write_plan(output, plan, table, maker)
    write_run_index(storage.join(output, WORK_FOLDER, INDEX_NAME), table, runs)
    return inputs


def write_plan(output: str, plan: ShardPlan, inputs: pa.Table, maker: ShardMaker) -> InputList:
    """Writes the plan, the list of input files (schemas/inputs.py), and whose output it is.

    Returns:
        What the manifest says of the list of input files.
    """
    with storage.write_file(storage.join(output, plan.file_name)) as sink:
        sink.write(plan.to_bytes())
    with storage.write_file(storage.join(output, INPUTS_NAME)) as sink:
        digested = storage.HashingSink(sink)
        with pa.PythonFile(digested, "w") as out, pa.ipc.new_file(out, inputs.schema) as writer:
            writer.write_table(inputs)
    write_current(output, maker)
    return InputList(inputs.num_rows, digested.hasher.hexdigest())


def write_run_index(uri: str, inputs: pa.Table, runs: list[RunInfo]) -> None:
    """Writes where the runs of each input file are.

    Args:
        uri: of the file to write.
        inputs: the numbered input files (schemas/inputs.py).
        runs: of these files.
    """
    names = zip(inputs["source"].to_pylist(), inputs["path"].to_pylist(), strict=True)
    numbers = {name: number for number, name in enumerate(names)}
    with storage.write_file(uri) as sink:
        write_index([(run.source, numbers[run.source, run.path], run.uri) for run in runs], sink)
