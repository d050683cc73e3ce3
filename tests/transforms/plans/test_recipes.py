"""Random recipes over random corpora, planned and held against the slow planner; and what plans promise."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.plan import read_plan, rows_by_shard
from byline.schemas.predicates import RankRange
from byline.schemas.recipe import Shortage
from byline.transforms.checks.shuffle_keys import check_ranges
from byline.transforms.plans import planning
from byline.transforms.shards.assembling import AssembleJob, planned_phases, shard_batches
from byline.transforms.shards.records import ShardMaker
from tests.reference import assembly, planner
from tests.reference.planner import Drawn
from tests.support import small
from tests.support.recipes import Made, config_of, corpora, recipes, units
from tests.support.small import SmallStore
from tests.support.thorough import examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recipes")
    small.tokenizer_file(made)
    return made


def check_rows(made: Made) -> None:
    """The plan's rows are in order, within the stage's intervals, and tile these where the stage is shuffled."""
    names = [entry.name for entry in made.entries]
    keys = [
        (names.index(row["phase"]), *(row[key] for key in ("shard", "slice", "source", "epoch", "shuffle_key_lo")))
        for row in made.plan.table.to_pylist()
    ]
    assert keys == sorted(keys)
    for (name, unit), drawn in made.intervals.items():
        ranges, source = made.plan.header.intervals[name][unit], drawn.source
        assert sum(high - low + 1 for _, low, high in ranges) == drawn.end - drawn.start
        assert consecutive(drawn, ranges, made.config.seed)
        entry = next(entry for entry in made.entries if entry.name == name)
        rows = made.rows(name, unit)
        taken = [(row["epoch"], row["shuffle_key_lo"], row["shuffle_key_hi"]) for row in rows]
        if not made.is_by_number(made.config.stages[entry.number]):
            assert consecutive(drawn, in_line(taken, source, made.config.seed), made.config.seed)
            continue
        by_bin: dict[RankRange, list[tuple[int, int, int]]] = {}
        for row, range_ in zip(rows, taken, strict=True):
            ranks = made.plan.predicates[row["predicates"]][-1]
            # Several bins may be empty, and of the same ranks.
            assert isinstance(ranks, RankRange)
            if ranks.first is None or ranks.first != ranks.below:
                by_bin.setdefault(ranks, []).append(range_)
        for bin_ranges in by_bin.values():
            assert consecutive(drawn, in_line(bin_ranges, source, made.config.seed), made.config.seed)


def in_line(ranges: Iterable[tuple[int, int, int]], source: str, seed: int) -> list[tuple[int, int, int]]:
    offset = planner.offset(source, seed)
    return sorted(ranges, key=lambda one: (one[0], (one[1] - offset) % planner.CIRCLE))


def consecutive(drawn: Drawn, ranges: Sequence[Sequence[int]], seed: int) -> bool:
    """Whether ranges follow one another on the stream from the interval's start to its end."""
    offset, point = planner.offset(drawn.source, seed), drawn.start
    for epoch, low, high in ranges:
        if low > high or epoch * planner.CIRCLE + (low - offset) % planner.CIRCLE != point:
            return False
        point += high - low + 1
    return point == drawn.end


def check_line(made: Made) -> None:
    """Each part begins where the timeline was; no document is drawn twice within an epoch."""
    ends: dict[str, int] = {}
    for entry in made.main:
        for source in units(entry):
            drawn = made.intervals[entry.name, source]
            assert drawn.start == ends.get(source, 0) <= drawn.end
            ends[source] = drawn.end
    uses = [use for entry in made.main for use in made.uses_of(entry.name)]
    assert len({(use.doc_id, use.epoch) for use in uses}) == len(uses)
    for (_, source), drawn in made.intervals.items():
        limit = epoch_limit(made, source)
        assert drawn.start <= drawn.end
        assert limit is None or drawn.end <= limit * planner.CIRCLE


def epoch_limit(made: Made, source: str) -> Fraction | None:
    """The most epochs that any part may reach on a source's stream; None for no limit."""
    may_repeat = made.config.shortage is Shortage.REPEAT and made.config.tokens != "all"
    found = [Fraction(0)]
    for entry in made.entries:
        if source in units(entry):
            mixed_as = entry.strata[source].label or entry.strata[source].source if entry.strata else source
            limit = made.config.mixture_of(made.config.stages[entry.number]).epoch_limit(mixed_as)
            if limit is None and may_repeat:
                return None
            found.append(Fraction(1) if limit is None else limit)
    return max(found)


