"""The shard contract: what a shard file holds. docs/formats.md says what each column means.

```
            segment a (conditioned)        segment b      padding
input_ids   BOS URL  :  host \n\n d1 EOS   BOS d1 d2 EOS   0   0
loss_mask    0   0   0   0    0   1   1     0?  1  1  1    0   0
loss_weight  0   0   0   0    0  .5  .5     0?  2  2  2    0   0                 only where the manifest says so
seq_lengths  7                              4              2        sum = L
doc_ids      2^32*file + row                ...           -1
doc_offsets  0                              0              0
```
"""

import json
from typing import Any

import pyarrow as pa

from byline.errors import BUILD_ANEW, BylineError, of_version

FORMAT = "byline-shards"
SHARD_VERSION = 1
SHARD_KEY = b"byline.shard"
PADDING_DOC_ID = -1
ID_TYPES = {"int32": pa.int32(), "uint16": pa.uint16()}
WEIGHT_TYPES = {"float16": pa.float16(), "float32": pa.float32()}


def shard_schema(
    length: int, ids: str, metadata: dict[str, Any] | None = None, loss_weight: str | None = None
) -> pa.Schema:
    """The schema of a shard.

    Args:
        length: L, tokens in a sequence.
        ids: `int32` or `uint16`, the type of a token.
        metadata: what the shard says about itself (see `shard_metadata`).
        loss_weight: `float16` or `float32`, the type of the column of that name; None without it.
    """
    of_positions = {"input_ids": ID_TYPES[ids], "loss_mask": pa.uint8()}
    if loss_weight is not None:
        of_positions["loss_weight"] = WEIGHT_TYPES[loss_weight]
    fields = [
        *(
            pa.field(name, pa.list_(pa.field("item", item, nullable=False), length), nullable=False)
            for name, item in of_positions.items()
        ),
        pa.field("seq_lengths", pa.list_(pa.field("item", pa.int32(), nullable=False)), nullable=False),
        pa.field("doc_ids", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False),
        pa.field("doc_offsets", pa.list_(pa.field("item", pa.int32(), nullable=False)), nullable=False),
    ]
    encoded = (
        None if metadata is None else {SHARD_KEY: json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()}
    )
    return pa.schema(fields, encoded)


def shard_metadata(schema: pa.Schema, path: str) -> dict[str, Any]:
    """What a shard says about itself.

    Keys: `version`, `sequence_length`, `rows_per_batch`, `phase`, `shard`, `template` (or None), `mask_alignment`
    ("token"), `tokenizer` (name, sha256, vocab_size, bos_id, eos_id, pad_id, added), `packing` (of the phase), `seed`,
    `plan_sha256`, `code_version`, `counts` (source -> its documents and tokens in the shard; see `schemas/ledger.py`),
    `padding` (positions), and where it was imported `domains` (that its samples name -> how many do).

    Raises:
        BylineError: the file is not a shard, or one of another version.
    """
    encoded = (schema.metadata or {}).get(SHARD_KEY)
    if encoded is None:
        raise BylineError(f"{path}: not a Byline shard (its schema has no {SHARD_KEY.decode()!r})")
    try:
        values = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise BylineError(f"{path}: its metadata is not JSON ({error}); copy it anew or build again") from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != SHARD_VERSION:
        raise BylineError(f"{path}: not a shard {of_version(SHARD_VERSION, version, BUILD_ANEW)}")
    return values
