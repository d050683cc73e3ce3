"""Predicates: what the plan says of the documents that a stage may take, and who meets it.

```
steps        {deny: {host: [spam.example]}}         {top: 0.7, by: quality}
predicates   {"field": "host", "not_in": [...]}     {"field": "quality", ..., "from": null, "below": [3204448255, 9, 0]}
host         spam.example   a.example   null
quality      0.9            0.7         0.4
holds        no             yes         yes (0.4 ranks before the border)
```

`schemas/plan.py` has the two kinds. A range of ranks is found by scans (`scans/choosing.py`), or is a threshold.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from byline.schemas.recipe import Selection
from byline.transforms.fields.ranking import Rank, highest_key, largest_key, lowest_key, number_keys, ranks_below
from byline.transforms.fields.template_fields import columns_of_fields, field_values

# One condition on a document, in JSON as in the plan's header.
Predicate = dict[str, Any]

_FIRST: Rank = (0, 0, 0)
# Sets of listed values that a worker keeps; lists can be of millions of hosts, and a recipe has few lists.
_KEPT_SETS = 16
# Hashed fields in lists are those of the default salt: a list is of no condition.
_SALT = "byline"


def rank_predicate(field: str, kind: str, descending: bool, from_: Rank | None, below: Rank | None) -> Predicate:
    """Holds for documents whose rank is at least `from_` and less than `below`."""
    return {
        "field": field,
        "type": kind,
        "descending": descending,
        "from": None if from_ is None else list(from_),
        "below": None if below is None else list(below),
    }


def share_predicate(field: str, kind: str, descending: bool, below: Rank | None) -> Predicate:
    """Holds for the first documents; without a border for all that have the number."""
    return rank_predicate(field, kind, descending, None, below)


def threshold_predicate(field: str, kind: str, at_least: Fraction | None, at_most: Fraction | None) -> Predicate:
    """Holds for documents whose number lies between the bounds, as the type compares with them exactly."""
    low = 0 if at_least is None else lowest_key(at_least, kind)
    end = largest_key(kind) + 1 if at_most is None else highest_key(at_most, kind) + 1
    if low >= end:
        return rank_predicate(field, kind, False, None, _FIRST)
    from_ = (low, 0, 0) if low > 0 else None
    below = (end, 0, 0) if end <= largest_key(kind) else None
    return rank_predicate(field, kind, False, from_, below)


def list_predicate(field: str, values: Iterable[str], allowed: bool) -> Predicate:
    """Holds for documents whose value of a template field is in the list, or, where not `allowed`, is not."""
    return {"field": field, "in" if allowed else "not_in": sorted(set(values))}


def step_predicates(step: Selection, kinds: Mapping[str, str]) -> list[Predicate]:
    """The predicates of a step that is no share.

    Args:
        kinds: number -> type, as `Config.numbers_of`.
    """
    if step.by is not None:
        return [threshold_predicate(step.by, kinds[step.by], step.at_least, step.at_most)]
    allowed = [list_predicate(name, values, True) for name, values in step.allow.items()]
    return allowed + [list_predicate(name, values, False) for name, values in step.deny.items()]


def predicate_columns(predicates: Iterable[Predicate]) -> set[str]:
    """The store columns that predicates need, besides `shuffle_key`."""
    return columns_of_fields(predicate["field"] for predicate in predicates)


def holds(predicates: Iterable[Predicate], batch: pa.RecordBatch, source: str) -> np.ndarray:
    """bool [rows]: the documents for which every predicate holds.

    Args:
        predicates: from the plan.
        batch: documents of one source, with `shuffle_key` and the columns of `predicate_columns`.
        source: the source's name.
    """
    found = np.ones(batch.num_rows, bool)
    for predicate in predicates:
        found &= _in_range(predicate, batch) if "type" in predicate else _in_list(predicate, batch, source)
    return found


def _in_range(predicate: Predicate, batch: pa.RecordBatch) -> np.ndarray:
    keys, found = number_keys(batch[predicate["field"]], predicate["type"], predicate["descending"])
    shuffle_keys = batch["shuffle_key"].to_numpy()
    if predicate["from"] is not None:
        found = found & ~ranks_below(keys, shuffle_keys, predicate["from"])
    if predicate["below"] is not None:
        found = found & ranks_below(keys, shuffle_keys, predicate["below"])
    return found


def _in_list(predicate: Predicate, batch: pa.RecordBatch, source: str) -> np.ndarray:
    values = field_values(batch, source, predicate["field"], _SALT)
    allowed = "in" in predicate
    listed = _listed(_SameObject(predicate["in" if allowed else "not_in"]))
    # The last entry is that of documents without a value, which are in no list.
    is_listed = np.array([*(value in listed for value in values.dictionary.to_pylist()), False])
    found = is_listed[values.indices.fill_null(len(is_listed) - 1).to_numpy(zero_copy_only=False)]
    return found if allowed else ~found


class _SameObject:
    """A list as a key: equal to itself alone, so that comparing does not walk through it."""

    def __init__(self, values: list[str]) -> None:
        self.values = values

    def __hash__(self) -> int:
        return id(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameObject) and self.values is other.values


@lru_cache(maxsize=_KEPT_SETS)
def _listed(values: _SameObject) -> frozenset[str]:
    return frozenset(values.values)


def disjoint(one: Iterable[Predicate], other: Iterable[Predicate]) -> bool:
    """Whether two lists of predicates surely share no document: two ranges of the same ranks lie apart."""
    ranges = [predicate for predicate in other if "type" in predicate]
    return any(_apart(first, second) for first in one if "type" in first for second in ranges)


def _apart(one: Predicate, other: Predicate) -> bool:
    if any(one[key] != other[key] for key in ("field", "type", "descending")):
        return False
    return _ends_before(one, other) or _ends_before(other, one)


def _ends_before(one: Predicate, other: Predicate) -> bool:
    return one["below"] is not None and tuple(one["below"]) <= tuple(other["from"] or _FIRST)
