"""Why a document of the token store is in no phase: of its reasons the first that holds.

```
no mixture has a weight for it             mixture
no stage selects it                        selection
any other that no stage draws              budget
```
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from byline.schemas.reasons import Reason


@dataclass(frozen=True)
class SourceDocuments:
    """What is known of documents of one stratum; arrays of n.

    Attributes:
        is_mixed: whether some stage's mixture has a weight for them.
        selected: bool, whether such a stage selects it.
        used: bool, whether some stage draws it.
    """

    is_mixed: bool
    selected: np.ndarray
    used: np.ndarray


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
        yield reason.name, holds
        left &= ~holds
