"""`byline plan`: from a plan made by hand to its lines and its JSON."""

import io
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from rich.console import Console

from byline.pipelines.console import plan_report
from byline.pipelines.console.plan_source_lines import replaced_lines, replaced_warnings
from byline.schemas.ledger import Amount, Replaced
from byline.schemas.loss_weights import FormatterWeight, NumberWeight
from byline.schemas.mixtures import Weights
from byline.schemas.plan import Drawn, Plan
from byline.schemas.planned_stage import BranchPoint, StageSource
from byline.schemas.store import RunFile, RunInfo
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.store.state import StoreState
from tests.support import slow_shards
from tests.support.planned import BRANCH, COOLDOWN, MAIN, drawn_by, phase, plan_of
from tests.support.small import StoredRow, small_config, tokenizer_file, write_store
from tests.support.small import plan_of as plan_of_store


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
    plan_report.show(plan_report.report(plan, state), console)
    return console.file.getvalue().splitlines()


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
    drawn=Drawn(
        stages={
            "main": {
                "c4": {0: Amount(700, 250_000), 1: Amount(43, 100_000)},
                "dclm": {0: Amount(1_500, 1_250_000)},
            },
            "early-50": {"dclm": {0: Amount(90, 48_000)}},
        },
        used={"c4": Amount(743, 350_000), "dclm": Amount(1590, 1_298_000)},
        unused={
            "c4": {"selection": Amount(), "budget": Amount(12, 3_456)},
            "dclm": {"selection": Amount(30_000, 34_500_000_000)},
        },
    ),
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


def test_loss_weights_of_formatters_have_a_line() -> None:
    by_quality = NumberWeight(by="quality", most=Fraction(3, 2))
    weights = {"dclm": FormatterWeight(by_quality), "c4": FormatterWeight()}
    plan = plan_of(replace(MAIN, loss_weight=weights), rows=[])
    lines = [line for line in lines_of(plan, state_of(c4=1)) if line.startswith("loss weights")]
    assert lines == [
        "loss weights of main: c4 of its formatter, dclm of its formatter times by quality up to 1.5 (unknown 1)"
    ]


def test_loss_weights_have_a_line() -> None:
    weights = {"dclm": NumberWeight(by="quality", most=Fraction(3, 2)), "c4": Fraction(1, 2)}
    plan = plan_of(replace(MAIN, loss_weight=weights), replace(COOLDOWN, loss_weight={}), rows=[])
    lines = [line for line in lines_of(plan, state_of(c4=1)) if line.startswith("loss weights")]
    assert lines == ["loss weights of main: c4 0.5, dclm by quality up to 1.5 (unknown 1)"]
    main, cooldown = json.loads(plan_report.as_json(plan_report.report(plan, state_of(c4=1))))["phases"]
    assert main["loss_weight"] == {"c4": 0.5, "dclm": {"by": "quality", "most": 1.5, "unknown": 1}}
    assert cooldown["loss_weight"] == {}


def test_json_has_everything_exact() -> None:
    found = json.loads(plan_report.as_json(plan_report.report(PLAN, state_of(c4=1, dclm=3))))
    assert list(found) == [
        "plan_sha256",
        "seed",
        "sequence_length",
        "expected_rows",
        "expected_tokens",
        "phases",
        "sources",
        "funnel",
        "fields",
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
        "expected_padding": 0,
        "shards": 3,
        "slices": 1,
        "by": None,
        "labels": {},
        "loss_weight": None,
    }
    assert main["sources"]["c4"] == {
        "documents": 743,
        "tokens": 350_000,
        "target_positions": 360_000,
        "expected_positions": 360_000,
        "expected_discarded": 0,
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
            "replaced": None,
        },
        "dclm": {
            "epoch_positions": 900_000,
            "epochs": 0.5,
            "used": {"documents": 1590, "tokens": 1_298_000},
            "unused": {"selection": {"documents": 30_000, "tokens": 34_500_000_000}},
            "replaced": None,
        },
    }
    assert found["reads"] == {"count": 10, "mean_bytes": 329_600, "runs": 4, "compacted": None}
    assert found["notes"] == ["max_epochs holds source c4 at 40.00% [of the mixture]"]
    assert found["warnings"] == []


def test_what_is_replaced_is_shown() -> None:
    drawn = Drawn(used={"c4": Amount(9, 250)}, replaced={"c4": Replaced(8, 770, 20), "dclm": Replaced(1, 5, 1)})
    unused = {"dclm": {"budget": Amount(1, 996)}}
    plan = plan_of(
        MAIN, drawn=replace(drawn, unused=unused), replace={name: {"s_ranges": 7} for name in ("c4", "dclm")}
    )
    assert replaced_lines(plan.header.drawn) == [
        "replaced of c4: 770 tokens by 20 placeholders in 8 documents, 77.00% of the source",
        "replaced of dclm: 5 tokens by 1 placeholders in 1 documents, 0.50% of the source",
    ]
    assert list(replaced_warnings(plan.header)) == [
        "source c4: 77.0% of its tokens are replaced by placeholders (s_ranges); "
        "check the spans, or drop such documents"
    ]
    nothing = plan_of(MAIN, replace={"c4": {"s_ranges": 7}})
    assert list(replaced_warnings(nothing.header)) == [
        "replace: no document has a range of s_ranges, so nothing is replaced"
    ]
    assert list(replaced_warnings(plan_of(MAIN).header)) == []


