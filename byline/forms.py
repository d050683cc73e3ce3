"""The forms in which trainers take a batch, by name: `FORMS`. docs/trainers.md says which trainer takes which.

```
rows             input_ids    0 22 27  5  9  0 | 0  8  0     one row, L = 9, segments of 6 and 3
                 loss_mask    0  0  0  1  1  1   1  1  1
                 loss_weight  0  0  0 .5 .5 .5   2  2  2       if the build has weights
huggingface      labels       .  .  .  5  9  0   .  8  0     at their own tokens, . is -100; the model shifts
                 loss_weight  0  0  0 .5 .5 .5   0  2  2     beside the labels, 0 where they are .
                 position_ids 0  1  2  3  4  5   0  1  2
shifted          labels       .  .  5  9  0  .   8  0  .     already shifted, and so is
                 loss_weight  0  0 .5 .5 .5  0   2  2  0
megatron         labels      22 27  5  9  0  0   8  0  0     shifted, with
                 loss_mask    0  0  1  1  1  0   1  1  0     or the weights
plus_one         inputs       0 22 27  5  9  0   0  8        L - 1 of them, for rows that were built one token longer
                 targets      .  .  5  9  0  .   8  0
varlen           cu_seqlens   0 6 9                          all rows as one, [n * L]
flex             document_ids 0  0  0  0  0  0   1  1  1
```

A form is one object: how a batch is made of rows, and what a model trains that is given the batch, which `byline.audit`
compares with the shards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from byline.errors import BylineError
from byline.printable import shown
from byline.targets import UNSEEN, Spread, Targets, shift

IGNORED = -100  # the label that PyTorch's cross entropy leaves out
# A block-diagonal mask of a batch, in bytes. More than this was hardly meant.
MAX_DENSE = 8 << 30
Batch = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """One form of a batch.

    Attributes:
        make: what a batch of it has; the dtype is that of ids, labels and positions.
        read: what a model trains that is given such a batch, of numpy arrays.
        keys: what `read` needs.
        line: what a batch has, and who takes it, as docs/trainers.md lists it.
        lay_out: how an array [n, L] of something else is laid out beside the batch's ids.
        with_labels: how one is laid out beside the labels; None where the form's own loss mask has the weights.
        is_flat: whether all rows are one sequence.
    """

    make: Callable[[Spread, np.dtype], Batch]
    read: Callable[[Mapping[str, Any]], Targets]
    keys: tuple[str, ...]
    line: str
    lay_out: Callable[[np.ndarray], np.ndarray] = lambda values: values
    with_labels: Callable[[np.ndarray], np.ndarray] | None = lambda values: values
    is_flat: bool = False


# ----------------------------------------------------------------------------------------------------- rows, [n, L]


def _huggingface(spread: Spread, dtype: np.dtype) -> Batch:
    # One array of all: the C library gives several back to the system, batch by batch, and fresh pages cost more than
    # what is written to them.
    ids, labels, positions = spread.empty((3, *spread.shape), dtype)
    return {
        "input_ids": spread.ids(dtype, ids),
        "labels": spread.labels(dtype, IGNORED, labels),
        "position_ids": spread.position_ids(dtype, positions),
    }


def _read_huggingface(batch: Mapping[str, Any]) -> Targets:
    """As transformers does: segments begin where positions do not go up by one, unless there is an attention mask."""
    ids = batch["input_ids"]
    positions = np.broadcast_to(batch.get("position_ids", np.arange(ids.shape[1])), ids.shape)
    mask = batch.get("attention_mask")
    if mask is not None and mask.ndim == 4:
        start = _starts_of_mask(mask)
    elif mask is not None:
        start = _whole_rows(ids.shape)
    else:
        start = _starts_of(_changes(positions, 1))
    return _read_labels(ids, batch, start, positions)


def _flex(spread: Spread, dtype: np.dtype) -> Batch:
    return {**_huggingface(spread, dtype), "document_ids": spread.segment_ids()}


def _read_flex(batch: Mapping[str, Any]) -> Targets:
    start = _starts_of(_changes(batch["document_ids"], 0))
    return _read_labels(batch["input_ids"], batch, start, batch["position_ids"])


def _dense(spread: Spread, dtype: np.dtype) -> Batch:
    return {**_huggingface(spread, dtype), "attention_mask": _dense_mask(spread)}


def _dense_mask(spread: Spread) -> np.ndarray:
    """bool [n, 1, L, L], whether query q may attend to key k: `[row, 0, q, k]`.

    Raises:
        BylineError: it would take more than `MAX_DENSE` bytes.
    """
    rows, length = spread.shape
    size = rows * length * length
    if size > MAX_DENSE:
        raise BylineError(
            f"an attention mask of {rows} rows of {length:,} tokens takes {size / 2**30:.0f} GiB; take fewer rows, or "
            "a form that says where segments begin: flex, varlen, huggingface"
        )
    segments = spread.segment_ids()
    mask = spread.empty((rows, length, length), np.dtype(bool))
    np.equal(segments[:, :, None], segments[:, None, :], out=mask)
    mask &= np.tri(length, dtype=bool)
    return mask[:, None]


def _trl(spread: Spread, dtype: np.dtype) -> Batch:
    ends = np.cumsum(spread.rows["segments"])[:-1]
    return {
        "input_ids": spread.ids(dtype),
        "labels": spread.labels(dtype, IGNORED),
        # Versions of TRL before it took labels apply this.
        "completion_mask": spread.trained.astype(dtype),
        "seq_lengths": [lengths.tolist() for lengths in np.split(spread.rows["seq_lengths"], ends)],
    }


def _read_trl(batch: Mapping[str, Any]) -> Targets:
    """As TRL's collator with `padding_free` does: rows one after another, first tokens of segments never predicted."""
    ids = np.asarray(batch["input_ids"])
    cu_seqlens = np.cumsum([0, *(length for lengths in batch["seq_lengths"] for length in lengths)])
    labels = np.array(batch["labels"]).reshape(-1)
    labels[cu_seqlens[:-1]] = IGNORED
    return replace(_read_flat(ids, {**batch, "labels": labels}, cu_seqlens, None), width=ids.shape[1])


