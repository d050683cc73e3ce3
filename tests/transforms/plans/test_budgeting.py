"""What a recipe asks of streams that are given as tokens by shuffle key; no documents, no token store."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.transforms.documents.shuffle_keys import BINS
from byline.transforms.plans.budgeting import Budget, Demand
from byline.transforms.plans.intervals import EPOCH, Stream

F = Fraction
LENGTH = 10


def config_of(sources: str = "ab", **changes: Any) -> Config:
    values = {
        "sources": {name: {"format": "jsonl", "path": f"{name}/*.jsonl"} for name in sources},
        "tokenizer": {"file": "tokenizer.json"},
        "sequence": {"length": LENGTH},
        "phases": [{"name": "only", "share": 1}],
    }
    return parse_config({**values, **changes}, "test")


def phases_of(*shares: str, **last: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": f"p{number}", "share": share} for number, share in enumerate(shares)]
    found[-1].update(last)
    return found


def line_of(tokens: int) -> Stream:
    """So many tokens, evenly by shuffle key, the first at the stream's beginning."""
    return Stream.from_shuffle_keys(0, np.diff(-(-np.arange(BINS + 1) * tokens // BINS)))


def budget_of(config: Config, **tokens: int) -> Budget:
    """Every part sees all tokens of each source."""
    return Budget(config, [{source: line_of(count) for source, count in tokens.items()} for _ in config.stages])


def demand_of(config: Config, **tokens: int) -> Demand:
    return budget_of(config, **tokens).demand()


def shares(demand: Demand, stage: int = 0) -> dict[str, Fraction]:
    return demand.blends[stage].shares()


# ----------------------------------------------------------------------------------------------- capacities and totals


def test_the_capacity_is_what_one_epoch_fills() -> None:
    assert demand_of(config_of(), a=8000, b=500).capacity == {"a": 8000, "b": 500}


def test_all_there_is_may_be_asked_where_the_stream_begins_with_nothing() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[[7, 9]] = 600
    config = config_of("a", tokens=1200, phases=phases_of("0.5", "0.5"))
    budget = Budget(config, [{"a": Stream.from_shuffle_keys(0, counts)}] * 2)
    demand = budget.demand()
    # Half of 1201 is 600.
    assert demand.capacity["a"] in (1200, 1201)
    budget.check_shortage(demand)


def test_the_capacity_is_divided_as_phases_see_the_source() -> None:
    config = config_of("a", phases=phases_of("0.5", "0.5"))
    # The second phase selects half of the tokens: equal positions of both take 1/3 and 2/3 of the stream.
    budget = Budget(config, [{"a": line_of(9000)}, {"a": line_of(4500)}])
    assert abs(budget.demand().capacity["a"] - 6000) <= 2
    # With a cost, a token fills less than a position.
    budget = budget_of(config, a=9000)
    budget.costs = [{"a": F(3, 2)}, {"a": F(3)}]
    assert abs(budget.demand().capacity["a"] - 4000) <= 2


def test_a_source_of_branches_alone_has_a_capacity() -> None:
    branch = {"name": "cool", "at": "1", "mixture": {"b": 1}}
    demand = demand_of(config_of(tokens=1000, mixture={"a": 1}, branches=[branch]), a=8000, b=500)
    assert demand.capacity == {"a": 8000, "b": 500}


def test_the_tokens_of_phases_are_whole_sequences() -> None:
    demand = demand_of(config_of(tokens=995, phases=phases_of("0.5", "0.25", "0.25")), a=8000, b=500)
    assert demand.total == 995
    assert demand.positions == [500, 250, 250]


@pytest.mark.parametrize(
    ("mixture", "total"),
    [
        ("natural", 9000),
        ({"a": "0.5", "b": "0.5"}, 2000),
        ({"method": "weights", "weights": {"a": "0.5", "b": "0.5"}, "max_epochs": 3}, 6000),
        ({"method": "weights", "weights": {"a": "0.5", "b": "0.5"}, "max_epochs": {"b": 3}}, 6000),
        ({"method": "weights", "weights": {"a": "0.9", "b": "0.1"}, "max_epochs": {"a": "0.5"}}, 4444),
        ({"method": "unimax", "max_epochs": 4}, 8000),
        ({"method": "epochs", "epochs": {"a": "0.5", "b": "2"}}, 6000),
        ({"method": "temperature", "alpha": 0}, 2000),
    ],
)
def test_all_ends_with_the_source_that_is_used_up(mixture: Any, total: int) -> None:
    demand = demand_of(config_of(tokens="all", mixture=mixture), a=8000, b=1000)
    assert abs(demand.total - total) <= 3


def test_whole_epochs_where_all_is_asked() -> None:
    def fixed(**changes: Any) -> dict[str, int]:
        budget = budget_of(config_of(**changes), a=8000, b=1000)
        return budget.whole_epochs(budget.demand())

    assert fixed() == {"a": EPOCH, "b": EPOCH}
    assert fixed(mixture={"a": "0.5", "b": "0.5"}) == {"b": EPOCH}
    epochs = {"method": "epochs", "epochs": {"a": "0.5", "b": "2"}}
    assert fixed(mixture=epochs) == {"a": EPOCH // 2, "b": 2 * EPOCH}
    assert fixed(tokens=100) == {}
    assert fixed(phases=phases_of("0.5", "0.5", mixture="natural")) == {}


# ------------------------------------------------------------------------------------------------------------ mixtures


def test_mixtures_by_what_there_is() -> None:
    def of(mixture: Any) -> dict[str, Fraction]:
        return shares(demand_of(config_of(tokens=100, mixture=mixture), a=8000, b=1000))

    assert of("natural") == {"a": F(8, 9), "b": F(1, 9)}
    assert of({"method": "epochs", "epochs": {"a": 1, "b": 4}}) == {"a": F(2, 3), "b": F(1, 3)}
    assert of({"method": "temperature", "alpha": 0}) == {"a": F(1, 2), "b": F(1, 2)}


def test_a_cap_frees_tokens_for_the_others() -> None:
    mixture = {"method": "unimax", "max_epochs": 2}
    demand = demand_of(config_of("abc", tokens=9000, mixture=mixture), a=8000, b=1000, c=600)
    assert shares(demand) == {"a": F(5800, 9000), "b": F(2000, 9000), "c": F(1200, 9000)}
    assert demand.notes == [
        "max_epochs holds source b at 22.22% of the mixture instead of 33.33%; the other sources take the rest",
        "max_epochs holds source c at 13.33% of the mixture instead of 33.33%; the other sources take the rest",
    ]


def test_a_cap_is_for_all_phases_that_share_the_mixture() -> None:
    mixture = {"method": "weights", "weights": {"a": "0.5", "b": "0.5"}, "max_epochs": {"b": 1}}
    own = {"name": "own", "share": "0.5", "mixture": {"method": "weights", "weights": {"a": "0.5", "b": "0.5"}}}
    config = config_of(tokens=8000, mixture=mixture, phases=[*phases_of("0.3", "0.2"), own])
    demand = demand_of(config, a=8000, b=1000)
    assert shares(demand, 0) == shares(demand, 1)
    # Each phase's positions are whole.
    assert abs(shares(demand, 0)["b"] * 4000 - 1000) <= 3
    assert shares(demand, 2) == {"a": F(1, 2), "b": F(1, 2)}


def test_a_branch_has_the_main_stream_mixture_with_its_caps() -> None:
    mixture = {"method": "unimax", "max_epochs": 1}
    config = config_of(tokens=4000, mixture=mixture, branches=[{"name": "cool", "at": [1]}])
    demand = demand_of(config, a=8000, b=1000)
    assert shares(demand, 0) == shares(demand, 1) == {"a": F(3, 4), "b": F(1, 4)}


def test_one_source_after_the_other() -> None:
    order = {"by": "source", "sources": ["b", "a"]}
    config = config_of(tokens=1000, mixture={"a": "0.8", "b": "0.2"}, phases=phases_of("1", order=order))
    budget = budget_of(config, a=8000, b=1000)
    demand = budget.demand()
    slices = budget.slices(demand, 0)
    assert [float(slice_.end) for slice_ in slices] == [0.2, 1]
    assert budget.targets(demand, 0, slices) == {"a": [0, 800], "b": [200, 0]}


def test_targets_follow_a_schedule() -> None:
    points = [{"at": 0, "weights": {"a": 1}}, {"at": 1, "weights": {"b": 1}}]
    config = config_of(tokens=6400, mixture={"method": "linear", "points": points})
    budget = budget_of(config, a=8000, b=8000)
    demand = budget.demand()
    slices = budget.slices(demand, 0)
    targets = budget.targets(demand, 0, slices)
    assert len(slices) == 40
    for number, slice_ in enumerate(slices):
        # The integral of 1 - u up to u.
        assert sum(targets["a"][: number + 1]) == int(6400 * (slice_.end - slice_.end**2 / 2))
        assert sum(targets["b"][: number + 1]) == int(6400 * slice_.end**2 / 2)


def test_bins_and_cuts_are_borders_of_slices() -> None:
    order = {"by": "num_tokens", "bins": 4}
    config = config_of(tokens=1000, phases=phases_of("1", order=order), shard={"sequences": 60})
    budget = budget_of(config, a=8000, b=1000)
    slices = budget.slices(budget.demand(), 0, cuts={F(3, 5)})
    assert [(slice_.shard, slice_.group, slice_.end) for slice_ in slices] == [
        (0, 0, F(1, 4)),
        (0, 1, F(1, 2)),
        (0, 2, F(3, 5)),
        (1, 2, F(3, 4)),
        (1, 3, F(1)),
    ]


# ------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, 1),
        ({"tokens": 100}, 1),
        ({"tokens": 100, "shortage": "shrink"}, 1),
        ({"tokens": 100, "shortage": "repeat"}, None),
        ({"tokens": "all", "shortage": "repeat"}, 1),
        ({"tokens": 100, "shortage": "repeat", "mixture": {"method": "natural", "max_epochs": "2.5"}}, F(5, 2)),
        ({"tokens": 100, "mixture": {"method": "natural", "max_epochs": {"b": 3}}}, 1),
        ({"tokens": 100, "mixture": {"method": "epochs", "epochs": {"a": 3, "b": 1}}}, 3),
        ({"tokens": 100, "phases": phases_of("0.5", "0.5", mixture={"method": "natural", "max_epochs": 2})}, 2),
    ],
)
def test_the_most_epochs_of_a_source(changes: dict[str, Any], limit: Fraction | None) -> None:
    budget = budget_of(config_of(**changes), a=8000, b=1000)
    assert budget.end_limit("a") == (None if limit is None else int(limit * EPOCH))


def test_a_phase_without_a_limit_repeats_beside_one_with_a_limit() -> None:
    capped = {"method": "natural", "max_epochs": 1}
    config = config_of(tokens=100, shortage="repeat", phases=phases_of("0.5", "0.5", mixture=capped))
    assert budget_of(config, a=8000, b=1000).end_limit("a") is None


# ------------------------------------------------------------------------------------------------------------- errors


def message(config: Config, **tokens: int) -> str:
    budget = budget_of(config, **tokens)
    with pytest.raises(BylineError) as error:
        budget.check_shortage(budget.demand())
    return str(error.value)


def test_a_shortage_in_full() -> None:
    found = message(config_of(tokens=5000, mixture={"a": "0.5", "b": "0.5"}), a=8000, b=1000)
    assert found == (
        "tokens: the selected documents are too few for 5,000 tokens in this mixture. b: 2,500 asked, 1,000 there "
        "(2.50 epochs). Ask for less (about 2,000 tokens fit), change the mixture or the selection, allow more epochs "
        "of a source (`max_epochs`), or set `shortage: repeat` (further epochs) or `shortage: shrink` (fewer tokens)"
    )


def test_a_shortage_names_every_source_that_is_short() -> None:
    found = message(config_of(tokens=50_000, mixture={"a": "0.5", "b": "0.5"}), a=8000, b=1000)
    assert "mixture. a: 25,000 asked, 8,000 there (3.12 epochs); b: 25,000 asked, 1,000 there (25.00 epochs). " in found


def test_no_shortage() -> None:
    for changes in (
        {"tokens": 2000},
        {"tokens": "all"},
        {"tokens": 5000, "shortage": "repeat"},
        {"tokens": 5000, "shortage": "shrink"},
    ):
        budget = budget_of(config_of(mixture={"a": "0.5", "b": "0.5"}, **changes), a=8000, b=1000)
        budget.check_shortage(budget.demand())


def test_shrinking_asks_for_what_there_is() -> None:
    config = config_of(tokens=5000, shortage="shrink", mixture={"a": "0.5", "b": "0.5"}, phases=phases_of("0.9", "0.1"))
    demand = demand_of(config, a=8000, b=1000)
    assert abs(demand.total - 2000) <= 2
    assert demand.positions == [1800, 200]


def test_shrinking_is_of_the_mixture_with_its_caps() -> None:
    mixture = {"method": "unimax", "max_epochs": 1}
    demand = demand_of(config_of(tokens=6000, shortage="shrink", mixture=mixture), a=8000, b=1000)
    assert demand.total == 6000
    assert shares(demand) == {"a": F(5, 6), "b": F(1, 6)}
    demand = demand_of(config_of(tokens=60_000, shortage="shrink", mixture=mixture), a=8000, b=1000)
    assert abs(demand.total - 9000) <= 2


def test_a_phase_of_no_sequence() -> None:
    with pytest.raises(BylineError) as error:
        demand_of(config_of(tokens=1000, phases=phases_of("0.996", "0.004")), a=8000, b=1000)
    assert str(error.value) == (
        "phases.p1: its share of 1,000 tokens is less than one sequence of 10; raise the share or `tokens`, shorten "
        "`sequence.length`, or leave the phase out"
    )


def test_a_selection_of_nothing() -> None:
    with pytest.raises(BylineError) as error:
        budget_of(config_of(mixture={"a": "0.5", "b": "0.5"}), a=8000, b=0)
    assert str(error.value) == (
        "phases.only: it selects no document of source 'b'; change its `select`, check what sources.b.path matches, or "
        "leave the source out of the mixture"
    )
    branches = [{"name": "cool", "at": 1, "mixture": {"b": 1}}]
    with pytest.raises(BylineError) as error:
        budget_of(config_of(tokens=100, branches=branches, allow_empty=["b"]), a=8000, b=0)
    assert str(error.value).startswith("branches.cool: it selects no document of source 'b'; ")
    with pytest.raises(BylineError) as error:
        budget_of(config_of(), a=8000, b=0)
    assert str(error.value) == (
        "phases.only: it selects no document of source 'b'; change its `select`, or allow it: allow_empty: [b]"
    )
    with pytest.raises(BylineError) as error:
        budget_of(config_of(), a=0, b=0)
    assert str(error.value) == ("phases.only: it selects no document of any source; check the paths and its `select`")


def test_a_natural_mixture_leaves_out_a_source_without_documents() -> None:
    budget = budget_of(config_of(allow_empty=["b"]), a=8000, b=0)
    assert budget.sources == [["a"]]
    assert shares(budget.demand()) == {"a": 1}


def test_phases_may_select_other_sources_of_a_capped_mixture() -> None:
    mixture = {"method": "natural", "max_epochs": 1}
    config = config_of(tokens=4000, mixture=mixture, phases=phases_of("0.5", "0.5"), allow_empty=["b"])
    for number in (0, 1):
        streams = [{"a": line_of(8000), "b": line_of(1000)} for _ in range(2)]
        streams[number]["b"] = line_of(0)
        budget = Budget(config, streams)
        demand = budget.demand()
        assert shares(demand, number) == {"a": 1}
        for stage in (0, 1):
            targets = budget.targets(demand, stage, budget.slices(demand, stage))
            assert abs(sum(map(sum, targets.values())) - 2000) <= len(targets)
        assert set(budget.sources[1 - number]) == {
            source for source, share in shares(demand, 1 - number).items() if share
        }
