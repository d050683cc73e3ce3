"""How many documents of each source reach the token store, and why the others do not.

```
source  documents      number    share
web     read           12,000  100.00%
        empty_text         12    0.10%
        filter_words      300    2.50%
        kept           11,688   97.40%
```

Reasons come in the order of the steps. Reasons without documents, and sources that lost none, are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from byline.pipelines.console.tables import aligned
from byline.schemas.config import Config
from byline.schemas.store import RunInfo
from byline.transforms.documents.counters import total
from byline.transforms.filters.tables import drop_reasons_of


@dataclass(frozen=True)
class Funnel:
    """Documents of one source.

    Attributes:
        source: its name.
        read: documents that were read.
        dropped: documents by reason, in the order of the steps, zeros included.
        kept: documents in the token store.
    """

    source: str
    read: int
    dropped: dict[str, int]
    kept: int

    def to_json(self) -> dict[str, Any]:
        return {"read": self.read, "dropped": self.dropped, "kept": self.kept}


def funnels_of(config: Config, runs: Iterable[RunInfo]) -> list[Funnel]:
    """The funnel of each source, by name.

    Args:
        config: that the runs were prepared with.
        runs: of the token store.
    """
    by_source: dict[str, list[RunInfo]] = {source: [] for source in sorted(config.sources)}
    for run in runs:
        by_source[run.source].append(run)
    return [
        Funnel(
            source,
            sum(run.rows_read for run in source_runs),
            drop_reasons_of(config, source).in_order(total(run.dropped for run in source_runs)),
            sum(run.rows for run in source_runs),
        )
        for source, source_runs in by_source.items()
    ]


def funnel_lines(funnels: Iterable[Funnel]) -> list[Text]:
    """A table of the sources that lost documents; no line if none did."""
    rows: list[list[str]] = []
    for funnel in funnels:
        dropped = {reason: number for reason, number in funnel.dropped.items() if number}
        if not dropped:
            continue
        for what, number in {"read": funnel.read, **dropped, "kept": funnel.kept}.items():
            rows.append([funnel.source if what == "read" else "", what, f"{number:,}", f"{number / funnel.read:.2%}"])
    return aligned(["source", "documents", "number", "share"], rows, left={0, 1}) if rows else []


def show_funnels(funnels: Iterable[Funnel], console: Console) -> None:
    """Prints the table."""
    for line in funnel_lines(funnels):
        console.print(line, soft_wrap=True, highlight=False)
