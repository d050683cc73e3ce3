"""What a plan comes to, for people and as JSON; docs/plan.md explains every line and key.

```
phase         sequences   tokens  shards  packing
conditioned       1,757    3.6 M       8  document_start
cool-25              49  100,352       1  document_start
cool-25 leaves conditioned after 2 of its 8 shards, at 22.5% of the tokens, and ends at 25%

phase        source  documents  tokens   asked  planned      epochs
conditioned  c4          1,034   3.9 M  35.00%   35.04%  0.000-1.015
             dclm        1,023   3.8 M  65.00%   64.96%  0.000-0.422

phase        topic    documents  tokens   asked  planned      epochs         (where a mixture is by a label)
conditioned  cooking        610   2.3 M  30.00%   30.02%  0.000-0.610
             sport        1,447   5.4 M  70.00%   69.98%  0.000-0.288
                                        (then the picture of `byline.pipelines.console.plan_picture`)
dropped of dclm: 12 of 5,000 documents (0.24%): empty_text 12
fields of dclm: host 4,970 known, 18 unknown; url 4,988 known
unused of dclm (budget): 1,298 documents, 4.7 M tokens
replaced of c4: 8,120 tokens by 410 placeholders in 122 documents, 0.21% of the source
discarded of c4 in conditioned: 121,300 tokens (3.11%)
loss weights of conditioned: c4 0.5, dclm by quality up to 1.5 (unknown 1)
reads: 270 ranges of 60.1 kB on average, 30 runs
note ...
warning ...
```
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from byline.pipelines.console.field_lines import field_lines
from byline.pipelines.console.funnel import Funnel
from byline.pipelines.console.notes import show_notes, show_warnings
from byline.pipelines.console.plan_picture import draw_timeline, short
from byline.pipelines.console.plan_source_lines import replaced_lines, replaced_warnings, unused_lines
from byline.pipelines.console.plan_tables import label_lines, source_lines, taken_entry
from byline.pipelines.console.tables import aligned
from byline.schemas.ledger import Amount
from byline.schemas.loss_weights import DocumentWeight, FormatterWeight, NumberWeight, plain_weights
from byline.schemas.plan import Plan, PlanHeader, rows_by_shard
from byline.schemas.planned_stage import BranchPoint, PlannedStage, StageSource
from byline.transforms.fields.known_fields import SourceFields
from byline.transforms.packing import POLICIES
from byline.transforms.shards.gathering import merged_ranges
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
# A greater share of tokens that packing leaves out, or of positions that are padding, is seldom meant.
MUCH_LOST = 0.25


@dataclass(frozen=True)
class PlanReport:
    """What a plan comes to.

    Attributes:
        plan: reported.
        reads: what the shards read of the token store.
        merged: what they would read from larger runs; None where that is not worth making them.
        funnels: of the sources.
        fields: source -> field -> how many documents have a value.
        field_warnings: of fields that are known for too few documents, and of additions that are not held out whole.
    """

    plan: Plan
    reads: RangeReads
    merged: RangeReads | None
    funnels: Sequence[Funnel]
    fields: SourceFields
    field_warnings: Sequence[str]

    @property
    def stages(self) -> list[PlannedStage]:
        """Phases, then branches."""
        return self.plan.header.stages

    @property
    def length(self) -> int:
        """Tokens of a sequence."""
        return self.plan.header.sequence.length

    @property
    def expected_rows(self) -> int:
        """Sequences of the timeline."""
        return sum(stage.expected_rows for stage in self.stages if stage.branch is None)

    @property
    def epochs(self) -> dict[str, float]:
        """Source -> how far any stage reads into its stream."""
        ends: dict[str, float] = {}
        for stage in self.stages:
            for source, planned in stage.sources.items() if not stage.is_holdout else ():
                ends[source] = max(ends.get(source, 0.0), planned.epochs[1])
        return ends

    @property
    def label_epochs(self) -> dict[tuple[str, str], float]:
        """(field, label) -> how far any stage reads into the documents that have it."""
        ends: dict[tuple[str, str], float] = {}
        for stage in self.stages:
            for label, planned in stage.labels.items():
                key = stage.mixture.label_field or "", label
                ends[key] = max(ends.get(key, 0.0), planned.epochs[1])
        return ends

    @property
    def warnings(self) -> list[str]:
        """What the user may not have meant."""
        warnings = [warning for stage in self.stages if (warning := _share_warning(stage)) is not None]
        warnings += [line for stage in self.stages for line in _packing_warnings(stage, self.length)]
        repeated = [(f"source {source}", epochs) for source, epochs in sorted(self.epochs.items())]
        repeated += [(f"{name} {label}", epochs) for (name, label), epochs in sorted(self.label_epochs.items())]
        warnings += [
            f"{what}: {epochs:.1f} epochs; repeating beyond about {MANY_EPOCHS} epochs is worth little "
            f"(arXiv 2305.16264)"
            for what, epochs in repeated
            if epochs > MANY_EPOCHS
        ]
        warnings += replaced_warnings(self.plan.header)
        warnings += [_reads_warning(self.reads, self.merged)] if _are_slow(self.reads) else []
        return [*warnings, *self.plan.header.warnings, *self.field_warnings]

    def to_json(self) -> dict[str, Any]:
        """Everything that `byline plan` says, as plain values; docs/plan.md lists the keys."""
        header, drawn, epochs = self.plan.header, self.plan.header.drawn, self.epochs
        return {
            "plan_sha256": self.plan.sha256,
            "seed": header.seed,
            "sequence_length": self.length,
            "expected_rows": self.expected_rows,
            "expected_tokens": self.expected_rows * self.length,
            "phases": [_stage_entry(header, stage) for stage in self.stages],
            "sources": {
                source: {
                    "epoch_positions": header.capacity.get(source, 0),
                    "epochs": epochs.get(source, 0.0),
                    "used": asdict(drawn.used.get(source, Amount())),
                    "unused": {reason: asdict(left) for reason, left in drawn.unused.get(source, {}).items()},
                    "replaced": None if (found := header.replaced_in(source)) is None else asdict(found),
                }
                for source in sorted({*header.capacity, *drawn.used, *drawn.unused, *epochs})
            },
            "funnel": {funnel.source: funnel.to_json() for funnel in self.funnels},
            "fields": {
                source: {name: asdict(counts) for name, counts in fields.items()}
                for source, fields in self.fields.items()
            },
            "reads": {
                **_reads_entry(self.reads),
                "compacted": None if self.merged is None else _reads_entry(self.merged),
            },
            "notes": header.notes,
            "warnings": self.warnings,
        }


def report(
    plan: Plan,
    state: StoreState,
    funnels: Sequence[Funnel] = (),
    fields: SourceFields | None = None,
    field_warnings: Sequence[str] = (),
) -> PlanReport:
    """Counts what the shards of a plan read."""
    runs, stored = Counter(file.source for file in state.files), Counter[str]()
    for file in state.files:
        stored[file.source] += file.size
    ranges = _ranges(plan)
    drawn = plan.header.drawn.stages.values()
    tokens = sum(amount.tokens for sources in drawn for epochs in sources.values() for amount in epochs.values())
    # What is read of documents is what the token store has of them.
    tokens += sum(found.gone for sources in plan.header.drawn.stages_replaced.values() for found in sources.values())
    size = tokens * plan.header.tokenizer.id_bytes
    reads = count_reads(ranges, runs, size)
    merged = count_reads(ranges, merged_runs(runs, stored, MERGED_BYTES), size)
    is_worth_it = _are_slow(reads) and WORTH_MERGING * merged.count <= reads.count
    return PlanReport(plan, reads, merged if is_worth_it else None, funnels, fields or {}, field_warnings)


def _ranges(plan: Plan) -> dict[str, int]:
    """Source -> ranges that the plan's shards read of it."""
    if not any(stage.strata for stage in plan.header.stages):
        return {entry["values"]: entry["counts"] for entry in plan.table["source"].value_counts().to_pylist()}
    ranges = Counter[str]()
    for rows in rows_by_shard(plan.table):
        by_source: dict[str, list[dict[str, Any]]] = {}
        for row in rows.to_pylist():
            by_source.setdefault(row["source"], []).append(row)
        # Strata of a source lie in the same shuffle keys, and what overlaps is read once.
        ranges.update({source: len(merged_ranges(own)) for source, own in by_source.items()})
    return dict(ranges)


