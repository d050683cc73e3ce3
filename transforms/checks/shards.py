"""One finished shard held against the manifest, its own rows, and what the token store gives for it.

```
manifest entry   sha256, bytes, rows, loss tokens   = of the file
schema           contract, plan, phase              = of the manifest
rows             invariants of `rows`
token store      assembled once more in memory      = every value of the file
```
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.shards import shard_metadata, shard_schema
from schemas.config import Config
from schemas.recipe import Packing
from transforms.checks.ledger import shard_misfits
from transforms.checks.places import InputNames
from transforms.checks.plan import condition_of, sources_masking_own, tokenizer_of
from transforms.checks.rows import RowCounts, RowRules, ShardCounter
from transforms.files.storage import exists, join, open_random
from transforms.shards.assembling import AssembleJob, PlannedPhase, shard_batches
from transforms.shards.gathering import RunIndex

_BLOCK_BYTES = 16 << 20
# What a damaged Arrow file, or JSON in its footer, raises when it is read.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class ShardReport:
    """What was found in one shard.

    Attributes:
        entry: the shard.
        counts: of its rows; None where it could not be read.
        said: what the shard's metadata says of its contents: `counts` by source, and `padding`.
        problems: of the file and its metadata, one line each, without those in `counts`.
    """

    entry: ShardEntry
    counts: RowCounts | None
    said: dict[str, Any]
    problems: list[str]


def row_rules(
    manifest: Manifest,
    config: Config,
    phase: PhaseEntry,
    planned: pa.RecordBatch | None,
    inputs: InputNames,
    input_rows: np.ndarray,
) -> RowRules:
    """What the rows of a shard must keep to.

    Args:
        manifest: of the build.
        config: of the build.
        phase: the shard's phase.
        planned: the plan's rows of the shard; None where it has none.
        inputs: the input files.
        input_rows: int64 [files], records of each.
    """
    condition = condition_of(config, phase)
    masking, markers = sources_masking_own(config), manifest.tokenizer["markers"]
    return RowRules(
        length=manifest.sequence_length,
        packing=Packing(phase.packing),
        place=None if condition is None else condition.place,
        bos_id=manifest.tokenizer["bos_id"],
        begin_id=None if condition is None or condition.begin is None else markers[condition.begin],
        end_id=None if condition is None or condition.end is None else markers[condition.end],
        repeats=planned is not None and _draws_again(planned),
        pad_id=manifest.tokenizer["pad_id"],
        vocab_size=manifest.tokenizer["vocab_size"],
        input_rows=input_rows,
        masks_own=np.array([source in masking for source in inputs.sources], bool),
    )


def _draws_again(planned: pa.RecordBatch) -> bool:
    """Whether a shard takes documents of one source in two epochs, so that one may be in it twice."""
    pairs = set(zip(planned["source"].to_pylist(), planned["epoch"].to_pylist(), strict=True))
    return len({source for source, _ in pairs}) < len(pairs)


def check_shard(
    out: str, manifest: Manifest, seed: int, phase: PhaseEntry, number: int, rules: RowRules
) -> ShardReport:
    """Checks everything about a shard that can be told from the output alone.

    Args:
        out: the build's folder.
        manifest: of the build.
        seed: the recipe's.
        phase: the shard's phase.
        number: of the shard in it.
        rules: of the shard.
    """
    entry = phase.shards[number]
    uri = join(out, entry.path)
    if not exists(uri):
        return ShardReport(entry, None, {}, [f"{entry.path}: missing; build again to write it"])
    problems = _check_file(uri, entry)
    try:
        with open_random(uri) as source:
            reader = pa.ipc.open_file(source)
            said = shard_metadata(reader.schema, entry.path)
            problems += _check_metadata(said, manifest, seed, phase, number)
            _check_columns(reader.schema, manifest)
            for misfit in shard_misfits(said):
                raise ValueError(misfit)
            counts, rows = _count(reader, rules)
            problems += [f"{entry.path}: {problem}" for problem in _check_batches(rows, said["rows_per_batch"])]
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        return ShardReport(entry, None, {}, [*problems, f"{entry.path}: cannot be read ({reason})"])
    for name, found, expected in (
        ("rows", counts.rows, entry.rows),
        ("loss tokens", counts.loss_tokens, entry.loss_tokens),
    ):
        if found != expected:
            problems.append(f"{entry.path}: {found:,} {name}, the manifest says {expected:,}")
    return ShardReport(entry, counts, said, problems)


def _check_file(uri: str, entry: ShardEntry) -> list[str]:
    problems = []
    digest, size = hashlib.sha256(), 0
    with open_random(uri) as source:
        while block := source.read_buffer(_BLOCK_BYTES):
            digest.update(block)
            size += block.size
    found = digest.hexdigest()
    if size != entry.bytes:
        problems.append(f"{entry.path}: {size:,} bytes, the manifest says {entry.bytes:,}")
    if found != entry.sha256:
        problems.append(f"{entry.path}: sha256 {found[:16]}..., the manifest says {entry.sha256[:16]}...")
    return problems


def _check_columns(schema: pa.Schema, manifest: Manifest) -> None:
    if not schema.equals(shard_schema(manifest.sequence_length, manifest.ids), check_metadata=False):
        raise ValueError("its columns are not those of the contract (docs/formats.md)")


def _count(reader: pa.RecordBatchFileReader, rules: RowRules) -> tuple[RowCounts, list[int]]:
    """What the rows come to, and how many each record batch has; reads every batch once."""
    counter, batch_rows = ShardCounter(rules), []
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        counter.add(batch)
        batch_rows.append(batch.num_rows)
    return counter.finish(), batch_rows


def _check_batches(batch_rows: list[int], due: int) -> Iterator[str]:
    """A reader finds row r in batch r // rows_per_batch, so every batch but the last has as many."""
    last = len(batch_rows) - 1
    for index, rows in enumerate(batch_rows):
        if rows > due or rows == 0 or (index < last and rows != due):
            yield f"record batch {index} has {rows} rows, where {due} make a batch"


