"""Manifest, configuration and plan of one build, and each of what they share made another."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.ledger import Amount
from byline.schemas.mixtures import Natural
from byline.schemas.plan import PLAN_SCHEMA, Drawn, Plan
from byline.schemas.planned_stage import BranchPoint, FieldValues, StageSource
from byline.schemas.recipe import Condition, Selection, Sequence
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.checks.plan import check_drawn, check_plan, condition_of, sources_masking_own
from tests.support.planned import TOKENIZER, header_of, stage_of

CONDITION = {"template": "{host}", "position": "before"}
VALUES: dict[str, Any] = {
    "sources": {name: {"format": "jsonl", "path": "x"} for name in ("c4", "dclm")},
    "tokenizer": {"file": "t.json", "bos": "<s>", "eos": "</s>"},
    "sequence": {"length": 8},
    "tokens": 1600,
    "phases": [
        {"name": "a", "share": 0.5, "condition": CONDITION},
        {"name": "b", "share": 0.5, "packing": "concat", "order": {"by": "num_tokens"}},
    ],
    "branches": [{"name": "cool", "at": [0.5, 0.25], "share": 0.1, "mixture": {"c4": 1}}],
}
ONE, TWO = {"documents": 1, "tokens": 8}, {"documents": 1, "tokens": 2}
NO_VALUES: dict[str, Any] = {"top": {}, "bins": {}}
# name, part, packing, branch, source, drawn
PARTS = [
    ("a", 0, "document_start", None, "c4", ONE),
    ("b", 1, "concat", None, "dclm", TWO),
    ("cool-25", 2, "document_start", {"of": "cool", "at": 0.25, "phase": "a", "shards": 0}, "c4", TWO),
    ("cool-50", 2, "document_start", {"of": "cool", "at": 0.5, "phase": "a", "shards": 1}, "c4", TWO),
]
STORED: dict[str, Any] = {
    "read": {"documents": 3, "bytes": 50},
    "dropped": {},
    "kept": {"documents": 3, "tokens": 12, "bytes": 50},
    "special_text": 0,
    "damaged": 0,
    "fields": {},
}
LEDGER: dict[str, Any] = {
    "sources": {
        "c4": {**STORED, "used": {"documents": 2, "tokens": 10}, "unused": {"selection": TWO}},
        "dclm": {**STORED, "used": TWO, "unused": {"budget": ONE}},
    },
    "phases": {name: {"sources": {source: drawn}} for name, _, _, _, source, drawn in PARTS},
}


@pytest.fixture
def config() -> Config:
    return parse_config(VALUES, "test")


def manifest() -> Manifest:
    phases = []
    for name, _, packing, branch, source, _ in PARTS:
        shard = ShardEntry(f"{name}/00000-of-00001.arrow", 1, 5, 5, 5, 100, "00")
        shares = {source: {"requested": 1.0, "achieved": 1.0}}
        template = "{host}" if name == "a" else None
        phases.append(PhaseEntry(name, template, 1, 8, 5, 5, 5, shares, [shard], packing, branch, NO_VALUES))
    return Manifest(8, "int32", TOKENIZER, {}, "00", "0", 2, "00", phases, copy.deepcopy(LEDGER))


def plan_of(config: Config, **changes: Any) -> Plan:
    """A plan without rows; nothing here looks at them."""
    stages = []
    for name, number, packing, branch, source, _ in PARTS:
        stage = config.stages[number]
        stages.append(
            stage_of(
                name,
                number=number,
                packing=packing,
                branch=None if branch is None else BranchPoint.from_json(branch),
                condition=stage.condition,
                select=stage.select,
                order=stage.order,
                mixture=config.mixture_of(stage),
                sources={source: StageSource(0, 0, 1.0, 1.0, (0, 0))},
            )
        )
    drawn = Drawn(
        stages={name: {source: {0: Amount(**drawn)}} for name, _, _, _, source, drawn in PARTS},
        used={name: Amount(**source["used"]) for name, source in LEDGER["sources"].items()},
        unused={
            name: {reason: Amount(**left) for reason, left in source["unused"].items()}
            for name, source in LEDGER["sources"].items()
        },
    )
    tokenizer = TokenizerInfo(**{key: value for key, value in TOKENIZER.items() if key != "markers"})
    values = {"seed": config.seed, "sequence": config.sequence, "shard": config.shard, **changes}
    return Plan(PLAN_SCHEMA.empty_table(), header_of(*stages, drawn=drawn, tokenizer=tokenizer, **values))


def test_manifest_and_plan_of_one_build(config: Config) -> None:
    assert check_plan(manifest(), config, plan_of(config)) == []
    assert check_drawn(manifest(), plan_of(config)) == []


def changed(plan: Plan, **changes: Any) -> Plan:
    return dataclasses.replace(plan, header=dataclasses.replace(plan.header, **changes))


def phase(index: int, **changes: Any) -> Callable[[Plan], Plan]:
    """Changes a stage."""

    def change(plan: Plan) -> Plan:
        stages = list(plan.header.stages)
        stages[index] = dataclasses.replace(stages[index], **changes)
        return changed(plan, stages=stages)

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda plan: changed(plan, seed=1), "seed"),
        (lambda plan: changed(plan, sequence=Sequence(length=8, packing="concat")), "sequence"),
        (lambda plan: changed(plan, stages=plan.header.stages[::-1]), "phases"),
        (lambda plan: changed(plan, stages=plan.header.stages[:-1]), "phases"),
        (lambda plan: changed(plan, tokenizer=dataclasses.replace(plan.header.tokenizer, bos_id=None)), "tokenizer"),
        (phase(0, shards=2), "shards"),
        (phase(0, condition=Condition(**{**CONDITION, "template": "{url}"})), "phases"),
        (phase(0, select=[Selection(top=0.5, by="num_tokens")]), "phases"),
        (phase(1, order=None), "phases"),
        (phase(1, packing="best_fit"), "phases"),
        (phase(2, number=1), "phases"),
        (phase(3, mixture=Natural(method="natural")), "phases"),
        (phase(3, name="cool-75"), "phases"),
        (phase(0, values=FieldValues(top={"host": ["a"]})), "values"),
        (phase(3, branch=BranchPoint("cool", 0.5, "a", 0)), "branches"),
    ],
)
def test_a_plan_of_another_build(config: Config, change: Callable[[Plan], Plan], what: str) -> None:
    plan = change(plan_of(config))
    assert check_plan(manifest(), config, plan)[0] == f"_manifest.json: its {what} are not those of _plan.ipc"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"template": "{url}"}, "templates"),
        ({"packing": "concat"}, "packings"),
        ({"branch": {"of": "cool", "at": 0.5, "phase": "a", "shards": 1}}, "branches"),
        ({"values": None}, "values"),
        ({"name": "other"}, "phases"),
    ],
)
def test_a_manifest_of_another_build(config: Config, change: dict[str, Any], what: str) -> None:
    made = manifest()
    made.phases[0] = dataclasses.replace(made.phases[0], **change)
    assert check_plan(made, config, plan_of(config)) == [f"_manifest.json: its {what} are not those of _plan.ipc"]


def test_tokens_around_prefixes_of_another_build(config: Config) -> None:
    condition = {**CONDITION, "begin": "<a>", "end": "<b>"}
    marked = parse_config(
        {**VALUES, "phases": [{**VALUES["phases"][0], "condition": condition}, *VALUES["phases"][1:]]}, "test"
    )
    made = manifest()
    assert check_plan(made, marked, plan_of(marked)) == ["_manifest.json: its markers are not those of _plan.ipc"]
    made = dataclasses.replace(made, tokenizer={**TOKENIZER, "markers": {"<a>": 3, "<b>": 4}})
    assert check_plan(made, marked, plan_of(marked)) == []


def test_another_draw_than_the_plans(config: Config) -> None:
    plan = plan_of(config)
    plan.header.drawn.stages["b"]["dclm"][1] = Amount(1, 5)
    plan.header.drawn.used["c4"] = Amount(1, 9)
    cool = plan.header.stages[2].sources
    cool["c4"] = dataclasses.replace(cool["c4"], requested_share=0.75)
    assert check_drawn(manifest(), plan) == [
        "ledger, source c4: used is 2 documents with 10 tokens, the plan says 1 documents with 9 tokens",
        "ledger, phase b, source dclm: drawn is 1 documents with 2 tokens, the plan says 2 documents with 7 tokens",
        "ledger, phase cool-25: requested shares is {'c4': 1.0}, the plan says {'c4': 0.75}",
    ]


def test_a_branch_has_the_condition_of_its_stage(config: Config) -> None:
    values = {**VALUES, "branches": [{"name": "a", "at": 0.5, "condition": {**CONDITION, "template": "{url}"}}]}
    same_name = parse_config(values, "test")
    main = PhaseEntry("a", None, 1, 8, 5, 5, 5, {}, [])
    branch = dataclasses.replace(main, name="a-50", branch={"of": "a", "at": 0.5, "phase": "b", "shards": 0})
    found = [condition_of(same_name, entry) for entry in (main, branch)]
    assert [condition and condition.template for condition in found] == ["{host}", "{url}"]
    assert condition_of(config, manifest().phases[3]) is None


def test_which_sources_mask_tokens_of_their_own() -> None:
    sources = {
        "web": {"format": "jsonl", "path": "x"},
        "chats": {"format": "jsonl", "path": "x", "fields": {"messages": "m"}, "formatter": "chat"},
        "sums": {"format": "arithmetic", "arithmetic": {"digits": 2}},
    }
    assert sources_masking_own(parse_config({**VALUES, "sources": sources, "branches": []}, "test")) == {
        "chats",
        "sums",
    }
