"""The header of a plan: what it says of every stage, and of what it draws.

```
DrawCounter's counts   stratum  stage  epoch  reason  documents     header.drawn
                       c4       main   0      null          120     stages {main: {c4: {0: 120 documents}}}
                       c4       null   null   null          120     used   {c4: 120 documents}
                       c4       null   null   budget          7     unused {c4: {budget: 7 documents}}
```

Where mixtures cut sources into strata, these are summed to sources, and to the labels of each stage's mixture.
"""

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from byline.schemas.config import Config
from byline.schemas.ledger import Amount, Replaced
from byline.schemas.plan import Drawn
from byline.schemas.planned_stage import BranchPoint, PlannedStage, StageSource, StageStratum, Stretch
from byline.schemas.recipe import Branch, Holdout, Stage
from byline.schemas.store import RunInfo
from byline.transforms.fields.template_fields import own_field_sha256s
from byline.transforms.packing import own_sha256, policy_of
from byline.transforms.plans.allotting import StageAllotment
from byline.transforms.plans.intervals import Stream
from byline.transforms.plans.strata import Strata
from byline.transforms.scans.draws import replaced_of
from byline.transforms.scans.measuring import StageView

_Key = TypeVar("_Key", bound=Hashable)
# Of a timeline, more points than this cannot be told apart.
_TIMELINE_POINTS = 64


def inputs_sha256(runs: list[RunInfo]) -> str:
    """Identifies the documents of a token store: its input files, and what is in the store of each."""
    listed = sorted((r.source, r.path, r.chunk, r.input_size, r.rows_read, r.rows, r.tokens) for r in runs)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def planned_stages(
    config: Config,
    allotted: Sequence[StageAllotment],
    views: Sequence[StageView],
    streams: Sequence[Mapping[str, Stream]],
    strata: Strata,
) -> list[PlannedStage]:
    """What the header says of every phase, of every branch at each of its points, and of the holdout."""
    return [
        _planned_stage(config, stage, views[stage.number], streams[stage.number], strata, allotted)
        for stage in allotted
    ]


def _planned_stage(
    config: Config,
    allotted: StageAllotment,
    view: StageView,
    streams: Mapping[str, Stream],
    strata: Strata,
    stages: Sequence[StageAllotment],
) -> PlannedStage:
    stage, names = config.stages[allotted.number], sorted(allotted.target)
    by_source = _grouped(names, [strata.by_name[name].source for name in names])
    mixed = [strata.mixed_as(allotted.number, name) for name in names]
    by_label = _grouped(names, mixed) if allotted.number in strata.cut_of else {}
    taken = _Taken(allotted, streams, policy_of(config.packing_of(stage)).discards is not None)
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
        sources={source: taken.of(own) for source, own in by_source.items()},
        timeline=_timeline(allotted, by_source),
        packing_sha256=own_sha256(config.packing_of(stage)),
        field_sha256s=own_field_sha256s(config, stage),
        mask={name: columns for name in config.sources_of(stage) if (columns := config.masking_columns(stage, name))},
        loss_weight=config.weights_of(stage),
        labels={label: taken.of(own) for label, own in by_label.items()},
        strata={
            name: StageStratum(
                strata.by_name[name].source,
                label if allotted.number in strata.cut_of else None,
                list(strata.by_name[name].predicates),
                allotted.points[name],
            )
            for name, label in zip(names, mixed, strict=True)
            if strata.cuts
        },
    )


def _grouped(names: Iterable[str], groups: Iterable[str | None]) -> dict[str, list[str]]:
    """The names of each group, sorted by group."""
    grouped: dict[str, list[str]] = {}
    for name, group in zip(names, groups, strict=True):
        assert group is not None, f"{name} is drawn and has no name in the mixture"
        grouped.setdefault(group, []).append(name)
    return dict(sorted(grouped.items()))


