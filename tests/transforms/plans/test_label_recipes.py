"""Plans of random recipes whose mixtures are by labels, made again by the slow reference."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.plan import rows_by_shard
from byline.schemas.recipe import Shortage
from byline.transforms.plans import planning
from byline.transforms.shards.assembling import AssembleJob, pack_shard, planned_phases
from byline.transforms.shards.records import ShardMaker
from tests.reference import planner
from tests.support import small
from tests.support.label_recipes import MadeByLabel, label_recipes
from tests.support.recipes import config_of, corpora
from tests.support.thorough import examples
from tests.transforms.plans.test_recipes import (
    check_assembled,
    check_branches,
    check_epochs,
    check_expected,
    check_line,
    check_rows,
    check_sequence,
    check_text,
    check_whole,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("label_recipes")
    small.tokenizer_file(made)
    return made


def check_strata(made: MadeByLabel) -> None:
    """A stage's strata have the documents that it selects and that its mixture has a weight for, each in one."""
    for entry in made.entries:
        if not entry.strata:
            # No stage keeps the recipe's mixture, which is by a label.
            continue
        mixture = made.mixture(entry)
        assert set(entry.labels) == ({stratum.label for stratum in entry.strata.values()} - {None})
        for source, chosen in made.selected[entry.number].items():
            for document in chosen:
                own = [stratum for unit, stratum in entry.strata.items() if made.is_in(entry, unit, document)]
                expected = [made.label(mixture, document)] if made.has_weight(mixture, document) else []
                assert [stratum.label or stratum.source for stratum in own] == expected, (source, document)


def check_targets(made: MadeByLabel) -> None:
    """A label is asked for its weight, but for a position in each of its strata."""
    whole = made.config.tokens
    if whole == "all" or made.config.shortage is Shortage.SHRINK:
        return
    length = made.config.sequence.length
    for entry, phase in zip(made.main, made.config.phases, strict=True):
        positions = round(phase.share * whole / length) * length
        asked = sum(taken.target_positions for taken in entry.sources.values())
        assert positions - len(entry.strata or entry.sources) < asked <= positions
        mixture = made.mixture(entry)
        if not entry.labels:
            continue
        assert sum(taken.target_positions for taken in entry.labels.values()) == asked
        for label, taken in entry.labels.items() if mixture.method == "weights" and not mixture.max_epochs else ():
            strata = sum(stratum.label == label for stratum in entry.strata.values())
            assert positions * mixture.weights[label] - strata < taken.target_positions
            assert taken.target_positions <= positions * mixture.weights[label]


def check_documents(made: MadeByLabel) -> None:
    """Who is drawn, how often, in which order, and why others are not: as the slow planner says."""
    for entry in made.entries:
        for shard, uses in made.slow_shards(entry.name).items():
            assert [(use.doc_id, use.epoch, use.slice) for use in made.drawn[shard]] == [
                (use.doc_id, use.epoch, use.slice) for use in uses
            ]
    assert asdict(made.plan.header.drawn) == made.counts()


def check_counted(made: MadeByLabel) -> None:
    """What a shard counts by label is what it has of the label, and in all what it counts by source."""
    maker = ShardMaker(made.plan.sha256, "1")
    job, phases = AssembleJob.of(made.config, made.plan.header.tokenizer, maker), planned_phases(made.plan)
    for rows in rows_by_shard(made.plan.table):
        name, shard = rows["phase"][0].as_py(), rows["shard"][0].as_py()
        entry = next(entry for entry in made.entries if entry.name == name)
        packed = pack_shard(rows, job, phases[name], made.store.index)
        by_label = packed.label_counts(job)
        assert set(by_label) == set(entry.labels)
        for label, counts in by_label.items():
            uses = [use for use in made.drawn[name, shard] if made.label(made.mixture(entry), use) == label]
            assert asdict(counts.drawn) == planner.count(uses)
        if by_label:
            sources = packed.counts(job).values()
            for key in ("positions", "loss_tokens", "prefix_tokens", "special_tokens", "conditioned"):
                sums = [sum(getattr(one, key) for one in counts) for counts in (by_label.values(), sources)]
                assert sums[0] == sums[1], key


def check(made: MadeByLabel, *, is_sampled: bool) -> None:
    check_text(made, replace(made.store, runs=made.store.runs[::-1]))
    check_strata(made)
    check_rows(made)
    check_line(made)
    check_targets(made)
    check_epochs(made)
    check_branches(made)
    check_documents(made)
    check_sequence(made)
    check_whole(made)
    check_assembled(made)
    check_counted(made)
    if not is_sampled:
        check_expected(made)


@examples(25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_recipe_by_labels(folder: Path, data: st.DataObject) -> None:
    files = data.draw(corpora())
    names = sorted({source for source, _ in files})
    tokens = sum(len(row.tokens) + 2 for some in files.values() for row in some)
    config = config_of(folder, names, data.draw(label_recipes(names, tokens)))
    with tempfile.TemporaryDirectory(dir=folder) as made_in, pytest.MonkeyPatch.context() as patch:
        is_sampled = data.draw(st.integers(0, 4)) == 0
        if is_sampled:
            patch.setattr(planning, "SAMPLED_DOCUMENTS", sum(map(len, files.values())) // 2)
        store = small.write_store(Path(made_in), files)
        try:
            plan = small.plan_of(config, store)
        except BylineError as error:
            problem = str(error)
        else:
            problem = ""
        event(problem.partition(":")[2][:40] or "planned")
        if problem:
            assert "\n" not in problem
            return
        check(MadeByLabel(config, store, plan), is_sampled=is_sampled)
