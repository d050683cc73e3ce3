"""What Byline does with corpora of hundreds of billions and trillions of tokens, simulated with the real planner.

```
python -m benchmarks.scale                             all cases, some minutes on one core
python -m benchmarks.scale --cases meco-160B small     some of them
python -m benchmarks.scale out/scale.json --workers 400 --latency 0.05
```

Real: the planner, its scans' counters, _plan.ipc, the list of runs, the driver's time and memory, the readers of runs
and their requests. Made up: the documents (`benchmarks.scale_corpus`), a few million that each stand for many. Assumed:
speeds, latency, prices (`benchmarks.scale_costs`). docs/scale.md draws the conclusions.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.scale_costs import Assumptions, Step, steps_of
from benchmarks.scale_planning import Case, Planned, in_fresh_process, plan_case
from byline.transforms.corpora.made.sample_corpus import module_pages, train_tokenizer

CONFIGS = Path(__file__).parents[1] / "configs"
# As many tokens in a shard as 65,536 sequences of 2,048.
_SHARD = "shard.sequences=16384"
_HOST = 'condition: {template: "URL: {host}\\n\\n"}'
_TOP = "select: {top: 0.7, by: quality, sources: [dclm]}"
_TOP_PHASES = f"phases=[{{name: conditioned, share: 0.9, {_TOP}, {_HOST}}}, {{name: cooldown, share: 0.1, {_TOP}}}]"
_THREE = (
    "sources.c4={format: c4, path: data/c4/*.json.gz}",
    "sources.refinedweb={format: refinedweb, path: data/refinedweb/*.parquet}",
    _TOP_PHASES,
)
_ALL = {"dclm": 1.0, "c4": 1.0, "refinedweb": 1.0}
# Nobody trains for this long on a quarter of the tokens, so documents continue in the next sequence.
_LONG = ("tokens=4T", "shortage=repeat", "sequence.packing=concat", "mixture={dclm: 0.82, c4: 0.03, refinedweb: 0.15}")
_MIXED = ("mixture={dclm: 0.6, c4: 0.2, refinedweb: 0.2}",)
_GIB = 1 << 30

CASES = {
    case.name: case
    for case in (
        Case("small", "a try: 20 M positions of one file", "meco.yaml", ("tokens=20M", "shard.sequences=256"),
             {"dclm": 0.00002}, prototypes=20_000),
        Case("meco-160B", "MeCo's recipe on DCLM", "meco.yaml", (_SHARD,), {"dclm": 0.053}),
        Case("meco-160B-1GiB", "the same, compacted", "meco.yaml", (_SHARD,), {"dclm": 0.053}, _GIB),
        Case("top70-160B", "of the best 70 % by score", "meco.yaml", (_SHARD, _TOP_PHASES), {"dclm": 0.077}),
        Case("mixed-160B", "of three corpora, the best 70 % of DCLM", "meco.yaml", (_SHARD, *_THREE, *_MIXED),
             {"dclm": 0.047, "c4": 0.27, "refinedweb": 0.07}),
        Case("mixed-4T", "of all three", "meco.yaml", (_SHARD, *_THREE, *_LONG), _ALL),
        Case("mixed-4T-1GiB", "the same, compacted", "meco.yaml", (_SHARD, *_THREE, *_LONG), _ALL, _GIB),
    )
}  # fmt: skip


def simulate(case: Case, tokenizer: str, *, is_fresh: bool = True) -> Planned:
    """Plans a case, in a fresh process, because its memory is a result."""
    with tempfile.TemporaryDirectory() as folder:
        if is_fresh:
            return in_fresh_process(plan_case, case, CONFIGS, tokenizer, Path(folder))
        return plan_case(case, CONFIGS, tokenizer, Path(folder))


def as_values(case: Case, planned: Planned, assumptions: Assumptions) -> dict[str, Any]:
    """A case and its results, as JSON."""
    steps = steps_of(planned, assumptions)
    return {
        "case": asdict(case),
        "planned": asdict(planned),
        "steps": [{**asdict(step), "dollars": step.dollars(assumptions)} for step in steps],
        "total": {
            "dollars": sum(step.dollars(assumptions) for step in steps),
            "wall": sum(step.wall for step in steps),
        },
    }


def report(case: Case, planned: Planned, assumptions: Assumptions) -> str:
    """A case and its results, for people."""
    return "\n".join([f"{case.name}: {case.about}", *_plan_lines(planned), "", *_step_lines(planned, assumptions)])


def _plan_lines(planned: Planned) -> list[str]:
    lines = []
    for name, population in planned.populations.items():
        cost = planned.run_costs[name]
        reads = cost.range_reads
        lines += [
            f"  {name}: {population.documents:,} documents, "
            f"{short(population.documents * population.corpus.tokens)} tokens in {population.files:,} files, "
            f"{planned.files(name):,} of the store, each {short(cost.file_bytes)}B",
            f"    range reads {short(reads.ranges * planned.files(name))}: {reads.cost.requests:.2f} requests, "
            f"{short(reads.cost.bytes)}B (5 % {short(reads.bytes[1])}B, half {short(reads.bytes[2])}B, "
            f"95 % {short(reads.bytes[4])}B); {reads.documents[3]:.2f} documents, {reads.empty:.1%} find none; "
            f"{reads.seconds * 1e3:.2f} ms",
        ]
    seconds, memory = planned.seconds, planned.memory
    kept = sum(planned.files(name) * cost.kept_bytes for name, cost in planned.run_costs.items())
    return [
        *lines,
        f"  plan: {planned.positions:,} positions, {planned.shards:,} shards, {planned.plan_rows:,} rows, _plan.ipc "
        f"{short(planned.plan_bytes)}B, runs.arrow {short(planned.index_bytes)}B, {len(planned.scans)} scans",
        f"  driver: planning {seconds['plan']:.1f} s; memory {short(memory['start'])}B at the start, "
        f"{short(memory['runs'])}B with the runs, {short(planned.peak)}B at most",
        f"  a worker: lists {short(planned.worker_bytes)}B, footers of all runs {short(kept)}B",
    ]


HEADER = "  step                        GET       PUT      read   written   dollars     hours"


def _step_lines(planned: Planned, assumptions: Assumptions) -> list[str]:
    steps = steps_of(planned, assumptions)
    total = Step("all", *(sum(getattr(step, name.name) for step in steps) for name in fields(Step)[1:]))
    return [HEADER, *(_step_line(step, assumptions) for step in [*steps, total])]


def _step_line(step: Step, assumptions: Assumptions) -> str:
    return (
        f"  {step.name:<22} {short(step.gets):>9} {short(step.puts):>9} {short(step.read) + 'B':>9} "
        f"{short(step.written) + 'B':>9} {step.dollars(assumptions):>9,.2f} {step.wall:>9.2f}"
    )


def short(number: float) -> str:
    """Three digits and a unit."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}".rstrip() if unit == "" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} P"


