"""Plans of a small token store, held against slow counts of the same documents; without Beam."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.ledger import Amount, DrawCounts
from byline.schemas.plan import PLAN_VERSION, Drawn, Plan, read_plan
from byline.schemas.planned_stage import BranchPoint
from byline.transforms.packing import POLICIES
from byline.transforms.plans import planning
from byline.transforms.plans.plan_header import inputs_sha256
from byline.transforms.plans.planning import make_plan
from byline.transforms.shards.manifest_writing import check_draws
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.reference import selection
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

LENGTH = 32
CONDITION = {"template": "{host}\n", "unknown": "?", "dropout": "0.25"}
TWO_PHASES: list[dict[str, Any]] = [
    {"name": "conditioned", "share": "0.75", "condition": CONDITION},
    {"name": "cooldown", "share": "0.25"},
]


def rows_of(count: int, step: int) -> list[StoredRow]:
    """Documents of 1 to 90 tokens; every fifth without a host or a score, scores with many ties."""
    return [
        StoredRow(
            row,
            [(row + at) % 300 for at in range(1 + row * step % 90)],
            host=None if row % 5 == 0 else ("a.org", "bb.example.org", "q" * 40)[row % 3],
            quality=None if row % 5 == 1 else (row % 4) / 4,
        )
        for row in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("planning")
    small.tokenizer_file(made)
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> SmallStore:
    files = {("a", "x"): rows_of(70, 7), ("a", "y"): [], ("b", "x"): rows_of(40, 11), ("a", "z"): rows_of(30, 13)}
    return small.write_store(folder, files)


def config_of(folder: Path, **changes: Any) -> Config:
    values = {"sequence": {"length": LENGTH}, "shard": {"sequences": 16}, "phases": TWO_PHASES, "allow_empty": ["b"]}
    return small.small_config(folder, **{**values, **changes})


def selected(store: SmallStore, source: str, share: str, count: str) -> set[int]:
    """Doc ids of the best documents of a source."""
    mine = [document for document in store.documents if document.source == source]
    scored = [
        selection.Scored(document.numbers["quality"], document.shuffle_key, len(document.tokens)) for document in mine
    ]
    return {mine[index].doc_id for index in selection.top_share(scored, Fraction(share), count)}


@pytest.mark.parametrize("count", ["documents", "tokens"])
@pytest.mark.parametrize("top", ["1", "0.9", "0.7", "0.31", "0.02"])
def test_a_phase_draws_the_best_share_of_each_source(folder: Path, store: SmallStore, top: str, count: str) -> None:
    select = {"top": top, "by": "quality", "count": count}
    plan = small.plan_of(config_of(folder, phases=[{"name": "only", "share": 1, "select": select}]), store)
    drawn = [use for uses in slow_shards.drawn_by(plan, store.documents).values() for use in uses]
    for source in "ab":
        assert {use.doc_id for use in drawn if use.source == source} == selected(store, source, top, count)
    assert len(drawn) == len({use.doc_id for use in drawn})


def test_each_phase_has_its_own_selection(folder: Path, store: SmallStore) -> None:
    phases = [
        {**phase, "select": {"top": top, "by": "quality"}}
        for phase, top in zip(TWO_PHASES, ("0.9", "0.3"), strict=True)
    ]
    plan = small.plan_of(config_of(folder, phases=phases), store)
    for (phase, _), uses in slow_shards.drawn_by(plan, store.documents).items():
        for source in "ab":
            allowed = selected(store, source, "0.9" if phase == "conditioned" else "0.3", "documents")
            assert {use.doc_id for use in uses if use.source == source} <= allowed


def recipes(folder: Path) -> list[Config]:
    mixed = {"tokens": 60 * LENGTH, "mixture": {"a": "0.7", "b": "0.3"}}
    after = [{**TWO_PHASES[0], "condition": {**CONDITION, "position": "after"}}, TWO_PHASES[1]]
    return [
        *(config_of(folder, sequence={"length": LENGTH, "packing": packing}, **mixed) for packing in POLICIES),
        *(config_of(folder, sequence={"length": LENGTH, "packing": packing}) for packing in POLICIES),
        config_of(folder, phases=after, seed=3, **mixed),
        config_of(folder, tokens=400 * LENGTH, mixture={"a": "0.2", "b": "0.8"}, shortage="repeat"),
    ]


def test_what_the_plan_expects_is_what_the_reference_packs(folder: Path, store: SmallStore) -> None:
    for config in recipes(folder):
        plan = small.plan_of(config, store)
        shards = slow_shards.reference_shards(plan, config, store.documents)
        for phase in plan.header.stages:
            mine = [shard for (name, _), shard in shards.items() if name == phase.name]
            assert phase.expected_rows == sum(len(shard.rows) for shard in mine)
            for source, found in phase.sources.items():
                packed = sum(shard.counts.get(source, {"positions": 0})["positions"] for shard in mine)
                assert found.expected_positions == packed


def test_what_the_plan_counts_is_what_is_drawn(folder: Path, store: SmallStore) -> None:
    for config in recipes(folder):
        plan = small.plan_of(config, store)
        uses = [
            (phase, use) for (phase, _), some in slow_shards.drawn_by(plan, store.documents).items() for use in some
        ]
        drawn = plan.header.drawn
        for phase in ("conditioned", "cooldown"):
            for source in "ab":
                for epoch in range(10):
                    mine = [u for p, u in uses if (p, u.source, u.epoch) == (phase, source, epoch)]
                    counted = drawn.stages[phase].get(source, {}).get(epoch, Amount())
                    assert counted == Amount(len(mine), sum(len(use.tokens) for use in mine))
        _check_used(store, drawn, {use.doc_id for _, use in uses})


def _check_used(store: SmallStore, drawn: Drawn, used: set[int]) -> None:
    for source in "ab":
        mine = [document for document in store.documents if document.source == source]
        used_of = drawn.used.get(source, Amount())
        total = sum(drawn.unused.get(source, {}).values(), used_of)
        assert total == Amount(len(mine), sum(len(document.tokens) for document in mine))
        assert used_of.documents == sum(document.doc_id in used for document in mine)


def test_unused_documents_by_reason(folder: Path, store: SmallStore) -> None:
    phases = [{"name": "only", "share": 1, "select": {"top": "0.5", "by": "quality"}}]
    plan = small.plan_of(config_of(folder, phases=phases, tokens=20 * LENGTH, mixture={"a": 1}), store)
    best = len(selected(store, "a", "0.5", "documents"))
    used, unused = plan.header.drawn.used, plan.header.drawn.unused
    assert 0 < used["a"].documents < best
    assert unused["a"]["selection"].documents == 100 - best
    assert unused["a"]["budget"].documents == best - used["a"].documents
    assert unused["b"]["mixture"].documents == 40
    assert "b" not in used
    assert set(plan.table["source"].to_pylist()) == {"a"}


def test_all_takes_every_document_once(folder: Path, store: SmallStore) -> None:
    for packing in POLICIES:
        plan = small.plan_of(config_of(folder, sequence={"length": LENGTH, "packing": packing}), store)
        drawn = [use.doc_id for uses in slow_shards.drawn_by(plan, store.documents).values() for use in uses]
        assert sorted(drawn) == sorted(document.doc_id for document in store.documents)


def test_no_document_of_one_phase_is_in_another_within_an_epoch(folder: Path, store: SmallStore) -> None:
    for config in recipes(folder):
        plan = small.plan_of(config, store)
        uses = [(u.doc_id, u.epoch) for some in slow_shards.drawn_by(plan, store.documents).values() for u in some]
        assert len(uses) == len(set(uses))


def test_rows_are_in_order_and_as_many_shards_as_said(folder: Path, store: SmallStore) -> None:
    for config in recipes(folder):
        plan = small.plan_of(config, store)
        order = {phase.name: number for number, phase in enumerate(config.phases)}
        keys = [
            (order[row["phase"]], row["shard"], row["slice"], row["source"], row["epoch"], row["shuffle_key_lo"])
            for row in plan.table.to_pylist()
        ]
        assert keys == sorted(keys)
        for phase in plan.header.stages:
            assert phase.shards >= math.ceil(phase.expected_rows / config.shard.sequences) - 1
        assert {(row["phase"], row["shard"]) for row in plan.table.to_pylist()} == {key[:2] for key in plan.shards()}


def test_the_plan_does_not_depend_on_the_order_of_runs(folder: Path, store: SmallStore) -> None:
    for config in recipes(folder)[:2]:
        again = replace(store, runs=store.runs[::-1])
        assert small.plan_of(config, again).to_bytes() == small.plan_of(config, store).to_bytes()


def test_another_seed_draws_other_documents(folder: Path, store: SmallStore) -> None:
    recipe = {"tokens": 20 * LENGTH, "mixture": {"a": 1}}
    one, other = (small.plan_of(config_of(folder, seed=seed, **recipe), store) for seed in (0, 1))
    drawn = [
        {use.doc_id for uses in slow_shards.drawn_by(plan, store.documents).values() for use in uses}
        for plan in (one, other)
    ]
    assert drawn[0] != drawn[1]


def test_a_plan_reads_back(folder: Path, store: SmallStore, tmp_path: Path) -> None:
    plan = small.plan_of(config_of(folder), store)
    found = read_plan(plan.to_bytes(), "_plan.ipc")
    assert found.table.equals(plan.table)
    assert found.header == plan.header
    assert found.sha256 == plan.sha256
    assert found.shards() == plan.shards()
    with pytest.raises(BylineError, match=r"^_plan\.ipc: not an Arrow IPC file"):
        read_plan(b"no plan", "_plan.ipc")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (PLAN_VERSION - 1, r"delete this build or choose another `output`, and build again$"),
        (PLAN_VERSION + 1, r"a newer Byline wrote it, so update this one$"),
    ],
)
def test_a_plan_of_another_version(folder: Path, store: SmallStore, version: int, message: str) -> None:
    content = small.plan_of(config_of(folder), store).to_bytes()
    other = content.replace(f'"version": {PLAN_VERSION}'.encode(), f'"version": {version}'.encode())
    with pytest.raises(BylineError, match=rf"^_plan\.ipc: not a plan of version {PLAN_VERSION} .*{message}"):
        read_plan(other, "_plan.ipc")


def test_draws_are_held_against_the_plan(folder: Path, store: SmallStore) -> None:
    plan = small.plan_of(config_of(folder), store)
    drawn = plan.header.drawn.draws_of("cooldown", "a")
    check_draws(plan, "cooldown", "a", DrawCounts(drawn.documents, drawn.tokens))
    check_draws(plan, "cooldown", "c", DrawCounts())
    with pytest.raises(BylineError, match=r"^phase cooldown, source a: the plan draws .* it has changed since"):
        check_draws(plan, "cooldown", "a", DrawCounts(drawn.documents, drawn.tokens + 1))


def test_the_sum_over_inputs_tells_stores_apart(store: SmallStore) -> None:
    runs = store.runs
    assert inputs_sha256(runs) == inputs_sha256(runs[::-1])
    for change in ({"path": "w"}, {"rows": 1}, {"tokens": 1}, {"input_size": 1}, {"chunk": 1}):
        assert inputs_sha256([replace(runs[0], **change), *runs[1:]]) != inputs_sha256(runs)


def no_runs(folder: Path, config: Config) -> Plan:
    return make_plan(
        config, tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer), [], small.local_scan([])
    )


def test_nothing_to_plan(folder: Path) -> None:
    with pytest.raises(
        BylineError, match=r"^phases\.conditioned: it selects no document of any source; check the paths and"
    ):
        no_runs(folder, config_of(folder))
    with pytest.raises(BylineError, match=r"^phases\.conditioned: it selects no document of source 'a'"):
        no_runs(folder, config_of(folder, mixture={"a": 1}))


def test_the_header_has_an_entry_for_each_phase_and_each_point_of_a_branch(folder: Path, store: SmallStore) -> None:
    order = {"by": "num_tokens", "bins": 2}
    phases = [{**TWO_PHASES[0], "order": order}, {**TWO_PHASES[1], "packing": "concat", "mixture": {"a": 1}}]
    branch = {"name": "anneal", "at": ["0.5", "1"], "share": "0.2", "mixture": {"b": 1}}
    config = config_of(folder, phases=phases, branches=[branch], tokens=60 * LENGTH, shard={"sequences": 20})
    entries = small.plan_of(config, store).header.stages
    assert [(entry.name, entry.number) for entry in entries] == [
        ("conditioned", 0),
        ("cooldown", 1),
        ("anneal-50", 2),
        ("anneal-100", 2),
    ]
    assert [entry.branch for entry in entries] == [
        None,
        None,
        BranchPoint("anneal", 0.5, "conditioned", 2),
        BranchPoint("anneal", 1.0, "cooldown", 1),
    ]
    assert [entry.packing for entry in entries] == ["document_start", "concat", "document_start", "document_start"]
    assert [entry.mixture.method for entry in entries] == ["natural", "weights", "weights", "weights"]
    assert [entry.order and entry.order.bins for entry in entries] == [2, None, None, None]
    assert [sorted(entry.sources) for entry in entries] == [["a", "b"], ["a"], ["b"], ["b"]]
    # The branch cuts 45 rows at 24, and 15 at 3, the bins 45 at the half; shards are of at most 20.
    assert [(entry.shards, entry.slices) for entry in entries] == [(4, 5), (2, 2), (1, 1), (1, 1)]
    for entry in entries:
        for source in entry.sources.values():
            assert source.epochs == tuple(point / 2**64 for point in source.points)
        assert sum(source.requested_share for source in entry.sources.values()) == pytest.approx(1)
        assert entry.timeline[-1].end == 1


def test_equal_predicates_stand_in_the_header_once(folder: Path, store: SmallStore) -> None:
    select = [{"deny": {"host": ["a.org"]}}, {"top": "0.5", "by": "quality"}]
    phases = [{**phase, "select": select} for phase in TWO_PHASES]
    phases[1]["order"] = {"by": "num_tokens", "bins": 2}
    plan = small.plan_of(config_of(folder, phases=phases), store)
    assert [predicate.field for predicate in plan.header.predicates] == [
        *("host", "quality", "quality"),
        *("num_tokens", "num_tokens", "num_tokens", "num_tokens"),
    ]
    numbers = {(row["phase"], row["source"]): row["predicates"] for row in plan.table.to_pylist()}
    taken = {key: plan.header.conjunctions[number] for key, number in numbers.items()}
    assert (taken["conditioned", "a"], taken["conditioned", "b"]) == ([0, 1], [0, 2])
    for source, quality in (("a", 1), ("b", 2)):
        bins = {
            tuple(plan.header.conjunctions[row["predicates"]])
            for row in plan.table.to_pylist()
            if (row["phase"], row["source"]) == ("cooldown", source)
        }
        assert len(bins) == 2
        assert {found[:2] for found in bins} == {(0, quality)}


def test_an_order_takes_documents_with_the_number_alone(folder: Path, store: SmallStore) -> None:
    phase = {"name": "only", "share": 1, "order": {"by": "quality", "bins": 3}}
    bins = {"template": "{quality} {num_tokens}\n", "unknown": "?", "bins": {"quality": 2, "num_tokens": 3}}
    plan = small.plan_of(config_of(folder, phases=[{**phase, "condition": bins}]), store)
    drawn = [use for uses in slow_shards.drawn_by(plan, store.documents).values() for use in uses]
    numbered = [document for document in store.documents if document.numbers["quality"] is not None]
    assert sorted(use.doc_id for use in drawn) == sorted(document.doc_id for document in numbered)
    # They are those that the phase selects, so bins are of them, too.
    assert plan.header.stages[0].values.bins == {
        "quality": selection.bin_borders([document.numbers["quality"] for document in numbered], 2),
        "num_tokens": selection.bin_borders([document.numbers["num_tokens"] for document in numbered], 3),
    }
    assert plan.header.drawn.unused["a"]["selection"].documents == 20


def test_a_sample_plans_nearly_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = small.write_store(tmp_path, {(source, "x"): rows_of(600, step) for source, step in (("a", 7), ("b", 11))})
    config = config_of(folder, tokens=400 * LENGTH, mixture={"a": "0.7", "b": "0.3"})
    exact = small.plan_of(config, store)
    monkeypatch.setattr(planning, "SAMPLED_DOCUMENTS", 600)
    plan = small.plan_of(config, store)
    assert plan.header.stages != exact.header.stages
    shards = slow_shards.reference_shards(plan, config, store.documents)
    for entry, rows in zip(plan.header.stages, (300, 100), strict=True):
        mine = [shard for (name, _), shard in shards.items() if name == entry.name]
        assert sum(len(shard.rows) for shard in mine) == pytest.approx(rows, rel=0.1)
        assert entry.expected_rows == pytest.approx(rows, rel=0.1)
        filled = {source: sum(shard.counts[source]["positions"] for shard in mine) for source in "ab"}
        assert filled["a"] / sum(filled.values()) == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("order", [None, {"by": "num_tokens", "bins": 2}])
def test_a_source_may_be_too_small_for_the_sample(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    monkeypatch.setattr(planning, "SAMPLED_DOCUMENTS", 20)
    store = small.write_store(tmp_path, {("a", "x"): rows_of(200, 7), ("b", "x"): rows_of(1, 7)})
    phases = [{"name": "only", "share": 1, "order": order}]
    plan = small.plan_of(config_of(folder, phases=phases, shard={"sequences": 200}), store)
    uses = [use.doc_id for some in slow_shards.drawn_by(plan, store.documents).values() for use in some]
    assert sorted(uses) == sorted(document.doc_id for document in store.documents)
    assert plan.header.drawn.used["b"].documents == 1


def test_a_branch_without_any_fresh_document_in_full(folder: Path, tmp_path: Path) -> None:
    # The timeline has taken everything when the branch leaves it, and the branch is of one sequence.
    store = small.write_store(tmp_path, {("a", "x"): [StoredRow(row, [7] * (LENGTH - 2)) for row in range(20)]})
    phases = [{"name": "main", "share": 1, "order": {"by": "num_tokens", "bins": 2}}]
    sequence = {"length": LENGTH, "packing": "concat"}
    branch = {"name": "cool", "at": "0.5", "share": "0.1"}
    with pytest.raises(BylineError) as error:
        small.plan_of(config_of(folder, phases=phases, sequence=sequence, branches=[branch]), store)
    assert str(error.value) == (
        "branches.cool: at 0.5, source a has fresh documents for 0 of the 32 tokens asked for: the timeline has used "
        "1.00 epochs of it by then. Lower `at` or `share`, give the branch another mixture or selection, allow more "
        "epochs of a source (`max_epochs`), or set `shortage: repeat` (further epochs)"
    )