def test_a_plan_that_draws_nothing() -> None:
    found = plan_report.report(plan_of(phase("main", 0, {"c4": 0.0})), state_of()).to_json()
    assert found["reads"] == {"count": 0, "mean_bytes": 0, "runs": 0, "compacted": None}
    assert found["warnings"] == []


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
    state = StoreState(
        {}, {}, [], store.runs, [RunFile([run], run.batch_shuffle_keys, 1, run.uri) for run in store.runs]
    )
    found = json.loads(plan_report.as_json(plan_report.report(plan, state)))
    drawn = slow_shards.drawn_by(plan, store.documents)
    for stage in found["phases"]:
        for source, counts in stage["sources"].items():
            mine = [
                document
                for (name, _), some in drawn.items()
                for document in some
                if (name, document.source) == (stage["name"], source)
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


def test_ids_of_four_bytes_count_in_reads() -> None:
    for vocab_size, size in ((2**16, 20), (2**16 + 1, 40)):
        tokenizer = TokenizerInfo("t", "00", vocab_size, None, None, 0)
        plan = plan_of(rows=[("a", 0, 0, "c4", 0, 0, 9, 0)], drawn=drawn_by("a", "c4", 10), tokenizer=tokenizer)
        assert plan_report.report(plan, state_of(c4=1)).reads.mean_bytes == size


def test_what_is_held_out_is_said_and_not_drawn() -> None:
    held = phase("unseen", 50, {"dclm": 1.0}, branch=BranchPoint("unseen", 0.0, "main", 0), epochs={"dclm": (0, 1)})
    plan = plan_of(MAIN, COOLDOWN, held, rows=[("main", 0, 0, "c4", 0, 0, 9, 0)])
    lines = lines_of(plan, state_of(c4=1, dclm=3))
    assert lines[4] == "unseen is held out: no phase and no branch reads its documents"
    assert not any("unseen" in line for line in lines[13:])
    assert plan_report.report(plan, state_of(c4=1, dclm=3)).epochs == {"c4": 1.25, "dclm": 0.5}


def test_labels_have_a_table_for_each_field() -> None:
    topics = {
        "cooking": StageSource(300, 270, 0.3, 0.27, (0, 2**63)),
        "null": StageSource(700, 730, 0.7, 0.73, (2**62, 5 * 2**64)),
    }
    bins = {"0": StageSource(500, 500, 0.5, 0.5, (0, 2**64)), "null": StageSource(500, 500, 0.5, 0.5, (0, 2**64))}
    by_topic = Weights(method="weights", by="topic", weights={"cooking": "0.3", "null": "0.7"})
    by_bin = Weights(method="weights", by="quality", bins=2, weights={"0": "0.5", "1": 0, "null": "0.5"})
    drawn = Drawn(labels={"main": {"cooking": Amount(3, 260)}, "cooldown": {}})
    main = replace(MAIN, mixture=by_topic, labels=topics)
    plan = plan_of(main, replace(COOLDOWN, mixture=by_bin, labels=bins), rows=[], drawn=drawn)
    lines = lines_of(plan, state_of(c4=1))
    first = next(number for number, line in enumerate(lines) if line.startswith("phase  topic"))
    assert lines[first : first + 8] == [
        "phase  topic    documents  tokens   asked  planned       epochs",
        "main   cooking          3     260  30.00%   27.00%  0.000-0.500",
        "       null             0       0  70.00%   73.00%  0.250-5.000",
        "",
        "phase     quality  documents  tokens   asked  planned       epochs",
        "cooldown  bin 0            0       0  50.00%   50.00%  0.000-1.000",
        "          null             0       0  50.00%   50.00%  0.000-1.000",
        "",
    ]
    found = plan_report.report(plan, state_of(c4=1)).to_json()
    assert found["phases"][0]["by"] == "topic"
    assert found["phases"][0]["labels"]["cooking"] == {
        "documents": 3,
        "tokens": 260,
        "target_positions": 300,
        "expected_positions": 270,
        "expected_discarded": 0,
        "requested_share": 0.3,
        "expected_share": 0.27,
        "epochs": [0.0, 0.5],
    }
    assert any(line.startswith("topic null: 5.0 epochs; repeating") for line in found["warnings"])
    assert any("cooking 27.00% instead of 30.00%, null 73.00%" in line for line in found["warnings"])
