"""The picture of a plan: its layers, its edges, its names."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byline.pipelines.console import plan_picture
from byline.schemas.planned_stage import PlannedStage, Stretch
from tests.support.planned import BRANCH, COOLDOWN, MAIN, phase


def picture(phases: list[PlannedStage], width: int = 40, **settings: Any) -> list[str]:
    return [line.plain for line in plan_picture.draw_timeline(phases, 1000, width, **settings)]


def test_a_plan_that_draws_nothing() -> None:
    assert picture([phase("main", 0, {"c4": 0.0})]) == []


def test_a_mixture_that_changes() -> None:
    # 16 stretches: a falls from 1 to 0.
    timeline = [Stretch((n + 1) / 16, {"a": 1 - n / 15, "b": n / 15}) for n in range(16)]
    assert picture([phase("main", 400, {"a": 0.5, "b": 0.5}, timeline)], 30) == [
        "100%┤██▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓",
        "    │█████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓",
        "    │███████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓",
        "    │█████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓",
        "    │███████████▓▓▓▓▓▓▓▓▓▓▓▓▓",
        " 50%┤██████████████▓▓▓▓▓▓▓▓▓▓",
        "    │████████████████▓▓▓▓▓▓▓▓",
        "    │██████████████████▓▓▓▓▓▓",
        "    │████████████████████▓▓▓▓   ▓ b  50.0%",
        "    │███████████████████████▓   █ a  50.0%",
        "  0%└────────────────────────┘",
        "     0          400,000 tokens",
        "     main",
    ]


def test_one_source_after_the_other() -> None:
    timeline = [Stretch(0.25, {"b": 1.0}), Stretch(1.0, {"a": 1.0})]
    lines = picture([phase("main", 1000, {"a": 0.75, "b": 0.25}, timeline)], 50)
    # The border, at a quarter of 32 columns, is drawn over the three columns whose neighbours lie on both sides.
    assert {line[5:].split("   ")[0] for line in lines[:10]} == {
        "▓▓▓▓▓▓▓▓▓███████████████████████",
        "▓▓▓▓▓▓▓▓████████████████████████",
        "▓▓▓▓▓▓▓█████████████████████████",
    }


def test_a_share_that_would_be_rounded_away_is_seen() -> None:
    lines = picture([phase("main", 10, {"a": 0.965, "b": 0.03, "c": 0.005})])
    assert [line[5] for line in lines[:10]] == ["▓", *"█████████"]
    assert [line[-10:] for line in lines[7:10]] == ["▒ c   0.5%", "▓ b   3.0%", "█ a  96.5%"]


def test_many_sources_share_a_layer() -> None:
    shares = {f"s{number:02}": 0.08 for number in range(12)} | {"big": 0.04}
    legend = [line[-17:] for line in picture([phase("main", 100, shares)], 60)[:10]]
    assert legend[0] == "x 4 others  28.0%"
    assert legend[1] == "o s08        8.0%"
    assert legend[-1] == "█ s00        8.0%"


def test_without_unicode() -> None:
    lines = picture([MAIN, COOLDOWN, BRANCH], is_ascii=True)
    assert all(line.isascii() for line in lines)
    assert lines[0].startswith("100%|%%%")
    assert lines[9].startswith("    |@@@")
    assert lines[10].startswith("  0%+---")
    assert lines[-1].strip() == "`- early-50"


def test_colours_do_not_change_the_text() -> None:
    styled = plan_picture.draw_timeline([MAIN, COOLDOWN], 1000, 60)
    assert [line.plain for line in styled] == picture([MAIN, COOLDOWN], 60)
    assert {str(span.style) for line in styled for span in line.spans} == {"blue", "green"}


def test_names_that_touch_go_to_further_lines() -> None:
    phases = [phase(name, 10, {"a": 1.0}) for name in ("warm-up-of-the-rate", "steady-state-of-it", "end")]
    lines = picture(phases, 40)
    assert lines[10:] == [
        "  0%└────────┴───────┴───────┘",
        "     0 10,000  20,000      30,000 tokens",
        "     warm-up-of-the-rate",
        "              steady-state-of-it",
        "                      end",
    ]


def test_more_phases_than_columns() -> None:
    lines = picture([phase(f"p{number}", 10, {"a": 1.0}) for number in range(100)], 40)
    assert lines[0] == "100%┤████████████████████████"
    assert " ".join(sorted(" ".join(lines[12:]).split())) == " ".join(sorted(f"p{number}" for number in range(100)))


NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=1, max_size=14, unique=True)


@st.composite
def timelines(draw: st.DrawFn) -> list[PlannedStage]:
    phases = []
    for name in draw(NAMES):
        weights = {source: draw(st.integers(0, 9)) for source in draw(NAMES)}
        total = sum(weights.values()) or 1
        shares = {source: weight / total for source, weight in weights.items()}
        phases.append(phase(name, draw(st.integers(1, 10**6)), shares))
    return phases


@given(timelines(), st.integers(20, 200))
def test_every_line_fits_and_every_row_is_full(phases: list[PlannedStage], width: int) -> None:
    lines = picture(phases, width)
    end = lines[10].index("┘")
    # A plot has at least 24 columns, and stands beside a legend of at most 21.
    assert max(map(len, lines)) <= max(min(width, 120), 60)
    assert all(len(line.split("   ")[0]) <= end and len(line) >= end for line in lines[:10] if " " not in line[5:end])
    for column in range(5, end):
        fills = "".join(line[column] for line in reversed(lines[:10]))
        assert fills == " " * 10 or fills == "│" * 10 or list(fills) == sorted(fills, key="█▓▒░#=+:ox".index)


@st.composite
def any_plans(draw: st.DrawFn) -> list[PlannedStage]:
    """Phases and branches of any size, whose shares are as small as they like."""
    phases = []
    for name in draw(NAMES):
        shares = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=8), st.floats(0, 1), min_size=1, max_size=14)
        ends = sorted(draw(st.sets(st.floats(0.01, 0.99), max_size=4)))
        timeline = [Stretch(end, draw(shares)) for end in (*ends, 1.0)]
        phases.append(phase(name, draw(st.integers(0, 10**9)), draw(shares), timeline))
    branches = [
        phase(f"branch{number}", draw(st.integers(0, 10**6)), draw(shares), branch=replace(BRANCH.branch, phase=name))
        for number, name in enumerate(draw(st.lists(st.sampled_from([stage.name for stage in phases]), max_size=3)))
    ]
    return [*phases, *branches]


@given(any_plans(), st.integers(0, 300), st.booleans())
@example([phase("main", 100, {f"s{number}": 0.004 for number in range(9)})], 80, False)
@example([phase("main", 100, {"a": 0.02}, [Stretch(1.0, {"a": 0.02})])], 80, False)
def test_no_plan_stops_the_picture(stages: list[PlannedStage], width: int, is_ascii: bool) -> None:
    lines = picture(stages, width, is_ascii=is_ascii)
    drawn = sum(stage.expected_rows for stage in stages if stage.branch is None) > 0
    assert len(lines) >= 12 if drawn else lines == []


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(0, 200), st.integers(0, 2))
def test_shuffle_keys_are_spread_in_proportion(sizes: list[int], more: int, least: int) -> None:
    shuffle_keys = least * len(sizes) + more
    given_ = plan_picture.spread(sizes, shuffle_keys, least=least)
    assert sum(given_) == shuffle_keys
    assert min(given_) >= least
    pairs = list(zip(sizes, given_, strict=True))
    assert all(one[1] >= other[1] for one in pairs for other in pairs if one[0] > other[0])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=6), st.data())
def test_mean_shares_is_the_mean_of_points(stretches: list[tuple[int, int]], data: st.DataObject) -> None:
    # Each stretch is some whole cells long, so the mean over cells is the mean.
    cells = [share / 4 for size, share in stretches for _ in range(size)]
    ends = [sum(size for size, _ in stretches[: n + 1]) / len(cells) for n in range(len(stretches))]
    timeline = [Stretch(end, {"a": share / 4}) for end, (_, share) in zip(ends, stretches, strict=True)]
    first = data.draw(st.integers(0, len(cells) - 1))
    last = data.draw(st.integers(first + 1, len(cells)))
    found = plan_picture.mean_shares(timeline, first / len(cells), last / len(cells))
    assert found["a"] == pytest.approx(sum(cells[first:last]) / (last - first))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_000_000, "1.0 M"),
        (1_234_567, "1.2 M"),
        (999_949_999, "999.9 M"),
        (999_950_000, "1.0 B"),
        (34_500_000_000, "34.5 B"),
        (4_000_000_000_000, "4.0 T"),
        (1_234_000_000_000_000, "1,234.0 T"),
    ],
)
def test_counts_for_people(count: int, text: str) -> None:
    assert plan_picture.short(count) == text
