"""Makes one shard from the token store's documents: which it takes, their order, how they are framed, its rows.

```
plan row  (slice 0, "c4", epoch 0, 0x00.., 0x3f.., ())   draw             documents of c4 in this range of shuffle keys
                                                         assemble_shard   sorted by (slice, order, doc id), packed
```
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokenizers import Tokenizer

from tests.reference import hashing, packing
from tests.reference.layout import Condition, Token, frame, prefix_of


@dataclass(frozen=True)
class Document:
    """One use of a document of the token store.

    Attributes:
        epoch, slice: set by `draw`.
        tokens: ids of its text.
        values: field name -> value as text, for templates and lists; None if unknown.
        numbers: name -> number as the token store holds it, for ranks and bins; None if there is none.
        masked: ranges (start, end) of its own tokens that do not count in the loss.
        weights: what a formatter weighs each of its own tokens; None for 1.
        replaced, placeholders: how many tokens of the token store's have placeholders in their place, and how many
            of its own tokens are these.
    """

    source: str
    shuffle_key: int
    doc_id: int
    tokens: list[int]
    values: Mapping[str, str | None] = field(default_factory=dict)
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    masked: list[tuple[int, int]] = field(default_factory=list)
    weights: list[float] | None = None
    epoch: int = 0
    slice: int = 0
    replaced: int = 0
    placeholders: int = 0

    @property
    def fields(self) -> dict[str, str | None]:
        """Every field of a template that holds text."""
        return {**self.values, "source": self.source}


@dataclass(frozen=True)
class NumberWeight:
    """A loss weight by a number of each document: between 0 and `most`, or `unknown` where there is none."""

    by: str
    most: float
    unknown: float


@dataclass(frozen=True)
class Weights:
    """Loss weights: by source, 1 where it has none; rounded to a `type`, `float16` or `float32`.

    Those of the sources `by_formatter` are multiplied by what a formatter weighs each token.
    """

    type: str
    of_sources: Mapping[str, float | NumberWeight]
    by_formatter: frozenset[str] = frozenset()

    def of(self, document: Document, token: Token) -> float:
        """The weight of a token of a document, if it is trained."""
        weight = self.of_sources.get(document.source, 1.0)
        if isinstance(weight, NumberWeight):
            number = document.numbers.get(weight.by)
            is_known = number is not None and not math.isnan(number)
            weight = min(max(number, 0), weight.most) if is_known else weight.unknown
        if document.source in self.by_formatter:
            weight *= token.weight
        code = {"float16": "<e", "float32": "<f"}[self.type]
        rounded: float = struct.unpack(code, struct.pack(code, weight))[0]
        return rounded


Predicate = Callable[[Document], bool]
# slice, source, epoch, shuffle_key_lo, shuffle_key_hi (both within the range), predicates
PlanRow = tuple[int, str, int, int, int, tuple[Predicate, ...]]


@dataclass
class Shard:
    """Rows in their final order, and counts by source under the names of `byline.schemas.ledger.DrawCounts`."""

    rows: list[packing.Row]
    counts: dict[str, dict[str, Any]]
    padding: int


def draw(documents: Iterable[Document], plan_rows: Iterable[PlanRow]) -> list[Document]:
    """The documents of one shard, with their epochs and slices; a document may be drawn once in each epoch."""
    documents, drawn = list(documents), []
    for number, source, epoch, low, high, predicates in plan_rows:
        for document in documents:
            if document.source != source or not low <= document.shuffle_key <= high:
                continue
            if all(predicate(document) for predicate in predicates):
                drawn.append(replace(document, epoch=epoch, slice=number))
    uses = [(document.doc_id, document.epoch) for document in drawn]
    assert len(uses) == len(set(uses)), "the plan's rows overlap"
    return drawn


def assemble_shard(
    documents: Iterable[Document],
    *,
    seed: int,
    length: int,
    policy: str,
    condition: Condition | None,
    tokenizer: Tokenizer,
    bos_id: int | None,
    eos_id: int | None,
    pad_id: int,
    weights: Weights | None = None,
    replaces: bool = False,
) -> Shard:
    """The shard of these documents, given in any order.

    Args:
        length: L, positions in a row.
        policy: `document_start`, `concat`, `repeat_prefix` or `best_fit`.
        weights: of the loss, where the build has any.
        replaces: whether the recipe replaces any tokens.
    """
    ordered = sorted(
        documents, key=lambda use: (use.slice, hashing.order(use.shuffle_key, use.epoch, seed), use.doc_id)
    )
    framed: list[list[Token]] = []
    counts: dict[str, dict[str, Any]] = {}
    for document in ordered:
        tokens, too_long, conditioned = _framed(document, seed, length, condition, tokenizer, bos_id, eos_id)
        if weights is not None:
            tokens = [token._replace(weight=weights.of(document, token)) for token in tokens]
        framed.append(tokens)
        count = counts.setdefault(document.source, _no_counts())
        count["documents"] += 1
        count["conditioned"] += conditioned
        count["prefix_too_long"] += too_long
        if replaces:
            _count_replaced(document, count)
    packed = packing.pack(policy, framed, length, [document.slice for document in ordered])
    _count_tokens(packed, [document.source for document in ordered], counts)
    doc_ids = [document.doc_id for document in ordered]
    if weights is not None:
        _count_weights(packed, [document.source for document in ordered], counts)
    rows = [packing.row_of(row, doc_ids, length, pad_id, weights is not None) for row in packed.rows]
    return Shard(rows, counts, packed.padding)


def _framed(
    document: Document,
    seed: int,
    length: int,
    condition: Condition | None,
    tokenizer: Tokenizer,
    bos_id: int | None,
    eos_id: int | None,
) -> tuple[list[Token], bool, bool]:
    """A framed document, whether its prefix was too long, and whether it has one."""
    prefix, too_long, position = None, False, "before"
    order = hashing.order(document.shuffle_key, document.epoch, seed)
    if condition is not None and not hashing.dropped_out(order, condition.dropout):
        position = condition.position
        if hashing.left_empty(order, condition.empty):
            prefix = condition.marked([])
        else:
            prefix, too_long = prefix_of(condition, document.fields, tokenizer, length, document.numbers)
    tokens = frame(document.tokens, prefix, position, bos_id, eos_id, document.masked, document.weights)
    return tokens, too_long, bool(prefix)


def _count_replaced(document: Document, count: dict[str, Any]) -> None:
    of_source = count.setdefault("replaced", {"documents": 0, "tokens": 0, "placeholders": 0})
    of_source["documents"] += document.placeholders > 0
    of_source["tokens"] += document.replaced
    of_source["placeholders"] += document.placeholders


def _no_counts() -> dict[str, Any]:
    names = "documents tokens prefix_tokens special_tokens positions loss_tokens discarded conditioned prefix_too_long"
    return dict.fromkeys(names.split(), 0)


def _count_weights(packed: packing.Packed, sources: list[str], counts: dict[str, dict[str, Any]]) -> None:
    for count in counts.values():
        count["loss_weight"] = 0.0
    for row in packed.rows:
        for segment in row:
            weights = [token.weight for token in segment.tokens if token.loss]
            counts[sources[segment.document]]["loss_weight"] += math.fsum(weights)


def _count_tokens(packed: packing.Packed, sources: list[str], counts: dict[str, dict[str, Any]]) -> None:
    names = {"doc": "tokens", "prefix": "prefix_tokens", "bos": "special_tokens", "eos": "special_tokens"}
    for row in packed.rows:
        for segment in row:
            for token in segment.tokens:
                count = counts[sources[segment.document]]
                count[names[token.kind]] += 1
                count["positions"] += 1
                count["loss_tokens"] += token.loss
    for document, token in packed.discarded:
        counts[sources[document]][names[token.kind]] += 1
        counts[sources[document]]["discarded"] += 1
