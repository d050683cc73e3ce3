"""A build of made rows, written in seconds: what benchmarks of reading read.

```
rows    20,000 of L = 2048 over 4 shards    about 3.4 segments a row    200 MB    16 MiB a record batch
```
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from byline.manifest import FILE_NAME, MANIFEST_VERSION, PhaseEntry, ShardEntry, digests_of
from byline.reader import INPUTS_NAME
from byline.shards import FORMAT, SHARD_VERSION, shard_schema

_PLAN = "00" * 32
_TOKENIZER = {"name": "made", "sha256": "00" * 32, "vocab_size": 50_000, "bos_id": 0, "eos_id": 0, "pad_id": 1}
_BATCH_BYTES = 16 << 20


def write_made_build(directory: Path, shards: int, rows: int, length: int = 2048) -> None:
    """Writes a build of one phase.

    Args:
        directory: of the build.
        shards: how many.
        rows: of each shard.
        length: L.
    """
    entries = [_write_shard(directory, number, shards, rows, length) for number in range(shards)]
    inputs = pa.table({"file": pa.array([], pa.int64()), "source": pa.array([], pa.string())})
    with pa.OSFile(str(directory / INPUTS_NAME), "wb") as sink, pa.ipc.new_file(sink, inputs.schema) as writer:
        writer.write_table(inputs)
    # The first token of each segment is masked, so all others are predicted within it.
    loss_tokens = sum(entry.loss_tokens for entry in entries)
    phase = PhaseEntry("made", None, shards * rows, shards * rows * length, *[loss_tokens] * 3, {}, entries)
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": MANIFEST_VERSION,
        "sequence_length": length,
        "ids": "int32",
        "tokenizer": _TOKENIZER,
        "config": {"seed": 0},
        "plan_sha256": _PLAN,
        "code_version": "0",
        "inputs": 0,
        "inputs_sha256": hashlib.sha256((directory / INPUTS_NAME).read_bytes()).hexdigest(),
        "phases": [asdict(phase)],
        "ledger": {},
    }
    (directory / FILE_NAME).write_text(json.dumps({**values, "digests": digests_of(values)}))


def _write_shard(directory: Path, number: int, shards: int, rows: int, length: int) -> ShardEntry:
    path = f"made/{number:05d}-of-{shards:05d}.arrow"
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    per_batch = max(1, _BATCH_BYTES // (5 * length))
    metadata = {
        "version": SHARD_VERSION,
        "sequence_length": length,
        "rows_per_batch": per_batch,
        "phase": "made",
        "shard": number,
        "template": None,
        "mask_alignment": "token",
        "tokenizer": _TOKENIZER,
        "packing": "document_start",
        "seed": 0,
        "plan_sha256": _PLAN,
        "code_version": "0",
    }
    schema = shard_schema(length, "int32", metadata)
    loss_tokens = 0
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, rows, per_batch):
            batch, trained = _batch(schema, number * rows + start, min(per_batch, rows - start), length)
            writer.write_batch(batch)
            loss_tokens += trained
    content = file.read_bytes()
    return ShardEntry(path, rows, *[loss_tokens] * 3, len(content), hashlib.sha256(content).hexdigest())


def _batch(schema: pa.Schema, first: int, rows: int, length: int) -> tuple[pa.RecordBatch, int]:
    """Rows of two to five segments each, and how many tokens are trained. Small ids are as frequent as words are."""
    numbers = np.arange(first, first + rows, dtype=np.int64)
    ids = (50_000 ** np.random.default_rng(first).random((rows, length), np.float32)).astype(np.int32)
    counts = (2 + numbers % 4).astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    segments = int(ends[-1])
    lengths = np.full(segments, length // 5, np.int32)
    lengths[ends[1:] - 1] = length - (counts - 1) * (length // 5)
    starts = (np.cumsum(lengths) - lengths) % length
    mask = np.ones((rows, length), np.uint8)
    mask[np.repeat(np.arange(rows), counts), starts] = 0

    def fixed(values: np.ndarray) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), length)

    def lists(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(values))

    doc_ids = np.arange(segments, dtype=np.int64) + first * 8
    columns = [fixed(ids), fixed(mask), lists(lengths), lists(doc_ids), lists(np.zeros(segments, np.int32))]
    arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema), int(mask.sum())
