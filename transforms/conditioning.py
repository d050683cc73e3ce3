"""The prefix of each document: filled, tokenized once for each distinct text, dropped out or replaced by rule.

```
documents   host a.org     host b.org     host null         host a.org (dropped out)
texts       URL: a.org     URL: b.org     URL: unknown
prefix      ids of 0       ids of 1       ids of 2          none
```

docs/formats.md has the rules. Everything here is a function of a document's metadata, its place, its epoch and the
seed.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.template import Template
from schemas.recipe import Condition
from transforms.placing import dropped_out
from transforms.template_fields import MADE_FROM, filled_prefixes, unknown_prefix
from transforms.tokenizing import TextTokenizer


@dataclass(frozen=True)
class Prefixes:
    """The prefixes of n documents.

    Attributes:
        values: ids of the distinct prefixes, one after another.
        starts, lengths: int64 [n], each document's prefix in `values`; length 0 for none.
        too_long: bool [n], whether the prefix was replaced by the unknown one for its length.
        before: whether the prefixes stand before the documents, masked, or after them, trained.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    too_long: np.ndarray
    before: bool

    @property
    def masked_lengths(self) -> np.ndarray:
        """int64 [n]: tokens of the prefixes that stand before the document."""
        return self.lengths if self.before else np.zeros_like(self.lengths)


def store_columns(condition: Condition | None) -> set[str]:
    """The store's columns that a condition needs."""
    if condition is None:
        return set()
    # `source` is the one field that is no column.
    return {MADE_FROM.get(name, name) for name in Template(condition.template).fields if name != "source"}


def no_prefixes(count: int, tokenizer: TextTokenizer) -> Prefixes:
    """For a phase without a condition."""
    zeros = np.zeros(count, np.int64)
    return Prefixes(np.zeros(0, tokenizer.id_dtype), zeros, zeros, np.zeros(count, bool), before=False)


def make_prefixes(
    batch: pa.RecordBatch,
    source: str,
    condition: Condition | None,
    orders: np.ndarray | None,
    tokenizer: TextTokenizer,
    length: int,
) -> Prefixes:
    """The prefixes of a batch of documents from the token store.

    Args:
        batch: store columns (schemas/store.py) that the template needs.
        source: the batch's source.
        condition: the phase's condition.
        orders: uint64 [rows], for dropout; None leaves dropout out.
        length: L.

    Raises:
        BylineError: even the template filled with `unknown` is too long for the sequence.
    """
    if condition is None:
        return no_prefixes(batch.num_rows, tokenizer)
    texts, codes = filled_prefixes(batch, source, condition)
    values, offsets = tokenizer.encode(pa.array([*texts, unknown_prefix(condition)], pa.large_string()))
    sizes = np.diff(offsets)
    if sizes[-1] > length // 2:
        raise BylineError(
            f"condition.template: {condition.template!r} with unknown values takes {sizes[-1]} tokens, more than "
            f"half of sequence.length {length}; shorten it or lengthen the sequence"
        )
    too_long = (sizes > length // 2)[codes]
    codes = np.where(too_long, len(texts), codes)
    lengths = sizes[codes].astype(np.int64)
    if orders is not None and condition.dropout > 0:
        dropped = dropped_out(orders, condition.dropout)
        lengths, too_long = np.where(dropped, 0, lengths), too_long & ~dropped
    return Prefixes(values, offsets[:-1][codes], lengths, too_long, condition.place == "before")
