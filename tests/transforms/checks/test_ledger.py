"""The ledger's arithmetic on a build of two documents, written down by hand, and each of its numbers made false.

```
L = 8, document_start     .pp12345   678| discarded      c4, conditioned: BOS, 2 tokens of prefix, 8 of its own, EOS
                          .ab|____                       dclm, in the cooldown
```
"""

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from byline.manifest import Manifest, PhaseEntry, ShardEntry
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.field_counts import FieldCounts
from byline.schemas.ledger import Amount, DrawCounts, PhaseLedger, SourceLedger
from byline.schemas.store import RunInfo
from byline.transforms.checks.ledger import check_phase, check_sources, misfits, shard_misfits
from byline.transforms.checks.reports import ShardCounts, SourceCounts
from tests.support.planned import TOKENIZER
from tests.support.shards import LOSS_TOKENS

NAMES = [("c4", "a.gz"), ("dclm", "b.zst")]
RECORDS = np.array([4, 3])
CONDITION = {"template": "{host}", "position": "before", "dropout": 0.0, "unknown": "unknown", "salt": "byline"}
VALUES: dict[str, Any] = {
    "sources": {name: {"format": "jsonl", "path": "x"} for name in ("c4", "dclm")},
    "tokenizer": {"file": "t.json", "bos": "<s>", "eos": "</s>"},
    "sequence": {"length": 8},
    "tokens": 16,
    "phases": [{"name": "a", "share": 0.5, "condition": CONDITION}, {"name": "b", "share": 0.5}],
}
A: dict[str, Any] = {
    "documents": 1,
    "tokens": 8,
    "prefix_tokens": 2,
    "special_tokens": 2,
    "positions": 8,
    "loss_tokens": 5,
    "discarded": {"cut": 4},
    "conditioned": 1,
    "prefix_too_long": 0,
}
B = {**A, "tokens": 2, "prefix_tokens": 0, "positions": 4, "loss_tokens": 4, "discarded": {}, "conditioned": 0}
KEPT = {"documents": 2, "tokens": 12, "bytes": 40}
FIELDS = {name: {"known": 1, "null": 1, "unknown": 0} for name in ("url", "host", "registered_domain")}
LEDGER: dict[str, Any] = {
    "sources": {
        "c4": {
            "read": {"documents": 4, "bytes": 50},
            "dropped": {"empty_text": 2},
            "kept": KEPT,
            "used": {"documents": 1, "tokens": 8},
            "unused": {"selection": {"documents": 1, "tokens": 4}},
            "special_text": 0,
            "damaged": 0,
            "fields": FIELDS,
        },
        "dclm": {
            "read": {"documents": 3, "bytes": 50},
            "dropped": {"missing_text": 1},
            "kept": KEPT,
            "used": {"documents": 1, "tokens": 2},
            "unused": {"budget": {"documents": 1, "tokens": 10}},
            "special_text": 0,
            "damaged": 0,
            "fields": FIELDS,
        },
    },
    "phases": {"a": {"sources": {"c4": A}, "padding": 0}, "b": {"sources": {"dclm": B}, "padding": 4}},
}
SAID = {name: PhaseLedger.from_json(values) for name, values in LEDGER["phases"].items()}


def phase(name: str, source: str, loss: int) -> PhaseEntry:
    shard = ShardEntry(f"{name}/00000-of-00001.arrow", 1, loss, loss, loss, 100, "00")
    template = "{host}" if name == "a" else None
    return PhaseEntry(name, template, 1, 8, loss, loss, loss, {source: {"requested": 1.0, "achieved": 1.0}}, [shard])


def manifest() -> Manifest:
    phases = [phase("a", "c4", 5), phase("b", "dclm", 4)]
    return Manifest(8, "int32", TOKENIZER, {}, "00", "0", 2, "00", phases, copy.deepcopy(LEDGER))


@pytest.fixture
def config() -> Config:
    return parse_config(VALUES, "test")


def counts(source: str, positions: int, loss: int, conditioned: int, padding: int) -> ShardCounts:
    return ShardCounts(1, padding, loss, loss, loss, {source: SourceCounts(positions, loss, 1, conditioned)})


