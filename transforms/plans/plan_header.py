"""The header of a plan: what it says of every stage, and of what it draws.

```
DrawCounter's counts   source  stage  epoch  reason  documents     header.drawn
                       c4      main   0      null          120     stages {main: {c4: {0: 120 documents}}}
                       c4      null   null   null          120     used   {c4: 120 documents}
                       c4      null   null   budget          7     unused {c4: {budget: 7 documents}}
```
"""

import hashlib
import json
from collections.abc import Sequence

import pyarrow as pa

from byline.schemas.config import Config
from byline.schemas.ledger import Amount
from byline.schemas.plan import BranchPoint, Drawn, PlannedStage, StageSource, Stretch
from byline.schemas.recipe import Branch, Holdout, Stage
from byline.schemas.store import RunInfo
from byline.transforms.fields.template_fields import own_field_sha256s
from byline.transforms.packing import own_sha256, policy_of
from byline.transforms.plans.allotting import StageAllotment
from byline.transforms.scans.measuring import StageView

# Of a timeline, more points than this cannot be told apart.
_TIMELINE_POINTS = 64


def inputs_sha256(runs: list[RunInfo]) -> str:
    """Identifies the documents of a token store: its input files, and what is in the store of each."""
    listed = sorted((r.source, r.path, r.chunk, r.input_size, r.rows_read, r.rows, r.tokens) for r in runs)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def planned_stages(
    config: Config, allotted: Sequence[StageAllotment], views: Sequence[StageView]
) -> list[PlannedStage]:
    """What the header says of every phase, of every branch at each of its points, and of the holdout."""
    return [_planned_stage(config, stage, views[stage.number], allotted) for stage in allotted]


def _planned_stage(
    config: Config, allotted: StageAllotment, view: StageView, stages: Sequence[StageAllotment]
) -> PlannedStage:
    stage = config.stages[allotted.number]
    total, filled = max(sum(allotted.target.values()), 1), max(sum(allotted.expected.values()), 1)
    return PlannedStage(
        name=allotted.name,
        number=allotted.number,
        branch=_branch_point(stage, allotted, stages),
        condition=stage.condition,
        values=view.values,
        select=stage.select,
        order=stage.order,
        mixture=config.mixture_of(stage),
        packing=config.packing_of(stage),
        shards=allotted.shards,
        slices=len(allotted.slices),
        expected_rows=allotted.rows,
        sources={
            source: StageSource(
                target_positions=target,
                expected_positions=allotted.expected[source],
                requested_share=target / total,
                expected_share=allotted.expected[source] / filled,
                points=allotted.points[source],
                expected_discarded=_discarded(allotted, source, config.packing_of(stage)),
            )
            for source, target in sorted(allotted.target.items())
        },
        timeline=_timeline(allotted),
        packing_sha256=own_sha256(config.packing_of(stage)),
        field_sha256s=own_field_sha256s(stage),
        mask={name: columns for name in config.sources_of(stage) if (columns := config.masking_columns(stage, name))},
        loss_weight=config.weights_of(stage),
    )


def _discarded(allotted: StageAllotment, source: str, packing: str) -> int:
    """Tokens that packing is expected to leave out."""
    left = allotted.framed[source] - allotted.expected[source]
    return max(left, 0) if policy_of(packing).discards else 0


def _branch_point(stage: Stage, allotted: StageAllotment, stages: Sequence[StageAllotment]) -> BranchPoint | None:
    if isinstance(stage, Holdout):
        return BranchPoint(stage.name, 0.0, stages[0].name, 0)
    if allotted.leave is None or not isinstance(stage, Branch):
        return None
    main = stages[allotted.leave.phase]
    shards = 1 + max(slice_.shard for slice_ in main.slices if slice_.end <= allotted.leave.progress)
    return BranchPoint(stage.name, float(allotted.leave.at), main.name, shards)


def _timeline(allotted: StageAllotment) -> list[Stretch]:
    """The expected mixture along a stage."""
    step = -(-len(allotted.slices) // _TIMELINE_POINTS)
    stretches = []
    for first in range(0, len(allotted.slices), step):
        counts = {source: sum(filled[first : first + step]) for source, filled in allotted.filled.items()}
        total = max(sum(counts.values()), 1)
        end = float(allotted.slices[min(first + step, len(allotted.slices)) - 1].end)
        stretches.append(Stretch(end, {source: round(count / total, 6) for source, count in sorted(counts.items())}))
    return stretches


def drawn_of(counts: pa.RecordBatch) -> Drawn:
    """What the counts of a `DrawCounter` say."""
    drawn = Drawn()
    columns = [counts[name].to_pylist() for name in ("source", "stage", "epoch", "reason", "documents", "tokens")]
    for source, stage, epoch, reason, documents, tokens in zip(*columns, strict=True):
        amount = Amount(documents, tokens)
        if stage is not None:
            drawn.stages.setdefault(stage, {}).setdefault(source, {})[epoch] = amount
        elif reason is not None:
            drawn.unused.setdefault(source, {})[reason] = amount
        else:
            drawn.used[source] = amount
    return drawn
