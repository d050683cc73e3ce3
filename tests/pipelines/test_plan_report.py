"""`byline plan`: from a plan made by hand to its lines, its picture and its JSON."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.main import get_command

from pipelines import plan_picture, plan_report
from pipelines.cli import app
from pipelines.compact import parse_size
from pipelines.prepare import StoreState
from schemas.plan import PLAN_SCHEMA, Plan
from schemas.store import RunFile, RunInfo
from tests.small import StoredRow, drawn_by, small_config, tokenizer_file, write_store
from tests.small import plan_of as plan_of_store


def phase(name: str, rows: int, shares: dict[str, float], timeline: list[Any] | None = None, **settings: Any) -> dict:
    """A phase of the header that fills what it asks for, from the start of each source's line."""
    epochs = settings.pop("epochs", {})
    return {
        "name": name,
        "branch": None,
        "packing": "document_start",
        "shards": 1,
        "slices": 1,
        "expected_rows": rows,
        "sources": {
            source: {
                "target_positions": round(share * rows * 1000),
                "expected_positions": round(share * rows * 1000),
                "requested_share": share,
                "expected_share": share,
                "epochs": epochs.get(source, [0.0, 0.5]),
            }
            for source, share in sorted(shares.items())
        },
        "timeline": timeline or [{"end": 1.0, "shares": shares}],
        **settings,
    }


def plan_of(*phases: dict, rows: list[tuple] = (), notes: list[str] = (), **drawn: Any) -> Plan:
    table = pa.Table.from_pylist(
        [dict(zip(PLAN_SCHEMA.names, row, strict=True)) for row in rows],
        PLAN_SCHEMA,
    )
    header = {
        "seed": 7,
        "sequence": {"length": 1000, "packing": "document_start"},
        "tokenizer": {"vocab_size": 50_000},
        "phases": list(phases),
        "capacity": {"c4": 400_000, "dclm": 900_000},
        "notes": list(notes),
        "drawn": {"phases": {}, "used": {}, "unused": {}, **drawn},
    }
    return Plan(table, header)


def state_of(size: int = 1 << 30, **runs: int) -> StoreState:
    """A store of so many runs of each source, `size` bytes each."""
    infos = [
        RunInfo("f", source, f"{n}.jsonl", 0, True, 1, 1, 1, {}, 0, 1, 1, 1, [0], f"{source}-{n}.arrow")
        for source, count in runs.items()
        for n in range(count)
    ]
    return StoreState({}, {}, [], infos, [RunFile([info], [0], size, info.uri) for info in infos])


