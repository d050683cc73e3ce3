"""What `byline plan` warns of: epochs, shares that are off, and ranges that are slow to read."""

from dataclasses import replace
from typing import Any

import pytest
from typer.main import get_command

from byline.pipelines.cli import app
from byline.pipelines.console import plan_report
from byline.pipelines.jobs.compact import parse_size
from byline.schemas.planned_stage import PlannedStage
from byline.transforms.store.state import StoreState
from tests.pipelines.console.test_plan_report import state_of
from tests.support.planned import drawn_by, phase, plan_of


def warnings_of(*stages: PlannedStage, state: StoreState | None = None, **settings: Any) -> list[str]:
    return plan_report.report(plan_of(*stages, **settings), state or state_of()).warnings


@pytest.mark.parametrize(("end", "warned"), [(4.0, False), (4.5, True)])
def test_many_epochs_in_whatever_phase(end: float, warned: bool) -> None:
    last = phase("b", 100, {"c4": 1.0}, epochs={"c4": (1.0, end)})
    text = "source c4: 4.5 epochs; repeating beyond about 4 epochs is worth little (arXiv 2305.16264)"
    assert warnings_of(phase("a", 100, {"c4": 1.0}), last) == [text] * warned


@pytest.mark.parametrize(
    ("rows", "planned", "warning"),
    [
        (100, 0.4049, None),
        (100, 0.4051, "phase a: shares are off by more than 0.5%: c4 40.51% instead of 40.00%"),
        (99, 0.4051, "phase a: with 99 sequences its shares are coarse: c4 40.51% instead of 40.00%"),
        (99, 0.4049, None),
    ],
)
def test_shares_that_are_off(rows: int, planned: float, warning: str | None) -> None:
    off = phase("a", rows, {"c4": 0.4, "dclm": 0.6})
    off.sources["c4"] = replace(off.sources["c4"], expected_share=planned)
    assert warnings_of(off) == ([] if warning is None else [warning])


@pytest.mark.parametrize(
    ("rows", "runs", "size", "warned"),
    [(11, 9091, 15_990, True), (11, 9091, 16_010, False), (10, 10_000, 15_990, False)],
)
def test_many_small_reads(rows: int, runs: int, size: int, warned: bool) -> None:
    # A range for each row of the plan and run; two bytes a token.
    found = warnings_of(
        phase("a", 100, {"c4": 1.0}),
        state=state_of(c4=runs),
        rows=[("a", shard, 0, "c4", 0, 0, 9, 0) for shard in range(rows)],
        drawn=drawn_by("a", "c4", tokens=rows * runs * size // 2),
    )
    text = "100,001 ranges below 16 kB are slow on object stores; a larger shard.sequences makes fewer and longer ones"
    assert found == [text] * warned


def slow_reads(size: int, tokens: int) -> dict:
    """The report of a plan of eleven ranges of a store of 10,000 runs of `size` bytes."""
    plan = plan_of(
        phase("a", 100, {"c4": 1.0}),
        rows=[("a", shard, 0, "c4", 0, 0, 9, 0) for shard in range(11)],
        drawn=drawn_by("a", "c4", tokens),
    )
    return plan_report.report(plan, state_of(size, c4=10_000)).to_json()


def test_what_compaction_would_make_of_small_reads() -> None:
    # 1000 runs of a GiB, so a tenth of the ranges, ten times as long.
    found = slow_reads(2**30 // 10, tokens=110_000 * 1000)
    assert found["reads"]["compacted"] == {"count": 11_000, "mean_bytes": 20_000, "runs": 1000}
    assert found["warnings"] == [
        "110,000 ranges below 16 kB are slow on object stores; `byline compact` would make 1,000 runs of the 10,000, "
        "and 11,000 ranges of 20.0 kB"
    ]


def test_compaction_that_is_not_enough() -> None:
    (found,) = slow_reads(2**30 // 10, tokens=110_000 * 100)["warnings"]
    assert found.endswith("11,000 ranges of 2.0 kB; a larger shard.sequences makes fewer and longer ones")


@pytest.mark.parametrize(("size", "tokens"), [(2**30 // 2 + 1, 110_000), (2**30 // 10, 110_000 * 8000)])
def test_nothing_is_said_of_compaction_that_does_not_pay(size: int, tokens: int) -> None:
    # Runs that are large already, and ranges that are long already.
    found = slow_reads(size, tokens)
    assert found["reads"]["compacted"] is None
    assert "byline compact" not in str(found["warnings"])


def test_the_command_makes_runs_of_the_size_that_the_report_goes_by() -> None:
    (option,) = [item for item in get_command(app).commands["compact"].params if item.name == "size"]
    assert parse_size(option.default) == plan_report.MERGED_BYTES
