"""The prefix of each document: filled, tokenized once for each distinct text, dropped out or replaced by rule.

```
documents   host a.org     host b.org     host null         host a.org (dropped out)   host b.org (left empty)
texts       URL: a.org     URL: b.org     URL: unknown
prefix      < ids of 0 >   < ids of 1 >   < ids of 2 >      none                       < >
```

`<` and `>` are the tokens `begin` and `end`, where the condition has them. docs/formats.md has the rules. Everything
here is a function of a document's metadata, shuffle key and epoch, the seed and what the plan fixed for the condition.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition
from byline.template import Template
from byline.transforms.documents.shuffle_keys import dropped_out, left_empty
from byline.transforms.fields.placeholders import placeholder_ids
from byline.transforms.fields.template_fields import columns_of_fields, filled_prefixes, unknown_prefix
from byline.transforms.tokens.text_tokenizer import TextTokenizer, shared_tokenizer, token_id, tokenizer_info


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
    return set() if condition is None else columns_of_fields(Template(condition.template).fields)


def markers(condition: Condition) -> int:
    """How many tokens `begin` and `end` are: all that an empty prefix has."""
    return (condition.begin is not None) + (condition.end is not None)


def marker_ids(condition: Condition, tokenizer: TextTokenizer, where: str = "condition") -> tuple[list[int], list[int]]:
    """The ids before and after the filled template, none or one each; `where` is its key, for a message.

    Raises:
        BylineError: the tokenizer has no such token.
    """
    begin, end = (
        [] if name is None else [token_id(tokenizer, f"{where}.{key}", name)]
        for key, name in (("begin", condition.begin), ("end", condition.end))
    )
    return begin, end


def check_special_tokens(config: Config) -> None:
    """Refuses a recipe that names tokens which its tokenizer does not have; loads the tokenizer.

    Raises:
        BylineError: names the key.
    """
    tokenizer = shared_tokenizer(config.tokenizer)
    tokenizer_info(tokenizer, config.tokenizer)
    for where, stage in config.located_stages():
        if stage.condition is not None:
            marker_ids(stage.condition, tokenizer, f"{where}.condition")
    placeholder_ids(config, tokenizer)


def no_prefixes(count: int, tokenizer: TextTokenizer) -> Prefixes:
    """For a phase without a condition."""
    zeros = np.zeros(count, np.int64)
    return Prefixes(np.zeros(0, tokenizer.id_dtype), zeros, zeros, np.zeros(count, bool), before=False)


def make_prefixes(
    batch: pa.RecordBatch,
    source: str,
    condition: Condition | None,
    values: FieldValues,
    orders: np.ndarray | None,
    tokenizer: TextTokenizer,
    length: int,
) -> Prefixes:
    """The prefixes of a batch of documents from the token store.

    Args:
        batch: store columns (schemas/store.py) that the template needs.
        source: the batch's source.
        condition: the phase's condition.
        values: what the plan fixed for it.
        orders: uint64 [rows], for dropout and empty prefixes; None leaves both out.
        length: L.

    Raises:
        BylineError: even the template filled with `unknown` is too long for the sequence, or the tokenizer has no token
            of the name of `begin` or `end`.
    """
    if condition is None:
        return no_prefixes(batch.num_rows, tokenizer)
    texts, codes = filled_prefixes(batch, source, condition, values)
    ids, offsets = _tokenize([*texts, unknown_prefix(condition)], condition, tokenizer)
    unknown, empty = len(texts), len(texts) + 1
    sizes = np.diff(offsets)
    if sizes[unknown] > length // 2:
        raise BylineError(
            f"condition.template: {condition.template!r} with unknown values takes {sizes[unknown]} tokens"
            f"{' with its begin and end' if markers(condition) else ''}, more than half of sequence.length {length}; "
            "shorten it or lengthen the sequence"
        )
    too_long = (sizes > length // 2)[codes]
    codes = np.where(too_long, unknown, codes)
    if orders is not None and condition.empty > 0:
        is_empty = left_empty(orders, condition.empty)
        codes, too_long = np.where(is_empty, empty, codes), too_long & ~is_empty
    lengths = sizes[codes].astype(np.int64)
    if orders is not None and condition.dropout > 0:
        dropped = dropped_out(orders, condition.dropout)
        lengths, too_long = np.where(dropped, 0, lengths), too_long & ~dropped
    return Prefixes(ids, offsets[:-1][codes], lengths, too_long, condition.position == "before")


def _tokenize(texts: Sequence[str], condition: Condition, tokenizer: TextTokenizer) -> tuple[np.ndarray, np.ndarray]:
    """The prefixes of n texts, and last the empty prefix: ids one after another, and offsets (int64 [n + 2])."""
    ids, offsets = tokenizer.encode_prefixes(pa.array(texts, pa.large_string()))
    # No text at all, and not the empty text, of which some tokenizers make a token.
    offsets = np.append(offsets, offsets[-1])
    begin, end = marker_ids(condition, tokenizer)
    if not begin and not end:
        return ids, offsets
    # The end of one text and the begin of the next go in at one offset, and stay in this order.
    where = np.stack([offsets[:-1]] * len(begin) + [offsets[1:]] * len(end), axis=1).ravel()
    ids = np.insert(ids, where, np.tile([*begin, *end], len(texts) + 1))
    return ids, offsets + np.arange(len(offsets)) * markers(condition)
