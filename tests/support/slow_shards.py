"""Plans for the slow reference: its predicates, conditions and loss weights, the documents of each shard, and its rows.

```python
drawn = drawn_by(plan, store.documents)                  # (phase, shard) -> the reference's documents
shards = reference_shards(plan, config, store.documents)   # (phase, shard) -> rows and counts, made by the reference
```
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tokenizers import Tokenizer

from byline.schemas.config import Config
from byline.schemas.loss_weights import FormatterWeight, LossWeights, NumberWeight, document_weight
from byline.schemas.plan import Plan
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import HashShare, NoNumber, Predicate, RankRange, ValueList
from byline.schemas.recipe import Condition
from tests.reference import assembly, hashing, layout, selection
from tests.support.small import reference_tokenizer

# --------------------------------------------------------------------------------------------------- predicates


def rank(
    document: assembly.Document, field: str, kind: str = "float32", descending: bool = True
) -> tuple[int, int, int] | None:
    """(key, tie, shuffle key), which the plan's predicates compare; None for a document without the number."""
    number = document.numbers.get(field)
    if number is None or math.isnan(number):
        return None
    bits = 32 if kind == "float32" else 64
    key = _ascending_key(number, kind, bits)
    return 2**bits - 1 - key if descending else key, selection.tie(document.shuffle_key), document.shuffle_key


def _ascending_key(number: float, kind: str, bits: int) -> int:
    if kind == "int":
        return int(number) + 2**63
    code = "f" if kind == "float32" else "d"
    # -0.0 + 0.0 is 0.0. A positive float's bits ascend with it, a negative one's descend.
    pattern = int.from_bytes(struct.pack(f">{code}", number + 0.0), "big")
    return 2**bits - 1 - pattern if pattern >> (bits - 1) else pattern + 2 ** (bits - 1)


def slow_predicates(predicates: Sequence[Predicate]) -> tuple[assembly.Predicate, ...]:
    """An entry of the plan's list `predicates` as functions for the reference."""
    return tuple(map(_slow_predicate, predicates))


def _slow_predicate(item: Predicate) -> assembly.Predicate:
    if isinstance(item, HashShare):
        return _in_share(item)
    if isinstance(item, NoNumber):
        return lambda document: rank(document, item.field, item.kind) is None
    return _in_list(item) if isinstance(item, ValueList) else _in_ranks(item)


def _in_share(item: HashShare) -> assembly.Predicate:
    def holds(document: assembly.Document) -> bool:
        value = None if item.field is None else document.fields.get(item.field)
        return hashing.held_out(document.shuffle_key, value, Fraction(item.bound, 2**64)) == item.is_below

    return holds


def _in_list(item: ValueList) -> assembly.Predicate:
    listed = set(item.values)

    def holds(document: assembly.Document) -> bool:
        # A missing value is in no list.
        return (document.fields.get(item.field) in listed) == item.is_allowed

    return holds


def _in_ranks(item: RankRange) -> assembly.Predicate:
    def holds(document: assembly.Document) -> bool:
        own = rank(document, item.field, item.kind, item.descending)
        if own is None:
            return False
        return (item.first is None or item.first <= own) and (item.below is None or own < item.below)

    return holds


# --------------------------------------------------------------------------------------------------- the reference


def drawn_by(plan: Plan, documents: Iterable[assembly.Document]) -> dict[tuple[str, int], list[assembly.Document]]:
    """The documents of each shard, according to the plan's rows."""
    documents = list(documents)
    predicates = [slow_predicates(entry) for entry in plan.predicates]
    rows: dict[tuple[str, int], list[assembly.PlanRow]] = {(phase, shard): [] for phase, shard, _ in plan.shards()}
    for row in plan.table.to_pylist():
        rows[row["phase"], row["shard"]].append(reference_row(row, predicates))
    return {shard: assembly.draw(documents, shard_rows) for shard, shard_rows in rows.items()}


def reference_row(row: Mapping[str, Any], predicates: Sequence[tuple[assembly.Predicate, ...]]) -> assembly.PlanRow:
    """A row of the plan for the reference."""
    taken = predicates[row["predicates"]]
    return row["slice"], row["source"], row["epoch"], row["shuffle_key_lo"], row["shuffle_key_hi"], taken


def reference_condition(
    condition: Condition | None,
    values: FieldValues | None = None,
    ids: Mapping[str, int] | None = None,
) -> layout.Condition | None:
    """A condition for the reference.

    Args:
        values: what `top` and `bins` resolved to.
        ids: name -> id of the tokens that `begin` and `end` name.
    """
    if condition is None:
        return None
    begin, end = (None if name is None else (ids or {})[name] for name in (condition.begin, condition.end))
    return layout.Condition(
        template=condition.template,
        position=condition.position,
        dropout=condition.dropout,
        unknown=condition.unknown,
        begin=begin,
        end=end,
        empty=condition.empty,
        top={} if values is None else values.kept,
        bins={} if values is None else values.bins,
    )


def reference_weights(config: Config, weights: LossWeights | None) -> assembly.Weights | None:
    """The loss weights of a stage for the reference."""
    if weights is None:
        return None
    of_documents = {source: document_weight(weight) for source, weight in weights.items()}
    of_sources = {
        source: assembly.NumberWeight(weight.by, float(weight.most), float(weight.unknown))
        if isinstance(weight, NumberWeight)
        else float(weight)
        for source, weight in of_documents.items()
    }
    by_formatter = frozenset(source for source, weight in weights.items() if isinstance(weight, FormatterWeight))
    return assembly.Weights(config.shard.loss_weight, of_sources, by_formatter)


def reference_shard(
    config: Config, plan: Plan, name: str, drawn: Iterable[assembly.Document], tokenizer: Tokenizer
) -> assembly.Shard:
    """A shard made by the reference.

    Args:
        name: the shard's phase, or branch at one point.
        drawn: the shard's documents.
        tokenizer: from `layout.load_tokenizer`.
    """
    stage = next(stage for stage in plan.header.stages if stage.name == name)
    ids = plan.header.tokenizer
    names = {**tokenizer.get_vocab(), **ids.added}
    return assembly.assemble_shard(
        drawn,
        seed=config.seed,
        length=config.sequence.length,
        policy=stage.packing,
        condition=reference_condition(stage.condition, stage.values, names),
        tokenizer=tokenizer,
        bos_id=ids.bos_id,
        eos_id=ids.eos_id,
        pad_id=ids.pad_id,
        weights=reference_weights(config, config.weights_of(config.stages[stage.number])),
        replaces=bool(config.replace),
    )


def reference_shards(
    plan: Plan, config: Config, documents: Iterable[assembly.Document]
) -> dict[tuple[str, int], assembly.Shard]:
    """Every shard of a plan, including those of branches, made by the reference."""
    return {
        (name, shard): reference_shard(config, plan, name, drawn, reference_tokenizer())
        for (name, shard), drawn in drawn_by(plan, documents).items()
    }
