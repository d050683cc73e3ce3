"""Manifest, configuration and plan held against each other, and what of the configuration a phase follows.

```
_manifest.json  phases: conditioned, cooldown, cooldown-25 (branch: of cooldown, at 0.25)    ledger: drawn, used, unused
its config      phases: conditioned, cooldown               branches: cooldown at [0.25, 0.5]
_plan.ipc       its stages: conditioned, cooldown, cooldown-25, cooldown-50      <- cooldown-50 is missing above
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from byline.manifest import Manifest, PhaseEntry
from byline.schemas.config import Config
from byline.schemas.ledger import Amount, Ledger
from byline.schemas.loss_weights import LossWeights
from byline.schemas.mixtures import Mixture
from byline.schemas.orders import Order
from byline.schemas.plan import Plan, shard_path
from byline.schemas.planned_stage import PlannedStage
from byline.schemas.predicates import HashShare
from byline.schemas.recipe import Branch, Condition, Holdout, Selection, Stage


def section_of(config: Config, phase: PhaseEntry) -> Stage | None:
    """The section of a phase or branch of the manifest, which `check_plan` found to be one of the configuration."""
    if phase.is_holdout:
        return config.holdout
    stages: list[Stage] = [*config.phases] if phase.branch is None else [*config.branches]
    name = phase.name if phase.branch is None else phase.branch["of"]
    return next(stage for stage in stages if stage.name == name)


def condition_of(config: Config, phase: PhaseEntry) -> Condition | None:
    """The condition of that section."""
    section = section_of(config, phase)
    return None if section is None else section.condition


def sources_masking_own(config: Config) -> set[str]:
    """The sources whose documents may bring loss spans or attributes that mask, and so mask tokens of their own."""
    formatted = {name for name, source in config.sources.items() if source.is_formatted}
    return formatted | {
        name for stage in config.stages for name in config.sources_of(stage) if config.masking_columns(stage, name)
    }


def check_plan(manifest: Manifest, config: Config, plan: Plan) -> list[str]:
    """Whether manifest, configuration and plan are of one build; if not, nothing else can be checked."""
    header, phases, stages = plan.header, manifest.phases, plan.header.stages
    branches = [None if stage.branch is None else stage.branch.to_json() for stage in stages]
    pairs: list[tuple[str, Any, Any]] = [
        ("seed", config.seed, header.seed),
        ("sequence", config.sequence, header.sequence),
        ("shard", config.shard, header.shard),
        ("phases", _configured(config), _by_name(map(_Followed.of, stages))),
        ("tokenizer", manifest.own_tokenizer, header.tokenizer.to_json()),
        ("markers", sorted(manifest.tokenizer["markers"]), config.marker_names),
        ("replaced columns", _replaced(manifest, config), header.replace),
        ("sequence_length", manifest.sequence_length, header.sequence.length),
        ("ids", manifest.ids, header.shard.ids),
        ("types of loss_weight", manifest.loss_weight, config.weight_type),
        ("phases", [phase.name for phase in phases], [stage.name for stage in stages]),
        ("branches", [phase.branch for phase in phases], branches),
        ("shards", [shard.path for phase in phases for shard in phase.shards], _paths(plan)),
        ("templates", [phase.template for phase in phases], [stage.template for stage in stages]),
        ("packings", [phase.packing for phase in phases], [stage.packing for stage in stages]),
        ("values", [phase.values for phase in phases], [stage.values.to_json() for stage in stages]),
        ("held-out documents", _not_apart(config, plan), []),
        ("sources of the ledger", sorted(manifest.ledger["sources"]), sorted(config.sources)),
    ]
    return [f"_manifest.json: its {what} are not those of _plan.ipc" for what, said, due in pairs if said != due]


def _replaced(manifest: Manifest, config: Config) -> dict[str, dict[str, int | None]]:
    """Source -> column of ranges that are replaced -> id of its placeholder, where the manifest has one."""
    ids = manifest.tokenizer.get("placeholders", {})
    replaced = {source: config.replaced_columns(source) for source in config.sources}
    return {source: {column: ids.get(name) for column, name in own.items()} for source, own in replaced.items() if own}


def _not_apart(config: Config, plan: Plan) -> list[str]:
    """The stages whose documents, by the predicates of the plan's rows, may be held out, or not, against the recipe."""
    if config.holdout is None:
        return []
    held = [HashShare(config.holdout.field, config.holdout.bound, is_below) for is_below in (False, True)]
    is_holdout = {stage.name: stage.is_holdout for stage in plan.header.stages}
    predicates = plan.predicates
    rows = plan.table.group_by(["phase", "predicates"]).aggregate([]).to_pylist()
    return sorted({row["phase"] for row in rows if held[is_holdout[row["phase"]]] not in predicates[row["predicates"]]})


