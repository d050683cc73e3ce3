"""Which documents meet the plan's predicates, and which predicates a step of a recipe comes to.

```
steps        {deny: {host: [spam.example]}}          {top: 0.7, by: quality}
predicates   host not in (spam.example)              rank of quality below (3204448255, 9, 0)
host         spam.example   a.example   null
quality      0.9            0.7         0.4
holds        no             yes         yes (0.4 ranks before the border)
```

`schemas/predicates.py` has the kinds. The border of a share is found by scans (`scans/choosing.py`); that of a
threshold follows from the threshold.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

import mmh3
import numpy as np
import pyarrow as pa

from byline import salts
from byline.schemas.predicates import HashShare, NoNumber, Predicate, Rank, RankRange, ValueList
from byline.schemas.recipe import Selection
from byline.transforms.documents.shuffle_keys import held_out
from byline.transforms.fields.ranking import highest_key, key_of, largest_key, lowest_key, number_keys, ranks_below
from byline.transforms.fields.template_fields import columns_of_fields, field_values

_FIRST: Rank = (0, 0, 0)
# The value of a column of an attribute that is true, as a text.
DROPPED = ("true",)


def threshold_predicate(field: str, kind: str, at_least: Fraction | None, at_most: Fraction | None) -> RankRange:
    """Holds for documents whose number lies between the bounds, as the type compares with them exactly."""
    low = 0 if at_least is None else lowest_key(at_least, kind)
    end = largest_key(kind) + 1 if at_most is None else highest_key(at_most, kind) + 1
    return _between_keys(field, kind, low, end)


def _between_keys(field: str, kind: str, low: int, end: int) -> RankRange:
    """Holds for documents whose key is at least `low` and less than `end`."""
    if low >= end:
        return RankRange(field, kind, descending=False, below=_FIRST)
    first = (low, 0, 0) if low > 0 else None
    below = (end, 0, 0) if end <= largest_key(kind) else None
    return RankRange(field, kind, descending=False, first=first, below=below)


def list_predicate(field: str, values: Iterable[str | None], is_allowed: bool) -> ValueList:
    """Holds for documents whose value of a template field is in the list or, where not `is_allowed`, is not."""
    different = set(values)
    unknown: tuple[str | None, ...] = (None,) if None in different else ()
    return ValueList(field, unknown + tuple(sorted(value for value in different if value is not None)), is_allowed)


def bin_predicates(field: str, kind: str, borders: Sequence[float]) -> list[RankRange]:
    """Holds, one for each bin, for documents whose number has as many of the borders at or below it.

    Args:
        field: the number.
        kind: its type.
        borders: ascending; they may repeat, and no document is in the bin between two that are equal.
    """
    keys = [0, *(min(_border_key(border, kind), largest_key(kind) + 1) for border in borders), largest_key(kind) + 1]
    return [_between_keys(field, kind, low, high) for low, high in pairwise(keys)]


def _border_key(border: float, kind: str) -> int:
    return lowest_key(Fraction(border), kind) if kind == "int" else key_of(border, kind)


def step_predicates(step: Selection, kinds: Mapping[str, str]) -> list[Predicate]:
    """The predicates of a step other than a share.

    Args:
        kinds: number -> type, as `Config.numbers_of`.
    """
    if step.by is not None:
        return [threshold_predicate(step.by, kinds[step.by], step.at_least, step.at_most)]
    if step.drop:
        return [ValueList(name, DROPPED, is_allowed=False) for name in step.drop]
    allowed = [list_predicate(name, values, is_allowed=True) for name, values in step.allow.items()]
    return [*allowed, *(list_predicate(name, values, is_allowed=False) for name, values in step.deny.items())]


def predicate_columns(predicates: Iterable[Predicate]) -> set[str]:
    """The store columns that predicates need, besides `shuffle_key`."""
    return columns_of_fields(predicate.field for predicate in predicates if predicate.field is not None)


def holds(predicates: Iterable[Predicate], batch: pa.RecordBatch, source: str) -> np.ndarray:
    """bool [rows]: the documents for which every predicate holds.

    Args:
        predicates: from the plan.
        batch: documents of one source, with `shuffle_key` and the columns of `predicate_columns`.
        source: the source's name.
    """
    taken = np.ones(batch.num_rows, bool)
    for predicate in predicates:
        if isinstance(predicate, RankRange):
            taken &= _in_range(predicate, batch)
        elif isinstance(predicate, NoNumber):
            taken &= ~number_keys(batch[predicate.field], predicate.kind)[1]
        elif isinstance(predicate, HashShare):
            taken &= _in_share(predicate, batch, source)
        else:
            taken &= _in_list(predicate, batch, source)
    return taken


def _in_range(predicate: RankRange, batch: pa.RecordBatch) -> np.ndarray:
    keys, inside = number_keys(batch[predicate.field], predicate.kind, predicate.descending)
    shuffle_keys = batch["shuffle_key"].to_numpy()
    if predicate.first is not None:
        inside = inside & ~ranks_below(keys, shuffle_keys, predicate.first)
    if predicate.below is not None:
        inside = inside & ranks_below(keys, shuffle_keys, predicate.below)
    return inside


def listed_values(predicate: ValueList, batch: pa.RecordBatch, source: str) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The values of a list's field.

    Returns:
        The different ones, string [values]; of each document the number of its own, int [rows], one behind the last
        where it has none; whether it is in the list, bool [rows].
    """
    # A list belongs to no condition, so hashed fields in it are those of the default salt.
    values = field_values(batch, source, predicate.field, salts.DEFAULT)
    listed = predicate.lookup
    # The last entry is that of documents without a value.
    is_listed = np.array([*(value in listed for value in values.dictionary.to_pylist()), None in listed])
    codes = values.indices.fill_null(len(is_listed) - 1).to_numpy(zero_copy_only=False)
    return values.dictionary, codes, is_listed[codes]


