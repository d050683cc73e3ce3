"""Manifest, configuration and plan held against each other, and what of the configuration a phase follows.

```
manifest.json   phases: conditioned, cooldown, cooldown-25 (branch: of cooldown, at 0.25)    ledger: drawn, used, unused
its config      phases: conditioned, cooldown               branches: cooldown at [0.25, 0.5]
plan.arrow      header["phases"]: conditioned, cooldown, cooldown-25, cooldown-50      <- cooldown-50 is missing above
```
"""

from typing import Any

from byline.manifest import Manifest, PhaseEntry
from byline.schemas.config import Config
from byline.schemas.plan import Plan, shard_path
from byline.schemas.recipe import Branch, Condition, Stage


def condition_of(config: Config, phase: PhaseEntry) -> Condition | None:
    """The condition of a phase or branch of the manifest, which `check_plan` found to be one of the configuration."""
    stages: list[Stage] = [*config.phases] if phase.branch is None else [*config.branches]
    name = phase.name if phase.branch is None else phase.branch["of"]
    return next(stage.condition for stage in stages if stage.name == name)


def tokenizer_of(manifest: Manifest) -> dict[str, Any]:
    """What plan and shards say of the tokenizer: what the manifest does, but for the ids of tokens around prefixes."""
    return {key: value for key, value in manifest.tokenizer.items() if key != "markers"}


def sources_masking_own(config: Config) -> set[str]:
    """The sources whose documents may bring loss spans, and so mask tokens of their own."""
    return {name for name, source in config.sources.items() if source.is_formatted}


def check_plan(manifest: Manifest, config: Config, plan: Plan) -> list[str]:
    """Whether manifest, configuration and plan are of one build; if not, nothing else can be checked."""
    header, settings = plan.header, config.model_dump(mode="json")
    planned, phases = header["phases"], manifest.phases
    templates = [entry["condition"] and entry["condition"]["template"] for entry in planned]
    pairs = [
        ("seed", settings["seed"], header["seed"]),
        ("sequence", settings["sequence"], header["sequence"]),
        ("shard", settings["shard"], header["shard"]),
        ("phases", _configured(config), _by_name([_followed(entry) for entry in planned])),
        ("tokenizer", tokenizer_of(manifest), header["tokenizer"]),
        ("markers", sorted(manifest.tokenizer["markers"]), config.marker_names),
        ("sequence_length", manifest.sequence_length, header["sequence"]["length"]),
        ("ids", manifest.ids, header["shard"]["ids"]),
        ("phases", [phase.name for phase in phases], [entry["name"] for entry in planned]),
        ("branches", [phase.branch for phase in phases], [entry["branch"] for entry in planned]),
        ("shards", [shard.path for phase in phases for shard in phase.shards], _paths(plan)),
        ("templates", [phase.template for phase in phases], templates),
        ("packings", [phase.packing for phase in phases], [entry["packing"] for entry in planned]),
        ("values", [phase.values for phase in phases], [entry["values"] for entry in planned]),
        ("sources of the ledger", sorted(manifest.ledger["sources"]), sorted(config.sources)),
    ]
    return [f"manifest.json: its {what} are not those of plan.arrow" for what, said, due in pairs if said != due]


def _paths(plan: Plan) -> list[str]:
    return [shard_path(*shard) for shard in plan.shards()]


def _by_name(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Phases as they stand, then branches by name: the plan may have these in another order than the configuration."""
    main = [entry for entry in entries if entry["of"] is None]
    return main + sorted((entry for entry in entries if entry["of"] is not None), key=lambda entry: entry["name"])


def _followed(entry: dict[str, Any]) -> dict[str, Any]:
    """What a phase of the plan's header says of the part of the configuration that it follows."""
    keys = ("name", "stage", "condition", "select", "order", "mixture", "packing")
    return {**{key: entry[key] for key in keys}, "of": entry["branch"] and entry["branch"]["of"]}


def _configured(config: Config) -> list[dict[str, Any]]:
    """The same from the configuration."""
    entries = []
    for number, stage in enumerate(config.stages):
        settings = stage.model_dump(mode="json")
        followed = {key: settings[key] for key in ("condition", "select", "order")} | {
            "stage": number,
            "mixture": config.mixture_of(stage).model_dump(mode="json"),
            "packing": config.packing_of(stage),
        }
        if isinstance(stage, Branch):
            entries += [{**followed, "name": stage.name_at(at), "of": stage.name} for at in stage.at]
        else:
            entries.append({**followed, "name": stage.name, "of": None})
    return _by_name(entries)


def check_drawn(manifest: Manifest, plan: Plan) -> list[str]:
    """Whether the manifest's shares and documents are those that the plan asked for and drew."""
    drawn = plan.header["drawn"]
    nothing = {"documents": 0, "tokens": 0}
    pairs = []
    for name, source in manifest.ledger["sources"].items():
        pairs += [(f"source {name}: used", source["used"], drawn["used"].get(name, nothing))]
        pairs += [(f"source {name}: unused", source["unused"], drawn["unused"].get(name, {}))]
    for phase in plan.header["phases"]:
        where, found = f"phase {phase['name']}", manifest.ledger["phases"][phase["name"]]["sources"]
        entry = next(entry for entry in manifest.phases if entry.name == phase["name"])
        requested = {source: share["requested"] for source, share in entry.mixture.items()}
        due = {source: planned["requested_share"] for source, planned in phase["sources"].items()}
        pairs.append((f"{where}: requested shares", requested, due))
        draws = drawn["phases"].get(phase["name"], {})
        for source in sorted({*found, *draws}):
            counted = {key: found.get(source, nothing)[key] for key in nothing}
            planned = {key: sum(epoch[key] for epoch in draws.get(source, {}).values()) for key in nothing}
            pairs.append((f"{where}, source {source}: drawn", counted, planned))
    return [f"ledger, {what} is {said}, the plan says {due}" for what, said, due in pairs if said != due]
