"""What a plan comes to, for people and as JSON; docs/plan.md explains every line and key.

```
phase         sequences   tokens  shards  packing
conditioned       1,757    3.6 M       8  document_start
cool-25              49  100,352       1  document_start
cool-25 leaves conditioned after 2 of its 8 shards, at 22.5% of the tokens, and ends at 25%

phase        source  documents  tokens   asked  planned      epochs
conditioned  c4          1,034   3.9 M  35.00%   35.04%  0.000-1.015
             dclm        1,023   3.8 M  65.00%   64.96%  0.000-0.422
                                        (then the picture of `byline.pipelines.console.plan_picture`)
dropped of dclm: 12 of 5,000 documents (0.24%): empty_text 12
unused of dclm (budget): 1,298 documents, 4.7 M tokens
reads: 270 ranges of 60.1 kB on average, 30 runs
note ...
warning ...
```
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from byline.pipelines.console.funnel import Funnel
from byline.pipelines.console.plan_picture import draw_timeline, leave_row, short
from byline.pipelines.console.tables import aligned
from byline.schemas.plan import Plan
from byline.transforms.store.range_reads import RangeReads, count_reads, merged_runs
from byline.transforms.store.state import StoreState

# Below this, a range costs more to ask for than to read from an object store.
SMALL_RANGE_BYTES = 16_000
MANY_READS = 100_000
# Of a run, where `byline compact` is not told another one; and what it should at least divide the reads by to be worth
# writing the token store once more.
MERGED_BYTES = 1 << 30
WORTH_MERGING = 2
# Of more epochs than this, models learn little (arXiv 2305.16264).
MANY_EPOCHS = 4
# A share that is off by more than this would be minded, and in so short a phase single documents make it so.
SHARE_ERROR = 0.005
FEW_ROWS = 100

Values = dict[str, Any]


def report(plan: Plan, state: StoreState, funnels: Sequence[Funnel] = ()) -> Values:
    """Everything that `byline plan` says, as plain values; docs/plan.md lists the keys."""
    length = plan.header["sequence"]["length"]
    phases = [_phase(plan, phase, length) for phase in plan.header["phases"]]
    sources = _sources(plan, phases)
    reads, merged = _reads(plan, state)
    main = sum(phase["expected_rows"] for phase in phases if phase["branch"] is None)
    return {
        "plan_sha256": plan.sha256,
        "seed": plan.header["seed"],
        "sequence_length": length,
        "expected_rows": main,
        "expected_tokens": main * length,
        "phases": phases,
        "sources": sources,
        "funnel": {funnel.source: funnel.to_json() for funnel in funnels},
        "reads": {**_reads_entry(reads), "compacted": None if merged is None else _reads_entry(merged)},
        "notes": list(plan.header["notes"]),
        "warnings": _warnings(phases, sources, reads, merged),
    }


def as_json(plan: Plan, state: StoreState, funnels: Sequence[Funnel] = ()) -> str:
    """`report` as one JSON object."""
    return json.dumps(report(plan, state, funnels), indent=1, ensure_ascii=False)


def show(plan: Plan, state: StoreState, console: Console, funnels: Sequence[Funnel] = ()) -> None:
    """Prints the report."""
    found = report(plan, state, funnels)
    lines: list[Text] = [
        *_phase_lines(found),
        Text(),
        *_source_lines(found),
        Text(),
        *draw_timeline(found["phases"], found["sequence_length"], console.width, is_ascii=console.options.ascii_only),
        Text(),
        *map(Text, _dropped_lines(found)),
        *map(Text, _unused_lines(found)),
        Text(_read_line(found["reads"])),
        *(Text.assemble(("note", "yellow"), f" {note}") for note in found["notes"]),
        *(Text.assemble(("warning", "yellow"), f" {warning}") for warning in found["warnings"]),
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _phase(plan: Plan, phase: Values, length: int) -> Values:
    drawn = plan.header["drawn"]["phases"].get(phase["name"], {})
    return {
        "name": phase["name"],
        "branch": phase["branch"],
        "packing": phase["packing"],
        "expected_rows": phase["expected_rows"],
        "expected_tokens": phase["expected_rows"] * length,
        "shards": phase["shards"],
        "slices": phase["slices"],
        "sources": {
            source: {
                "documents": sum(draw["documents"] for draw in drawn.get(source, {}).values()),
                "tokens": sum(draw["tokens"] for draw in drawn.get(source, {}).values()),
                **{key: settings[key] for key in _SHARES},
            }
            for source, settings in phase["sources"].items()
        },
        "timeline": phase["timeline"],
    }


_SHARES = ("target_positions", "expected_positions", "requested_share", "expected_share", "epochs")
_NOTHING = {"documents": 0, "tokens": 0}


def _sources(plan: Plan, phases: Sequence[Values]) -> Values:
    drawn, capacity = plan.header["drawn"], plan.header["capacity"]
    epochs: dict[str, float] = {}
    for phase in phases:
        for source, found in phase["sources"].items():
            epochs[source] = max(epochs.get(source, 0.0), found["epochs"][1])
    return {
        source: {
            "epoch_positions": capacity.get(source, 0),
            "epochs": epochs.get(source, 0.0),
            "used": drawn["used"].get(source, _NOTHING),
            "unused": drawn["unused"].get(source, {}),
        }
        for source in sorted({*capacity, *drawn["used"], *drawn["unused"], *epochs})
    }


def _reads(plan: Plan, state: StoreState) -> tuple[RangeReads, RangeReads | None]:
    """What the shards read, and what they would read from larger runs; None where that is not worth making them."""
    runs, stored = Counter(file.source for file in state.files), Counter[str]()
    for file in state.files:
        stored[file.source] += file.size
    ranges = {entry["values"]: entry["counts"] for entry in plan.table["source"].value_counts().to_pylist()}
    draws = [draw for phase in plan.header["drawn"]["phases"].values() for of in phase.values() for draw in of.values()]
    width = 2 if plan.header["tokenizer"]["vocab_size"] <= 2**16 else 4
    size = sum(draw["tokens"] for draw in draws) * width
    reads = count_reads(ranges, runs, size)
    merged = count_reads(ranges, merged_runs(runs, stored, MERGED_BYTES), size)
    return reads, merged if _are_slow(reads) and WORTH_MERGING * merged.count <= reads.count else None


def _are_slow(reads: RangeReads) -> bool:
    return reads.count > MANY_READS and reads.mean_bytes < SMALL_RANGE_BYTES


def _reads_entry(reads: RangeReads) -> Values:
    return {"count": reads.count, "mean_bytes": reads.mean_bytes, "runs": reads.runs}


def _warnings(phases: Sequence[Values], sources: Values, reads: RangeReads, merged: RangeReads | None) -> list[str]:
    found = [warning for phase in phases if (warning := _share_warning(phase)) is not None]
    found += [
        f"source {name}: {of['epochs']:.1f} epochs; repeating beyond about {MANY_EPOCHS} epochs is worth little "
        f"(arXiv 2305.16264)"
        for name, of in sources.items()
        if of["epochs"] > MANY_EPOCHS
    ]
    if _are_slow(reads):
        found.append(_reads_warning(reads, merged))
    return found


def _reads_warning(reads: RangeReads, merged: RangeReads | None) -> str:
    text = f"{reads.count:,} ranges below {SMALL_RANGE_BYTES // 1000} kB are slow on object stores"
    if merged is not None:
        text += (
            f"; `byline compact` would make {merged.runs:,} runs of the {reads.runs:,}, and {merged.count:,} ranges of "
            f"{merged.mean_bytes / 1e3:,.1f} kB"
        )
    if merged is None or merged.mean_bytes < SMALL_RANGE_BYTES:
        text += "; a larger shard.sequences makes fewer and longer ones"
    return text


def _share_warning(phase: Values) -> str | None:
    off = [
        f"{source} {_percent(of['expected_share'])} instead of {_percent(of['requested_share'])}"
        for source, of in phase["sources"].items()
        if abs(of["expected_share"] - of["requested_share"]) > SHARE_ERROR
    ]
    if not off:
        return None
    if phase["expected_rows"] < FEW_ROWS:
        why = f"with {phase['expected_rows']:,} sequences its shares are coarse"
    else:
        why = f"shares are off by more than {SHARE_ERROR:.1%}"
    return f"phase {phase['name']}: {why}: {', '.join(off)}"


def _phase_lines(found: Values) -> list[Text]:
    rows = [
        [
            phase["name"],
            f"{phase['expected_rows']:,}",
            short(phase["expected_tokens"]),
            f"{phase['shards']:,}",
            phase["packing"],
        ]
        for phase in found["phases"]
    ]
    head = ["phase", "sequences", "tokens", "shards", "packing"]
    shards = {phase["name"]: phase["shards"] for phase in found["phases"]}
    leaves = [
        _leave_line(phase, shards, found["expected_rows"]) for phase in found["phases"] if phase["branch"] is not None
    ]
    return [*aligned(head, rows, left={0, 4}), *map(Text, leaves)]


def _leave_line(phase: Values, shards: Mapping[str, int], rows: int) -> str:
    branch = phase["branch"]
    return (
        f"{phase['name']} leaves {branch['phase']} after {branch['shards']:,} of its {shards[branch['phase']]:,} "
        f"shards, at {leave_row(phase, rows) / max(rows, 1) * 100:.3g}% of the tokens, and ends at "
        f"{branch['at'] * 100:.10g}%"
    )


def _source_lines(found: Values) -> list[Text]:
    rows = []
    for phase in found["phases"]:
        for number, (source, of) in enumerate(phase["sources"].items()):
            rows.append(
                [
                    phase["name"] if number == 0 else "",
                    source,
                    f"{of['documents']:,}",
                    short(of["tokens"]),
                    f"{of['requested_share']:.2%}",
                    f"{of['expected_share']:.2%}",
                    f"{of['epochs'][0]:.3f}-{of['epochs'][1]:.3f}",
                ]
            )
    head = ["phase", "source", "documents", "tokens", "asked", "planned", "epochs"]
    return aligned(head, rows, left={0, 1})


def _dropped_lines(found: Values) -> list[str]:
    lines = []
    for source, funnel in found["funnel"].items():
        reasons = [f"{reason} {number:,}" for reason, number in funnel["dropped"].items() if number]
        if reasons:
            dropped = funnel["read"] - funnel["kept"]
            lines.append(
                f"dropped of {source}: {dropped:,} of {funnel['read']:,} documents "
                f"({dropped / funnel['read']:.2%}): {', '.join(reasons)}"
            )
    return lines


def _unused_lines(found: Values) -> list[str]:
    return [
        f"unused of {source} ({reason}): {left['documents']:,} documents, {short(left['tokens'])} tokens"
        for source, of in found["sources"].items()
        for reason, left in of["unused"].items()
        if left["documents"]
    ]


def _read_line(reads: Values) -> str:
    return f"reads: {reads['count']:,} ranges of {reads['mean_bytes'] / 1e3:,.1f} kB on average, {reads['runs']:,} runs"


def _percent(share: float) -> str:
    return f"{share:.2%}"