COUNTED = {"a": counts("c4", 8, 5, 1, 0), "b": counts("dclm", 4, 4, 0, 4)}


def problems(made: Manifest, config: Config, said: dict[str, PhaseLedger] = SAID) -> list[str]:
    found = check_sources(made, config, NAMES, RECORDS)
    for entry in made.phases:
        found += check_phase(made, config, entry, [COUNTED[entry.name]], [said[entry.name]])
    return found


def test_the_hand_written_build_is_right(config: Config) -> None:
    assert misfits(manifest()) == []
    assert problems(manifest(), config) == []


def set_at(value: Any, where: str, to: Any) -> None:
    *way, last = where.split(".")
    for key in way:
        value = value[key]
    value[last] = to


@pytest.mark.parametrize(
    ("where", "to", "problem"),
    [
        ("sources.c4.read.documents", 5, "ledger, source c4: 5 documents read, its lines sum to 4"),
        ("sources.c4.read.documents", 5, "ledger, source c4: 5 documents read, _inputs.ipc has 4 records"),
        ("sources.c4.dropped.empty_text", 1, "ledger, source c4: 4 documents read, its lines sum to 3"),
        ("sources.c4.kept.documents", 3, "ledger, source c4: 3 documents kept, its lines sum to 2"),
        ("sources.c4.kept.tokens", 13, "ledger, source c4: 13 tokens kept, its lines sum to 12"),
        ("sources.dclm.unused.budget.tokens", 9, "ledger, source dclm: 12 tokens kept, its lines sum to 11"),
        ("sources.dclm.used.documents", 2, "ledger, source dclm: 2 documents used, 1 drawn"),
        ("sources.c4.fields.host.known", 2, "ledger, source c4: 2 documents kept, 3 counted by field 'host'"),
        (
            "sources.c4.fields",
            {"url": FIELDS["url"]},
            "ledger, source c4: counts of the fields ['url'], it has ['host', 'registered_domain', 'url']",
        ),
        ("phases.b.padding", 3, "phase b: the manifest says 3 padding, the shards have 4"),
        ("phases.b.padding", 3, "phase b: the manifest says 7 positions and padding, the shards have 8"),
        ("phases.b.padding", 3, "ledger, phase b: 3 padding, the shards say 4"),
        ("phases.a.sources.c4.positions", 9, "ledger, phase a, source c4: 9 positions, the shards have 8"),
        ("phases.a.sources.c4.positions", 9, "ledger, phase a: source c4: positions 9, the shards say 8"),
        (
            "phases.a.sources.c4.tokens",
            9,
            "ledger, phase a, source c4: tokens, prefixes and BOS/EOS are not positions and discarded tokens",
        ),
        ("phases.a.sources.c4.loss_tokens", 6, "ledger, phase a, source c4: 6 loss tokens, the shards have 5"),
        ("phases.a.sources.c4.documents", 2, "ledger, phase a, source c4: 2 documents, the shards have 1"),
        ("phases.a.sources.c4.documents", 2, "ledger, phase a, source c4: 2 BOS and EOS, 2 documents have 2 each"),
        (
            "phases.a.sources.c4.conditioned",
            0,
            "ledger, phase a, source c4: 0 conditioned documents, the shards have 1",
        ),
        ("phases.a.sources.c4.prefix_too_long", 2, "ledger, phase a, source c4: 2 long prefixes, 1 conditioned of 1"),
        (
            "phases.a.sources.c4.prefix_tokens",
            1,
            "ledger, phase a, source c4: 3 masked positions, its prefixes and their BOS are 2",
        ),
        (
            "phases.b.sources.dclm.prefix_tokens",
            1,
            "ledger, phase b, source dclm: 1 tokens of prefixes in a phase without a condition",
        ),
    ],
)
def test_a_false_number(config: Config, where: str, to: int, problem: str) -> None:
    made = manifest()
    set_at(made.ledger, where, to)
    assert problem in problems(made, config)


