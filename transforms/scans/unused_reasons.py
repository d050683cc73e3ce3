"""Why a document of the token store is in no phase: of its reasons the first that holds.

```
no mixture has a weight for it             mixture
an attribute drops it from every stage     dropped_twins, of the first attribute that does
no stage selects it                        selection
any other that no stage draws              budget
```
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from byline.schemas.reasons import Reason


@dataclass(frozen=True)
class SourceDocuments:
    """What is known of documents of one stratum; arrays of n.

    Attributes:
        is_mixed: whether some stage's mixture has a weight for them.
        selected: bool, whether such a stage selects it.
        used: bool, whether some stage draws it.
        drops: column of an attribute -> bool, whether it is true and some stage drops documents for it.
    """

    is_mixed: bool
    selected: np.ndarray
    used: np.ndarray
    drops: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class UnusedReason(Reason):
    """`holds` gives bool [n]: the documents that the reason is right for, if no earlier one is."""

    holds: Callable[[SourceDocuments], np.ndarray]


UNUSED_REASONS: dict[str, UnusedReason] = {
    reason.name: reason
    for reason in (
        UnusedReason(
            "mixture",
            "the mixture gives its source, or its label, no weight",
            lambda documents: np.full(len(documents.used), not documents.is_mixed),
        ),
        UnusedReason(
            "dropped",
            "no phase or branch selects it, and a column that one of them drops documents for is true; each column "
            "has a line of its own, `dropped_NAME`",
            lambda documents: (
                np.logical_or.reduce([*documents.drops.values(), np.zeros(len(documents.used), bool)])
                & ~documents.selected
            ),
        ),
        UnusedReason(
            "selection",
            "no phase or branch selects it",
            lambda documents: ~documents.selected,
        ),
        UnusedReason(
            "budget",
            "a phase selects it, but its tokens were reached before the document's turn",
            lambda documents: np.ones(len(documents.used), bool),
        ),
    )
}


def unused_by_reason(documents: SourceDocuments) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each reason, and (bool [n]) the unused documents that have it; each has one."""
    left = ~documents.used
    for reason in UNUSED_REASONS.values():
        holds = left & reason.holds(documents)
        left &= ~holds
        if reason.name != "dropped":
            yield reason.name, holds
            continue
        for name, is_dropped in sorted(documents.drops.items()):
            yield f"dropped_{name}", holds & is_dropped
            holds &= ~is_dropped
