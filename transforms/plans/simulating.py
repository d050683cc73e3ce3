"""How many positions a stage would really fill: its lengths are packed, without a token being moved.

Packing discards, repeats and pads, by amounts that depend on which documents meet. So the plan packs the lengths of the
documents themselves, or of a sample of them, and corrects the intervals until the positions are those asked for:

```
asked c4 100 L     an interval of 120 L tokens packs to 96 L     next try: longer by half of what is missing
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.predicates import Rank
from byline.schemas.recipe import Condition
from byline.transforms.documents.shuffle_keys import dropped_out, left_empty, orders
from byline.transforms.fields.conditioning import markers
from byline.transforms.fields.ranking import ranks_below
from byline.transforms.packing import PackingPolicy


@dataclass(frozen=True)
class SourceSample:
    """The sampled documents of a source or stratum, in order of shuffle key.

    Attributes:
        shuffle_key: uint64 [n].
        tokens: int64 [n].
        prefixes: stage -> int64 [n], tokens of the stage's prefix.
        selected: stage -> bool [n].
        keys: stage -> uint64 [n], of the stages that have an order.
    """

    shuffle_key: np.ndarray
    tokens: np.ndarray
    prefixes: list[np.ndarray]
    selected: list[np.ndarray]
    keys: dict[int, np.ndarray]


def split_sample(batch: pa.RecordBatch, stages: int) -> dict[str, SourceSample]:
    """The rows of `SampleCounter`, by stratum."""
    table = pa.Table.from_batches([batch])
    samples = {}
    for stratum in table["stratum"].unique().to_pylist():
        rows = table.filter(pc.equal(table["stratum"], stratum)).combine_chunks()
        samples[stratum] = SourceSample(
            rows["shuffle_key"].to_numpy(),
            rows["num_tokens"].to_numpy(),
            [rows[f"prefix_{number}"].to_numpy() for number in range(stages)],
            [rows[f"selected_{number}"].to_numpy(zero_copy_only=False) for number in range(stages)],
            {
                number: rows[f"key_{number}"].to_numpy()
                for number in range(stages)
                if f"key_{number}" in table.schema.names
            },
        )
    return samples


def no_sample(stages: int) -> SourceSample:
    """The sample of a source of which no document is in it."""
    numbers, shuffle_keys = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return SourceSample(
        shuffle_keys,
        numbers,
        [numbers] * stages,
        [np.zeros(0, bool)] * stages,
        dict.fromkeys(range(stages), shuffle_keys),
    )


@dataclass(frozen=True)
class Recipe:
    """What packing a stage depends on besides its documents; `number` is the stage's."""

    number: int
    condition: Condition | None
    seed: int
    bos: int
    specials: int
    length: int
    packing: PackingPolicy


@dataclass(frozen=True)
class Draw:
    """What a slice takes of one source.

    Attributes:
        ranges: (epoch, first shuffle key, last shuffle key).
        first: the lowest rank of the order's bin; None for no border.
        below: the rank behind its highest.
    """

    ranges: list[tuple[int, int, int]]
    first: Rank | None = None
    below: Rank | None = None


# One slice: source -> what it takes.
Draws = dict[str, list[Draw]]


@dataclass(frozen=True)
class Outcome:
    """What the documents of a stage come to.

    Attributes:
        positions: int64 [slices, sources], positions that each source fills in each slice.
        rows: of the stage.
        framed: int64 [sources], tokens of the framed documents that were packed.
    """

    positions: np.ndarray
    rows: int
    framed: np.ndarray


@dataclass(frozen=True)
class _Chosen:
    """Documents of a shard, arrays of n: number of the source, of the slice, framed length, masked prefix, order."""

    source: np.ndarray
    slice: np.ndarray
    framed_length: np.ndarray
    prefix: np.ndarray
    order: np.ndarray