def _shifted(spread: Spread, dtype: np.dtype) -> Batch:
    batch = _huggingface(spread, dtype)
    shift(batch["labels"], IGNORED, batch["labels"])
    return batch


def _read_shifted(batch: Mapping[str, Any]) -> Targets:
    labels, positions = batch["labels"], batch["position_ids"]
    start = _starts_of(_changes(positions, 1))
    return _targets(batch["input_ids"], labels, _weights(batch, labels), start, positions)


def _plus_one(spread: Spread, dtype: np.dtype) -> Batch:
    batch = _huggingface(spread, dtype)
    return {
        "inputs": batch["input_ids"][:, :-1],
        "targets": batch["labels"][:, 1:],
        "position_ids": batch["position_ids"][:, :-1],
    }


def _read_plus_one(batch: Mapping[str, Any]) -> Targets:
    return _read_shifted({**batch, "input_ids": batch["inputs"], "labels": batch["targets"]})


def _megatron(spread: Spread, dtype: np.dtype) -> Batch:
    tokens, mask = spread.ids(dtype), _dense_mask(spread)
    weights = spread.weights
    if weights is None:
        weights = spread.empty(spread.shape, np.dtype(np.float32))
        weights[...] = spread.trained
    return {
        "tokens": tokens,
        # Ids where nothing counts, too: each one indexes the logits before the loss mask is applied.
        "labels": shift(tokens, 0, spread.empty(spread.shape, dtype)),
        "loss_mask": shift(weights, 0, weights),
        "position_ids": spread.position_ids(dtype),
        "attention_mask": np.logical_not(mask, out=mask),
    }


def _read_megatron(batch: Mapping[str, Any]) -> Targets:
    """Without an attention mask (`create_attention_mask: false`) each token sees all of its row before it."""
    tokens, mask = batch["tokens"], batch.get("attention_mask")
    start = _whole_rows(tokens.shape) if mask is None else _starts_of_mask(~mask.astype(bool))
    return _targets(tokens, batch["labels"], batch["loss_mask"], start, batch["position_ids"])


# -------------------------------------------------------------------------------------------- one sequence, [n * L]