def test_a_shard_that_says_other_counts_than_the_ledger(config: Config) -> None:
    said = {
        "a": said_of(c4={**A, "discarded": {"cut": 3, "other": 1}}),
        "b": PhaseLedger({**SAID["b"].sources, "c4": DrawCounts(**A)}, padding=4),
    }
    assert problems(manifest(), config, said)[:1] == [
        "ledger, phase a: source c4: discarded {'cut': 4}, the shards say {'cut': 3, 'other': 1}"
    ]
    assert "ledger, phase b: source c4: documents 0, the shards say 1" in problems(manifest(), config, said)


def test_only_document_start_discards(config: Config) -> None:
    """By the phase's own packing."""
    concat = dataclasses.replace(manifest().phases[0], packing="concat")
    found = check_phase(manifest(), config, concat, [COUNTED["a"]], [SAID["a"]])
    assert found == ["ledger, phase a, source c4: {'cut': 4} discarded, where concat discards nothing"]


# ---------------------------------------------------------------------------------------------------------- loss spans


@pytest.fixture
def masking() -> Config:
    """As `config`, and documents of c4 may mask tokens of their own."""
    formatted = {**VALUES["sources"]["c4"], "fields": {"messages": "m"}, "formatter": "chat"}
    return parse_config({**VALUES, "sources": {**VALUES["sources"], "c4": formatted}}, "test")


def said_of(padding: int = 0, **sources: dict[str, Any]) -> PhaseLedger:
    return PhaseLedger.from_json({"sources": sources, "padding": padding})


def with_loss(loss: int) -> tuple[Manifest, ShardCounts, PhaseLedger]:
    """A document of BOS, 2 tokens of prefix, 4 of its own and EOS, of which so many positions are trained."""
    made = manifest()
    lines = {**A, "tokens": 4, "discarded": {}, "loss_tokens": loss}
    made.ledger["phases"]["a"]["sources"]["c4"] = lines
    made.phases[0] = dataclasses.replace(made.phases[0], **dict.fromkeys(LOSS_TOKENS, loss))
    return made, counts("c4", 8, loss, 1, 0), said_of(c4=lines)


@pytest.mark.parametrize(
    ("loss", "plain", "spans"),
    # EOS is always trained, and the prefix and its BOS never.
    [(5, True, True), (4, False, True), (1, False, True), (0, False, False), (6, False, False)],
)
def test_only_sources_with_loss_spans_may_mask_more_than_prefixes(
    config: Config, masking: Config, loss: int, plain: bool, spans: bool
) -> None:
    made, counted, said = with_loss(loss)
    for known, is_right in ((config, plain), (masking, spans)):
        found = check_phase(made, known, made.phases[0], [counted], [said])
        wrong = f"ledger, phase a, source c4: {8 - loss} masked positions, its prefixes and their BOS are 3"
        assert found == ([] if is_right else [wrong])


def test_without_bos_a_masked_first_token_may_be_a_prefix_or_not(config: Config, masking: Config) -> None:
    made = manifest()
    made = dataclasses.replace(made, tokenizer={**TOKENIZER, "bos_id": None})
    unconditioned = {**A, "prefix_tokens": 0, "special_tokens": 1, "discarded": {"cut": 1}, "conditioned": 0}
    made.ledger["phases"]["a"]["sources"]["c4"] = unconditioned
    said = said_of(c4=unconditioned)
    found = check_phase(made, masking, made.phases[0], [COUNTED["a"]], [said])
    assert found == []
    assert "ledger, phase a, source c4: 0 conditioned documents, the shards have 1" in check_phase(
        made, config, made.phases[0], [COUNTED["a"]], [said]
    )
    unconditioned["conditioned"] = 2
    found = check_phase(made, masking, made.phases[0], [COUNTED["a"]], [said_of(c4=unconditioned)])
    assert "ledger, phase a, source c4: 2 conditioned documents, the shards have 1" in found


def test_what_is_cut_may_be_masked(config: Config) -> None:
    """BOS and one token of a prefix of 6 are left of a document; 4 more of the prefix and the rest are discarded."""
    made = manifest()
    cut = {**A, "prefix_tokens": 6, "positions": 2, "loss_tokens": 0, "discarded": {"cut": 14}}
    made.ledger["phases"]["a"]["sources"]["c4"] = cut
    counted = counts("c4", 2, 0, 1, 6)
    found = check_phase(made, config, made.phases[0], [counted], [said_of(c4=cut)])
    assert not [problem for problem in found if "masked positions" in problem]
    cut["discarded"], cut["prefix_tokens"] = {"cut": 4}, 6
    found = check_phase(made, config, made.phases[0], [counted], [said_of(c4=cut)])
    assert "ledger, phase a, source c4: 2 masked positions, its prefixes and their BOS are 7" in found


