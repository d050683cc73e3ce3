"""The ledger: where every document and every token went.

For each source:

```
documents   read = kept + dropped[reason]                       (DropReason)
store       kept documents and tokens = used + unused[reason]   (UnusedReason), each document once
```

For each phase and source, a document counted as often as it is drawn (once an epoch):

```
tokens + prefix_tokens + special_tokens = positions + discarded[reason]   (DiscardReason)
positions = loss_tokens + masked
```

and for each phase: the positions of its sources + padding = rows * L.

As JSON, in the manifest:

```
sources: {name: {read: {documents, bytes}, dropped: {reason: documents}, kept: {documents, tokens, bytes},
                 used: {documents, tokens}, unused: {reason: {documents, tokens}}, special_text}}
phases:  {name: {sources: {name: DrawCounts}, padding}}
```
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Amount:
    """Documents, and their own tokens."""

    documents: int = 0
    tokens: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.documents + other.documents, self.tokens + other.tokens)


@dataclass
class DrawCounts:
    """What one phase, or one shard of it, takes from one source.

    Attributes:
        documents: documents drawn, one for each use.
        tokens: their own tokens.
        prefix_tokens: tokens of prefixes (before or after), repeated ones included.
        special_tokens: BOS and EOS.
        positions: positions in sequences that they fill.
        loss_tokens: positions whose loss counts.
        discarded: tokens of any of these kinds that are in no sequence, by `DiscardReason` value.
        conditioned: documents that got a prefix.
        prefix_too_long: documents whose prefix was replaced by the unknown one.
    """

    documents: int = 0
    tokens: int = 0
    prefix_tokens: int = 0
    special_tokens: int = 0
    positions: int = 0
    loss_tokens: int = 0
    discarded: dict[str, int] = field(default_factory=dict)
    conditioned: int = 0
    prefix_too_long: int = 0

    def add(self, other: "DrawCounts") -> None:
        """Adds another count to this one."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, dict):
                for reason, count in theirs.items():
                    mine[reason] = mine.get(reason, 0) + count
            else:
                setattr(self, item.name, mine + theirs)

    def closes(self) -> bool:
        """Whether every token is in a sequence or discarded for a reason."""
        made = self.tokens + self.prefix_tokens + self.special_tokens
        return made == self.positions + sum(self.discarded.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
