"""Every way in which a document or a token does not reach a sequence; each is a line of the ledger.

```
read documents = kept + dropped (DropReason)
kept tokens    = used + unused (UnusedReason)
used tokens + prefix + BOS/EOS + padding = positions + discarded (DiscardReason)
```
"""

from enum import Enum


class DropReason(str, Enum):
    """Why a document that was read is not in the token store."""

    MALFORMED = "malformed"  # not a record of the layout; only where the source says `malformed: drop`
    MISSING_TEXT = "missing_text"  # the text is null or absent
    EMPTY_TEXT = "empty_text"  # the text is empty or only white space
    NO_TOKENS = "no_tokens"  # the tokenizer gives no token for the text


class UnusedReason(str, Enum):
    """Why a document of the token store is in no phase."""

    SELECTION = "selection"  # no phase selects it
    BUDGET = "budget"  # a phase selects it, but the token budget ends before its place
    MIXTURE = "mixture"  # the mixture gives its source no weight


class DiscardReason(str, Enum):
    """Why a token of a used document is in no sequence."""

    CUT = "cut"  # behind the cut of `document_start`
