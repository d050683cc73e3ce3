"""The main table of a study, for terminals, Markdown and pages: arms by what was measured at their ends.

```
arm          seeds  trained tokens  none: loss      host: loss
standard     3      2M              1.182 ± 0.010   1.232 ± 0.010
conditioned  3      2M              1.500 ± 0.010   1.250 ± 0.010
```

Each model is a row of its own where there are several; the ends of branches are a table of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from byline.lab.results import numbers
from byline.lab.results.analysis import Spread
from byline.lab.results.table import Measurement, Results
from byline.printable import printable


@dataclass(frozen=True)
class TextTable:
    """Cells as text. The first `labels` columns are names; the others numbers, aligned right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1


def main_table(results: Results, metrics: Sequence[str] = ("loss",), of_branches: bool = False) -> TextTable:
    """Final values of all sources together, of each arm and model, or of each branch of one."""
    finals = _finals([row for row in results.measurements if row.source == "all" and row.metric in metrics])
    evaluations = dict.fromkeys(row.evaluation for row in results.measurements)
    columns = [(name, metric) for name in evaluations for metric in metrics if _is_measured(finals, name, metric)]
    several = len(results.models) > 1
    rows = []
    for arm in results.arms:
        if of_branches != ("/" in arm.arm):
            continue
        cells = [finals.get((arm.arm, arm.model, name, metric)) for name, metric in columns]
        seeds = max((len(cell.values) for cell in cells if cell is not None), default=0)
        shown = (
            "" if cell is None else numbers.spread(cell, metric)
            for cell, (_, metric) in zip(cells, columns, strict=True)
        )
        name = (arm.arm, arm.model) if several else (arm.arm,)
        rows.append((*name, str(seeds), numbers.amount(arm.trained_tokens), *shown))
    head = ("arm", "model") if several else ("arm",)
    measured = tuple(f"{name}: {metric}" for name, metric in columns)
    return TextTable((*head, "seeds", "trained tokens", *measured), tuple(rows), len(head))


def source_table(results: Results, evaluation: str, metric: str) -> TextTable | None:
    """Final values by source, of the largest model; None where an evaluation tells no sources apart."""
    rows = [row for row in results.measurements if row.evaluation == evaluation and row.metric == metric]
    sources = list(dict.fromkeys(row.source for row in rows if row.source != "all"))
    if len(sources) < 2:
        return None
    model = results.models[-1]
    cells = {
        source: _finals([row for row in rows if row.source == source and row.model == model]) for source in sources
    }
    arms = list(dict.fromkeys(row.arm for row in rows if row.model == model))
    lines = []
    for arm in arms:
        finals = [cells[source].get((arm, model, evaluation, metric)) for source in sources]
        lines.append((arm, *("" if one is None else numbers.spread(one, metric) for one in finals)))
    return TextTable(("arm", *sources), tuple(lines))


def time_table(results: Results) -> TextTable:
    """Seconds that an arm's trainings took, all seeds together."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in results.times:
        groups.setdefault((row.arm, row.model, row.device), []).append(row.seconds)
    rows = [(*names, str(len(seconds)), f"{sum(seconds):,.0f}") for names, seconds in groups.items()]
    return TextTable(("arm", "model", "device", "trainings", "seconds"), tuple(rows), 3)


def show_table(table: TextTable, console: Console) -> None:
    """Prints a table."""
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, name in enumerate(table.head):
        shown.add_column(escape(printable(name)), justify="left" if number < table.labels else "right")
    for row in table.rows:
        shown.add_row(*(escape(printable(cell)) for cell in row))
    console.print(shown)


def markdown(table: TextTable) -> str:
    """A table of a Markdown page."""
    rules = ["---" if number < table.labels else "---:" for number in range(len(table.head))]
    lines = [table.head, tuple(rules), *table.rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _finals(rows: Sequence[Measurement]) -> dict[tuple[str, str, str, str], Spread]:
    """Spread over seeds of the last values, by arm, model, evaluation and metric."""
    last: dict[tuple[str, str, str, str], dict[int, Measurement]] = {}
    for row in rows:
        seeds = last.setdefault((row.arm, row.model, row.evaluation, row.metric), {})
        if row.seed not in seeds or row.step >= seeds[row.seed].step:
            seeds[row.seed] = row
    return {key: Spread(tuple(row.value for row in seeds.values())) for key, seeds in last.items()}


def _is_measured(finals: dict[tuple[str, str, str, str], Spread], evaluation: str, metric: str) -> bool:
    return any(key[2:] == (evaluation, metric) for key in finals)