def lines_of(plan: Plan, state: StoreState, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    plan_report.show(plan, state, console)
    return console.file.getvalue().splitlines()


def picture(phases: list[dict], width: int = 40, **settings: Any) -> list[str]:
    return [line.plain for line in plan_picture.draw_timeline(phases, 1000, width, **settings)]


MAIN = phase("main", 900, {"c4": 0.4, "dclm": 0.6}, shards=3)
COOLDOWN = phase("cooldown", 100, {"c4": 0.4, "dclm": 0.6}, packing="concat", epochs={"c4": [0.5, 1.25]})
BRANCH = phase(
    "early-50",
    50,
    {"dclm": 1.0},
    branch={"of": "early", "at": 0.5, "phase": "main", "shards": 2},
    epochs={"dclm": [0.25, 0.3]},
)
PLAN = plan_of(
    MAIN,
    COOLDOWN,
    BRANCH,
    rows=[
        ("main", 0, 0, "c4", 0, 0, 9, 0),
        ("main", 0, 0, "dclm", 0, 0, 9, 0),
        ("main", 1, 0, "dclm", 0, 10, 99, 0),
        ("early-50", 0, 0, "dclm", 0, 20, 99, 0),
    ],
    notes=["max_epochs holds source c4 at 40.00% [of the mixture]"],
    phases={
        "main": {
            "c4": {"0": {"documents": 700, "tokens": 250_000}, "1": {"documents": 43, "tokens": 100_000}},
            "dclm": {"0": {"documents": 1_500, "tokens": 1_250_000}},
        },
        "early-50": {"dclm": {"0": {"documents": 90, "tokens": 48_000}}},
    },
    used={"c4": {"documents": 743, "tokens": 350_000}, "dclm": {"documents": 1590, "tokens": 1_298_000}},
    unused={
        "c4": {"selection": {"documents": 0, "tokens": 0}, "budget": {"documents": 12, "tokens": 3_456}},
        "dclm": {"selection": {"documents": 30_000, "tokens": 34_500_000_000}},
    },
)


def test_every_line_of_a_plan() -> None:
    assert lines_of(PLAN, state_of(c4=1, dclm=3)) == [
        "phase     sequences   tokens  shards  packing",
        "main            900  900,000       3  document_start",
        "cooldown        100  100,000       1  concat",
        "early-50         50   50,000       1  document_start",
        "early-50 leaves main after 2 of its 3 shards, at 45% of the tokens, and ends at 50%",
        "",
        "phase     source  documents   tokens    asked  planned       epochs",
        "main      c4            743  350,000   40.00%   40.00%  0.000-0.500",
        "          dclm        1,500    1.2 M   60.00%   60.00%  0.000-0.500",
        "cooldown  c4              0        0   40.00%   40.00%  0.500-1.250",
        "          dclm            0        0   60.00%   60.00%  0.000-0.500",
        "early-50  dclm           90   48,000  100.00%  100.00%  0.250-0.300",
        "",
        "100%┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓│▓▓▓▓▓▓",
        *["    │▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓│▓▓▓▓▓▓"] * 3,
        "    │████████████████████████████████████████████████████│██████",
        " 50%┤████████████████████████████████████████████████████│██████",
        *["    │████████████████████████████████████████████████████│██████"] * 2,
        "    │████████████████████████████████████████████████████│██████   ▓ c4    40.0%",
        "    │████████████████████████████████████████████████████│██████   █ dclm  60.0%",
        "  0%└────────────────────────────────────────────────────┴──────┘",
        "     0                                            900,000       1.0 M tokens",
        "     main                                                 cooldown",
        "                               ╰─── early-50",
        "",
        "unused of c4 (budget): 12 documents, 3,456 tokens",
        "unused of dclm (selection): 30,000 documents, 34.5 B tokens",
        "reads: 10 ranges of 329.6 kB on average, 4 runs",
        "note max_epochs holds source c4 at 40.00% [of the mixture]",
    ]


def test_json_has_everything_exact() -> None:
    found = json.loads(plan_report.as_json(PLAN, state_of(c4=1, dclm=3)))
    assert list(found) == [
        "plan_sha256",
        "seed",
        "sequence_length",
        "expected_rows",
        "expected_tokens",
        "phases",
        "sources",
        "reads",
        "notes",
        "warnings",
    ]
    assert found["plan_sha256"] == PLAN.sha256
    assert (found["seed"], found["sequence_length"]) == (7, 1000)
    assert (found["expected_rows"], found["expected_tokens"]) == (1000, 1_000_000)
    main, cooldown, branch = found["phases"]
    assert {key: value for key, value in main.items() if key not in ("sources", "timeline")} == {
        "name": "main",
        "branch": None,
        "packing": "document_start",
        "expected_rows": 900,
        "expected_tokens": 900_000,
        "shards": 3,
        "slices": 1,
    }
    assert main["sources"]["c4"] == {
        "documents": 743,
        "tokens": 350_000,
        "target_positions": 360_000,
        "expected_positions": 360_000,
        "requested_share": 0.4,
        "expected_share": 0.4,
        "epochs": [0.0, 0.5],
    }
    assert main["timeline"] == [{"end": 1.0, "shares": {"c4": 0.4, "dclm": 0.6}}]
    assert cooldown["sources"]["c4"]["documents"] == 0
    assert branch["branch"] == {"of": "early", "at": 0.5, "phase": "main", "shards": 2}
    assert found["sources"] == {
        "c4": {
            "epoch_positions": 400_000,
            "epochs": 1.25,
            "used": {"documents": 743, "tokens": 350_000},
            "unused": {
                "selection": {"documents": 0, "tokens": 0},
                "budget": {"documents": 12, "tokens": 3_456},
            },
        },
        "dclm": {
            "epoch_positions": 900_000,
            "epochs": 0.5,
            "used": {"documents": 1590, "tokens": 1_298_000},
            "unused": {"selection": {"documents": 30_000, "tokens": 34_500_000_000}},
        },
    }
    assert found["reads"] == {"count": 10, "mean_bytes": 329_600, "runs": 4, "compacted": None}
    assert found["notes"] == ["max_epochs holds source c4 at 40.00% [of the mixture]"]
    assert found["warnings"] == []


def test_a_plan_that_draws_nothing() -> None:
    found = plan_report.report(plan_of(phase("main", 0, {"c4": 0.0})), state_of())
    assert found["reads"] == {"count": 0, "mean_bytes": 0, "runs": 0, "compacted": None}
    assert found["warnings"] == []
    assert picture([phase("main", 0, {"c4": 0.0})]) == []


def test_a_plan_of_a_small_store(tmp_path: Path) -> None:
    tokenizer_file(tmp_path)
    store = write_store(
        tmp_path,
        {
            ("a", "x.jsonl"): [StoredRow(row, [row] * (5 + row % 20)) for row in range(200)],
            ("b", "y.jsonl"): [StoredRow(row, [row] * (9 + row % 5)) for row in range(100)],
            ("b", "z.jsonl"): [StoredRow(row, [row] * 7) for row in range(100)],
        },
    )
    points = [{"at": 0, "weights": {"a": 1}}, {"at": 1, "weights": {"b": 1}}]
    config = small_config(
        tmp_path,
        tokens=3200,
        phases=[{"name": "main", "share": 1, "mixture": {"method": "linear", "points": points}}],
        branches=[{"name": "early", "at": 0.5, "share": 0.2, "mixture": {"b": 1}}],
    )
    plan = plan_of_store(config, store)
    state = StoreState({}, {}, [], store.runs, [RunFile([run], run.batch_places, 1, run.uri) for run in store.runs])
    found = json.loads(plan_report.as_json(plan, state))
    drawn = drawn_by(plan, store.documents)
    for part in found["phases"]:
        for source, counts in part["sources"].items():
            mine = [
                document
                for (name, _), some in drawn.items()
                for document in some
                if (name, document.source) == (part["name"], source)
            ]
            assert counts["documents"] == len(mine)
            assert counts["tokens"] == sum(len(document.tokens) for document in mine)
    assert found["reads"]["count"] == sum({"a": 1, "b": 2}[source] for source in plan.table["source"].to_pylist())
    lines = lines_of(plan, state)
    assert "early-50 leaves main after" in "\n".join(lines)
    plot = [line for line in lines if line[4:5] in ("┤", "│")]
    fill = next(line[line.index(" b ") - 1] for line in plot if " b " in line)
    edge = next(line.index("┘") for line in lines if "┘" in line) - 1
    left, right = "".join(line[5] for line in plot), "".join(line[edge] for line in plot)
    # `b` rises from nothing to everything.
    assert left.count(fill) < 2 < 8 < right.count(fill)


# ------------------------------------------------------------------------------------------------------- warnings


def warnings_of(*phases: dict, state: StoreState | None = None, **settings: Any) -> list[str]:
    return plan_report.report(plan_of(*phases, **settings), state or state_of())["warnings"]


@pytest.mark.parametrize(("end", "warned"), [(4.0, False), (4.5, True)])
def test_many_epochs_in_whatever_phase(end: float, warned: bool) -> None:
    last = phase("b", 100, {"c4": 1.0}, epochs={"c4": [1.0, end]})
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
    off["sources"]["c4"]["expected_share"] = planned
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
        phases={"a": {"c4": {"0": {"documents": 1, "tokens": rows * runs * size // 2}}}},
    )
    text = "100,001 ranges below 16 kB are slow on object stores; a larger shard.sequences makes fewer and longer ones"
    assert found == [text] * warned


def slow_reads(size: int, tokens: int) -> dict:
    """The report of a plan of eleven ranges of a store of 10,000 runs of `size` bytes."""
    plan = plan_of(
        phase("a", 100, {"c4": 1.0}),
        rows=[("a", shard, 0, "c4", 0, 0, 9, 0) for shard in range(11)],
        phases={"a": {"c4": {"0": {"documents": 1, "tokens": tokens}}}},
    )
    return plan_report.report(plan, state_of(size, c4=10_000))


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


def test_ids_of_four_bytes_count_in_reads() -> None:
    plan = plan_of(rows=[("a", 0, 0, "c4", 0, 0, 9, 0)], phases={"a": {"c4": {"0": {"documents": 1, "tokens": 10}}}})
    plan.header["tokenizer"]["vocab_size"] = 2**16
    assert plan_report.report(plan, state_of(c4=1))["reads"]["mean_bytes"] == 20
    plan.header["tokenizer"]["vocab_size"] = 2**16 + 1
    assert plan_report.report(plan, state_of(c4=1))["reads"]["mean_bytes"] == 40


# -------------------------------------------------------------------------------------------------------- picture


def test_a_mixture_that_changes() -> None:
    # 16 stretches: a falls from 1 to 0.
    timeline = [{"end": (n + 1) / 16, "shares": {"a": 1 - n / 15, "b": n / 15}} for n in range(16)]
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
    timeline = [{"end": 0.25, "shares": {"b": 1.0}}, {"end": 1.0, "shares": {"a": 1.0}}]
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
def main_lines(draw: st.DrawFn) -> list[dict]:
    phases = []
    for name in draw(NAMES):
        weights = {source: draw(st.integers(0, 9)) for source in draw(NAMES)}
        total = sum(weights.values()) or 1
        shares = {source: weight / total for source, weight in weights.items()}
        phases.append(phase(name, draw(st.integers(1, 10**6)), shares))
    return phases


@given(main_lines(), st.integers(20, 200))
def test_every_line_fits_and_every_row_is_full(phases: list[dict], width: int) -> None:
    lines = picture(phases, width)
    end = lines[10].index("┘")
    # A plot has at least 24 columns, and stands beside a legend of at most 21.
    assert max(map(len, lines)) <= max(min(width, 120), 60)
    assert all(len(line.split("   ")[0]) <= end and len(line) >= end for line in lines[:10] if " " not in line[5:end])
    for column in range(5, end):
        fills = "".join(line[column] for line in reversed(lines[:10]))
        assert fills == " " * 10 or fills == "│" * 10 or list(fills) == sorted(fills, key="█▓▒░#=+:ox".index)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(0, 200), st.integers(0, 2))
def test_places_are_spread_in_proportion(sizes: list[int], more: int, least: int) -> None:
    places = least * len(sizes) + more
    given_ = plan_picture.spread(sizes, places, least=least)
    assert sum(given_) == places
    assert min(given_) >= least
    pairs = list(zip(sizes, given_, strict=True))
    assert all(one[1] >= other[1] for one in pairs for other in pairs if one[0] > other[0])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=6), st.data())
def test_mean_shares_is_the_mean_of_points(stretches: list[tuple[int, int]], data: st.DataObject) -> None:
    # Each stretch is some whole cells long, so the mean over cells is the mean.
    cells = [share / 4 for size, share in stretches for _ in range(size)]
    ends = [sum(size for size, _ in stretches[: n + 1]) / len(cells) for n in range(len(stretches))]
    timeline = [{"end": end, "shares": {"a": share / 4}} for end, (_, share) in zip(ends, stretches, strict=True)]
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
