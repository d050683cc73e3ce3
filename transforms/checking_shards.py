"""One finished shard held against the manifest, its own rows, and what the token store gives for it.

```
manifest entry   sha256, bytes, rows, loss tokens   = of the file
schema           contract, plan, phase              = of the manifest
rows             invariants of `checking_rows`
token store      assembled once more in memory      = every value of the file
```
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.shards import shard_metadata, shard_schema
from schemas.config import Condition
from transforms.assembling import AssembleJob, file_digest, shard_batches
from transforms.checking_rows import RowCounts, RowRules, check_batch
from transforms.gathering import RunIndex
from transforms.storage import exists, join, open_random


@dataclass(frozen=True)
class ShardReport:
    """What was found in one shard; `counts` is None where it could not be read."""

    entry: ShardEntry
    counts: RowCounts | None
    problems: list[str]


def check_shard(
    out: str, manifest: Manifest, phase: PhaseEntry, number: int, condition: Condition | None, input_rows: np.ndarray
) -> ShardReport:
    """Checks everything about a shard that can be told from the output alone.

    Args:
        out: the build's folder.
        manifest: of the build.
        phase: the shard's phase.
        number: of the shard in it.
        condition: of the phase.
        input_rows: int64 [files], records of each input file.
    """
    entry = phase.shards[number]
    uri = join(out, entry.path)
    if not exists(uri):
        return ShardReport(entry, None, [f"{entry.path}: missing; build again to write it"])
    problems = []
    digest = file_digest(uri)
    if digest["bytes"] != entry.bytes:
        problems.append(f"{entry.path}: {digest['bytes']:,} bytes, the manifest says {entry.bytes:,}")
    if digest["sha256"] != entry.sha256:
        problems.append(f"{entry.path}: sha256 {digest['sha256'][:16]}..., the manifest says {entry.sha256[:16]}...")
    try:
        with open_random(uri) as source:
            reader = pa.ipc.open_file(source)
            problems += _check_schema(reader.schema, manifest, phase, number, entry.path)
            rules = RowRules(
                length=manifest.sequence_length,
                masks_heads=condition is not None and condition.place == "before",
                pad_id=manifest.tokenizer["pad_id"],
                vocab_size=manifest.tokenizer["vocab_size"],
                input_rows=input_rows,
            )
            counts = RowCounts(np.zeros(len(input_rows), np.int64), np.zeros(len(input_rows), np.int64))
            for index in range(reader.num_record_batches):
                check_batch(reader.get_batch(index), rules, counts)
    except (pa.ArrowInvalid, OSError, BylineError, KeyError) as error:
        return ShardReport(
            entry, None, [*problems, f"{entry.path}: cannot be read ({' '.join(str(error).split())[:200]})"]
        )
    problems += [f"{entry.path}: {problem}" for problem in counts.problems]
    for name, found, expected in (
        ("rows", counts.rows, entry.rows),
        ("loss tokens", counts.loss_tokens, entry.loss_tokens),
    ):
        if found != expected:
            problems.append(f"{entry.path}: {found:,} {name}, the manifest says {expected:,}")
    return ShardReport(entry, counts, problems)


def _check_schema(schema: pa.Schema, manifest: Manifest, phase: PhaseEntry, number: int, path: str) -> list[str]:
    problems = []
    if not schema.equals(shard_schema(manifest.sequence_length, manifest.ids), check_metadata=False):
        problems.append(f"{path}: its columns are not those of the contract (docs/formats.md)")
    found = shard_metadata(schema, path)
    expected = {
        "sequence_length": manifest.sequence_length,
        "phase": phase.name,
        "shard": number,
        "template": phase.template,
        "tokenizer": manifest.tokenizer,
        "plan_sha256": manifest.plan_sha256,
    }
    for key, value in expected.items():
        if found.get(key) != value:
            problems.append(f"{path}: it says {key} {found.get(key)!r}, the manifest {value!r}")
    return problems


def compare_with_store(
    out: str, entry: ShardEntry, rows: pa.RecordBatch, job: AssembleJob, index: RunIndex
) -> list[str]:
    """Assembles a shard once more in memory and compares every value.

    Args:
        out: the build's folder.
        entry: the shard.
        rows: the plan's rows of the shard.
        job: as it was assembled.
        index: where the runs are.
    """
    with open_random(join(out, entry.path)) as source:
        reader = pa.ipc.open_file(source)
        first = 0
        for number, expected in enumerate(shard_batches(rows, job, index)):
            if number >= reader.num_record_batches:
                return [f"{entry.path}: fewer rows than the token store gives for it"]
            found = reader.get_batch(number)
            for name in expected.schema.names:
                if not found[name].equals(expected[name]):
                    row = _first_difference(found[name], expected[name])
                    return [f"{entry.path}: row {first + row}: {name} is not what the token store gives for it"]
            first += expected.num_rows
    return []


def _first_difference(found: pa.Array, expected: pa.Array) -> int:
    common = min(len(found), len(expected))
    return next((row for row in range(common) if found[row] != expected[row]), common)