def _varlen(spread: Spread, dtype: np.dtype) -> Batch:
    flat = {name: values.reshape(-1) for name, values in _huggingface(spread, dtype).items()}
    return {**flat, "cu_seqlens": spread.cu_seqlens, "max_seqlen": spread.max_seqlen}


def _read_varlen(batch: Mapping[str, Any]) -> Targets:
    return _read_flat(batch["input_ids"], batch, batch["cu_seqlens"], batch.get("position_ids"))


def _huggingface_flat(spread: Spread, dtype: np.dtype) -> Batch:
    return {
        **{name: values.reshape(1, -1) for name, values in _huggingface(spread, dtype).items()},
        "cu_seq_lens_q": spread.cu_seqlens,
        "cu_seq_lens_k": spread.cu_seqlens,
        "max_length_q": spread.max_seqlen,
        "max_length_k": spread.max_seqlen,
    }


def _read_huggingface_flat(batch: Mapping[str, Any]) -> Targets:
    return _read_flat(batch["input_ids"], batch, batch["cu_seq_lens_q"], batch["position_ids"])


def _meco(spread: Spread, dtype: np.dtype) -> Batch:
    ends = spread.cu_seqlens
    return {
        "input_ids": spread.ids(dtype).reshape(-1),
        "labels": spread.labels(dtype, IGNORED).reshape(-1),
        "indices": np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int64),
    }


def _read_meco(batch: Mapping[str, Any]) -> Targets:
    return _read_flat(batch["input_ids"], batch, np.append(0, batch["indices"][:, 1]), None)


# ------------------------------------------------------------------------------------------------- what a model sees


def _weights(batch: Mapping[str, Any], labels: np.ndarray) -> np.ndarray:
    """How much each of the batch's labels counts, float64 and of its shape; `labels` are they, laid out as may be."""
    weights = batch.get("loss_weight")
    given = 1.0 if weights is None else np.asarray(weights, np.float64).reshape(labels.shape)
    return np.where(labels != IGNORED, given, 0.0)


def _read_labels(ids: np.ndarray, batch: Mapping[str, Any], start: np.ndarray, positions: np.ndarray) -> Targets:
    """Of a batch with labels at their own tokens; ids are laid out as they are to be."""
    labels = np.asarray(batch["labels"]).reshape(ids.shape)
    return _targets(ids, shift(labels, IGNORED), shift(_weights(batch, labels), 0.0), start, positions)


def _read_flat(
    ids: np.ndarray, batch: Mapping[str, Any], cu_seqlens: np.ndarray, positions: np.ndarray | None
) -> Targets:
    """Of one sequence whose segments `cu_seqlens` divides; positions count from each start where none are given."""
    ids = ids.reshape(1, -1)
    start = np.repeat(cu_seqlens[:-1].astype(np.int64), np.diff(cu_seqlens))
    if positions is None:
        positions = np.arange(len(start)) - start
    return _read_labels(ids, batch, start, positions)


def _targets(
    ids: np.ndarray, target: np.ndarray, weight: np.ndarray, start: np.ndarray, position: np.ndarray
) -> Targets:
    integers = (np.ascontiguousarray(values, np.int64).reshape(-1) for values in (ids, start, position, target))
    tokens, start, position, target = integers
    return Targets(tokens, start, position, target, np.asarray(weight, np.float64).reshape(-1), ids.shape[-1])


def _changes(values: np.ndarray, step: int) -> np.ndarray:
    """bool [n, L], where a row's values do not go up by `step`; its first one counts."""
    changes = np.ones(values.shape, bool)
    changes[:, 1:] = np.diff(values.astype(np.int64), axis=1) != step
    return changes


def _starts_of(changes: np.ndarray) -> np.ndarray:
    """int64 [N], the last change up to each token."""
    return np.maximum.accumulate(np.where(changes.reshape(-1), np.arange(changes.size), 0))


def _whole_rows(shape: tuple[int, ...]) -> np.ndarray:
    return np.repeat(np.arange(shape[0], dtype=np.int64) * shape[1], shape[1])


