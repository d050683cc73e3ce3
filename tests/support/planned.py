"""Plans made by hand, in the form of the planner's header and rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from byline.schemas.ledger import Amount
from byline.schemas.mixtures import Natural
from byline.schemas.plan import PLAN_SCHEMA, Drawn, Plan, PlanHeader
from byline.schemas.planned_stage import BranchPoint, FieldValues, PlannedStage, StageSource, Stretch
from byline.schemas.predicates import Predicate
from byline.schemas.recipe import Sequence as SequenceSettings
from byline.schemas.recipe import Shard
from byline.schemas.tokenizer_info import TokenizerInfo


def stage_of(name: str, **changes: Any) -> PlannedStage:
    """A phase that draws nothing, but for the changes."""
    values: dict[str, Any] = {
        "number": 0,
        "branch": None,
        "condition": None,
        "values": FieldValues(),
        "select": [],
        "order": None,
        "mixture": Natural(method="natural"),
        "packing": "document_start",
        "shards": 1,
        "slices": 1,
        "expected_rows": 0,
        "sources": {},
        "timeline": [],
    }
    return PlannedStage(name=name, **{**values, **changes})


def header_of(*stages: PlannedStage, **changes: Any) -> PlanHeader:
    """The header of a plan that draws nothing, but for the changes."""
    values: dict[str, Any] = {
        "seed": 7,
        "sequence": SequenceSettings(length=1000),
        "shard": Shard(),
        "tokenizer": TokenizerInfo("t", "00", 50_000, 1, 2, 2),
        "predicates": [],
        "conjunctions": [],
        "intervals": {},
        "drawn": Drawn(),
        "fingerprints": {},
        "inputs": "00",
        "capacity": {"c4": 400_000, "dclm": 900_000},
        "notes": [],
    }
    return PlanHeader(stages=list(stages), **{**values, **changes})


def numbered(conjunctions: Iterable[Sequence[Predicate]]) -> dict[str, Any]:
    """What the header of a plan whose column `predicates` numbers these lists says of them."""
    predicates: list[Predicate] = []
    numbers = []
    for conjunction in conjunctions:
        numbers.append(list(range(len(predicates), len(predicates) + len(conjunction))))
        predicates += conjunction
    return {"predicates": predicates, "conjunctions": numbers}


def table_of(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """The rows of a plan."""
    return pa.Table.from_pylist([dict(zip(PLAN_SCHEMA.names, row, strict=True)) for row in rows], PLAN_SCHEMA)


def phase(
    name: str,
    rows: int,
    shares: dict[str, float],
    timeline: list[Stretch] | None = None,
    epochs: Mapping[str, tuple[float, float]] | None = None,
    **changes: Any,
) -> PlannedStage:
    """A phase that fills what it asks for, from the start of each source's stream."""
    sources = {}
    for source, share in sorted(shares.items()):
        positions = round(share * rows * 1000)
        start, end = (epochs or {}).get(source, (0.0, 0.5))
        sources[source] = StageSource(positions, positions, share, share, (int(start * 2**64), int(end * 2**64)))
    timeline = [Stretch(1.0, shares)] if timeline is None else timeline
    return stage_of(name, expected_rows=rows, sources=sources, timeline=timeline, **changes)


def plan_of(
    *stages: PlannedStage,
    rows: Sequence[tuple[Any, ...]] = (),
    drawn: Drawn | None = None,
    **changes: Any,
) -> Plan:
    """A plan of these stages and rows."""
    return Plan(table_of(rows), header_of(*stages, drawn=drawn or Drawn(), **changes))


def drawn_by(stage: str, source: str, tokens: int) -> Drawn:
    """One document of so many tokens."""
    return Drawn(stages={stage: {source: {0: Amount(1, tokens)}}})


MAIN = phase("main", 900, {"c4": 0.4, "dclm": 0.6}, shards=3)
COOLDOWN = phase("cooldown", 100, {"c4": 0.4, "dclm": 0.6}, packing="concat", epochs={"c4": (0.5, 1.25)})
BRANCH = phase(
    "early-50",
    50,
    {"dclm": 1.0},
    branch=BranchPoint("early", 0.5, "main", 2),
    epochs={"dclm": (0.25, 0.3)},
)

# As in a manifest; nothing is tokenized with it.
TOKENIZER = {
    "name": "t",
    "sha256": "00",
    "vocab_size": 200,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": 2,
    "added": {},
    "markers": {},
}