def make_tokenizer(folder: Path) -> str:
    """A tokenizer for prefixes, trained on a little text from this machine."""
    path = folder / "tokenizer.json"
    texts = [text for _, text in module_pages("argparse", Path(argparse.__file__).read_bytes())]
    path.write_text(train_tokenizer(texts, 4096), encoding="utf-8")
    return str(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, help="a file for all figures as JSON")
    parser.add_argument("--cases", nargs="*", default=[name for name in CASES if name != "small"], choices=list(CASES))
    parser.add_argument("--tokenizer", type=Path, help="for prefixes; default: a small one is trained")
    for item in fields(Assumptions):
        parser.add_argument(f"--{item.name.replace('_', '-')}", type=type(item.default), default=item.default)
    options = parser.parse_args(arguments)
    assumptions = Assumptions(**{item.name: getattr(options, item.name) for item in fields(Assumptions)})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = str(options.tokenizer or make_tokenizer(Path(folder)))
        for name in options.cases:
            planned = simulate(CASES[name], tokenizer)
            results.append(as_values(CASES[name], planned, assumptions))
            print(report(CASES[name], planned, assumptions), end="\n\n", flush=True)
    if options.out is not None:
        options.out.write_text(
            json.dumps({"assumptions": asdict(assumptions), "cases": results}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