def check_targets(made: Made) -> None:
    """A part is to have its share of the tokens, from its sources in their weights."""
    whole = made.config.tokens
    if whole == "all" or made.config.shortage is Shortage.SHRINK:
        return
    length = made.config.sequence.length
    for entry, phase in zip(made.main, made.config.phases, strict=True):
        positions = round(phase.share * whole / length) * length
        targets = {source: found.target_positions for source, found in entry.sources.items()}
        assert positions - len(targets) < sum(targets.values()) <= positions
        mixture = made.config.mixture_of(phase)
        if mixture.method == "weights" and mixture.max_epochs is None:
            assert targets == {source: int(positions * mixture.weights[source]) for source in targets}


def check_epochs(made: Made) -> None:
    """A part draws of an epoch what it selects behind its start, all of it before it draws of the next."""
    for (name, source), uses in made.uses.items():
        drawn = made.intervals[name, source]
        for use in uses:
            for epoch in range(drawn.start // planner.CIRCLE, use.epoch):
                points = {one.doc_id: planner.point_of(one, epoch, made.config.seed) for one in drawn.selected}
                due = {doc_id for doc_id, point in points.items() if point >= drawn.start}
                assert due <= {one.doc_id for one in uses if one.epoch == epoch}


def check_branches(made: Made) -> None:
    """A branch draws no document that the timeline had drawn, within an epoch, when it left."""
    for entry in made.entries:
        if entry.branch is None:
            continue
        before: set[tuple[int, int]] = set()
        for phase in made.main:
            shards = entry.branch.shards if phase.name == entry.branch.phase else phase.shards
            for shard in range(shards):
                before |= {(use.doc_id, use.epoch) for use in made.drawn[phase.name, shard]}
            if phase.name == entry.branch.phase:
                break
        mine = [(use.doc_id, use.epoch) for use in made.uses_of(entry.name)]
        assert len(mine) == len(set(mine))
        assert before.isdisjoint(mine)


def check_documents(made: Made) -> None:
    """Who is drawn, how often, and in which order: as the slow planner says."""
    for entry in made.entries:
        for shard, uses in made.slow_shards(entry.name).items():
            assert [(use.doc_id, use.epoch, use.slice) for use in made.drawn[shard]] == [
                (use.doc_id, use.epoch, use.slice) for use in uses
            ]
    mixed: dict[str, set[int]] = {}
    for some in made.selected:
        for source, chosen in some.items():
            mixed.setdefault(source, set()).update(document.doc_id for document in chosen)
    found = asdict(made.plan.header.drawn)
    expected = planner.drawn_counts(made.store.documents, [*made.intervals.values()], mixed, made.config.seed)
    assert found == {**expected, "labels": {}}
    for source in made.config.sources:
        counts = [found["used"].get(source), *found["unused"].get(source, {}).values()]
        whole = planner.count(document for document in made.store.documents if document.source == source)
        assert {key: sum(count[key] for count in counts if count) for key in whole} == whole


def check_sequence(made: Made) -> None:
    """One source after the other where the recipe says so."""
    for entry in made.entries:
        stage = made.config.stages[entry.number]
        if stage.order is None or stage.order.by != "source":
            continue
        last = 0
        for slice_ in made.slices(entry.name):
            sources = made.sources_in_slice(entry.name, slice_)
            assert len(sources) == 1, (slice_, sources)
            assert stage.order.sources.index(sources[0]) >= last
            last = stage.order.sources.index(sources[0])


def check_expected(made: Made) -> None:
    """Rows and positions are those that the reference packs, where the plan has packed every document."""
    for entry in made.entries:
        mine = [shard for (name, _), shard in made.shards.items() if name == entry.name]
        assert len(mine) == entry.shards
        assert entry.expected_rows == sum(len(shard.rows) for shard in mine)
        for source, found in entry.sources.items():
            assert found.expected_positions == sum(
                shard.counts[source]["positions"] for shard in mine if source in shard.counts
            )


def check_assembled(made: Made) -> None:
    """What is assembled from the plan is what the reference lays out and packs; the plan's own checks find nothing."""
    assert check_ranges(made.plan) == []
    tokenizer = made.plan.header.tokenizer
    job, phases = AssembleJob.of(made.config, tokenizer, ShardMaker(made.plan.sha256, "1")), planned_phases(made.plan)
    for some in rows_by_shard(made.plan.table):
        name, shard = some["phase"][0].as_py(), some["shard"][0].as_py()
        batches = shard_batches(some, job, phases[name], made.store.index)
        assert [row for batch in batches for row in batch.to_pylist()] == made.shards[name, shard].rows


def check_whole(made: Made) -> None:
    """All tokens in a natural mixture are every selected document once."""
    phases = made.config.phases
    if made.config.tokens != "all" or made.config.mixture.method != "natural" or made.config.mixture.max_epochs:
        return
    if any(phase.mixture for phase in phases) or any(branch.mixture for branch in made.config.branches):
        return
    last = made.main[-1]
    for source in units(last):
        assert made.intervals[last.name, source].end == planner.CIRCLE, source


def check_text(made: Made, again: SmallStore | None) -> None:
    """A plan reads back, and is the same for runs in any order."""
    content = made.plan.to_bytes()
    back = read_plan(content, "_plan.ipc")
    assert back.table.equals(made.plan.table)
    assert back.to_bytes() == content
    if again is not None:
        assert small.plan_of(made.config, again).to_bytes() == content


def check(made: Made, again: SmallStore | None = None, *, is_sampled: bool = False) -> None:
    check_text(made, again)
    check_rows(made)
    check_line(made)
    check_targets(made)
    check_epochs(made)
    check_branches(made)
    check_documents(made)
    check_sequence(made)
    check_whole(made)
    check_assembled(made)
    if not is_sampled:
        check_expected(made)


def test_the_slow_planner() -> None:
    """The drawing at the head of the slow planner, with a document's number as its rank."""
    start = planner.offset("x", 0)

    def document(number: int, step: int) -> assembly.Document:
        return assembly.Document("x", (start + step) % planner.CIRCLE, number, [7] * number)

    documents = [document(number, step) for step, number in enumerate((3, 1, 7, 2))]
    uses = Drawn("only", "x", documents, 1, planner.CIRCLE + 1).uses(0)
    assert [(use.doc_id, use.epoch) for use in uses] == [(1, 0), (7, 0), (2, 0), (3, 1)]
    shuffled = planner.sliced(uses, [2, 1, 1])
    assert [[use.doc_id for use in some] for some in shuffled] == [[1, 7], [2], [3]]
    ordered = planner.sliced_by_rank(uses, [2, 1, 1], [0, 1, 1], lambda use: (use.doc_id, 0, 0))
    assert [[use.doc_id for use in some] for some in ordered] == [[1, 2], [7], [3]]
    with pytest.raises(AssertionError):
        planner.sliced(uses, [2, 1])
    with pytest.raises(AssertionError):
        planner.sliced_by_rank([*uses, *uses], [1, 7], [0, 1], lambda use: (use.doc_id, 0, 0))
    counts = planner.drawn_counts(
        [*documents, document(9, 2**63)], [Drawn("only", "x", documents, 1, planner.CIRCLE + 1)], {"x": {1, 2, 3, 7}}, 0
    )
    assert counts == {
        "stages": {"only": {"x": {0: {"documents": 3, "tokens": 10}, 1: {"documents": 1, "tokens": 3}}}},
        "used": {"x": {"documents": 4, "tokens": 13}},
        "unused": {"x": {"selection": {"documents": 1, "tokens": 9}}},
        "replaced": {},
        "stages_replaced": {},
    }


@examples(25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_recipe(folder: Path, data: st.DataObject) -> None:
    files = data.draw(corpora())
    names = sorted({source for source, _ in files})
    tokens = sum(len(row.tokens) + 2 for some in files.values() for row in some)
    recipe = data.draw(recipes(names, tokens))
    config = config_of(folder, names, recipe)
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
        event(problem.partition(":")[0].partition(".")[0] or "planned")
        if problem:
            assert "\n" not in problem
            return
        again = replace(store, runs=store.runs[::-1]) if data.draw(st.booleans()) else None
        check(Made(config, store, plan), again, is_sampled=is_sampled)
