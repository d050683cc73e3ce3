"""The invariants of a shard's rows, counted from the shard alone.

```
input_ids    BOS URL :  host \\n d1  d2  EOS | BOS URL ...                  segments  8 ...    sum = L
loss_mask     0   0  0   0   0   1   1   1  |  0   0  ...                  zeros only at the head of a segment, or
padding
```

Every check works on one record batch at a time, in numpy, and says what it found and where.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from byline.shards import PADDING_DOC_ID

# Of one kind of fault, more lines than this tell a reader nothing new.
_TOLD = 3


@dataclass
class RowRules:
    """What the rows of a phase must keep to.

    Attributes:
        length: L.
        masks_heads: whether documents may begin with masked tokens (a condition with `place: before`).
        pad_id, vocab_size: of the tokenizer.
        input_rows: int64 [files], records of each input file.
    """

    length: int
    masks_heads: bool
    pad_id: int
    vocab_size: int
    input_rows: np.ndarray


@dataclass
class RowCounts:
    """What the rows of a shard come to.

    Attributes:
        rows, loss_tokens, padding: of the shard.
        positions, loss_by_file: int64 [files].
        documents: int64, the doc ids, each once.
        problems: one line each.
    """

    positions: np.ndarray
    loss_by_file: np.ndarray
    rows: int = 0
    loss_tokens: int = 0
    padding: int = 0
    documents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    problems: list[str] = field(default_factory=list)


class _Rows:
    """One record batch as flat arrays; `first` is the number of its first row in the shard."""

    def __init__(self, batch: pa.RecordBatch, length: int, first: int) -> None:
        self.first = first
        self.ids = batch["input_ids"].flatten().to_numpy().reshape(-1, length)
        self.mask = batch["loss_mask"].flatten().to_numpy().reshape(-1, length)
        lists = batch["seq_lengths"]
        self.counts = np.diff(lists.offsets.to_numpy())
        self.lengths = lists.flatten().to_numpy().astype(np.int64)
        self.doc_ids = batch["doc_ids"].flatten().to_numpy()
        self.doc_offsets = batch["doc_offsets"].flatten().to_numpy()
        self.row_of = np.repeat(np.arange(len(self.counts)), self.counts)
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths


def check_batch(batch: pa.RecordBatch, rules: RowRules, counts: RowCounts) -> None:
    """Checks one record batch and adds it to the counts."""
    problems = counts.problems
    if any(batch[name].null_count for name in batch.schema.names):
        problems.append(f"rows from {counts.rows}: a null value, where there is never one")
        return
    same = [batch[name].offsets.equals(batch["seq_lengths"].offsets) for name in ("doc_ids", "doc_offsets")]
    rows = _Rows(batch, rules.length, counts.rows)
    sums = np.bincount(rows.row_of, weights=rows.lengths, minlength=batch.num_rows)
    if not all(same) or (rows.lengths < 1).any() or (sums != rules.length).any():
        bad = int(np.flatnonzero(sums != rules.length)[0]) if (sums != rules.length).any() else 0
        problems.append(f"row {counts.rows + bad}: its segments do not cover its {rules.length} positions exactly")
        return
    _check_documents(rows, rules, problems)
    _check_tokens(rows, rules, problems)
    _check_mask(rows, rules, problems)
    _add(rows, counts)


def _tell(problems: list[str], rows: _Rows, bad_rows: np.ndarray, what: str) -> None:
    for row in np.unique(bad_rows)[:_TOLD]:
        problems.append(f"row {rows.first + row}: {what}")


def _check_documents(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    is_padding = rows.doc_ids == PADDING_DOC_ID
    file, number = rows.doc_ids >> 32, rows.doc_ids & (2**32 - 1)
    known = (file >= 0) & (file < len(rules.input_rows))
    fits = np.zeros(len(file), bool)
    fits[known] = number[known] < rules.input_rows[file[known]]
    _tell(problems, rows, rows.row_of[~(fits | is_padding)], "a doc id that names no record of the input files")
    is_last = np.append(rows.row_of[1:] != rows.row_of[:-1], True)
    _tell(problems, rows, rows.row_of[is_padding & ~is_last], "padding before the row's end")
    _tell(problems, rows, rows.row_of[rows.doc_offsets < 0], "a negative doc offset")
    _tell(problems, rows, rows.row_of[is_padding & (rows.doc_offsets != 0)], "padding with a doc offset")


def _check_tokens(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    out = (rows.ids < 0) | (rows.ids >= rules.vocab_size)
    _tell(problems, rows, np.flatnonzero(out.any(axis=1)), f"a token outside the vocabulary of {rules.vocab_size}")
    is_padding = _spread(rows, rows.doc_ids == PADDING_DOC_ID)
    wrong = (rows.ids != rules.pad_id) & is_padding
    _tell(problems, rows, np.flatnonzero(wrong.any(axis=1)), f"padding with another token than {rules.pad_id}")


def _spread(rows: _Rows, of_segments: np.ndarray) -> np.ndarray:
    """A value for each position from one for each segment."""
    return np.repeat(of_segments, rows.lengths).reshape(rows.mask.shape)


def _check_mask(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    _tell(problems, rows, np.flatnonzero((rows.mask > 1).any(axis=1)), "a loss mask that is neither 0 nor 1")
    flat = rows.mask.ravel() != 0
    is_padding = _spread(rows, rows.doc_ids == PADDING_DOC_ID)
    _tell(
        problems, rows, np.flatnonzero((is_padding & (rows.mask != 0)).any(axis=1)), "padding that counts in the loss"
    )
    _tell(problems, rows, np.flatnonzero((rows.mask == 0).all(axis=1)), "every position is masked")
    # Masked positions of a document are a head: after the first trained one of a segment, none is masked.
    before = np.concatenate([[0], np.cumsum(flat)])
    seen = (before[:-1] - np.repeat(before[rows.starts], rows.lengths)) > 0
    hole = seen & ~flat & ~is_padding.ravel()
    _tell(problems, rows, np.flatnonzero(hole) // rules.length, "a masked position inside a document")
    if not rules.masks_heads:
        wrong = ~flat & ~is_padding.ravel()
        _tell(
            problems,
            rows,
            np.flatnonzero(wrong) // rules.length,
            "a masked position in a phase that masks only padding",
        )


def _add(rows: _Rows, counts: RowCounts) -> None:
    is_padding = rows.doc_ids == PADDING_DOC_ID
    trained = np.concatenate([[0], np.cumsum(rows.mask.ravel(), dtype=np.int64)])
    by_segment = trained[rows.ends] - trained[rows.starts]
    file = np.where(is_padding, 0, rows.doc_ids >> 32)
    inside = ~is_padding & (file >= 0) & (file < len(counts.positions))
    size = len(counts.positions)
    counts.positions += np.bincount(file[inside], rows.lengths[inside], size).astype(np.int64)
    counts.loss_by_file += np.bincount(file[inside], by_segment[inside], size).astype(np.int64)
    counts.rows += len(rows.counts)
    counts.loss_tokens += int(trained[-1])
    counts.padding += int(rows.lengths[is_padding].sum())
    counts.documents = np.union1d(counts.documents, rows.doc_ids[~is_padding])
