"""How many positions a phase would really fill: its lengths are packed, without a token being moved.

Packing discards (`document_start`) or repeats (`repeat_prefix`), by an amount that depends on which documents meet.
So the plan packs the lengths of the documents themselves, or of a sample of them, and corrects the intervals until the
positions are those asked for:

```
asked c4 100 L     an interval of 120 L tokens packs to 96 L     next try: longer by half of what is missing
```
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from schemas.recipe import Condition, Packing
from transforms.packing import pack
from transforms.placing import dropped_out, orders


@dataclass(frozen=True)
class SourceSample:
    """A source's sampled documents, in order of place.

    Attributes:
        place: uint64 [n].
        tokens: int64 [n].
        prefixes: int64 [phases, n], tokens of each phase's prefix.
        selected: bool [phases, n].
    """

    place: np.ndarray
    tokens: np.ndarray
    prefixes: np.ndarray
    selected: np.ndarray


def split_sample(batch: pa.RecordBatch, phases: int) -> dict[str, SourceSample]:
    """The rows of `SampleCounter`, by source."""
    table = pa.Table.from_batches([batch])
    samples = {}
    for source in table["source"].unique().to_pylist():
        rows = table.filter(pa.compute.equal(table["source"], source)).combine_chunks()
        samples[source] = SourceSample(
            rows["place"].to_numpy(),
            rows["num_tokens"].to_numpy(),
            np.stack([rows[f"prefix_{number}"].to_numpy() for number in range(phases)]),
            np.stack([rows[f"selected_{number}"].to_numpy(zero_copy_only=False) for number in range(phases)]),
        )
    return samples


@dataclass(frozen=True)
class Recipe:
    """What packing a phase depends on besides its documents."""

    number: int
    condition: Condition | None
    seed: int
    bos: int
    specials: int
    length: int
    packing: Packing


@dataclass(frozen=True)
class Outcome:
    """Positions that each source fills, and rows."""

    positions: dict[str, int]
    rows: int


# Ranges of one shard or slice: source -> (epoch, first place, last place).
Ranges = dict[str, list[tuple[int, int, int]]]


def simulate(recipe: Recipe, samples: dict[str, SourceSample], shards: list[Ranges]) -> Outcome:
    """Packs the sampled documents of each shard."""
    positions = dict.fromkeys(samples, 0)
    rows = 0
    names = sorted(samples)
    for ranges in shards:
        source, streams, prefixes, order = _documents(recipe, samples, ranges, names)
        ordered = np.argsort(order, kind="stable")
        segments = pack(streams[ordered], prefixes[ordered], recipe.bos, recipe.length, recipe.packing)
        filled = np.bincount(source[ordered][segments.document], weights=segments.lengths, minlength=len(names))
        for name, count in zip(names, filled, strict=True):
            positions[name] += int(count)
        rows += segments.rows
    return Outcome(positions, rows)


def _documents(
    recipe: Recipe, samples: dict[str, SourceSample], ranges: Ranges, names: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source number, stream length, masked prefix length and order of every document of a shard."""
    columns: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for number, name in enumerate(names):
        sample = samples[name]
        for epoch, low, high in ranges.get(name, ()):
            start = sample.place.searchsorted(np.uint64(low), "left")
            end = sample.place.searchsorted(np.uint64(high), "right")
            chosen = np.flatnonzero(sample.selected[recipe.number, start:end]) + start
            order = orders(sample.place[chosen], np.full(len(chosen), epoch), recipe.seed)
            prefix = sample.prefixes[recipe.number, chosen]
            if recipe.condition is not None and recipe.condition.dropout > 0:
                prefix = np.where(dropped_out(order, Fraction(recipe.condition.dropout)), 0, prefix)
            stream = sample.tokens[chosen] + recipe.specials + prefix
            is_before = recipe.condition is not None and recipe.condition.place == "before"
            columns.append(
                (np.full(len(chosen), number), stream, prefix if is_before else np.zeros_like(prefix), order)
            )
    if not columns:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty, empty.astype(np.uint64)
    source, stream, prefix, order = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return source, stream, prefix, order
