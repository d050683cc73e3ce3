"""One row, and several rows as one set of arrays: what the reader gives, and what `collate` takes.

```
                row 0                    row 1
input_ids       0 22 27 77  5  9  0  8   0  3  4  5  6  7  1  1     [2, 8]
loss_mask       0  0  0  0  1  1  1  1   1  1  1  1  1  1  0  0     [2, 8]
loss_weight     0  0  0  0 .5 .5  2  2   1  1  1  1  1  1  0  0     [2, 8], of a build that has weights
segments        2                        2                          [2], how many each row has
seq_lengths     6                 2      6                 2        [4], of all rows, one after another
doc_ids         7                 8      9                -1        [4]; padding has -1
doc_offsets     0                 0      0                 0        [4]
phase           conditioned              cooldown                   [2]
```
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from byline.errors import BylineError
from byline.shards import PADDING_DOC_ID


class _Weight(TypedDict, total=False):
    loss_weight: np.ndarray


class Row(_Weight):
    """One sequence. Arrays are read-only.

    Keys:
        input_ids: int32 [L].
        loss_mask: uint8 [L], 1 where the loss of predicting this token counts.
        loss_weight: float16 or float32 [L], how much it counts, 0 where not; only of a build that has weights.
        seq_lengths: int32 [segments], sums to L.
        doc_ids: int64 [segments], -1 for padding; see `Shards.origin`.
        doc_offsets: int32 [segments], how many of the document's own tokens come before the segment.
        phase: name of the row's phase.
    """

    input_ids: np.ndarray
    loss_mask: np.ndarray
    seq_lengths: np.ndarray
    doc_ids: np.ndarray
    doc_offsets: np.ndarray
    phase: str


class Rows(_Weight):
    """Several sequences, in new arrays. n rows of L tokens, S segments in all of them.

    Keys:
        input_ids: int32 [n, L].
        loss_mask: uint8 [n, L], 1 where the loss of predicting this token counts.
        loss_weight: float16 or float32 [n, L], how much it counts, 0 where not; only of a build that has weights.
        segments: int32 [n], how many segments each row has; sums to S.
        seq_lengths: int32 [S], lengths of the segments, row after row; those of a row sum to L.
        doc_ids: int64 [S], -1 for padding; see `Shards.origin`.
        doc_offsets: int32 [S], how many of the document's own tokens come before the segment.
        phase: str [n], name of each row's phase.
    """

    input_ids: np.ndarray
    loss_mask: np.ndarray
    segments: np.ndarray
    seq_lengths: np.ndarray
    doc_ids: np.ndarray
    doc_offsets: np.ndarray
    phase: np.ndarray


def stack_rows(rows: Sequence[Row]) -> Rows:
    """Rows one by one, as a data loader collects them, as one set of arrays.

    Raises:
        BylineError: there are none, they are not of one length, or only some have weights.
    """
    lengths = sorted({len(row["input_ids"]) for row in rows})
    if len(lengths) != 1:
        described = f"rows of {lengths[0]} and of {lengths[-1]} tokens" if lengths else "no rows"
        raise BylineError(f"expected one or more rows of one length, found {described}")
    stacked: Rows = {
        "input_ids": np.stack([row["input_ids"] for row in rows]),
        "loss_mask": np.stack([row["loss_mask"] for row in rows]),
        "segments": np.array([len(row["seq_lengths"]) for row in rows], np.int32),
        "seq_lengths": np.concatenate([row["seq_lengths"] for row in rows]),
        "doc_ids": np.concatenate([row["doc_ids"] for row in rows]),
        "doc_offsets": np.concatenate([row["doc_offsets"] for row in rows]),
        "phase": np.array([row["phase"] for row in rows]),
    }
    weights = [row["loss_weight"] for row in rows if "loss_weight" in row]
    if weights:
        if len(weights) != len(rows):
            raise BylineError(f"{len(weights)} of {len(rows)} rows have a loss_weight; expected rows of one build")
        stacked["loss_weight"] = np.stack(weights)
    return stacked


def with_padding(rows: Rows, count: int, pad_id: int, phase: str) -> Rows:
    """Rows with rows of padding after them: the pad token, loss mask 0, and one segment of no document, as in a shard.

    Args:
        rows: n rows.
        count: how many rows of padding follow.
        pad_id: the pad token.
        phase: which phase they are said to be of.
    """
    if not count:
        return rows
    length = rows["input_ids"].shape[1]
    padded: Rows = {
        "input_ids": np.concatenate([rows["input_ids"], np.full((count, length), pad_id, np.int32)]),
        "loss_mask": np.concatenate([rows["loss_mask"], np.zeros((count, length), np.uint8)]),
        "segments": np.concatenate([rows["segments"], np.ones(count, np.int32)]),
        "seq_lengths": np.concatenate([rows["seq_lengths"], np.full(count, length, np.int32)]),
        "doc_ids": np.concatenate([rows["doc_ids"], np.full(count, PADDING_DOC_ID, np.int64)]),
        "doc_offsets": np.concatenate([rows["doc_offsets"], np.zeros(count, np.int32)]),
        "phase": np.concatenate([rows["phase"], np.full(count, phase)]),
    }
    if "loss_weight" in rows:
        weights = rows["loss_weight"]
        padded["loss_weight"] = np.concatenate([weights, np.zeros((count, length), weights.dtype)])
    return padded
