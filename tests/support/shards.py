"""Writes a tiny, valid build by hand, for tests of code that reads one.

```python
write_build(tmp_path, {"conditioned": [[row, row], [row]], "cooldown": [[row]]}, length=8)   # two shards, and one
write_build(..., branches={"cooldown-50": ("conditioned", 1)})   # this one is a branch, after shard 0 of conditioned
```
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest

from byline.errors import BylineError
from byline.manifest import FILE_NAME, MANIFEST_VERSION, PhaseEntry, ShardEntry, digests_of
from byline.reader import Shards
from byline.rows import Rows
from byline.shards import FORMAT, SHARD_KEY, SHARD_VERSION, shard_schema

PLAN = "ab" * 32
CONDITION = {
    "template": "URL: {host}\n\n",
    "position": "before",
    "dropout": 0.0,
    "unknown": "unknown",
    "salt": "byline",
}
CONFIG = {
    "seed": 0,
    "phases": [
        {"name": "conditioned", "share": 0.9, "condition": CONDITION},
        {"name": "cooldown", "share": 0.1, "condition": None},
    ],
    "tokenizer": {"file": "tokenizer.json", "bos": "<s>", "eos": "</s>"},
}
TOKENIZER = {"name": "tiny", "sha256": "00" * 32, "vocab_size": 1000, "bos_id": 0, "eos_id": 1, "pad_id": 1}
LOSS_TOKENS = ("loss_tokens", "loss_tokens_in_rows", "loss_tokens_in_segments")
INPUTS = (("mine", "a.jsonl", 10), ("yours", "b/c.parquet", 20))
ARRAYS = ("input_ids", "loss_mask", "seq_lengths", "doc_ids", "doc_offsets")  # of a row
# Rows of the shards of each phase; one is empty.
SHARDS = {"conditioned": [5, 0, 4], "cooldown": [3, 0]}


@dataclass(frozen=True)
class PackedRow:
    """The five columns of one row."""

    input_ids: Sequence[int]
    loss_mask: Sequence[int]
    seq_lengths: Sequence[int]
    doc_ids: Sequence[int]
    doc_offsets: Sequence[int]


@dataclass(frozen=True)
class WeighedRow(PackedRow):
    """With the column that builds with loss weights have."""

    loss_weight: Sequence[float]


def weighed(row: PackedRow, weights: Sequence[float]) -> WeighedRow:
    """A row with these weights, of all positions, where its loss mask is 1."""
    own = [weight * mask for weight, mask in zip(weights, row.loss_mask, strict=True)]
    return WeighedRow(**vars(row), loss_weight=own)


def numbered_row(number: int, length: int) -> PackedRow:
    """A row that shows its number: ids that count up from it, one masked token, one document, one padding position."""
    ids = [(number * 7 + i) % 1000 for i in range(length - 1)] + [1]
    mask = [0] + [1] * (length - 2) + [0]
    return PackedRow(ids, mask, [length - 1, 1], [(1 << 32) + number % 20, -1], [number, 0])


def as_packed(row: Mapping[str, Any]) -> PackedRow:
    """A row as the reader gives it, as lists."""
    return PackedRow(*(row[name].tolist() for name in ARRAYS))


def numbered_build(
    directory: Path, shards: Mapping[str, Sequence[int]], length: int = 8, **settings: Any
) -> list[PackedRow]:
    """Writes a build of numbered rows, given the rows of each shard; returns all rows in training order.

    With `loss_weight` each row has weights of its own.
    """
    numbers = iter(range(1_000_000))

    def row() -> PackedRow:
        number = next(numbers)
        plain = numbered_row(number, length)
        return weighed(plain, [(number + at) % 5 / 4 for at in range(length)]) if settings.get("loss_weight") else plain

    phases = {name: [[row() for _ in range(rows)] for rows in counts] for name, counts in shards.items()}
    write_build(directory, phases, length, **settings)
    return [row for phase in phases.values() for shard in phase for row in shard]


def numbers(batch: Rows) -> list[int]:
    """The numbers of rows of `numbered_build`, by their first ids; -1 for padding."""
    return [ids[0] // 7 if mask.any() else -1 for ids, mask in zip(batch["input_ids"], batch["loss_mask"], strict=True)]


def read_numbers(loader: Iterator[Rows]) -> list[list[int]]:
    """The same of all batches that are left."""
    return [numbers(batch) for batch in loader]


def loader_refused(shards: Shards, settings: dict[str, Any], message: str) -> None:
    """Asserts that a loader of these settings is an error, of one line with this in it."""
    with pytest.raises(BylineError) as error:
        shards.loader(**{"batch": 4, **settings})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def write_build(
    directory: Path,
    phases: Mapping[str, Sequence[Sequence[PackedRow]]],
    length: int,
    *,
    ids: str = "int32",
    loss_weight: str | None = None,
    rows_per_batch: int = 2,
    inputs: Sequence[tuple[str, str, int]] = INPUTS,
    config: Mapping[str, Any] = CONFIG,
    tokenizer: Mapping[str, Any] = TOKENIZER,
    branches: Mapping[str, tuple[str, int]] = MappingProxyType({}),
) -> None:
    """Writes shards, `_inputs.ipc` and, last, the manifest; `branches` are name -> (phase, shards before it).

    With `loss_weight`, the type of the weights, rows are `WeighedRow`s.
    """
    templates = {phase["name"]: phase["condition"] and phase["condition"]["template"] for phase in config["phases"]}
    entries = []
    for name, shards in phases.items():
        written = []
        for number, rows in enumerate(shards):
            path = f"{name}/{number:05d}-of-{len(shards):05d}.arrow"
            metadata = {
                "version": SHARD_VERSION,
                "sequence_length": length,
                "rows_per_batch": rows_per_batch,
                "phase": name,
                "shard": number,
                "template": templates.get(name),
                "mask_alignment": "token",
                "tokenizer": {key: value for key, value in tokenizer.items() if key != "markers"},
                "packing": "document_start",
                "seed": 0,
                "plan_sha256": PLAN,
                "code_version": "0",
                "counts": {},
            }
            schema = shard_schema(length, ids, metadata, loss_weight)
            written.append(_write_shard(directory, path, rows, schema, rows_per_batch))
        phase_rows = sum(entry.rows for entry in written)
        losses = [sum(getattr(entry, name) for entry in written) for name in LOSS_TOKENS]
        template, branch = templates.get(name), _branch_of(name, branches)
        entry = PhaseEntry(name, template, phase_rows, phase_rows * length, *losses, {}, written, branch=branch)
        entries.append(entry)
    write_inputs(directory, inputs)
    manifest = {
        "format": FORMAT,
        "version": MANIFEST_VERSION,
        "sequence_length": length,
        "ids": ids,
        "tokenizer": dict(tokenizer),
        "config": dict(config),
        "plan_sha256": PLAN,
        "code_version": "0",
        "inputs": len(inputs),
        "inputs_sha256": hashlib.sha256((directory / "_inputs.ipc").read_bytes()).hexdigest(),
        "phases": [asdict(entry) for entry in entries],
        "ledger": {},
        **({} if loss_weight is None else {"loss_weight": loss_weight}),
    }
    write_manifest(directory, manifest)


def loss_tokens_of(rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> list[int]:
    """The three numbers of loss tokens of rows, each of its loss mask and the lengths of its segments."""
    counts = [0, 0, 0]
    for mask, lengths in rows:
        starts = [sum(lengths[:number]) for number in range(len(lengths))]
        counts[0] += sum(mask)
        counts[1] += sum(mask[1:])
        counts[2] += sum(loss for position, loss in enumerate(mask) if position not in starts)
    return counts


def write_manifest(directory: Path, values: Mapping[str, Any]) -> None:
    """Writes a manifest with the digests of its keys."""
    (directory / FILE_NAME).write_text(json.dumps({**values, "digests": digests_of(values)}))


def _branch_of(name: str, branches: Mapping[str, tuple[str, int]]) -> dict[str, Any] | None:
    if name not in branches:
        return None
    base, _, percent = name.rpartition("-")
    phase, shards = branches[name]
    return {"of": base, "at": int(percent) / 100, "phase": phase, "shards": shards}


def write_inputs(directory: Path, inputs: Sequence[tuple[str, str, int]]) -> None:
    """Writes `_inputs.ipc`."""
    sources, paths, rows = (list(column) for column in zip(*inputs, strict=True))
    files = pa.array(range(len(inputs)), pa.int64())
    table = pa.table({"file": files, "source": sources, "path": paths, "rows": rows})
    with pa.ipc.new_file(str(directory / "_inputs.ipc"), table.schema) as writer:
        writer.write_table(table)


def rewrite_metadata(path: Path, **changes: Any) -> None:
    """Rewrites a shard with other metadata."""
    with pa.ipc.open_file(str(path)) as reader:
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        schema = reader.schema
    metadata = {**json.loads(schema.metadata[SHARD_KEY]), **changes}
    schema = schema.with_metadata({SHARD_KEY: json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def _write_shard(
    directory: Path, path: str, rows: Sequence[PackedRow], schema: pa.Schema, rows_per_batch: int
) -> ShardEntry:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(file), schema) as writer:
        for start in range(0, len(rows), rows_per_batch):
            batch = rows[start : start + rows_per_batch]
            columns = [pa.array([getattr(row, field.name) for row in batch], field.type) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    content = file.read_bytes()
    losses = loss_tokens_of([(row.loss_mask, row.seq_lengths) for row in rows])
    return ShardEntry(path, len(rows), *losses, len(content), hashlib.sha256(content).hexdigest())


def ids_in_a_process(shards: Sequence[Mapping[str, Any]], queue: Any) -> None:
    """The work of a test's worker process: puts the ids of all its rows into a queue."""
    queue.put([row["input_ids"].tolist() for row in shards])