def _check_metadata(
    said: dict[str, Any], manifest: Manifest, seed: int, phase: PhaseEntry, number: int
) -> Iterator[str]:
    expected = {
        "sequence_length": manifest.sequence_length,
        "phase": phase.name,
        "shard": number,
        "template": phase.template,
        "mask_alignment": "token",
        "tokenizer": tokenizer_of(manifest),
        "packing": phase.packing,
        "seed": seed,
        "plan_sha256": manifest.plan_sha256,
        "code_version": manifest.code_version,
    }
    for key, value in expected.items():
        if said.get(key) != value:
            yield f"{phase.shards[number].path}: it says {key} {said.get(key)!r}, the manifest {value!r}"


def compare_with_store(
    out: str, entry: ShardEntry, rows: pa.RecordBatch, job: AssembleJob, phase: PlannedPhase, index: RunIndex
) -> list[str]:
    """Assembles a shard once more in memory and compares every value.

    Args:
        out: the build's folder.
        entry: the shard, which `check_shard` could read.
        rows: the plan's rows of the shard.
        job: as it was assembled.
        phase: the shard's, from the plan.
        index: where the runs are.
    """
    with open_random(join(out, entry.path)) as source:
        reader = pa.ipc.open_file(source)
        first = number = 0
        for expected in shard_batches(rows, job, phase, index):
            if number == reader.num_record_batches:
                return [f"{entry.path}: fewer rows than the token store gives for it"]
            found = reader.get_batch(number)
            for name in expected.schema.names:
                if not found[name].equals(expected[name]):
                    row = _first_difference(found[name], expected[name])
                    return [f"{entry.path}: row {first + row}: {name} is not what the token store gives for it"]
            first += expected.num_rows
            number += 1
        if number < reader.num_record_batches:
            return [f"{entry.path}: more rows than the {first} that the token store gives for it"]
    return []


def _first_difference(found: pa.Array, expected: pa.Array) -> int:
    common = min(len(found), len(expected))
    return next((row for row in range(common) if found[row] != expected[row]), common)
