"""`byline.audit`: whether the batches that a trainer really gets train what the shards say, and nothing else.

```python
report = byline.audit(loader, shards, form="huggingface")
print(report)    # equal: 1,234,567 targets
                 # or a line for each kind of difference:
                 # 3,456 targets trained though the loss mask leaves them out; first: batch 0, row 2, position 17, ...
```

Both sides are multisets of (tokens seen, position, target, weight), whatever the order of rows and batches. The weight
is that of the build's `loss_weight`, else 1, and of a batch that of its `loss_weight` or loss mask. Tokens seen
are compared by a 64-bit hash of all of them; about 90 bytes are kept for each target, so audit some thousand rows, not
a corpus: `audit(first_batches, shards[: 32 * 100])`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from byline.errors import BylineError
from byline.forms import Form, form_of
from byline.reader import Shards
from byline.splitmix import splitmix64
from byline.targets import UNSEEN, Spread, Targets, targets_of

_ROWS = 64  # read at a time
_WINDOW = 16  # tokens by which a target is recognized whose context is another
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


@dataclass(frozen=True)
class Difference:
    """One kind of difference.

    Attributes:
        what: what these targets are.
        count: how many.
        first: where the first of them is, and what the shards have instead.
    """

    what: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.count:,} {'target' if self.count == 1 else 'targets'} {self.what}; first: {self.first}"


@dataclass(frozen=True)
class Audit:
    """What came of comparing batches with shards; printed, a line for each difference.

    Attributes:
        trained: targets of the batches, each that counts in the loss.
        expected: those of the shards.
        differences: none where both are the same.
        notes: what is likely to be a mistake in how the batches are made.
        trained_weight, expected_weight: sums of the weights of both; of a build without weights, as many as targets.
    """

    trained: int
    expected: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    trained_weight: float = 0.0
    expected_weight: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether the batches train what the shards say."""
        return not self.differences

    def __str__(self) -> str:
        counts, expected = f"{self.trained:,} targets", f"{self.expected:,}"
        if (self.trained_weight, self.expected_weight) != (self.trained, self.expected):
            counts += f" of weight {self.trained_weight:,.10g}"
            expected += f" of weight {self.expected_weight:,.10g}"
        head = f"equal: {counts}" if self.is_equal else f"different: {counts}, the shards have {expected}"
        return "\n".join([head, *map(str, self.differences), *self.notes])


def audit(
    batches: Iterable[Mapping[str, Any]], shards: Shards, form: str = "huggingface", *, train_starts: bool = False
) -> Audit:
    """Compares a trainer's own batches with the rows that they were made of.

    Args:
        batches: as the model gets them; numpy arrays, or tensors of PyTorch on any device.
        shards: all rows of these batches: a phase, or a slice.
        form: of the batches, one of `byline.forms.FORMS`: it says what a model makes of a batch.
        train_starts: as for `byline.collate`.

    Raises:
        BylineError: there is no such form, or a batch is of another one.
    """
    read_as = form_of(form)
    notes: list[str] = []
    trained = _Side()
    for number, batch in enumerate(batches):
        arrays = _arrays(batch, read_as, form, number)
        trained.add(read_as.read(arrays), number)
        notes = notes or _notes(arrays)
    expected, masked, starts = _expected(shards, train_starts)
    differences = _compare(trained.joined(), expected.joined(), masked, starts)
    return Audit(
        trained.count, expected.count, tuple(differences), tuple(notes), trained.total_weight, expected.total_weight
    )