def test_a_false_share(config: Config) -> None:
    made = manifest()
    made.phases[0].mixture["c4"]["achieved"] = 0.5
    made.phases[0].mixture["dclm"] = {"requested": 0.0, "achieved": 0.0}
    assert problems(made, config) == [
        "ledger, phase a, source c4: the manifest's achieved share is 0.5, that of the shards 1.0"
    ]


# ----------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("where", "to", "misfit"),
    [
        ("sources.c4.kept", [], "_manifest.json: ledger.sources.c4.kept: expected a mapping, found []"),
        ("sources.c4.kept.tokens", 1.0, "_manifest.json: ledger.sources.c4.kept.tokens: expected int, found 1.0"),
        ("sources.c4.special_text", True, "_manifest.json: ledger.sources.c4.special_text: expected int, found True"),
        (
            "sources.c4.dropped.malformed",
            None,
            "_manifest.json: ledger.sources.c4.dropped.malformed: expected int, found None",
        ),
        (
            "phases.a.sources.c4.discarded",
            {"cut": "4"},
            "_manifest.json: ledger.phases.a.sources.c4.discarded.cut: expected int, found '4'",
        ),
        ("phases.a.sources", {"c4": {}}, "_manifest.json: ledger.phases.a.sources.c4: no key 'documents'"),
        ("phases", {"a": LEDGER["phases"]["a"]}, "_manifest.json: ledger.phases: no key 'b'"),
    ],
)
def test_a_manifest_of_another_shape(where: str, to: Any, misfit: str) -> None:
    made = manifest()
    set_at(made.ledger, where, to)
    assert misfits(made)[:1] == [misfit]


def test_a_branch_of_another_shape() -> None:
    made = manifest()
    assert misfits(made) == []
    made.phases[0] = dataclasses.replace(made.phases[0], branch={"of": "c", "at": 1, "phase": "a", "shards": "2"})
    assert misfits(made) == ["_manifest.json: phases.0.branch.shards: expected int, found '2'"]


def test_what_a_shard_says_has_a_shape_too() -> None:
    made = manifest()
    assert shard_misfits({"counts": {"c4": A}, "padding": 0}, made) == []
    said = {"counts": {}, "padding": 0, "domains": {"a": 1, "b": "2"}}
    assert shard_misfits(said, made) == ["its metadata: domains.b: expected int, found '2'"]
    assert shard_misfits({"padding": 1}, made) == ["its metadata: no key 'counts'"]
    assert shard_misfits({"counts": {}, "padding": "1"}, made) == ["its metadata: padding: expected int, found '1'"]


# ------------------------------------------------------------------------------------------------------------- sums


def test_totals_of_runs() -> None:
    def run(chunk: int, dropped: dict[str, int]) -> RunInfo:
        fields = {"url": FieldCounts(4, 3, 0), "host": FieldCounts(2, 3, 2)}
        return RunInfo("f", "c4", "a.gz", chunk, False, 9, 10, 100, dropped, 2, 7, 90, 30, [], fields=fields)

    runs = [run(0, {"empty_text": 3}), run(1, {"empty_text": 1, "malformed": 2})]
    assert SourceLedger.of(runs, Amount(9, 50), {"budget": Amount(5, 10)}).to_json() == {
        "read": {"documents": 20, "bytes": 200},
        "dropped": {"empty_text": 4, "malformed": 2},
        "kept": {"documents": 14, "tokens": 60, "bytes": 180},
        "used": {"documents": 9, "tokens": 50},
        "unused": {"budget": {"documents": 5, "tokens": 10}},
        "special_text": 4,
        "damaged": 0,
        "fields": {"url": {"known": 8, "null": 6, "unknown": 0}, "host": {"known": 4, "null": 6, "unknown": 4}},
    }
