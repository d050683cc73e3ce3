"""The invariants of a shard's rows, counted from the shard alone.

```
input_ids    BOS URL  :  host \\n d1  d2  d3 | BOS e1 EOS EOS ...
loss_mask     0   0   0   0   0   1   1   1 |  1  1   1   0        zeros only at the head of a segment, and padding
loss_weight   0   0   0   0   0   2   2   2 | .5 .5  .5   0        mostly one for all that is trained of a segment
segments     ------- document 7 ----------- | document 9  padding  their lengths sum to L
doc_offsets   0                             |  0          0        3 where document 7 goes on in the next row (concat)
```

A document of a source that makes or formatters its texts may mask tokens of its own, and the shard does not say which.
So for its segments the loss mask gives only bounds of how many tokens are the document's own, and where those do not
meet, the check of offsets takes any number between them. For all other sources they always meet.

Every check works on one record batch at a time, in numpy, and says what it found and where. Nothing that is read is
trusted: a damaged file must end in a line that says so.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from byline.shards import PADDING_DOC_ID
from byline.transforms.checks.weights import WeightRules, weight_faults
from byline.transforms.packing import PackingPolicy, ShardSegments

# Of one kind of fault, more lines than this tell a reader nothing new.
_TOLD = 3


@dataclass
class RowRules:
    """What the rows of a phase must keep to.

    Attributes:
        length: L.
        packing: the policy.
        position: of the prefix; None in a phase without a condition.
        bos_id: what documents begin with; None for nothing.
        begin_id, end_id: what stands around prefixes; None for nothing.
        repeats: whether one document may be drawn several times.
        pad_id, vocab_size: of the tokenizer.
        input_rows: int64 [files], records of each input file.
        masks_own: bool [files], whether documents of each file may mask tokens of their own.
        weights: what the loss weights may be; None where the build has none.
        placeholders: int64 [k], ids of the tokens that stand for replaced ranges.
    """

    length: int
    packing: PackingPolicy
    position: str | None
    bos_id: int | None
    begin_id: int | None
    end_id: int | None
    repeats: bool
    pad_id: int
    vocab_size: int
    input_rows: np.ndarray
    masks_own: np.ndarray
    weights: WeightRules | None = None
    placeholders: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def has_bos(self) -> bool:
        return self.bos_id is not None

    def may_mask_own(self, documents: np.ndarray) -> np.ndarray:
        """Whether each doc id (int64) is one of such a file; not where it names no file."""
        file = documents >> 32
        known = (file >= 0) & (file < len(self.masks_own))
        known[known] = self.masks_own[file[known]]
        return known


@dataclass
class RowCounts:
    """What the rows of a shard come to.

    Attributes:
        rows, padding: of the shard.
        positions, loss_by_file: int64 [files], positions of documents, and those whose loss counts.
        weight_by_file: float64 [files], the sums of their loss weights; zeros in a build without weights.
        placeholders: int64 [files], positions of documents with a placeholder.
        row_heads, segment_heads: loss tokens that are the first of a row, and of a segment.
        drawn, conditioned: int64 [files], documents that begin in the shard, and those whose first position is masked.
        documents: int64, the doc ids, each once, sorted.
        whole: whether every row's segments divide it, so that they can be checked one by one.
        problems: one line each.
    """

    positions: np.ndarray
    loss_by_file: np.ndarray
    drawn: np.ndarray
    conditioned: np.ndarray
    weight_by_file: np.ndarray
    placeholders: np.ndarray
    rows: int = 0
    padding: int = 0
    row_heads: int = 0
    segment_heads: int = 0
    documents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    whole: bool = True
    problems: list[str] = field(default_factory=list)

    @classmethod
    def nothing(cls, files: int) -> "RowCounts":
        """Counts of no rows."""
        positions, loss, drawn, conditioned, placeholders = np.zeros((5, files), np.int64)
        return cls(positions, loss, drawn, conditioned, np.zeros(files), placeholders)

    @property
    def loss_tokens_in_rows(self) -> int:
        """Those that are not the first of a row, which nothing predicts."""
        return self.loss_tokens - self.row_heads

    @property
    def loss_tokens_in_segments(self) -> int:
        """Those that are not the first of a segment."""
        return self.loss_tokens - self.segment_heads

    @property
    def loss_tokens(self) -> int:
        """Positions whose loss counts; padding has none."""
        return int(self.loss_by_file.sum())


class ShardCounter:
    """Counts a shard, one record batch after another.

    Args:
        rules: of its phase.
    """

    def __init__(self, rules: RowRules) -> None:
        self.rules = rules
        self.counts = RowCounts.nothing(len(rules.input_rows))
        self._segments: list[ShardSegments] = []
        self._padded_rows: list[np.ndarray] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Checks and counts a batch of the shard's schema.

        Raises:
            ArrowInvalid: offsets or lengths inside the batch are impossible.
        """
        # A flipped bit in an offset would otherwise be an abort inside Arrow, or a read of foreign memory.
        batch.validate(full=True)
        fault = _shape_fault(batch, self.rules.length)
        if fault is not None:
            self.counts.problems.append(f"row {self.counts.rows + fault[0]}: {fault[1]}")
            self.counts.rows += batch.num_rows
            self.counts.whole = False
            return
        rows = _Rows(batch, self.rules.length, self.counts.rows)
        problems = self.counts.problems
        _check_documents(rows, self.rules, problems)
        _check_tokens(rows, self.rules, problems)
        _check_mask(rows, self.rules, problems)
        self._add_weights(rows)
        self._add_placeholders(rows)
        _check_markers(rows, self.rules, problems)
        self.counts.rows += batch.num_rows
        self.counts.padding += int(rows.lengths[rows.is_padding].sum())
        self._segments.append(rows.segments(self.rules))
        self._padded_rows.append(rows.first + rows.row_of[rows.is_padding])

    def _add_weights(self, rows: "_Rows") -> None:
        """Checks and sums the loss weights of a batch, if it is to have any."""
        if self.rules.weights is None or rows.weights is None:
            return
        file = np.where(rows.is_padding, -1, rows.doc_ids >> 32)
        for positions, what in weight_faults(
            rows.weights, rows.mask.ravel() != 0, rows.starts, file, self.rules.weights
        ):
            _tell(self.counts.problems, rows.first + positions // self.rules.length, what)
        known = _names_record(rows.doc_ids, self.rules.input_rows)
        sums = np.add.reduceat(rows.weights, rows.starts, dtype=np.float64)
        self.counts.weight_by_file += np.bincount(file[known], sums[known], len(self.rules.input_rows))

    def _add_placeholders(self, rows: "_Rows") -> None:
        """Counts the placeholders of a batch, if it may have any."""
        if len(self.rules.placeholders) == 0:
            return
        known = _names_record(rows.doc_ids, self.rules.input_rows)
        found = np.isin(rows.ids.ravel(), self.rules.placeholders)
        sums = np.add.reduceat(found, rows.starts, dtype=np.int64)
        self.counts.placeholders += _sums(rows.doc_ids >> 32, sums, known, len(self.rules.input_rows))

    def finish(self) -> RowCounts:
        """Checks what only the whole shard shows, and returns the counts."""
        if self._segments:
            segments = ShardSegments.join(self._segments)
            known = _names_record(segments.document, self.rules.input_rows)
            self._check_padding(np.concatenate(self._padded_rows))
            begins = self.rules.packing.begins(segments, self.rules.has_bos)
            _check_offsets(segments, begins, self.rules, self.counts.problems)
            self._add(segments, begins, known)
        return self.counts

    def _check_padding(self, padded: np.ndarray) -> None:
        if not self.rules.packing.pads_any_row:
            _tell(
                self.counts.problems, padded[padded < self.counts.rows - 1], "padding, which only a last row may have"
            )

    def _add(self, segments: ShardSegments, begins: np.ndarray, known: np.ndarray) -> None:
        counts, size = self.counts, len(self.rules.input_rows)
        file = segments.document >> 32
        counts.positions += _sums(file, segments.length, known, size)
        counts.loss_by_file += _sums(file, segments.trained, known, size)
        counts.row_heads = int((segments.head_trained & segments.leads & known).sum())
        counts.segment_heads = int((segments.head_trained & known).sum())
        counts.drawn += _sums(file, begins, known, size)
        counts.conditioned += _sums(file, begins & ~segments.head_trained, known, size)
        counts.documents = np.unique(segments.document[known])


def _sums(file: np.ndarray, values: np.ndarray, known: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(file[known], values[known], size).astype(np.int64)


class _Rows:
    """One record batch as flat arrays; `first` is the number of its first row in the shard."""

    def __init__(self, batch: pa.RecordBatch, length: int, first: int) -> None:
        self.first = first
        self.ids = batch["input_ids"].flatten().to_numpy().reshape(-1, length)
        self.mask = batch["loss_mask"].flatten().to_numpy().reshape(-1, length)
        has_weights = "loss_weight" in batch.schema.names
        self.weights = batch["loss_weight"].flatten().to_numpy() if has_weights else None
        lists = batch["seq_lengths"]
        self.lengths = lists.flatten().to_numpy().astype(np.int64)
        self.doc_ids = batch["doc_ids"].flatten().to_numpy()
        self.doc_offsets = batch["doc_offsets"].flatten().to_numpy()
        self.is_padding = self.doc_ids == PADDING_DOC_ID
        self.row_of = np.repeat(np.arange(batch.num_rows), lists.value_lengths().to_numpy())
        self.starts = np.cumsum(self.lengths) - self.lengths

    def spread(self, of_segments: np.ndarray) -> np.ndarray:
        """A value for each position, [rows, L], from one for each segment."""
        return np.repeat(of_segments, self.lengths).reshape(self.mask.shape)

    def may_mask_own(self, rules: RowRules) -> np.ndarray:
        """Whether the document of each segment may mask tokens of its own."""
        return rules.may_mask_own(self.doc_ids)

    def segments(self, rules: RowRules) -> ShardSegments:
        """All but padding."""
        own = ~self.is_padding
        trained = np.add.reduceat(self.mask.ravel() != 0, self.starts, dtype=np.int64)
        return ShardSegments(
            row=(self.first + self.row_of)[own],
            document=self.doc_ids[own],
            offset=self.doc_offsets[own].astype(np.int64),
            length=self.lengths[own],
            trained=trained[own],
            leads=np.diff(self.row_of, prepend=-1)[own] != 0,
            head_trained=self.mask.ravel()[self.starts[own]] != 0,
            masks_own=rules.may_mask_own(self.doc_ids[own]),
        )


def _shape_fault(batch: pa.RecordBatch, length: int) -> tuple[int, str] | None:
    """The first row whose segments are no division of it, and why; the other checks stand on this one."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count or column.flatten().null_count:
            return 0, f"a null in {name} in this or one of the next {batch.num_rows} rows, where there is never one"
    counts = [batch[name].value_lengths().to_numpy() for name in ("seq_lengths", "doc_ids", "doc_offsets")]
    uneven = (counts[0] != counts[1]) | (counts[0] != counts[2])
    if uneven.any():
        return int(uneven.argmax()), "its numbers of segment lengths, doc ids and doc offsets differ"
    lengths = batch["seq_lengths"].flatten().to_numpy().astype(np.int64)
    row_of = np.repeat(np.arange(batch.num_rows), counts[0])
    sums = np.bincount(row_of, lengths, batch.num_rows)
    sums[row_of[lengths < 1]] = -1
    if (sums != length).any():
        return int((sums != length).argmax()), f"its segments do not cover its {length} positions exactly"
    return None


def _tell(problems: list[str], bad_rows: np.ndarray, what: str) -> None:
    rows = np.unique(bad_rows)
    problems += [f"row {row}: {what}" for row in rows[:_TOLD]]
    if len(rows) > _TOLD:
        problems.append(f"{len(rows) - _TOLD} more rows: {what}")


def _names_record(documents: np.ndarray, input_rows: np.ndarray) -> np.ndarray:
    """Whether each doc id is a record of an input file."""
    file, row = documents >> 32, documents & (2**32 - 1)
    known = (file >= 0) & (file < len(input_rows))
    known[known] = row[known] < input_rows[file[known]]
    return known


def _check_documents(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    row_of = rows.first + rows.row_of
    known = _names_record(rows.doc_ids, rules.input_rows)
    _tell(problems, row_of[~known & ~rows.is_padding], "a doc id that names no record of the input files")
    is_last = np.diff(rows.row_of, append=-1) != 0
    _tell(problems, row_of[rows.is_padding & ~is_last], "padding before the row's end")
    _tell(problems, row_of[rows.doc_offsets < 0], "a negative doc offset")
    _tell(problems, row_of[rows.is_padding & (rows.doc_offsets != 0)], "padding with a doc offset")


def _check_tokens(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    out = (rows.ids < 0) | (rows.ids >= rules.vocab_size)
    _tell_rows(problems, rows, out, f"a token outside the vocabulary of {rules.vocab_size}")
    wrong = (rows.ids != rules.pad_id) & rows.spread(rows.is_padding)
    _tell_rows(problems, rows, wrong, f"padding with another token than {rules.pad_id}")


def _check_mask(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    _tell_rows(problems, rows, rows.mask > 1, "a loss mask that is neither 0 nor 1")
    is_padding = rows.spread(rows.is_padding)
    trained = rows.mask != 0
    _tell_rows(problems, rows, is_padding & trained, "padding that counts in the loss")
    masks_own = rows.spread(rows.may_mask_own(rules))
    _tell(problems, rows.first + np.flatnonzero(~(trained | masks_own).any(axis=1)), "every position is masked")
    masked = ~trained & ~is_padding & ~masks_own
    if rules.position != "before":
        _tell_rows(problems, rows, masked, "a masked position in a phase that masks only padding")
        return
    # A document's masked positions come first, so none follows a trained one in its segment.
    follows_trained = np.zeros(masked.size, bool)
    follows_trained[1:] = trained.ravel()[:-1]
    follows_trained[rows.starts] = False
    _tell_rows(problems, rows, masked & follows_trained.reshape(masked.shape), "a masked position inside a document")


def _check_markers(rows: _Rows, rules: RowRules, problems: list[str]) -> None:
    """Whether prefixes begin and end with the tokens around them, where the loss mask shows that they do."""
    if rules.position != "before":
        return
    ids, trained = rows.ids.ravel(), rows.mask.ravel() != 0
    if rules.begin_id is not None and rules.bos_id not in (None, rules.begin_id):
        # BOS is masked only before a prefix, and the prefix may be cut off after it.
        heads = rows.starts[(rows.lengths > 1) & ~rows.is_padding & (rows.doc_offsets == 0)]
        heads = heads[~trained[heads] & (ids[heads] == rules.bos_id)]
        wrong = rows.first + heads[ids[heads + 1] != rules.begin_id] // rules.length
        _tell(problems, wrong, f"a prefix that does not begin with token {rules.begin_id}")
    if rules.end_id is not None:
        # Of a document that masks none of its own tokens, the last masked one.
        last = np.flatnonzero(~trained[:-1] & trained[1:])
        segment = np.searchsorted(rows.starts, last, side="right") - 1
        is_plain = ~rows.may_mask_own(rules)[segment] & (last + 1 < (rows.starts + rows.lengths)[segment])
        wrong = rows.first + last[is_plain & (ids[last] != rules.end_id)] // rules.length
        _tell(problems, wrong, f"a prefix that does not end with token {rules.end_id}")


def _tell_rows(problems: list[str], rows: _Rows, bad: np.ndarray, what: str) -> None:
    """`bad` is bool [rows, L]."""
    _tell(problems, rows.first + np.flatnonzero(bad.any(axis=1)), what)


def _own_tokens(segments: ShardSegments, begins: np.ndarray, rules: RowRules) -> tuple[np.ndarray, np.ndarray]:
    """How many of its document's own tokens a segment holds if the document continues after it; else one more (EOS).

    The tokens of a prefix after the document count as well.

    Returns:
        The least and the most, int64 [n]; they differ only where the document may mask tokens of its own.
    """
    least = segments.trained - (begins & segments.head_trained & rules.has_bos)
    all_but_bos = segments.length - (begins & rules.has_bos)
    # No masked prefix stands at its head: the phase has none, the head is trained, or the document is past its prefix.
    is_past = (segments.offset > 0) & (not rules.packing.repeats_prefix)
    is_own = segments.head_trained | is_past | (rules.position != "before")
    most = np.where(segments.masks_own, all_but_bos, least)
    return np.where(segments.masks_own & is_own, all_but_bos, least), most


def _check_offsets(segments: ShardSegments, begins: np.ndarray, rules: RowRules, problems: list[str]) -> None:
    """Whether each offset is what the segments before it of the same document hold."""
    follows = rules.packing.follows(segments, rules.repeats)
    if follows is None:
        return
    least, most = (
        np.where(follows >= 0, (segments.offset + own)[follows], 0) for own in _own_tokens(segments, begins, rules)
    )
    # The tokens of a prefix after the document are not its own, so the offset may be smaller.
    wrong = (segments.offset > most) | ((segments.offset < least) & (rules.position != "after"))
    if rules.repeats:
        wrong &= segments.offset != 0
    what = "a doc offset that is not what stands of the document in earlier segments"
    _tell(problems, segments.row[wrong], what)
