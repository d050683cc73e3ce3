"""Writes a batch of tokenized documents as one sorted run of the token store.

```
batch      row          0   1   2   3      run     row          2   0   3   1
           shuffle key  7   9   1   8              shuffle key  1   7   8   9
```

schemas/store.py describes the file. Each batch makes one run, whose name depends on the batch, so a batch that is
processed again writes the same bytes under the same name.
"""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas import store
from byline.schemas.documents import NUM_BYTES, NUM_TOKENS, ROW, origin_of, tokens_field, with_columns
from byline.transforms.documents.list_copying import copy_lists
from byline.transforms.documents.rejects import rejects_of
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.sealed_files import write_sealed
from byline.transforms.files.storage import join
from byline.transforms.store.field_counting import count_fields
from byline.transforms.store.rejects import rejects_uri, write_rejects
from byline.transforms.store.run_names import run_name

STEP = "WriteRuns"


def sort_by_shuffle_key(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds `shuffle_key` as the first column and sorts by it; equal shuffle keys stay in order of row.

    Args:
        batch: with `row`, and with a `BatchInfo` that names its source and file.

    Raises:
        BylineError: one of these is missing.
    """
    info = origin_of(batch, STEP)
    batch = with_columns(batch, STEP, ROW)
    shuffle_key = shuffle_keys(info.source, info.path, batch["row"].to_numpy())
    order = np.argsort(shuffle_key, kind="stable")
    columns = [pa.array(shuffle_key[order])]
    for name in batch.schema.names:
        columns.append(_take_lists(batch[name], order) if name == "tokens" else batch[name].take(pa.array(order)))
    return pa.RecordBatch.from_arrays(
        columns, schema=pa.schema([store.SHUFFLE_KEY, *batch.schema], batch.schema.metadata)
    )


def _take_lists(lists: pa.LargeListArray, order: np.ndarray) -> pa.LargeListArray:
    """`lists.take(order)`, ten times as fast: it copies whole lists, where Arrow goes value by value."""
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    starts = np.concatenate([[0], np.cumsum(np.diff(offsets)[order])])
    taken = np.empty(starts[-1], values.dtype)
    copy_lists(values, offsets, order, taken, 0)
    return pa.LargeListArray.from_arrays(pa.array(starts), pa.array(taken), type=lists.type)


def cut_for_reading(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cuts a sorted batch wherever the bytes of tokens before a document pass a multiple of `BATCH_TOKEN_BYTES`."""
    width = batch.schema.field("tokens").type.value_type.byte_width
    borders = batch_borders(batch["num_tokens"].to_numpy(), width)
    return [batch.slice(low, high - low) for low, high in pairwise(borders)]


def batch_borders(num_tokens: np.ndarray, width: int) -> list[int]:
    """Where sorted documents are cut into record batches.

    Args:
        num_tokens: int32 [n].
        width: bytes of a token.

    Returns:
        The first row of each batch, and n; [0] if there are no documents.
    """
    ends = np.cumsum(num_tokens, dtype=np.int64) * width
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    cuts = np.flatnonzero(np.diff(starts // store.BATCH_TOKEN_BYTES)) + 1
    return [0, *cuts.tolist(), len(num_tokens)] if len(num_tokens) else [0]


def write_run(batch: pa.RecordBatch, fingerprint: str, folder: str, behind: WriteBehind | None = None) -> str:
    """Sorts and writes one batch as a run.

    Args:
        batch: with `row`, `num_bytes`, `num_tokens` and `tokens`, and a `BatchInfo` that names its source and file.
        fingerprint: of what it was prepared with (64 hex digits).
        folder: where the run goes.
        behind: what ends the file while the caller goes on.

    Returns:
        Where the run is.

    Raises:
        BylineError: a column, or source and file, are missing.
    """
    info = origin_of(batch, STEP)
    batch = with_columns(batch, STEP, ROW, NUM_BYTES, NUM_TOKENS, _tokens_needed(batch))
    ordered = store.in_order(sort_by_shuffle_key(batch))
    batches = cut_for_reading(ordered)
    run_info = store.RunInfo(
        fingerprint=fingerprint,
        source=info.source,
        path=info.path,
        chunk=info.chunk,
        last=info.last,
        input_size=info.input_size,
        rows_read=info.rows_read,
        bytes_read=info.bytes_read,
        dropped=info.dropped,
        special_text=info.special_text,
        input_checksum=info.input_checksum,
        damage=info.damage,
        rows=batch.num_rows,
        text_bytes=pc.sum(batch["num_bytes"]).as_py() or 0,
        tokens=pc.sum(batch["num_tokens"]).as_py() or 0,
        batch_shuffle_keys=[piece["shuffle_key"][0].as_py() for piece in batches],
        fields=count_fields(batch),
    )
    write_rejects(rejects_of(batch), rejects_uri(folder, run_info))
    schema = ordered.schema.with_metadata(run_info.to_metadata())
    uri = join(folder, run_name(info.source, info.path, info.chunk))
    with write_sealed(uri, schema, behind) as writer:
        for piece in batches:
            writer.write_batch(piece.replace_schema_metadata(schema.metadata))
    return uri


def _tokens_needed(batch: pa.RecordBatch) -> pa.Field:
    """The column `tokens`, of the type that the batch has if it is one of the two."""
    wide = tokens_field(pa.int32())
    return wide if "tokens" in batch.schema.names and batch["tokens"].type == wide.type else tokens_field(pa.uint16())
