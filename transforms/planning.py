"""The plan of a recipe: passes over the token store's index columns, then arithmetic (see `transforms.allotting`).

```
selection   DigitCounter, as many passes as the boundaries need      -> predicates
places      PlaceCounter                                             -> a line for each phase and source
lengths     SampleCounter                                            -> packing, simulated
            Allotter                                                 -> intervals, shards
drawn       DrawCounter                                              -> exact documents and tokens, used and unused
```
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from schemas.config import Config
from schemas.plan import PLAN_SCHEMA, Plan
from schemas.store import RunInfo
from transforms.allotting import Allotment, Allotter
from transforms.counting import RunCounter
from transforms.intervals import BINS, Line, place_ranges
from transforms.measuring import DigitCounter, DrawCounter, PhaseView, PlaceCounter, SampleCounter
from transforms.placing import circle_offset
from transforms.selecting import Boundary, encode_predicates, start_boundary, top_predicate
from transforms.simulating import Recipe, split_sample
from transforms.tokenizing import TokenizerInfo

# With so many documents the plan packs a sample: its error is far below a document's length then, and it takes 100 MB.
SAMPLED_DOCUMENTS = 2_000_000

# A pass over the runs: takes a counter, gives its merged counts.
Pass = Callable[[RunCounter], pa.RecordBatch]


@dataclass(frozen=True)
class StoreTotals:
    """Documents and tokens of each source in the token store."""

    documents: dict[str, int]
    tokens: dict[str, int]

    @classmethod
    def of(cls, config: Config, runs: list[RunInfo]) -> "StoreTotals":
        documents, tokens = dict.fromkeys(config.sources, 0), dict.fromkeys(config.sources, 0)
        for run in runs:
            documents[run.source] += run.rows
            tokens[run.source] += run.tokens
        return cls(documents, tokens)


def make_plan(config: Config, tokenizer: TokenizerInfo, runs: list[RunInfo], do_pass: Pass) -> Plan:
    """Plans a recipe.

    Args:
        config: the recipe.
        tokenizer: its tokenizer.
        runs: every run of every source.
        do_pass: runs a counter over all of them.

    Raises:
        BylineError: the recipe asks for more than there is, or for nothing.
    """
    totals = StoreTotals.of(config, runs)
    views = _phase_views(config, tokenizer, _find_predicates(config, totals, do_pass))
    lines = _find_lines(config, views, do_pass)
    threshold = min(2**32, SAMPLED_DOCUMENTS * 2**32 // max(sum(totals.documents.values()), 1))
    samples = split_sample(do_pass(SampleCounter(views, threshold)), len(views))
    recipes = [
        Recipe(
            number=number,
            condition=phase.condition,
            seed=config.seed,
            bos=int(tokenizer.bos_id is not None),
            specials=tokenizer.specials,
            length=config.sequence.length,
            packing=config.sequence.packing,
        )
        for number, phase in enumerate(config.phases)
    ]
    allotter = Allotter(config, lines, recipes, samples, Fraction(threshold, 2**32))
    allotment = allotter.allot()
    intervals = {
        phase.name: {
            source: place_ranges(lines[number][source].offset, *points)
            for source, points in allotment.phases[number].points.items()
        }
        for number, phase in enumerate(config.phases)
    }
    drawn = do_pass(DrawCounter(views, intervals))
    header = _header(config, tokenizer, runs, allotment)
    header["intervals"] = intervals
    header["drawn"] = _drawn(drawn)
    return Plan(_rows(config, allotter, allotment, views), header)


def _find_predicates(config: Config, totals: StoreTotals, do_pass: Pass) -> dict[tuple[int, str], str]:
    """(phase, source) -> predicates, by as many passes as the boundaries of the selections need."""
    boundaries: dict[tuple[str, str, str], Boundary] = {}
    keys: dict[tuple[int, str], tuple[str, str, str] | None] = {}
    for number, phase in enumerate(config.phases):
        for source in _weighted(config):
            selection = phase.select
            if selection is None or selection.top == 1:
                keys[number, source] = None
                continue
            key = (source, selection.by, f"{selection.top} {selection.count}")
            keys[number, source] = key
            boundaries[key] = start_boundary(selection, totals.documents[source], totals.tokens[source])
    while open_ := {key: boundary for key, boundary in boundaries.items() if not boundary.done}:
        questions = [("\t".join(key), key[0], key[1], boundary.digits) for key, boundary in open_.items()]
        counts = _histograms(do_pass(DigitCounter(questions)))
        for key, boundary in open_.items():
            column = "documents" if key[2].endswith("documents") else "tokens"
            found = counts["\t".join(key)]
            boundaries[key] = boundary.advance(found[column], found["documents"])
    return {
        place: encode_predicates([] if key is None else [top_predicate(key[1], boundaries[key])])
        for place, key in keys.items()
    }


def _weighted(config: Config) -> list[str]:
    weights = config.weights()
    return sorted(name for name in config.sources if weights is None or weights[name] > 0)


def _histograms(counts: pa.RecordBatch) -> dict[str, dict[str, np.ndarray]]:
    """Key -> {documents, tokens} -> int64 [65536]; an absent key gives zeros."""
    found: dict[str, dict[str, np.ndarray]] = defaultdict(
        lambda: {n: np.zeros(BINS, np.int64) for n in ("documents", "tokens")}
    )
    keys = np.array(counts["key"].to_pylist(), object)
    for key in dict.fromkeys(keys):
        mine = counts.filter(pa.array(keys == key))
        for column in ("documents", "tokens"):
            found[key][column][mine["bin"].to_numpy()] = mine[column].to_numpy()
    return found


def _phase_views(config: Config, tokenizer: TokenizerInfo, predicates: dict[tuple[int, str], str]) -> list[PhaseView]:
    return [
        PhaseView(
            name=phase.name,
            predicates={source: predicates[number, source] for source in _weighted(config)},
            condition=phase.condition,
            specials=tokenizer.specials,
            length=config.sequence.length,
            tokenizer=config.tokenizer,
        )
        for number, phase in enumerate(config.phases)
    ]


def _find_lines(config: Config, views: list[PhaseView], do_pass: Pass) -> list[dict[str, Line]]:
    counts = _histograms(do_pass(PlaceCounter(views)))
    return [
        {
            source: Line.from_places(circle_offset(config.seed, source), counts[f"{view.name}\t{source}"]["tokens"])
            for source in config.sources
        }
        for view in views
    ]


def _rows(config: Config, allotter: Allotter, allotment: Allotment, views: list[PhaseView]) -> pa.Table:
    rows = []
    for number, (phase, found) in enumerate(zip(config.phases, allotment.phases, strict=True)):
        for shard, ranges in enumerate(allotter.shard_ranges(number, found.points, found.shards)):
            for source in sorted(ranges):
                for epoch, low, high in sorted(ranges[source]):
                    predicates = views[number].predicates[source]
                    rows.append((phase.name, shard, 0, source, epoch, low, high, predicates))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PLAN_SCHEMA)
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, PLAN_SCHEMA, strict=True)], PLAN_SCHEMA
    )


def inputs_sha256(runs: list[RunInfo]) -> str:
    """Identifies the documents of a token store: its input files, and what is in the store of each."""
    listed = sorted((r.source, r.path, r.chunk, r.input_size, r.rows_read, r.rows, r.tokens) for r in runs)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _header(config: Config, tokenizer: TokenizerInfo, runs: list[RunInfo], allotment: Allotment) -> dict[str, Any]:
    phases = []
    for phase, found in zip(config.phases, allotment.phases, strict=True):
        total, filled = max(sum(found.target.values()), 1), max(sum(found.expected.values()), 1)
        phases.append(
            {
                "name": phase.name,
                "condition": phase.model_dump(mode="json")["condition"],
                "select": phase.model_dump(mode="json")["select"],
                "shards": found.shards,
                "expected_rows": found.rows,
                "sources": {
                    source: {
                        "target_positions": found.target[source],
                        "expected_positions": found.expected[source],
                        "requested_share": found.target[source] / total,
                        "expected_share": found.expected[source] / filled,
                        "epochs": [point / 2**64 for point in found.points[source]],
                    }
                    for source in sorted(found.target)
                },
            }
        )
    return {
        "seed": config.seed,
        "sequence": config.model_dump(mode="json")["sequence"],
        "shard": config.model_dump(mode="json")["shard"],
        "tokenizer": tokenizer.to_json(),
        "phases": phases,
        "fingerprints": {run.source: run.fingerprint for run in runs},
        "inputs": inputs_sha256(runs),
        "capacity": allotment.capacity,
    }


def _drawn(counts: pa.RecordBatch) -> dict[str, Any]:
    """The counts of `DrawCounter` as JSON: draws by phase, source and epoch; used and unused by source."""
    drawn: dict[str, Any] = {"phases": {}, "used": {}, "unused": {}}
    for row in counts.to_pylist():
        kind, *names = row["key"].split("\t")
        counted = {"documents": row["documents"], "tokens": row["tokens"]}
        if kind == "draw":
            phase, source, epoch = names
            drawn["phases"].setdefault(phase, {}).setdefault(source, {})[epoch] = counted
        elif kind == "used":
            drawn["used"][names[0]] = counted
        else:
            drawn["unused"].setdefault(names[0], {})[names[1]] = counted
    return drawn


def check_draws(plan: Plan, phase: str, source: str, documents: int, tokens: int) -> None:
    """Holds what assembling took against the plan.

    Raises:
        BylineError: the token store is not the one that was planned with.
    """
    epochs = plan.header["drawn"]["phases"].get(phase, {}).get(source, {}).values()
    expected = (sum(e["documents"] for e in epochs), sum(e["tokens"] for e in epochs))
    if (documents, tokens) != expected:
        raise BylineError(
            f"phase {phase}, source {source}: the plan draws {expected[0]:,} documents with {expected[1]:,} tokens, "
            f"the token store gave {documents:,} with {tokens:,}; it has changed since, so build again"
        )
