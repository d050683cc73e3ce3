"""Mixtures by labels, built: the ledger has the labels, `verify` recounts them, two workers write the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

import byline
from byline.schemas.ledger import DrawCounts, Ledger
from tests.support.builds import build, copy_build, digests, manifest_of, verify, write_manifest
from tests.support.corpora import Corpus, recipe

MIXTURE = {"method": "weights", "by": "num_bytes", "bins": 3, "weights": ["0.2", "0.3", "0.5"]}
CHANGES = {
    "mixture": MIXTURE,
    "tokens": 8000,
    "shortage": "repeat",
    "branches": [{"name": "anneal", "at": 0.5, "share": 0.2, "mixture": {"by": "suffix", "weights": {"null": 1}}}],
    "holdout": {"share": "1/8"},
}


@pytest.fixture(scope="module")
def by_label(make_build: Callable[..., Path]) -> Path:
    return make_build(**CHANGES)


def test_the_ledger_has_labels(by_label: Path) -> None:
    manifest = byline.read_manifest(by_label)
    ledger = Ledger.from_json(manifest.ledger)
    labels = {phase.name: sorted(phase.labels or ()) for phase in manifest.phases}
    assert labels == {
        "conditioned": ["0", "1", "2"],
        "cooldown": ["0", "1", "2"],
        "anneal-50": ["null"],
        "holdout": [],
    }
    for phase in manifest.phases:
        of_phase = ledger.phases[phase.name]
        assert sorted(of_phase.labels) == labels[phase.name]
        if phase.labels:
            sums = [sum(counts.values(), DrawCounts()) for counts in (of_phase.sources, of_phase.labels)]
            assert sums[0] == sums[1]
    conditioned = manifest.phases[0].labels
    assert conditioned is not None
    assert {label: shares["requested"] for label, shares in conditioned.items()} == pytest.approx(
        {"0": 0.2, "1": 0.3, "2": 0.5}, abs=0.01
    )
    assert sum(shares["achieved"] for shares in conditioned.values()) == pytest.approx(1)


def test_verify_recounts_them(by_label: Path) -> None:
    status, found = verify(by_label)
    assert status == 0, found


@pytest.mark.parametrize("bare", [False, True])
def test_a_document_of_another_label(by_label: Path, tmp_path: Path, bare: bool) -> None:
    out = copy_build(by_label, tmp_path / "shards", bare=bare)
    values = manifest_of(out)
    labels = values["ledger"]["phases"]["conditioned"]["labels"]
    labels["0"]["documents"] -= 1
    labels["1"]["documents"] += 1
    write_manifest(out, values)
    status, found = verify(out)
    assert status == 1
    assert "ledger, phase conditioned: label 0: documents" in found
    assert "phase conditioned, label 1: drawn" in found


def test_labels_that_do_not_sum_to_the_sources(by_label: Path, tmp_path: Path) -> None:
    out = copy_build(by_label, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    values["ledger"]["phases"]["cooldown"]["labels"]["2"]["positions"] += 5
    write_manifest(out, values)
    status, found = verify(out)
    assert status == 1
    assert "of all sources, its labels sum to" in found


def test_the_same_shards_with_two_workers(by_label: Path, corpus: Corpus, tmp_path: Path) -> None:
    again = build(recipe(corpus, tmp_path, store=str(by_label.parent / "store"), **CHANGES), workers=2)
    assert digests(again) == digests(by_label)


def test_columns_of_attributes_are_labels(corpus: Corpus, tmp_path: Path) -> None:
    columns = {"characters": "int", "is_long": "bool", "size": "string"}
    function = {"kind": "function", "function": "tests.support.attribute_functions:sizes", "columns": columns}
    phases = [
        {
            "name": "sizes",
            "share": "1/2",
            "mixture": {"by": "size", "weights": {"long": "1/2", "short": "1/4", "null": "1/4"}},
        },
        {"name": "flags", "share": "1/2", "mixture": {"by": "is_long", "weights": {"true": "0.8", "false": "0.2"}}},
    ]
    values = recipe(corpus, tmp_path, classifiers=None, phases=phases, tokens=4000, shortage="repeat", branches=[])
    values["mixture"] = {"method": "natural", "by": "characters", "bins": 2}
    out = build({**values, "attributes": {"sizes": function}, "sequence": {"length": 64, "packing": "concat"}})
    labels = [phase.labels for phase in byline.read_manifest(out).phases]
    assert [sorted(own or ()) for own in labels] == [["long", "null", "short"], ["false", "true"]]
    assert labels[1] is not None
    assert labels[1]["true"]["achieved"] == pytest.approx(0.8, abs=0.05)
    status, found = verify(out)
    assert status == 0, found
