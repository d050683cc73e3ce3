"""Manifest, configuration and plan of one build, and each of what they share made another."""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.plan import PLAN_SCHEMA, Plan
from byline.transforms.checks.plan import check_drawn, check_plan, condition_of, sources_masking_own
from tests.support.planned import TOKENIZER

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
LEDGER: dict[str, Any] = {
    "sources": {
        "c4": {"used": {"documents": 2, "tokens": 10}, "unused": {"selection": TWO}},
        "dclm": {"used": TWO, "unused": {"budget": ONE}},
    },
    "phases": {name: {"sources": {source: drawn}} for name, _, _, _, source, drawn in PARTS},
}


@pytest.fixture
def config() -> Config:
    return parse_config(VALUES, "test")


def manifest() -> Manifest:
    phases = []
    for name, _, packing, branch, source, _ in PARTS:
        shard = ShardEntry(f"{name}/00000-of-00001.arrow", 1, 5, 100, "00")
        shares = {source: {"requested": 1.0, "achieved": 1.0}}
        template = "{host}" if name == "a" else None
        phases.append(PhaseEntry(name, template, 1, 8, 5, shares, [shard], packing, branch, NO_VALUES))
    return Manifest(8, "int32", TOKENIZER, {}, "00", "0", 2, phases, copy.deepcopy(LEDGER))


def plan_of(config: Config) -> Plan:
    """A plan's header; nothing here looks at its rows."""
    values = config.model_dump(mode="json")
    header: dict[str, Any] = {
        **{key: values[key] for key in ("seed", "sequence", "shard")},
        "tokenizer": {key: value for key, value in TOKENIZER.items() if key != "markers"},
        "phases": [],
        "drawn": {
            "phases": {name: {source: {"0": drawn}} for name, _, _, _, source, drawn in PARTS},
            "used": {name: source["used"] for name, source in LEDGER["sources"].items()},
            "unused": {name: source["unused"] for name, source in LEDGER["sources"].items()},
        },
    }
    for name, stage, packing, branch, source, _ in PARTS:
        settings = config.stages[stage].model_dump(mode="json")
        entry = {key: settings[key] for key in ("condition", "select", "order")}
        entry |= {"name": name, "stage": stage, "packing": packing, "branch": branch, "values": NO_VALUES, "shards": 1}
        entry["mixture"] = config.mixture_of(config.stages[stage]).model_dump(mode="json")
        header["phases"].append({**entry, "sources": {source: {"requested_share": 1.0}}})
    return Plan(PLAN_SCHEMA.empty_table(), json.loads(json.dumps(header)))


def test_manifest_and_plan_of_one_build(config: Config) -> None:
    assert check_plan(manifest(), config, plan_of(config)) == []
    assert check_drawn(manifest(), plan_of(config)) == []


def phase(number: int, **changes: Any) -> Callable[[Plan], object]:
    return lambda plan: plan.header["phases"][number].update(changes)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda plan: plan.header.update(seed=1), "seed"),
        (lambda plan: plan.header["sequence"].update(packing="concat"), "sequence"),
        (lambda plan: plan.header["phases"].reverse(), "phases"),
        (lambda plan: plan.header["phases"].pop(), "phases"),
        (lambda plan: plan.header["tokenizer"].update(bos_id=None), "tokenizer"),
        (phase(0, shards=2), "shards"),
        (phase(0, condition={**CONDITION, "template": "{url}"}), "phases"),
        (phase(0, select=[{"top": 0.5}]), "phases"),
        (phase(1, order=None), "phases"),
        (phase(1, packing="best_fit"), "phases"),
        (phase(2, stage=1), "phases"),
        (phase(3, mixture={"method": "natural"}), "phases"),
        (phase(3, name="cool-75"), "phases"),
        (phase(0, values={"top": {"host": ["a"]}, "bins": {}}), "values"),
        (phase(3, branch={"of": "cool", "at": 0.5, "phase": "a", "shards": 0}), "branches"),
    ],
)
def test_a_plan_of_another_build(config: Config, change: Callable[[Plan], object], what: str) -> None:
    plan = plan_of(config)
    change(plan)
    assert check_plan(manifest(), config, plan)[0] == f"manifest.json: its {what} are not those of plan.arrow"


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
    assert check_plan(made, config, plan_of(config)) == [f"manifest.json: its {what} are not those of plan.arrow"]


def test_tokens_around_prefixes_of_another_build(config: Config) -> None:
    condition = {**CONDITION, "begin": "<a>", "end": "<b>"}
    marked = parse_config(
        {**VALUES, "phases": [{**VALUES["phases"][0], "condition": condition}, *VALUES["phases"][1:]]}, "test"
    )
    made = manifest()
    assert check_plan(made, marked, plan_of(marked)) == ["manifest.json: its markers are not those of plan.arrow"]
    made = dataclasses.replace(made, tokenizer={**TOKENIZER, "markers": {"<a>": 3, "<b>": 4}})
    assert check_plan(made, marked, plan_of(marked)) == []


def test_another_draw_than_the_plans(config: Config) -> None:
    plan = plan_of(config)
    plan.header["drawn"]["phases"]["b"]["dclm"]["1"] = {"documents": 1, "tokens": 5}
    plan.header["phases"][2]["sources"]["c4"]["requested_share"] = 0.75
    plan.header["drawn"]["used"]["c4"] = {"documents": 1, "tokens": 9}
    assert check_drawn(manifest(), plan) == [
        "ledger, source c4: used is {'documents': 2, 'tokens': 10}, the plan says {'documents': 1, 'tokens': 9}",
        "ledger, phase b, source dclm: drawn is {'documents': 1, 'tokens': 2}, the plan says "
        "{'documents': 2, 'tokens': 7}",
        "ledger, phase cool-25: requested shares is {'c4': 1.0}, the plan says {'c4': 0.75}",
    ]


def test_a_branch_has_the_condition_of_its_stage(config: Config) -> None:
    values = {**VALUES, "branches": [{"name": "a", "at": 0.5, "condition": {**CONDITION, "template": "{url}"}}]}
    same_name = parse_config(values, "test")
    main = PhaseEntry("a", None, 1, 8, 5, {}, [])
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
