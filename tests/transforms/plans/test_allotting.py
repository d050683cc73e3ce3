"""From shares to intervals: targets, epochs, shortages, and how near packing comes to what is asked."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.plan import Plan
from byline.transforms.packing import POLICIES
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow
from tests.support.thorough import examples

LENGTH = 16
EPOCH = 2**64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("allotting")
    small.tokenizer_file(made)
    return made


@pytest.fixture(scope="module")
def store(folder: Path) -> SmallStore:
    """Streams of 12 tokens on average with BOS and EOS: `a` of 300 documents, `b` of 100."""
    return small.write_store(
        folder,
        {
            (source, "x"): [StoredRow(row, [row % 300] * (1 + row % 19)) for row in range(count)]
            for source, count in SIZES
        },
    )


SIZES = (("a", 300), ("b", 100))


def config_of(folder: Path, **changes: Any) -> Config:
    return small.small_config(folder, **{"sequence": {"length": LENGTH, "packing": "concat"}, **changes})


def phases_of(*shares: str) -> list[dict[str, str]]:
    return [{"name": f"p{number}", "share": share} for number, share in enumerate(shares)]


def epochs(plan: Plan, source: str) -> list[tuple[float, float]]:
    """(start, end) of each phase on the stream of a source, in epochs."""
    return [tuple(phase.sources[source].epochs) for phase in plan.header.stages]


def spans(plan: Plan, source: str) -> list[int]:
    """Places in the interval of each phase."""
    return [
        sum(high - low + 1 for _, low, high in plan.header.intervals[phase.name][source])
        for phase in plan.header.stages
    ]


def whole(store: SmallStore, source: str) -> int:
    """Positions that `concat` fills with all documents of a source."""
    return sum(len(document.tokens) + 2 for document in store.documents if document.source == source)


@pytest.mark.parametrize("packing", list(POLICIES))
def test_a_mixture_is_met(folder: Path, store: SmallStore, packing: str) -> None:
    config = config_of(
        folder,
        sequence={"length": LENGTH, "packing": packing},
        tokens=100 * LENGTH,
        mixture={"a": "0.6", "b": "0.4"},
        phases=phases_of("0.75", "0.25"),
    )
    plan = small.plan_of(config, store)
    for phase, rows in zip(plan.header.stages, (75, 25), strict=True):
        for source, share in (("a", Fraction(3, 5)), ("b", Fraction(2, 5))):
            found = phase.sources[source]
            assert found.target_positions == int(share * rows * LENGTH)
            # No document can be divided: 21 tokens are the longest framed document.
            assert abs(found.expected_positions - found.target_positions) <= 21


def test_phases_follow_one_another_on_each_stream(folder: Path, store: SmallStore) -> None:
    config = config_of(
        folder, tokens=120 * LENGTH, mixture={"a": "0.5", "b": "0.5"}, phases=phases_of("0.5", "0.3", "0.2")
    )
    plan = small.plan_of(config, store)
    for source in "ab":
        points = epochs(plan, source)
        assert points[0][0] == 0
        assert [end for _, end in points[:-1]] == [start for start, _ in points[1:]]
        assert all(start < end for start, end in points)


def test_all_of_everything_is_one_epoch(folder: Path, store: SmallStore) -> None:
    plan = small.plan_of(config_of(folder, phases=phases_of("0.5", "0.5")), store)
    for source in "ab":
        assert sum(spans(plan, source)) == EPOCH
        assert plan.header.drawn.used[source].documents == dict(SIZES)[source]
        assert abs(plan.header.capacity[source] - whole(store, source)) < LENGTH


def test_all_of_a_mixture_ends_with_the_source_that_is_used_up(folder: Path, store: SmallStore) -> None:
    mixture = {"a": "0.5", "b": "0.5"}
    plan = small.plan_of(config_of(folder, mixture=mixture, phases=phases_of("0.5", "0.5")), store)
    assert sum(spans(plan, "b")) == EPOCH
    assert 0.2 < sum(spans(plan, "a")) / EPOCH < 0.5
    assert plan.header.drawn.used["b"].documents == 100


def test_a_natural_mixture_takes_what_there_is(folder: Path, store: SmallStore) -> None:
    plan = small.plan_of(config_of(folder, tokens=60 * LENGTH), store)
    (phase,) = plan.header.stages
    share = whole(store, "a") / (whole(store, "a") + whole(store, "b"))
    assert phase.sources["a"].requested_share == pytest.approx(share, abs=0.002)


def test_a_shortage_says_how_much_there_is(folder: Path, store: SmallStore) -> None:
    there = whole(store, "b")
    asked = 2 * there // LENGTH * LENGTH
    with pytest.raises(BylineError) as error:
        small.plan_of(config_of(folder, tokens=asked, mixture={"b": 1}), store)
    assert str(error.value).startswith(
        f"tokens: the selected documents are too few for {asked:,} tokens in this mixture. b: {asked:,} asked, "
    )
    assert "\n" not in str(error.value)
    at_most = int(str(error.value).partition("Ask for less (about ")[2].split()[0].replace(",", ""))
    assert there - LENGTH - 1 <= at_most <= there
    plan = small.plan_of(config_of(folder, tokens=at_most, mixture={"b": 1}), store)
    assert sum(spans(plan, "b")) <= EPOCH


def test_a_shortage_may_be_met_by_further_epochs(folder: Path, store: SmallStore) -> None:
    tokens = int(2.5 * whole(store, "b")) // LENGTH * LENGTH
    config = config_of(folder, tokens=tokens, mixture={"b": 1}, shortage="repeat", phases=phases_of("0.9", "0.1"))
    plan = small.plan_of(config, store)
    assert sum(spans(plan, "b")) / EPOCH == pytest.approx(2.5, abs=0.05)
    uses = [use for some in slow_shards.drawn_by(plan, store.documents).values() for use in some]
    for epoch in (0, 1):
        assert sum(use.epoch == epoch for use in uses) == 100
    assert 30 < sum(use.epoch == 2 for use in uses) < 70


def test_a_shortage_may_shrink_the_recipe(folder: Path, store: SmallStore) -> None:
    mixture = {"a": "0.5", "b": "0.5"}
    config = config_of(folder, tokens="1M", mixture=mixture, shortage="shrink", phases=phases_of("0.8", "0.2"))
    plan = small.plan_of(config, store)
    assert sum(spans(plan, "b")) <= EPOCH
    assert sum(spans(plan, "b")) > 0.95 * EPOCH
    targets = [sum(found.target_positions for found in phase.sources.values()) for phase in plan.header.stages]
    assert targets[0] / sum(targets) == pytest.approx(0.8, abs=0.01)


def test_shards_are_of_equal_tokens(folder: Path, store: SmallStore) -> None:
    config = config_of(folder, tokens=120 * LENGTH, mixture={"a": "0.5", "b": "0.5"}, shard={"sequences": 20})
    plan = small.plan_of(config, store)
    assert [phase.shards for phase in plan.header.stages] == [6]
    for source in "ab":
        sizes = [
            sum(len(use.tokens) + 2 for use in uses if use.source == source)
            for uses in slow_shards.drawn_by(plan, store.documents).values()
        ]
        assert max(sizes) - min(sizes) <= 2 * 21


def test_a_source_without_weight_is_left_out(folder: Path, store: SmallStore) -> None:
    plan = small.plan_of(config_of(folder, tokens=20 * LENGTH, mixture={"a": 1, "b": 0}), store)
    assert list(plan.header.stages[0].sources) == ["a"]
    assert set(plan.header.capacity) == {"a"}


@examples(25)
@given(
    rows=st.integers(1, 200),
    weight=st.fractions(0, 1, max_denominator=20),
    share=st.fractions(Fraction(1, 20), Fraction(19, 20), max_denominator=20),
    seed=st.integers(0, 2**32 - 1),
    shard=st.integers(1, 40),
    packing=st.sampled_from(list(POLICIES)),
)
def test_any_recipe_tiles_its_stream(
    folder: Path,
    store: SmallStore,
    rows: int,
    weight: Fraction,
    share: Fraction,
    seed: int,
    shard: int,
    packing: str,
) -> None:
    # A phase without a sequence is an error, and tested apart.
    assume(all(round(stage * rows) > 0 for stage in (share, 1 - share)))
    config = config_of(
        folder,
        sequence={"length": LENGTH, "packing": packing},
        seed=seed,
        tokens=rows * LENGTH,
        mixture={"a": str(weight), "b": str(1 - weight)},
        shortage="repeat",
        shard={"sequences": shard},
        phases=phases_of(str(share), str(1 - share)),
    )
    plan = small.plan_of(config, store)
    for source in plan.header.capacity:
        ranges = [
            (row["epoch"], row["shuffle_key_lo"], row["shuffle_key_hi"])
            for row in plan.table.to_pylist()
            if row["source"] == source
        ]
        for epoch in {epoch for epoch, _, _ in ranges}:
            mine = sorted((low, high) for number, low, high in ranges if number == epoch)
            assert all(low <= high for low, high in mine)
            assert all(one[1] < other[0] for one, other in pairwise(mine))
        assert sum(high - low + 1 for _, low, high in ranges) == sum(spans(plan, source))
        total = epochs(plan, source)[-1][1]
        assert sum(spans(plan, source)) / EPOCH == pytest.approx(total)


def test_a_phase_of_no_sequence_is_an_error(folder: Path, store: SmallStore) -> None:
    config = config_of(folder, tokens=10 * LENGTH, phases=phases_of("0.97", "0.03"))
    with pytest.raises(BylineError, match=f"its share of {10 * LENGTH} tokens is less than one sequence of {LENGTH}; "):
        small.plan_of(config, store)


# ------------------------------------------------------------------------------------------------------ errors in full


def error_of(folder: Path, store: SmallStore, **changes: Any) -> str:
    with pytest.raises(BylineError) as error:
        small.plan_of(config_of(folder, **changes), store)
    return str(error.value)


def test_a_branch_out_of_fresh_documents_in_full(folder: Path, store: SmallStore) -> None:
    branch = {"name": "cool", "at": 1, "share": "0.3", "mixture": {"b": 1}}
    tokens = 2 * (whole(store, "b") // LENGTH) * LENGTH
    found = error_of(folder, store, tokens=tokens, mixture={"a": "0.6", "b": "0.4"}, branches=[branch])
    asked, there = round(0.3 * tokens / LENGTH) * LENGTH, 0.44 * whole(store, "b")
    head, _, rest = found.partition(" fresh documents for ")
    filled, _, rest = rest.partition(" of the ")
    assert head == "branches.cool: at 1, source b has"
    assert int(filled) == pytest.approx(there, abs=2 * LENGTH)
    assert rest == (
        f"{asked:,} tokens asked for: the timeline has used 0.51 epochs of it by then. Lower `at` or `share`, give "
        "the branch another mixture or selection, allow more epochs of a source (`max_epochs`), or set "
        "`shortage: repeat` (further epochs)"
    )


def test_a_branch_of_no_sequence_in_full(folder: Path, store: SmallStore) -> None:
    assert error_of(folder, store, tokens=20 * LENGTH, branches=[{"name": "cool", "at": "0.1"}]) == (
        f"branches.cool: at 0.1 of {20 * LENGTH} tokens, the branch or the timeline before it is less than one "
        f"sequence of {LENGTH}; raise `at` or `tokens`"
    )


def test_a_phase_of_no_sequence_in_full(folder: Path, store: SmallStore) -> None:
    assert error_of(folder, store, tokens=10 * LENGTH, phases=phases_of("0.97", "0.03")) == (
        f"phases.p1: its share of {10 * LENGTH} tokens is less than one sequence of {LENGTH}; raise the share or "
        "`tokens`, shorten `sequence.length`, or leave the phase out"
    )


def test_a_selection_of_nothing_in_full(folder: Path, store: SmallStore) -> None:
    select = {"at_least": 1000, "by": "num_tokens"}
    phases = [{"name": "long", "share": 1, "select": select}]
    assert error_of(folder, store, phases=phases, mixture={"a": "0.5", "b": "0.5"}) == (
        "phases.long: it selects no document of source 'a'; change its `select`, check what sources.a.path matches, or "
        "leave the source out of the mixture"
    )
    assert error_of(folder, store, phases=phases) == (
        "phases.long: it selects no document of any source; check the paths and its `select`"
    )