def _paths(plan: Plan) -> list[str]:
    return [shard_path(*shard) for shard in plan.shards()]


@dataclass(frozen=True)
class _Followed:
    """What a planned stage says of the section of the configuration that it follows; `branch` is a branch's name."""

    name: str
    branch: str | None
    number: int
    condition: Condition | None
    select: list[Selection]
    order: Order | None
    mixture: Mixture
    packing: str
    mask: dict[str, list[str]]
    loss_weight: LossWeights | None

    @classmethod
    def of(cls, stage: PlannedStage) -> "_Followed":
        branch = None if stage.branch is None else stage.branch.branch
        return cls(
            stage.name,
            branch,
            stage.number,
            stage.condition,
            stage.select,
            stage.order,
            stage.mixture,
            stage.packing,
            stage.mask,
            stage.loss_weight,
        )


def _by_name(stages: Iterable[_Followed]) -> list[_Followed]:
    """Phases as they stand, then branches by name: the plan may have these in another order than the configuration."""
    stages = list(stages)
    branches = [stage for stage in stages if stage.branch is not None]
    return [stage for stage in stages if stage.branch is None] + sorted(branches, key=lambda stage: stage.name)


def _configured(config: Config) -> list[_Followed]:
    """The same from the configuration."""
    configured = []
    for number, stage in enumerate(config.stages):
        followed = _Followed(
            name=stage.name,
            branch=None,
            number=number,
            condition=stage.condition,
            select=stage.select,
            order=stage.order,
            mixture=config.mixture_of(stage),
            packing=config.packing_of(stage),
            mask={name: own for name in config.sources_of(stage) if (own := config.masking_columns(stage, name))},
            loss_weight=config.weights_of(stage),
        )
        if isinstance(stage, Branch):
            configured += [replace(followed, name=stage.name_at(at), branch=stage.name) for at in stage.at]
        elif isinstance(stage, Holdout):
            configured.append(replace(followed, branch=stage.name))
        else:
            configured.append(followed)
    return _by_name(configured)


def check_drawn(manifest: Manifest, plan: Plan) -> list[str]:
    """Whether the manifest's shares and documents are those that the plan asked for and drew."""
    drawn, ledger = plan.header.drawn, Ledger.from_json(manifest.ledger)
    entries = {entry.name: entry for entry in manifest.phases}
    pairs: list[tuple[str, object, object]] = []
    for name, source in ledger.sources.items():
        pairs += [(f"source {name}: used", source.used, drawn.used.get(name, Amount()))]
        pairs += [(f"source {name}: replaced", source.replaced, plan.header.replaced_in(name))]
        pairs += [(f"source {name}: unused", _shown(source.unused), _shown(drawn.unused.get(name, {})))]
    for stage in plan.header.stages:
        where, in_ledger = f"phase {stage.name}", ledger.phases[stage.name]
        requested = {source: share["requested"] for source, share in entries[stage.name].mixture.items()}
        due = {source: planned.requested_share for source, planned in stage.sources.items()}
        pairs.append((f"{where}: requested shares", requested, due))
        for drawn_from in sorted({*in_ledger.sources, *drawn.stages.get(stage.name, {})}):
            counted, planned = in_ledger.of(drawn_from).drawn, drawn.draws_of(stage.name, drawn_from)
            pairs.append((f"{where}, source {drawn_from}: drawn", counted, planned))
            replaced = in_ledger.of(drawn_from).replaced
            planned_replaced = plan.header.replaced_by(stage.name, drawn_from)
            pairs.append((f"{where}, source {drawn_from}: replaced", replaced, planned_replaced))
        asked = {label: share["requested"] for label, share in (entries[stage.name].labels or {}).items()}
        by_label = {label: planned.requested_share for label, planned in stage.labels.items()}
        pairs.append((f"{where}: requested shares of labels", asked, by_label))
        drawn_by_label = drawn.labels.get(stage.name, {})
        for label in sorted({*in_ledger.labels, *drawn_by_label}):
            of_label = in_ledger.of_label(label).drawn
            pairs.append((f"{where}, label {label}: drawn", of_label, drawn_by_label.get(label, Amount())))
    return [f"ledger, {what} is {said}, the plan says {due}" for what, said, due in pairs if said != due]


def _shown(unused: Mapping[str, Amount]) -> str:
    return ", ".join(f"{reason}: {amount}" for reason, amount in sorted(unused.items())) or "nothing"