def _in_list(predicate: ValueList, batch: pa.RecordBatch, source: str) -> np.ndarray:
    inside = listed_values(predicate, batch, source)[2]
    return inside if predicate.is_allowed else ~inside


def _in_share(predicate: HashShare, batch: pa.RecordBatch, source: str) -> np.ndarray:
    hashed = batch["shuffle_key"].to_numpy()
    if predicate.field is not None:
        values = field_values(batch, source, predicate.field, salts.DEFAULT)
        texts = [mmh3.hash64(text.encode(), seed=0, signed=False)[0] for text in values.dictionary.to_pylist()]
        codes = values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
        hashed = np.where(codes < len(texts), np.array([*texts, 0], np.uint64)[codes], hashed)
    below = held_out(hashed, predicate.bound)
    return below if predicate.is_below else ~below


def disjoint(one: Iterable[Predicate], other: Iterable[Predicate]) -> bool:
    """Whether two lists of predicates surely share no document: two ranges of ranks or hashes, or two lists of values
    of one field, lie apart.
    """
    others = list(other)
    return any(_apart(first, second) for first in one for second in others)


def _apart(one: Predicate, other: Predicate) -> bool:
    if isinstance(one, HashShare) and isinstance(other, HashShare):
        lower, upper = (one, other) if one.is_below else (other, one)
        return one.field == other.field and lower.is_below and not upper.is_below and lower.bound <= upper.bound
    if isinstance(one, ValueList) and isinstance(other, ValueList):
        return one.field == other.field and _lists_apart(one, other)
    if isinstance(one, NoNumber) or isinstance(other, NoNumber):
        number, without = (other, one) if isinstance(one, NoNumber) else (one, other)
        return isinstance(number, RankRange) and number.field == without.field
    if not (isinstance(one, RankRange) and isinstance(other, RankRange)):
        return False
    if (one.field, one.kind, one.descending) != (other.field, other.kind, other.descending):
        return False
    return _ends_before(one, other) or _ends_before(other, one)


def _lists_apart(one: ValueList, other: ValueList) -> bool:
    if one.is_allowed and other.is_allowed:
        return one.lookup.isdisjoint(other.lookup)
    if one.is_allowed == other.is_allowed:
        return False
    allowed, denied = (one, other) if one.is_allowed else (other, one)
    return allowed.lookup <= denied.lookup


def _ends_before(one: RankRange, other: RankRange) -> bool:
    return one.below is not None and one.below <= (other.first or _FIRST)
