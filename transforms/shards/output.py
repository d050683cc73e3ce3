"""The folder of an output before and while shards are written: what of an earlier build stays, and what workers read.

```
there is                               becomes
nothing, or an unfinished build        the folder of this plan; shards of the same plan that are whole stay
the finished build of this plan        as it is; shards that are gone or of another size are written again
the finished build of another plan     an error, or with `overwrite` the folder of this plan

OUT/plan.arrow   inputs.arrow   .byline/runs.arrow        for the workers, before the first shard
```
"""

from dataclasses import dataclass, field

import pyarrow as pa

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import ShardEntry
from byline.reader import INPUTS_NAME
from byline.schemas import plan as plans
from byline.schemas.inputs import input_table
from byline.schemas.plan import Plan
from byline.schemas.store import RunInfo
from byline.shards import shard_metadata
from byline.transforms.files import storage
from byline.transforms.shards.assembling import INDEX_NAME, WORK_FOLDER, write_record
from byline.transforms.shards.gathering import write_index


@dataclass(frozen=True)
class OutputState:
    """What an output holds of a plan.

    Attributes:
        is_finished: whether all of its build is there.
        lost: files of its finished build that are gone or of another size, by path in the output.
        files: how many files the finished build had, where any are lost.
    """

    is_finished: bool = False
    lost: list[str] = field(default_factory=list)
    files: int = 0


def open_output(output: str, plan: Plan, *, overwrite: bool = False) -> OutputState:
    """Makes a folder ready for the shards of a plan.

    Args:
        output: the folder.
        plan: what is to be assembled there.
        overwrite: whether a finished build of another plan may be deleted.

    Raises:
        BylineError: there is a finished build of another plan, or a manifest that no plan belongs to.
    """
    manifest_uri, plan_uri = storage.join(output, manifests.FILE_NAME), storage.join(output, plans.FILE_NAME)
    if not storage.exists(plan_uri):
        if storage.exists(manifest_uri):
            raise BylineError(
                f"{output}: has a {manifests.FILE_NAME} but no {plans.FILE_NAME}; choose another `output`"
            )
        return OutputState()
    content = storage.read_bytes(plan_uri)
    is_finished = storage.exists(manifest_uri)
    if content == plan.to_bytes():
        return _reopen(output) if is_finished else OutputState()
    if is_finished and not overwrite:
        raise BylineError(
            f"{output}: holds a finished build of another plan; choose another `output`, "
            f"or give --overwrite to replace it"
        )
    shards = [plans.shard_path(*shard) for shard in plans.read_plan(content, plan_uri).shards()]
    storage.delete_file(manifest_uri)
    storage.delete_folder(storage.join(output, WORK_FOLDER))
    storage.side_by_side(storage.delete_file, (storage.join(output, shard) for shard in shards))
    return OutputState()


def _reopen(output: str) -> OutputState:
    """Looks for the files of a finished build; if any is lost, the build is unfinished again.

    Each shard that is as it was then gets its record back, so that it is not written again.
    """
    uri = storage.join(output, manifests.FILE_NAME)
    manifest = manifests.parse_manifest(storage.read_bytes(uri), uri)
    sizes = {storage.resolve(info.path)[1]: info.size for info in storage.list_files(output)}
    folder = storage.resolve(output)[1]
    shards = [shard for phase in manifest.phases for shard in phase.shards]
    lost = [shard.path for shard in shards if sizes.get(f"{folder}/{shard.path}") != shard.bytes]
    lost += [INPUTS_NAME] * (f"{folder}/{INPUTS_NAME}" not in sizes)
    if not lost:
        # A build that was killed after it wrote the manifest leaves this.
        storage.delete_folder(storage.join(output, WORK_FOLDER))
        return OutputState(is_finished=True)
    storage.delete_file(uri)
    kept = [shard for shard in shards if shard.path not in set(lost)]
    storage.side_by_side(lambda shard: _restore_record(output, shard), kept)
    return OutputState(lost=lost, files=len(shards) + 1)


def _restore_record(output: str, shard: ShardEntry) -> None:
    """Writes the record of a shard from its metadata; a damaged shard gets none, and is written again."""
    with storage.open_random(storage.join(output, shard.path)) as source:
        try:
            metadata = shard_metadata(pa.ipc.open_file(source).schema, shard.path)
        except (pa.ArrowException, OSError, ValueError):
            return
    write_record(storage.join(output, WORK_FOLDER), shard, metadata)


@dataclass(frozen=True)
class InputList:
    """The list of input files: how many there are, and the sha256 of its file (hex)."""

    files: int
    sha256: str


def write_lists(output: str, plan: Plan, runs: list[RunInfo]) -> InputList:
    """Writes the plan, the list of input files, and where the runs are, for the workers.

    Returns:
        What the manifest says of the list of input files.
    """
    table = input_table(runs)
    with storage.write_file(storage.join(output, plans.FILE_NAME)) as sink:
        sink.write(plan.to_bytes())
    with storage.write_file(storage.join(output, INPUTS_NAME)) as sink:
        digested = storage.DigestedSink(sink)
        with pa.PythonFile(digested, "w") as out, pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    write_run_index(storage.join(output, WORK_FOLDER, INDEX_NAME), table, runs)
    return InputList(table.num_rows, digested.sha256)


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
