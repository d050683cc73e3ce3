"""What a shard file is made of, whoever has its rows: its metadata, its record batches, its entry in the manifest.

```
rows of L tokens -> row_batch -> write_shard -> OUT/conditioned/00003-of-00012.arrow, and its ShardEntry
```
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from byline.manifest import ShardEntry
from byline.schemas.ledger import DrawCounts
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.shards import SHARD_VERSION
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.storage import HashingSink, join, write_file
from byline.transforms.shards.filling import trained_heads
from byline.transforms.shards.records import ShardMaker, check_current

# Large enough to be read at full speed, small enough that a worker holds few of them.
BATCH_BYTES = 16 << 20


def rows_per_batch(length: int, ids: str, loss_weight: str | None = None) -> int:
    """Rows of a record batch, the same for every shard of a build; types as for `byline.shards.shard_schema`."""
    position_bytes = np.dtype(ids).itemsize + 1 + (0 if loss_weight is None else np.dtype(loss_weight).itemsize)
    return max(BATCH_BYTES // (length * position_bytes), 1)


@dataclass(frozen=True)
class SegmentLists:
    """Segments with padding among them.

    Attributes:
        offsets: int64 [rows + 1], into the other arrays.
        lengths, doc_ids, doc_offsets: int32, int64 and int32.
        loss_weights: of their documents, of the type of the column, 0 for padding; None where the shard has no such
            column.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    doc_ids: np.ndarray
    doc_offsets: np.ndarray
    loss_weights: np.ndarray | None = None

    def within(self, first: int, rows: int) -> slice:
        """The segments of some rows, from number `first` on."""
        return slice(self.offsets[first], self.offsets[first + rows])

    def position_weights(self, first: int, rows: int) -> np.ndarray | None:
        """The weight of each position's document, [rows, L]; None where the shard has no such column."""
        if self.loss_weights is None:
            return None
        within = self.within(first, rows)
        return np.repeat(self.loss_weights[within], self.lengths[within]).reshape(rows, -1)


def row_batch(
    ids: np.ndarray,
    mask: np.ndarray,
    first: int,
    lists: SegmentLists,
    schema: pa.Schema,
    weights: np.ndarray | None = None,
) -> pa.RecordBatch:
    """One record batch.

    Args:
        ids: [rows, L], of the schema's type.
        mask: uint8 [rows, L].
        first: the number of the first row in `lists`.
        lists: the segments of all rows of the shard.
        schema: of the shard.
        weights: [rows, L], of the schema's type, changed to 0 where the mask is; None without such a column.
    """
    offsets = lists.offsets[first : first + len(ids) + 1]
    inner = lists.within(first, len(ids))
    starts = pa.array((offsets - offsets[0]).astype(np.int32))
    of_positions = {"input_ids": ids, "loss_mask": mask}
    if weights is not None:
        np.putmask(weights, mask == 0, 0)
        of_positions["loss_weight"] = weights
    columns = [
        *(
            pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=schema.field(name).type)
            for name, values in of_positions.items()
        ),
        *(
            pa.ListArray.from_arrays(starts, pa.array(values[inner]), type=schema.field(name).type)
            for name, values in (
                ("seq_lengths", lists.lengths),
                ("doc_ids", lists.doc_ids),
                ("doc_offsets", lists.doc_offsets),
            )
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class ShardDescription:
    """What a shard says of itself, but for its contents.

    Attributes:
        maker: what it is made by.
        phase, shard: which one it is.
        length: L.
        ids: type of its ids, `int32` or `uint16`.
        template, packing: of its phase.
        seed: of the recipe; None where there is none.
        tokenizer: special ids and the size of the vocabulary.
        loss_weight: type of its column of that name; None without one.
    """

    maker: ShardMaker
    phase: str
    shard: int
    length: int
    ids: str
    template: str | None
    packing: str
    seed: int | None
    tokenizer: TokenizerInfo
    loss_weight: str | None = None

    def metadata(
        self, counts: dict[str, DrawCounts], padding: int, labels: dict[str, DrawCounts] | None = None
    ) -> dict[str, Any]:
        """The shard's metadata (`byline.shards.shard_metadata`), given its contents by source, and by label if any."""
        return {
            "version": SHARD_VERSION,
            "sequence_length": self.length,
            "rows_per_batch": rows_per_batch(self.length, self.ids, self.loss_weight),
            "phase": self.phase,
            "shard": self.shard,
            "template": self.template,
            "mask_alignment": "token",
            "tokenizer": self.tokenizer.to_json(),
            "packing": self.packing,
            "seed": self.seed,
            "plan_sha256": self.maker.plan_sha256,
            "code_version": self.maker.code_version,
            "counts": {source: count.to_json() for source, count in counts.items()},
            "padding": padding,
            **({"labels": {label: count.to_json() for label, count in labels.items()}} if labels else {}),
        }


def write_shard(
    output: str,
    path: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    loss_tokens: int,
    maker: ShardMaker,
    behind: WriteBehind | None = None,
) -> ShardEntry:
    """Writes the file of a shard; returns its entry in the manifest.

    Args:
        output: the folder of the build.
        path: of the shard in it.
        schema: of the shard, with its metadata.
        batches: its rows.
        loss_tokens: how many of its positions count in the loss.
        maker: what the shard is made by.
        behind: what ends the file while the caller goes on.

    Raises:
        BylineError: the output no longer belongs to the maker, or cannot be written.
    """
    rows, heads = 0, np.zeros(2, np.int64)
    with write_file(join(output, path), behind) as sink:
        # On the way: reading a shard back from an object store costs as much as writing it.
        digested = HashingSink(sink)
        with pa.PythonFile(digested, "w") as out, pa.ipc.new_file(out, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                heads += trained_heads(batch)
                rows += batch.num_rows
        # Again: minutes may have passed.
        check_current(output, maker)
    return ShardEntry(
        path=path,
        rows=rows,
        loss_tokens=loss_tokens,
        loss_tokens_in_rows=loss_tokens - int(heads[0]),
        loss_tokens_in_segments=loss_tokens - int(heads[1]),
        bytes=digested.size,
        sha256=digested.hasher.hexdigest(),
    )