def _starts_of_mask(mask: np.ndarray) -> np.ndarray:
    """int64 [N], where what each token attends to begins, if it is a stretch that ends with itself; else `UNSEEN`.

    Args:
        mask: [n, 1, L, L], True (or, of a float mask that is added, 0) where a query may attend to a key.
    """
    seen = (mask == 0 if mask.dtype.kind == "f" else mask.astype(bool)).reshape(len(mask), *mask.shape[-2:])
    rows, length, _ = seen.shape
    first, own = seen.argmax(axis=2), np.arange(length)
    last = length - 1 - seen[:, :, ::-1].argmax(axis=2)
    is_stretch = (seen.sum(axis=2) == own - first + 1) & (last == own)
    return np.where(is_stretch, first + np.arange(rows)[:, None] * length, UNSEEN).reshape(-1)


_LABELS = ("input_ids", "labels")
FORMS = {
    "huggingface": Form(
        _huggingface,
        _read_huggingface,
        _LABELS,
        "`input_ids`, `labels`, `position_ids` [n, L] | transformers, with any attention but flash",
    ),
    "huggingface_flat": Form(
        _huggingface_flat,
        _read_huggingface_flat,
        (*_LABELS, "position_ids", "cu_seq_lens_q"),
        "the same [1, n * L], `cu_seq_lens_q`, `cu_seq_lens_k`, `max_length_q`, `max_length_k` "
        "| transformers with flash attention",
        lay_out=lambda values: values.reshape(1, -1),
        with_labels=lambda values: values.reshape(1, -1),
        is_flat=True,
    ),
    "trl": Form(
        _trl,
        _read_trl,
        (*_LABELS, "seq_lengths"),
        "`input_ids`, `labels`, `completion_mask` [n, L], `seq_lengths` (n lists) "
        "| the rows of a data set for TRL's `SFTTrainer`",
    ),
    "varlen": Form(
        _varlen,
        _read_varlen,
        (*_LABELS, "cu_seqlens"),
        "`input_ids`, `labels`, `position_ids` [n * L], `cu_seqlens` int32 [segments + 1], `max_seqlen` "
        "| `flash_attn_varlen_func` and `varlen_attn`",
        lay_out=lambda values: values.reshape(-1),
        with_labels=lambda values: values.reshape(-1),
        is_flat=True,
    ),
    "meco": Form(
        _meco,
        _read_meco,
        (*_LABELS, "indices"),
        "`input_ids`, `labels` [n * L], `indices` [segments, 2] (start, end) "
        "| an item for the collator of MeCo's trainer",
        lay_out=lambda values: values.reshape(-1),
        with_labels=lambda values: values.reshape(-1),
        is_flat=True,
    ),
    "flex": Form(
        _flex,
        _read_flex,
        (*_LABELS, "position_ids", "document_ids"),
        "as `huggingface`, and `document_ids` int32 [n, L] | a `mask_mod` of FlexAttention that compares them",
    ),
    "dense": Form(
        _dense,
        _read_huggingface,
        (*_LABELS, "position_ids", "attention_mask"),
        "as `huggingface`, and `attention_mask` bool [n, 1, L, L], True where a token may attend "
        "| `scaled_dot_product_attention`; transformers, whatever its cache",
    ),
    "megatron": Form(
        _megatron,
        _read_megatron,
        ("tokens", "labels", "loss_mask", "position_ids"),
        "`tokens`, `position_ids` [n, L], `labels`, `loss_mask` (float32), both shifted, `attention_mask` bool "
        "[n, 1, L, L], True where a token may not attend | Megatron-core's `GPTModel`",
        with_labels=None,
    ),
    "shifted": Form(
        _shifted,
        _read_shifted,
        (*_LABELS, "position_ids"),
        "as `huggingface`, but each label beside the token that predicts it | trainers whose loss does not shift",
        with_labels=lambda values: shift(values, 0),
    ),
    "plus_one": Form(
        _plus_one,
        _read_plus_one,
        ("inputs", "targets", "position_ids"),
        "`inputs`, `targets`, `position_ids` [n, L - 1] | trainers that cut rows of one token more than they train on",
        lay_out=lambda values: values[:, :-1],
        with_labels=lambda values: values[:, 1:],
    ),
}


def form_of(name: str) -> Form:
    """A form by its name.

    Raises:
        BylineError: there is no such form.
    """
    if name not in FORMS:
        raise BylineError(f"no form {shown(name)} of a batch; the forms are {', '.join(FORMS)}")
    return FORMS[name]
