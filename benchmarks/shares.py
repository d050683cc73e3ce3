"""How close a finished build comes to its recipe: the lengths of phases, and shares at ten points along each.

    python -m benchmarks.shares OUT

```
phase main: 4,395 rows, asked 4,394.9 (+0.00 %)
  source       asked  achieved   worst error of the share so far, at any tenth of the phase
  c4          35.00 %  35.02 %   0.06 % at 0.3
```

Counts positions in the shards themselves. The share so far is a source's positions up to a point over the positions of
the whole stage; it should be the integral of the mixture up to that point.
"""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from byline.manifest import PhaseEntry, read_manifest
from byline.schemas.config_file import parse_config
from byline.schemas.mixtures.blend import Blend
from byline.schemas.plan import Plan, read_plan
from byline.schemas.planned_stage import PlannedStage

POINTS = 10


def main(out: Path) -> None:
    """Prints every phase and branch."""
    manifest = read_manifest(out)
    config = parse_config(manifest.config, str(out))
    plan = read_plan((out / "_plan.ipc").read_bytes(), "_plan.ipc")
    inputs = pa.ipc.open_file(pa.memory_map(str(out / "_inputs.ipc"))).read_all()
    names = sorted(config.sources)
    numbers = np.array([names.index(source) for source in inputs["source"].to_pylist()])
    for phase, entry in zip(manifest.phases, plan.header.stages, strict=True):
        filled = np.concatenate(list(_filled(out, phase, numbers, len(names))))
        asked = sum(planned.target_positions for planned in entry.sources.values()) / manifest.sequence_length
        print(f"phase {phase.name}: {len(filled):,} rows, asked {asked:,.1f} ({len(filled) / asked - 1:+.2%})")
        _show(filled, names, _blend(config, plan, entry))


def _filled(out: Path, phase: PhaseEntry, numbers: np.ndarray, sources: int) -> Iterator[np.ndarray]:
    """For each shard int64 [rows, sources]: positions that each source fills."""
    for shard in phase.shards:
        with pa.memory_map(str(out / shard.path)) as file:
            reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=[2, 3]))
            table = reader.read_all()
        lists = table["seq_lengths"].combine_chunks()
        row = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
        lengths, documents = lists.flatten().to_numpy(), table["doc_ids"].combine_chunks().flatten().to_numpy()
        own = documents >= 0
        cell = row[own] * sources + numbers[documents[own] >> 32]
        yield np.bincount(cell, lengths[own], len(lists) * sources).reshape(-1, sources)


def _blend(config: Any, plan: Plan, entry: PlannedStage) -> Blend:
    stage = config.stages[entry.number]
    mixture = config.mixture_of(stage)
    if mixture.is_schedule:
        return mixture.blend(dict.fromkeys(entry.sources, 0))
    weights = {source: Fraction(planned.requested_share) for source, planned in entry.sources.items()}
    return stage.ordering.arrange(Blend.constant(weights))


def _show(filled: np.ndarray, names: list[str], blend: Blend) -> None:
    so_far = np.cumsum(filled, axis=0) / filled.sum()
    ends = [round(len(filled) * number / POINTS) for number in range(1, POINTS + 1)]
    print("  source       asked  achieved   worst error of the share so far, at any tenth of the phase")
    for source in blend.sources:
        column = so_far[:, names.index(source)]
        requested = [float(blend.given(source, Fraction(end, len(filled)))) for end in ends]
        errors = [abs(column[end - 1] - share) for end, share in zip(ends, requested, strict=True)]
        worst = int(np.argmax(errors))
        print(
            f"  {source:<10} {requested[-1]:7.2%}  {column[-1]:7.2%}   {errors[worst]:.2%} at {(worst + 1) / POINTS:g}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
