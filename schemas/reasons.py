"""Every way in which a document or a token does not reach a sequence; each is a line of the ledger.

```
read documents = kept + dropped (DropReason)
kept tokens    = used + unused (UNUSED_REASONS in transforms.scans)
used tokens + prefix + BOS/EOS + padding = positions + discarded (a packing policy's own Reason)
```
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class DropReason(str, Enum):
    """Why a document that was read is not in the token store, beside the rules of a filter."""

    MALFORMED = "malformed"  # not a record of the layout; only where the source says `malformed: drop`
    TOO_LONG = "too_long"  # longer than the source's `max_document`; likewise
    MISSING_TEXT = "missing_text"  # the text is null or absent
    EMPTY_TEXT = "empty_text"  # the text is empty or only white space
    NO_TOKENS = "no_tokens"  # the tokenizer gives no token for the text


# Those whose records are rejects: no documents, whatever the recipe wants of documents.
REJECT_REASONS = tuple(
    reason.value
    for reason in (DropReason.MALFORMED, DropReason.TOO_LONG, DropReason.MISSING_TEXT, DropReason.EMPTY_TEXT)
)


@dataclass(frozen=True)
class DropReasons:
    """Every reason for which a document of one source may be dropped.

    Attributes:
        names: the reasons, in the order of the steps: `DropReason`, and `filter_<name>` for each rule of its filter.
        open: those whose rule says why it drops a document: further reasons `filter_<name>_<why>`.
    """

    names: list[str]
    open: list[str]

    def accepts(self, reason: str) -> bool:
        """Whether a document may be dropped for it."""
        return reason in self.names or any(reason.startswith(f"{name}_") for name in self.open)

    def in_order(self, dropped: Mapping[str, int]) -> dict[str, int]:
        """Counts by reason in the order of the steps; 0 for a reason that did not occur."""
        ordered: dict[str, int] = {}
        for name in self.names:
            ordered[name] = dropped.get(name, 0)
            if name in self.open:
                whys = sorted(reason for reason in dropped if reason.startswith(f"{name}_"))
                ordered.update({why: dropped[why] for why in whys if why not in self.names})
        return ordered


@dataclass(frozen=True)
class Reason:
    """Why something is in no sequence.

    Attributes:
        name: in the ledger.
        line: what it means, for the documentation.
    """

    name: str
    line: str