def simulate(
    recipe: Recipe, samples: dict[str, SourceSample], names: Sequence[str], shards: Sequence[Sequence[Draws]]
) -> Outcome:
    """Packs the sampled documents of each shard.

    Args:
        recipe: how.
        samples: by source.
        names: the sources, in the order of the outcome's columns.
        shards: the slices of each shard.
    """
    filled, rows, framed = [], 0, np.zeros(len(names), np.int64)
    for slices in shards:
        chosen = _choose(recipe, samples, names, slices)
        framed += np.bincount(chosen.source, weights=chosen.framed_length, minlength=len(names)).astype(np.int64)
        ordered = np.lexsort((chosen.order, chosen.slice))
        segments = recipe.packing.pack(
            chosen.framed_length[ordered], chosen.prefix[ordered], recipe.bos, recipe.length, chosen.slice[ordered]
        )
        owner = (chosen.slice * len(names) + chosen.source)[ordered][segments.document]
        counts = np.bincount(owner, weights=segments.lengths, minlength=len(slices) * len(names))
        filled.append(counts.astype(np.int64).reshape(len(slices), len(names)))
        rows += segments.rows
    return Outcome(np.concatenate(filled), rows, framed)


def _choose(recipe: Recipe, samples: dict[str, SourceSample], names: Sequence[str], slices: Sequence[Draws]) -> _Chosen:
    columns = [(np.zeros(0, np.int64),) * 4 + (np.zeros(0, np.uint64),)]
    for slice_, draws in enumerate(slices):
        for number, name in enumerate(names):
            for draw in draws.get(name, ()):
                for drawn, epoch in drawn_documents(samples[name], recipe.number, draw):
                    framed_length, prefix, order = _framed(recipe, samples[name], drawn, epoch)
                    columns.append(
                        (np.full(len(drawn), number), np.full(len(drawn), slice_), framed_length, prefix, order)
                    )
    return _Chosen(*(np.concatenate(stages) for stages in zip(*columns, strict=True)))


def drawn_documents(sample: SourceSample, stage: int, draw: Draw) -> list[tuple[np.ndarray, int]]:
    """Indices into a sample of what a draw takes, and the epoch, for each of its ranges."""
    drawn = []
    for epoch, low, high in draw.ranges:
        start = sample.shuffle_key.searchsorted(np.uint64(low), "left")
        end = sample.shuffle_key.searchsorted(np.uint64(high), "right")
        chosen = np.flatnonzero(sample.selected[stage][start:end]) + start
        if draw.first is not None or draw.below is not None:
            chosen = chosen[_is_between(sample, stage, chosen, draw)]
        drawn.append((chosen, epoch))
    return drawn


def _is_between(sample: SourceSample, stage: int, chosen: np.ndarray, draw: Draw) -> np.ndarray:
    key, shuffle_key = sample.keys[stage][chosen], sample.shuffle_key[chosen]
    inside = np.ones(len(chosen), bool)
    if draw.first is not None:
        inside &= ~ranks_below(key, shuffle_key, draw.first)
    if draw.below is not None:
        inside &= ranks_below(key, shuffle_key, draw.below)
    return inside


def _framed(
    recipe: Recipe, sample: SourceSample, chosen: np.ndarray, epoch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stream length, masked prefix length and order of documents."""
    order = orders(sample.shuffle_key[chosen], np.full(len(chosen), epoch), recipe.seed)
    prefix = sample.prefixes[recipe.number][chosen]
    condition = recipe.condition
    if condition is not None and condition.empty > 0:
        prefix = np.where(left_empty(order, Fraction(condition.empty)), markers(condition), prefix)
    if condition is not None and condition.dropout > 0:
        prefix = np.where(dropped_out(order, Fraction(condition.dropout)), 0, prefix)
    framed_length = sample.tokens[chosen] + recipe.specials + prefix
    is_before = condition is not None and condition.position == "before"
    return framed_length, prefix if is_before else np.zeros_like(prefix), order