def as_json(summary: PlanReport) -> str:
    """The report as one JSON object."""
    return json.dumps(summary.to_json(), indent=1, ensure_ascii=False)


def show(summary: PlanReport, console: Console) -> None:
    """Prints the report."""
    lines: list[Text] = [
        *_stage_lines(summary),
        Text(),
        *source_lines(summary.plan.header),
        Text(),
        *label_lines(summary.plan.header),
        *draw_timeline(summary.stages, summary.length, console.width, is_ascii=console.options.ascii_only),
        Text(),
        *map(Text, _dropped_lines(summary.funnels)),
        *map(Text, field_lines(summary.fields)),
        *map(Text, unused_lines(summary.plan.header.drawn)),
        *map(Text, replaced_lines(summary.plan.header.drawn)),
        *map(Text, _discarded_lines(summary.stages)),
        *map(Text, _weight_lines(summary.stages)),
        Text(_read_line(summary.reads)),
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    show_notes(summary.plan.header.notes, console)
    show_warnings(summary.warnings, console)


def _stage_entry(header: PlanHeader, stage: PlannedStage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "branch": None if stage.branch is None else stage.branch.to_json(),
        "packing": stage.packing,
        "expected_rows": stage.expected_rows,
        "expected_tokens": stage.expected_rows * header.sequence.length,
        "expected_padding": _padding(stage, header.sequence.length),
        "shards": stage.shards,
        "slices": stage.slices,
        "loss_weight": None if stage.loss_weight is None else plain_weights(stage.loss_weight),
        "sources": {
            source: taken_entry(header.drawn.draws_of(stage.name, source), planned)
            for source, planned in stage.sources.items()
        },
        "by": stage.mixture.label_field,
        "labels": {
            label: taken_entry(header.drawn.labels[stage.name].get(label, Amount()), planned)
            for label, planned in stage.labels.items()
        },
        "timeline": [asdict(stretch) for stretch in stage.timeline],
    }


def _are_slow(reads: RangeReads) -> bool:
    return reads.count > MANY_READS and reads.mean_bytes < SMALL_RANGE_BYTES


def _reads_entry(reads: RangeReads) -> dict[str, Any]:
    return {"count": reads.count, "mean_bytes": reads.mean_bytes, "runs": reads.runs}


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


def _share_warning(stage: PlannedStage) -> str | None:
    off = [
        f"{source} {planned.expected_share:.2%} instead of {planned.requested_share:.2%}"
        for source, planned in [*stage.sources.items(), *stage.labels.items()]
        if abs(planned.expected_share - planned.requested_share) > SHARE_ERROR
    ]
    if not off:
        return None
    if stage.expected_rows < FEW_ROWS:
        why = f"with {stage.expected_rows:,} sequences its shares are coarse"
    else:
        why = f"shares are off by more than {SHARE_ERROR:.1%}"
    return f"phase {stage.name}: {why}: {', '.join(off)}"


def _packing_warnings(stage: PlannedStage, length: int) -> Iterator[str]:
    """Where packing leaves out or pads more than a quarter."""
    discarded = {source: _share_discarded(planned) for source, planned in stage.sources.items()}
    lost = [f"{source} {share:.1%}" for source, share in discarded.items() if share > MUCH_LOST]
    if lost:
        *others, last = [name for name, policy in POLICIES.items() if policy.discards is None]
        yield (
            f"phase {stage.name}: {stage.packing} discards much of {', '.join(lost)}: tokens that do not fit the rest "
            f"of a sequence of {length:,}; packing {', '.join(others)} or {last} keeps every token, a longer "
            f"sequence.length more of them"
        )
    share = _padding(stage, length) / max(stage.expected_rows * length, 1)
    if share > MUCH_LOST and stage.expected_rows >= FEW_ROWS:
        yield f"phase {stage.name}: {share:.1%} of its positions are padding; packing concat has next to none"


def _share_discarded(planned: StageSource) -> float:
    """Of the tokens of a source's framed documents."""
    return planned.expected_discarded / max(planned.expected_discarded + planned.expected_positions, 1)


def _padding(stage: PlannedStage, length: int) -> int:
    """Positions that are expected to hold no token."""
    filled = sum(planned.expected_positions for planned in stage.sources.values())
    return max(stage.expected_rows * length - filled, 0)


def _discarded_lines(stages: Sequence[PlannedStage]) -> list[str]:
    return [
        f"discarded of {source} in {stage.name}: {short(planned.expected_discarded)} tokens "
        f"({_share_discarded(planned):.2%})"
        for stage in stages
        for source, planned in stage.sources.items()
        if planned.expected_discarded
    ]


def _weight_lines(stages: Sequence[PlannedStage]) -> list[str]:
    """Of the stages whose sources do not all have weight 1."""
    return [
        f"loss weights of {stage.name}: {', '.join(f'{source} {_described(weight)}' for source, weight in named)}"
        for stage in stages
        if (named := sorted((stage.loss_weight or {}).items()))
    ]


def _described(weight: FormatterWeight | DocumentWeight) -> str:
    if isinstance(weight, FormatterWeight):
        return "of its formatter" + ("" if weight.document == 1 else f" times {_described(weight.document)}")
    if isinstance(weight, NumberWeight):
        return f"by {weight.by} up to {float(weight.most):g} (unknown {float(weight.unknown):g})"
    return f"{float(weight):g}"


def _stage_lines(summary: PlanReport) -> list[Text]:
    rows = [
        [
            stage.name,
            f"{stage.expected_rows:,}",
            short(stage.expected_rows * summary.length),
            f"{stage.shards:,}",
            stage.packing,
        ]
        for stage in summary.stages
    ]
    head = ["phase", "sequences", "tokens", "shards", "packing"]
    shards = {stage.name: stage.shards for stage in summary.stages}
    leaves = [
        _leave_line(stage, stage.branch, shards, summary.expected_rows)
        for stage in summary.stages
        if stage.branch is not None
    ]
    return [*aligned(head, rows, left={0, 4}), *map(Text, leaves)]


def _leave_line(stage: PlannedStage, branch: BranchPoint, shards: Mapping[str, int], rows: int) -> str:
    if stage.is_holdout:
        return f"{stage.name} is held out: no phase and no branch reads its documents"
    return (
        f"{stage.name} leaves {branch.phase} after {branch.shards:,} of its {shards[branch.phase]:,} "
        f"shards, at {stage.leave_row(rows) / max(rows, 1) * 100:.3g}% of the tokens, and ends at "
        f"{branch.at * 100:.10g}%"
    )


def _dropped_lines(funnels: Sequence[Funnel]) -> list[str]:
    lines = []
    for funnel in funnels:
        reasons = [f"{reason} {number:,}" for reason, number in funnel.dropped.items() if number]
        if reasons:
            dropped = funnel.read - funnel.kept
            lines.append(
                f"dropped of {funnel.source}: {dropped:,} of {funnel.read:,} documents "
                f"({dropped / funnel.read:.2%}): {', '.join(reasons)}"
            )
    return lines


def _read_line(reads: RangeReads) -> str:
    return f"reads: {reads.count:,} ranges of {reads.mean_bytes / 1e3:,.1f} kB on average, {reads.runs:,} runs"