@dataclass(frozen=True)
class _Taken:
    """What a stage takes, summed over strata; `discards`: whether its packing leaves tokens out."""

    allotted: StageAllotment
    streams: Mapping[str, Stream]
    discards: bool

    def of(self, names: Sequence[str]) -> StageSource:
        """What it takes of some strata together."""
        total, filled = (max(sum(counts.values()), 1) for counts in (self.allotted.target, self.allotted.expected))
        target = sum(self.allotted.target[name] for name in names)
        expected = sum(self.allotted.expected[name] for name in names)
        framed = sum(self.allotted.framed[name] for name in names)
        return StageSource(
            target_positions=target,
            expected_positions=expected,
            requested_share=target / total,
            expected_share=expected / filled,
            points=(self._mean(names, 0), self._mean(names, 1)),
            expected_discarded=max(framed - expected, 0) if self.discards else 0,
        )

    def _mean(self, names: Sequence[str], end: int) -> int:
        """One end of the intervals of some strata: the mean by their tokens."""
        if len(names) == 1:
            return self.allotted.points[names[0]][end]
        tokens = [self.streams[name].total for name in names]
        return sum(self.allotted.points[name][end] * count for name, count in zip(names, tokens, strict=True)) // max(
            sum(tokens), 1
        )


def _branch_point(stage: Stage, allotted: StageAllotment, stages: Sequence[StageAllotment]) -> BranchPoint | None:
    if isinstance(stage, Holdout):
        return BranchPoint(stage.name, 0.0, stages[0].name, 0)
    if allotted.leave is None or not isinstance(stage, Branch):
        return None
    main = stages[allotted.leave.phase]
    shards = 1 + max(slice_.shard for slice_ in main.slices if slice_.end <= allotted.leave.progress)
    return BranchPoint(stage.name, float(allotted.leave.at), main.name, shards)


def _timeline(allotted: StageAllotment, by_source: Mapping[str, Sequence[str]]) -> list[Stretch]:
    """The expected mixture along a stage; `by_source`: the strata of each source."""
    step = -(-len(allotted.slices) // _TIMELINE_POINTS)
    stretches = []
    for first in range(0, len(allotted.slices), step):
        counts = {
            source: sum(sum(allotted.filled[name][first : first + step]) for name in names)
            for source, names in by_source.items()
        }
        total = max(sum(counts.values()), 1)
        end = float(allotted.slices[min(first + step, len(allotted.slices)) - 1].end)
        stretches.append(Stretch(end, {source: round(count / total, 6) for source, count in sorted(counts.items())}))
    return stretches


def drawn_of(counts: pa.RecordBatch, strata: Strata, numbers: Mapping[str, int]) -> Drawn:
    """What the counts of a `DrawCounter` say.

    Args:
        counts: of it.
        strata: of the recipe.
        numbers: name of each phase, or branch at one point -> the number of its stage.
    """
    drawn = Drawn()
    names = ("stratum", "stage", "epoch", "reason", "what", "documents", "tokens")
    columns = [counts[name].to_pylist() for name in names]
    for stratum, stage, epoch, reason, what, documents, tokens in zip(*columns, strict=True):
        amount, source = Amount(documents, tokens), strata.by_name[stratum].source
        if what is not None:
            of_source = drawn.replaced if stage is None else drawn.stages_replaced.setdefault(stage, {})
            of_source[source] = of_source.get(source, Replaced()) + replaced_of(what, documents, tokens)
        elif stage is not None:
            _add(drawn.stages.setdefault(stage, {}).setdefault(source, {}), epoch, amount)
            label = strata.mixed_as(numbers[stage], stratum)
            if numbers[stage] in strata.cut_of and label is not None:
                _add(drawn.labels.setdefault(stage, {}), label, amount)
        elif reason is not None:
            _add(drawn.unused.setdefault(source, {}), reason, amount)
        else:
            _add(drawn.used, source, amount)
    return drawn


def _add(amounts: dict[_Key, Amount], key: _Key, amount: Amount) -> None:
    amounts[key] = amounts.get(key, Amount()) + amount