def _expected(shards: Shards, train_starts: bool) -> "tuple[_Side, np.ndarray, np.ndarray]":
    """What the shards train, and hashes of what they do not: (token, next token) of a segment, and across a border."""
    expected, masked, starts = _Side(), [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for first in range(0, len(shards), _ROWS):
        rows = shards.batch(range(first, min(first + _ROWS, len(shards))))
        targets = targets_of(rows, train_starts)
        expected.add(targets, first)
        pairs = _pairs(targets.tokens, targets.target)
        is_last = np.zeros(rows["input_ids"].shape, bool)
        is_last.reshape(-1)[Spread(rows).cu_seqlens[1:] - 1] = True
        masked.append(np.unique(pairs[(targets.weight == 0) & ~is_last.reshape(-1)]))
        is_last[:, -1] = False
        starts.append(np.unique(pairs[is_last.reshape(-1)]))
    return expected, np.concatenate(masked), np.concatenate(starts)


def _arrays(batch: Mapping[str, Any], read_as: Form, form: str, number: int) -> dict[str, Any]:
    """The batch's tensors as arrays.

    Raises:
        BylineError: it lacks what its form has.
    """
    present = {name: value for name, value in batch.items() if value is not None}
    missing = [key for key in read_as.keys if key not in present]
    if missing:
        raise BylineError(
            f"batch {number} has no {missing[0]!r}, which a batch of form {form!r} has; it has {', '.join(present)}"
        )
    return {name: _numpy(value) for name, value in present.items()}


def _numpy(value: Any) -> Any:
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    # numpy has no bfloat16; float32 has all of its values.
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _notes(batch: Mapping[str, Any]) -> list[str]:
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    if mask is None or positions is None or mask.ndim != 2 or not (mask != 0).all():
        return []
    if (np.diff(positions, axis=-1) == 1).all():
        return []
    return [
        "an attention_mask of ones beside position_ids that restart: transformers then takes each row as one document, "
        "so leave the mask out"
    ]


# ------------------------------------------------------------------------------------------------------- fingerprints


def _joined(*columns: np.ndarray) -> np.ndarray:
    """One hash for each row of some columns; uint64."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = splitmix64(hashes ^ column.view(np.uint64))
    return hashes


def _pairs(tokens: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return _joined(tokens, targets)


def _contexts(tokens: np.ndarray, *starts: np.ndarray) -> list[np.ndarray]:
    """A hash of all tokens from a start up to each one: a polynomial in `_BASE`, as a difference of two sums.

    Args:
        tokens: int64 [N].
        starts: int64 [N] each, as in `Targets`.

    Returns:
        uint64 [N] for each of the starts.
    """
    count = len(tokens)
    powers, inverses = (
        np.multiply.accumulate(np.concatenate([np.ones(1, np.uint64), np.full(count, base)]))
        for base in (_BASE, _INVERSE)
    )
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(splitmix64(tokens.view(np.uint64)) * powers[:-1])])
    contexts = []
    for start in starts:
        seen = np.maximum(start, 0)
        hashes = (sums[1:] - sums[seen]) * inverses[seen]
        contexts.append(_joined(hashes, np.where(start == UNSEEN, 0, np.arange(1, count + 1) - start)))
    return contexts


@dataclass(frozen=True)
class _Columns:
    """Targets that count, [n] each: hashes of what they are, and where they stand, for the message."""

    context: np.ndarray
    window: np.ndarray
    pair: np.ndarray
    weight: np.ndarray
    position: np.ndarray
    seen: np.ndarray
    token: np.ndarray
    target: np.ndarray
    batch: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def key(self, *names: str) -> np.ndarray:
        return _joined(*(getattr(self, name) for name in names))

    @property
    def order(self) -> np.ndarray:
        """A number that is smaller for an earlier target."""
        return (self.batch << 40) + (self.row << 24) + self.column

    @classmethod
    def joined(cls, parts: "list[_Columns]") -> "_Columns":
        """One after another."""
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__}
        )

    def take(self, which: np.ndarray) -> "_Columns":
        return _Columns(**{name: values[which] for name, values in vars(self).items()})


class _Side:
    """The targets of one side, batch after batch."""

    def __init__(self) -> None:
        integers, hashes = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self._parts = [_Columns(hashes, hashes, hashes, np.zeros(0), *[integers] * 7)]

    @property
    def count(self) -> int:
        return sum(len(part.pair) for part in self._parts)

    @property
    def total_weight(self) -> float:
        return float(sum(part.weight.sum() for part in self._parts))

    def add(self, targets: Targets, batch: int) -> None:
        """Keeps those that count of a batch."""
        index = np.flatnonzero(targets.weight)
        start, token, target = targets.start[index], targets.tokens[index], targets.target[index]
        row, column = np.divmod(index, targets.width)
        every = np.arange(len(targets.tokens))
        near = np.maximum(every - _WINDOW + 1, every // targets.width * targets.width)
        context, window = _contexts(targets.tokens, targets.start, near)
        self._parts.append(
            _Columns(
                context=context[index],
                window=window[index],
                pair=_pairs(token, target),
                weight=targets.weight[index],
                position=targets.position[index],
                seen=np.where(start == UNSEEN, UNSEEN, index - start + 1),
                token=token,
                target=target,
                batch=np.full(len(index), batch),
                row=row,
                column=column,
            )
        )

    def joined(self) -> _Columns:
        """All of them."""
        return _Columns.joined(self._parts)


# --------------------------------------------------------------------------------------------------------- comparing

# By what a target of one side is taken for one of the other, once those are gone that are the same: what it predicts
# after which `_WINDOW` tokens of its row, else after which token; a weight of its own last.
_STEPS = (("window", "target", "weight"), ("pair", "weight"), ("window", "target"), ("pair",))
_WHAT = (
    "at another position, after the same tokens",
    "that see other tokens, at the same position",
    "that see other tokens, at another position",
    "of another weight",
)


def _compare(trained: _Columns, expected: _Columns, masked: np.ndarray, starts: np.ndarray) -> Iterator[Difference]:
    """What is left of two multisets when all that they have in common is taken away, step by step."""
    everything = ("pair", "context", "position", "weight")
    expected_keys = expected.key(*everything)
    held = np.unique(expected_keys)
    trained, expected, *_ = _matched(trained, expected, trained.key(*everything), expected_keys)
    parts = []
    for names in _STEPS:
        trained, expected, one, other = _matched(trained, expected, trained.key(*names), expected.key(*names))
        parts.append((one, other))
    one, other = (_Columns.joined(list(side)) for side in zip(*parts, strict=True))
    kind = np.where(one.context == other.context, 0, np.where(one.position == other.position, 1, 2))
    kind[one.weight != other.weight] = 3
    for number, what in enumerate(_WHAT):
        of_kind = np.flatnonzero(kind == number)
        if len(of_kind):
            first = int(of_kind[np.argmin(one.order[of_kind])])
            where = f"{_describe(one, first)}; the shards have it {_seen(other, first)}"
            yield Difference(what, len(of_kind), where)
    kinds = (
        (np.isin(trained.key(*everything), held), "trained more often than they are in the shards"),
        (np.isin(trained.pair, masked), "trained though the loss mask leaves them out"),
        (np.isin(trained.pair, starts), "trained at the start of a segment, from the document before it"),
        (np.ones(len(trained.pair), bool), "that are in no row of the shards"),
    )
    rest = np.ones(len(trained.pair), bool)
    for is_kind, what in kinds:
        left = trained.take(is_kind & rest)
        rest &= ~is_kind
        if len(left.pair):
            yield Difference(what, len(left.pair), _describe(left, 0))
    if len(expected.pair):
        row = int(expected.batch[0] + expected.row[0])
        where = f"row {row} of the shards, position {expected.column[0]}, {_tokens(expected, 0)}"
        yield Difference("that are not trained", len(expected.pair), where)


def _matched(
    trained: _Columns, expected: _Columns, trained_keys: np.ndarray, expected_keys: np.ndarray
) -> tuple[_Columns, _Columns, _Columns, _Columns]:
    """Pairs targets of both sides that have the same key; returns what is left of either, and the pairs."""
    one, other = _in_common(trained_keys, expected_keys)
    return (
        trained.take(np.delete(np.arange(len(trained.pair)), one)),
        expected.take(np.delete(np.arange(len(expected.pair)), other)),
        trained.take(one),
        expected.take(other),
    )


def _in_common(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the k-th of each value in one array, and of the k-th of it in the other; int64 [matches] each."""
    order, other_order = np.argsort(one, kind="stable"), np.argsort(other, kind="stable")
    values, other_values = one[order], other[other_order]
    rank = np.arange(len(values)) - np.searchsorted(values, values)
    at = np.searchsorted(other_values, values) + rank
    has_match = at < np.searchsorted(other_values, values, side="right")
    return order[has_match], other_order[at[has_match]]


def _describe(targets: _Columns, at: int) -> str:
    where = f"batch {targets.batch[at]}, row {targets.row[at]}, position {targets.column[at]}"
    return f"{where}, {_tokens(targets, at)} {_seen(targets, at)}"


def _tokens(targets: _Columns, at: int) -> str:
    return f"token {targets.token[at]} to predict {targets.target[at]}"


def _seen(targets: _Columns, at: int) -> str:
    count, weight = int(targets.seen[at]), targets.weight[at]
    seen = "no stretch of tokens" if count == UNSEEN else f"{count} token" + "s" * (count != 1)
    return f"at position id {targets.position[at]}, seeing {seen}" + (f", of weight {weight:g}" if weight != 1 else "")
