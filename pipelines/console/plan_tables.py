"""What stages take of sources, and of the labels that mixtures are by, as tables and as JSON.

```
phase        source  documents  tokens   asked  planned      epochs
conditioned  c4          1,034   3.9 M  35.00%   35.04%  0.000-1.015
             dclm        1,023   3.8 M  65.00%   64.96%  0.000-0.422

phase        topic    documents  tokens   asked  planned       epochs
conditioned  cooking        610   2.3 M  30.00%   30.02%  0.000-0.610
             sport        1,447   5.4 M  70.00%   69.98%  0.000-0.288
```
"""

from dataclasses import asdict
from typing import Any

from rich.text import Text

from byline.pipelines.console.plan_picture import short
from byline.pipelines.console.tables import aligned
from byline.printable import printable, shortened
from byline.schemas.ledger import Amount
from byline.schemas.mixtures.mixture import UNKNOWN
from byline.schemas.plan import PlanHeader
from byline.schemas.planned_stage import PlannedStage, StageSource

_TAKEN_HEAD = ("documents", "tokens", "asked", "planned", "epochs")
_LONGEST_LABEL = 60


def taken_entry(drawn: Amount, planned: StageSource) -> dict[str, Any]:
    """What a stage takes of a source or label, for programs."""
    return {
        **asdict(drawn),
        "target_positions": planned.target_positions,
        "expected_positions": planned.expected_positions,
        "expected_discarded": planned.expected_discarded,
        "requested_share": planned.requested_share,
        "expected_share": planned.expected_share,
        "epochs": list(planned.epochs),
    }


def source_lines(header: PlanHeader) -> list[Text]:
    """What each stage takes of each source."""
    rows = []
    for stage in header.stages:
        for number, (source, planned) in enumerate(stage.sources.items()):
            drawn = header.drawn.draws_of(stage.name, source)
            rows.append([stage.name if number == 0 else "", source, *_taken_cells(drawn, planned)])
    return aligned(["phase", "source", *_TAKEN_HEAD], rows, left={0, 1})


def _taken_cells(drawn: Amount, planned: StageSource) -> list[str]:
    return [
        f"{drawn.documents:,}",
        short(drawn.tokens),
        f"{planned.requested_share:.2%}",
        f"{planned.expected_share:.2%}",
        f"{planned.epochs[0]:.3f}-{planned.epochs[1]:.3f}",
    ]


def label_lines(header: PlanHeader) -> list[Text]:
    """A table for each field that mixtures are by."""
    lines: list[Text] = []
    by_label = [stage for stage in header.stages if stage.labels]
    for name in dict.fromkeys(stage.mixture.label_field or "" for stage in by_label):
        rows = []
        for stage in by_label:
            drawn = header.drawn.labels.get(stage.name, {})
            for number, (label, planned) in enumerate(
                stage.labels.items() if stage.mixture.label_field == name else ()
            ):
                head = [stage.name if number == 0 else "", _shown_label(stage, label)]
                rows.append([*head, *_taken_cells(drawn.get(label, Amount()), planned)])
        lines += [*aligned(["phase", name, *_TAKEN_HEAD], rows, left={0, 1}), Text()]
    return lines


def _shown_label(stage: PlannedStage, label: str) -> str:
    is_bin = stage.mixture.bins is not None and label != UNKNOWN
    return f"bin {label}" if is_bin else shortened(printable(label), _LONGEST_LABEL)
